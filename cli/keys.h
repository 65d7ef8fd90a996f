#ifndef CLI_KEYS_H
#define CLI_KEYS_H

/* The owner's keystore file, and beside it (FILE.seals, not secret) what this tool knows of its
 * objects: labels, and the newest seal that it made itself. */

#include "cli/cli.h"
#include "core/keystore.h"

/* A keystore that is not there yet is empty. Asks for the passphrase when needed. Exit code; the
 * error was printed. */
int keys_load(struct cli *cli, struct keystore *ret_keystore);
int keys_save(struct cli *cli, const struct keystore *keystore);

struct known_seal {
	enum object_kind kind;
	struct object_id id;
	char label[KEYSTORE_TEXT_SIZE];
	struct outpoint outpoint;
	uint64_t value;
	uint32_t sequence;
	bool closed;
};

/* Of the chain in use. A callback that returns true ends the walk. */
typedef bool (*known_cb)(void *arg, const struct known_seal *known);
int known_visit(struct cli *cli, known_cb cb, void *arg);
/* False when there is none, or the file cannot be read. */
bool known_find(struct cli *cli, const struct object_id *id, struct known_seal *ret_known);
/* Exit code. */
int known_put(struct cli *cli, const struct known_seal *known);

#endif
