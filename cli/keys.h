#ifndef CLI_KEYS_H
#define CLI_KEYS_H

/* The owner's keystore file, and beside it (FILE.seals, not secret) what this tool knows of its
 * objects: labels, and the newest seal that it made itself. */

#include "cli/cli.h"
#include "cli/seals.h"
#include "core/keystore.h"
#include "core/multisig.h"

#include <sys/types.h>

/* Around load, save and send: nobody else changes the two files until keys_unlock() or the end of
 * the process (a file KEYSTORE.lock, which stays). Waits for a minute, and says for whom. */
int keys_lock(struct cli *cli);
void keys_unlock(struct cli *cli);

/* A keystore that is not there yet is empty. Asks for the passphrase when needed. Exit code; the
 * error was printed. */
int keys_load(struct cli *cli, struct keystore *ret_keystore);
/* Under keys_lock(), as known_put(). */
int keys_save(struct cli *cli, const struct keystore *keystore);

/* The next key of the keystore's seed, for the chain in use; a keystore without a seed gets one.
 * Fills number, secret and chain of the entry and puts it; kind, id and label are the caller's, who
 * saves. Exit code. */
int keys_add(struct cli *cli, struct keystore *keystore, struct keystore_entry *entry);
/* A line from the terminal, with echo or not, without its end. False: there is no terminal. */
bool keys_ask(const char *question, bool echo, char *dst, size_t size);
/* The passphrase that keys_save() uses from now on: of the keyfile path, or asked for twice when
 * path is NULL. Exit code. */
int keys_change_passphrase(struct cli *cli, const char *path);
/* Who holds the lock of the keystore: 0 for nobody. */
pid_t keys_lock_holder(struct cli *cli);

/* Of the chain in use. A callback that returns true ends the walk. */
typedef bool (*known_cb)(void *arg, const struct known_seal *known);
int known_visit(struct cli *cli, known_cb cb, void *arg);
/* False when there is none, or the file cannot be read. */
bool known_find(struct cli *cli, const struct object_id *id, struct known_seal *ret_known);
/* That it can be written: asked before a transaction goes out. Exit code; the error was printed. */
int known_check(struct cli *cli);
/* The multisig that a P2WSH script is of, as it was noted here. */
bool known_multisig(struct cli *cli, const uint8_t *script, size_t len,
		    struct multisig *ret_multisig);
/* Exit code. */
int known_put_multisig(struct cli *cli, struct multisig *multisig);
int known_put(struct cli *cli, const struct known_seal *known);
/* What was said of the request of a key for a dnet. False also where the file cannot be read. */
bool known_denied(struct cli *cli, const struct object_id *dnet, const struct node_key *key);
/* Exit code. */
int known_put_denied(struct cli *cli, const struct object_id *dnet, const struct node_key *key,
		     bool denied);

#endif
