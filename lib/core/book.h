#ifndef CORE_BOOK_H
#define CORE_BOOK_H

/* The statement book of one dnet: the newest key statement of each signer and backend (PROTOCOL 9),
 * taken in only when it was verified against who the records say that he is. No I/O. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/statement.h"

struct book;
struct id;	 /* core/id.h: the curve */
struct identity; /* core/id.h */

enum { BOOK_BACKENDS = 4 }; /* statements of one signer */

/* Whose statement it has to be: a node of the dnet, or an OVC with its own id. */
struct book_owner {
	uint8_t kind; /* OBJECT_DNET or OBJECT_OVC */
	struct object_id object;
	struct node_key key; /* as the records give it */
};

/* What became of a statement. The first two are no refusals. */
#define BOOK_VERDICTS(X)                                                                           \
	X(NEW, "taken")                                                                            \
	X(SAME, "known")                                                                           \
	X(MALFORMED, "it is malformed")                                                            \
	X(OBJECT, "it is for another dnet or service")                                             \
	X(SIGNER, "it is signed with another key than the records give")                           \
	X(SIGNATURE, "its signature is wrong")                                                     \
	X(FUTURE, "its date is more than a day ahead")                                             \
	X(OLD, "it is older than the one that is known")                                           \
	X(CONFLICT, "it has the date of another one that is known")                                \
	X(FULL, "there are too many of that signer")                                               \
	X(MEMORY, "out of memory")

enum book_verdict {
#define X(name, text) BOOK_##name,
	BOOK_VERDICTS(X)
#undef X
};
/* Static text. */
const char *book_verdict_text(enum book_verdict verdict);

/* id is borrowed. NULL: out of memory. */
struct book *book_new(const struct id *id);
void book_free(struct book *book);

/* wall_s: seconds since 1970. The signature is looked at last, and only where everything else is
 * right and it is not there already. ret_taken: the one in the book when it is new or known,
 * borrowed until the next one of that signer and backend comes; NULL: not asked. */
enum book_verdict book_take(struct book *book, const struct book_owner *owner, const void *data,
			    size_t len, uint64_t wall_s, const struct statement **ret_taken);
/* NULL: none. Borrowed as above. */
const struct statement *book_find(const struct book *book, const struct node_key *signer,
				  uint8_t backend);
/* All of that signer go: he was removed. Returns how many there were. */
unsigned book_remove(struct book *book, const struct node_key *signer);

/* Signs statement, whose signer has to be the identity's key. aux: fresh random bytes or zeros. */
void book_sign(const struct id *id, const struct identity *identity, const uint8_t aux[static 32],
	       struct statement *statement);
/* The signature is the signer's. */
bool book_is_signed(const struct id *id, const struct statement *statement);

#endif
