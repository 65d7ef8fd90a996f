#ifndef CLI_ROSTER_INI_H
#define CLI_ROSTER_INI_H

/* A roster as an owner writes it (doc/roster.md 5), to the body that is signed, and back. */

#include "os/conf.h"
#include "wire/roster.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { ROSTER_INI_MAX = 16 << 20 };

struct roster_ini_env {
	/* dnet, sequence, previous, issued and salt are given; expires comes from the text. */
	struct roster_header header;
	/* The key of a member of this name by the records; NULL op: there are none. */
	bool (*find_member)(void *arg, const char *name, struct node_key *ret_key);
	/* A point of the curve. */
	bool (*key_valid)(void *arg, const struct node_key *key);
	void *arg;
};

/* *ret_body is the caller's (free()). 0, or -EINVAL and error says FILE:LINE, what is wrong and
 * what to do. */
int roster_ini_compile(const struct roster_ini_env *env, const char *file, const char *text,
		       size_t len, uint8_t **ret_body, size_t *ret_len,
		       char error[static CONF_ERROR_MAX]);

/* As a text that compiles to the same lists, but for names of nodes that have none. */
void roster_ini_print(const struct roster *roster, FILE *out);

/* "tcp/80", "udp/1-9", "icmp", "all", …; for people. */
enum { ROSTER_SERVICE_TEXT_MAX = 32 };
const char *roster_service_text(const struct roster_rule *rule,
				char ret[static ROSTER_SERVICE_TEXT_MAX]);

#endif
