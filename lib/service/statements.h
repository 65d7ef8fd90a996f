#ifndef SERVICE_STATEMENTS_H
#define SERVICE_STATEMENTS_H

/* The key statements of one dnet on disk (PROTOCOL 9.2): our own with their dates, and the newest
 * of each peer, so that older ones stay refused after a restart. One file in the state folder,
 * replaced whole: it survives a kill at any instant. */

#include "core/netmap.h"
#include "wire/statement.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id;	 /* core/id.h */
struct identity; /* core/id.h */
struct statements;

/* Reads FOLDER/statements-HEX.json. A file that is damaged is said in the log, kept aside as .bad,
 * and statements are gathered anew. One that cannot be read now is said, read at a later call, and
 * not written before that. folder is copied. Never NULL. */
struct statements *statements_open(const char *folder, const struct object_id *dnet);
/* Does not save. */
void statements_close(struct statements *s);
/* The dnet was left: the file goes. */
void statements_remove(const char *folder, const struct object_id *dnet);

/* Takes a verified one (mesh_io.statement): it replaces the one of that signer and backend unless
 * it is older. */
void statements_put(struct statements *s, const struct statement *statement);
/* Forgets those whose signer is neither a node nor a helper of the netmap. */
void statements_prune(struct statements *s, const struct netmap *netmap);
/* Writes what changed since the last time; call it before a new statement is used. 0, or -errno
 * (logged; the next call tries again). */
int statements_save(struct statements *s);

/* Whether the file has exactly this one: else it must not be used yet. */
bool statements_is_stored(const struct statements *s, const struct statement *statement);

/* The statement of our own key of a backend: the stored one while it binds this key, else a new one
 * with a later date, which is stored before it is returned. key_len: 1 to STATEMENT_KEY_MAX (32 for
 * WireGuard); wall_s: seconds since 1970. 0, or -errno of the file: then it must not be said to
 * anybody. */
int statements_own(struct statements *s, const struct id *curve, const struct identity *identity,
		   uint8_t backend, const void *key, size_t key_len, uint64_t wall_s,
		   struct statement *ret_statement);

/* In any order; for the mesh at its start, which verifies them (mesh_load_statement()). */
size_t statements_count(const struct statements *s);
/* Borrowed until the next call that changes something. */
const struct statement *statements_at(const struct statements *s, size_t i);

#endif
