#ifndef CLI_NAMES_H
#define CLI_NAMES_H

/* Objects by what people call them: an id, a label of the own keystore, a name, or the beginning of
 * an id. */

#include "cli/cli.h"
#include "core/keystore.h"
#include "wire/bech32.h"

enum {
	NAMES_SCRIPT_SIZE = BECH32_TEXT_SIZE,
};

struct cli_object {
	enum object_kind kind;
	struct object_id id;
	char label[KEYSTORE_TEXT_SIZE]; /* name on the chain or own label; "" when not known */
	char text[OBJECT_ID_TEXT_SIZE];
};

/* kind 0: any. Returns an exit code; the error was printed. */
int names_resolve(struct cli *cli, enum object_kind kind, const char *text,
		  struct cli_object *ret_object);
/* "dnet", "OVC", "OVR", or "object" for 0. */
const char *names_kind(enum object_kind kind);
/* A node key in hex. Prints the error. */
int names_key(struct cli *cli, const char *text, struct node_key *ret_key);
void names_fill_text(struct cli_object *object);
/* Who may spend an output: the address of its script, or its size where there is no address. Needs
 * cli->params. */
void names_script(const struct cli *cli, const uint8_t *script, size_t len,
		  char ret[static NAMES_SCRIPT_SIZE]);

#endif
