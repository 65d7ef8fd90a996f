#ifndef CLI_ROSTER_INI_PRIVATE_H
#define CLI_ROSTER_INI_PRIVATE_H

/* What the text of a roster said, before it is known what its names mean. */

#include "cli/roster_ini.h"
#include "os/base.h"

#include <uthash.h>

enum { ROSTER_INI_WHY_MAX = 256 };

/* A value of the text, where it stands. */
struct word {
	unsigned line;
	char *text; /* owned */
};

struct words {
	struct word *list; /* owned */
	size_t count, room;
};

struct node {
	UT_hash_handle hh;
	unsigned line;
	bool has_key;
	struct roster_node entry; /* its groups are filled in last */
	struct words groups;
	uint64_t expires_line;
};

struct group {
	char name[RECORD_NAME_MAX + 1];
	unsigned line;
	struct words members;
};

struct policy {
	char name[RECORD_NAME_MAX + 1];
	unsigned line;
	struct words from, to, allow;
};

struct route {
	struct prefix prefix;
	unsigned line;
	char *via; /* owned; NULL: not said */
	uint16_t priority;
};

struct dns {
	char name[RECORD_NAME_MAX + 1];
	unsigned line;
	struct words to;
};

/* An entry, encoded. */
struct item {
	uint16_t len;
	uint8_t bytes[ROSTER_ENTRY_MAX];
};

struct items {
	struct item *list; /* owned */
	size_t count, room;
};

struct compile {
	const struct roster_ini_env *env;
	struct roster_header header;
	bool has_expires, has_id;
	struct node *nodes; /* hash by name; owned */
	struct group *groups;
	size_t group_count, group_room;
	struct policy *policies;
	size_t policy_count, policy_room;
	struct route *routes;
	size_t route_count, route_room;
	struct dns *names;
	size_t name_count, name_room;
	struct items items[ROSTER_LISTS];
	char section[64]; /* the one that current is of */
	void *current;
	unsigned error_line;
	char why[ROSTER_INI_WHY_MAX];
};

/* Notes the first error; returns false. line 0: of the whole. */
bool ini_fail(struct compile *c, unsigned line, const char *format, ...) _printf_(3, 4);
/* One more of a list that grows; all zero. */
void *ini_grow(void **list, size_t *count, size_t *room, size_t size);
#define GROW(list, count, room) ini_grow((void **)&(list), &(count), &(room), sizeof(*(list)))

bool ini_parse_key(struct compile *c, unsigned line, const char *text, struct node_key *ret);
/* Decimal, up to max. */
bool ini_parse_number(const char *text, unsigned long max, uint16_t *ret);
/* A prefix, or an address as one of full length. */
bool ini_parse_prefix(const char *text, struct prefix *ret);
struct node *ini_find_node(struct compile *c, const char *name);
/* The one there is, or a new one. */
struct node *ini_add_node(struct compile *c, const char *name, unsigned line);

/* What all names mean, and the body of it: the caller's. */
bool ini_resolve(struct compile *c, uint8_t **ret_body, size_t *ret_len);

#endif
