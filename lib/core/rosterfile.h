#ifndef CORE_ROSTERFILE_H
#define CORE_ROSTERFILE_H

/* The file around a roster (doc/roster.md 1, 3): signed, and perhaps encrypted to the nodes. */

#include "wire/key.h"
#include "wire/roster.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id;
struct identity;

enum {
	ROSTERFILE_MAX = 16 << 20,
	ROSTERFILE_SEED_LEN = 32,
	ROSTERFILE_WRAP_LEN = 56,
	ROSTERFILE_RECIPIENTS_MAX = 65536,
};

/* What became of a file; the first that goes for it. */
#define ROSTER_VERDICTS(X)                                                                         \
	X(ROSTER_GOOD, good, "it is the one that the chain anchors")                               \
	X(ROSTER_MALFORMED, malformed, "it is no roster, or damaged")                              \
	X(ROSTER_NOT_OURS, not_ours,                                                               \
	  "it is encrypted, and not to this node: the owner has to publish one that names it")     \
	X(ROSTER_WRONG_DNET, wrong_dnet, "it is of another dnet")                                  \
	X(ROSTER_SIGNATURE, signature, "the dnet's admin key did not sign it")                     \
	X(ROSTER_REPLAY, replay, "its sequence is below the one that the chain anchors")           \
	X(ROSTER_FORK, fork, "the owner signed another one of the same sequence")                  \
	X(ROSTER_EARLY, early, "its ROSTER record is not in force yet")                            \
	X(ROSTER_EXPIRED, expired, "it has expired: the owner has to publish another one")

enum roster_verdict {
#define X(name, word, text) name,
	ROSTER_VERDICTS(X)
#undef X
		ROSTER_VERDICT_COUNT
};

/* "good", "malformed", …; static. */
const char *roster_verdict_name(enum roster_verdict verdict);
/* One half sentence, static. */
const char *roster_verdict_text(enum roster_verdict verdict);

struct rosterfile {
	uint8_t *body; /* owned: rosterfile_done() */
	size_t len;
	struct roster roster; /* view of body */
	struct hash256 root;
	bool encrypted;
};

/* Opens a file and checks form, dnet and signature: ROSTER_GOOD, ROSTER_MALFORMED (ret_why says
 * more, static), ROSTER_NOT_OURS, ROSTER_WRONG_DNET or ROSTER_SIGNATURE. node: who reads it; NULL:
 * only plain files can be opened. ret is filled in only when it is good; out of memory counts as
 * malformed. */
enum roster_verdict rosterfile_open(const struct id *id, const struct identity *node,
				    const struct object_id *dnet,
				    const uint8_t admin_key[static XONLY_LEN], const void *file,
				    size_t len, struct rosterfile *ret, const char **ret_why);
void rosterfile_done(struct rosterfile *file);

/* ROSTER 4: what an opened file is worth beside the anchor in force. now_s: seconds since 1970. */
enum roster_verdict rosterfile_judge(const struct rosterfile *file, uint32_t anchored_sequence,
				     const struct hash256 *anchored_root, uint64_t now_s);

/* Signs a body that roster_parse() takes. recipients NULL: plain, else encrypted to these keys
 * (none twice), with seed as the only source of chance: fresh random bytes. *ret_file is the
 * caller's (free()). 0, -EINVAL (body, key that is no point, too many), -E2BIG, -ENOMEM. */
int rosterfile_seal(const struct id *id, const struct secret *admin, const void *body, size_t len,
		    const struct node_key *recipients, size_t recipient_count,
		    const uint8_t seed[static ROSTERFILE_SEED_LEN], uint8_t **ret_file,
		    size_t *ret_len);

#endif
