#include "core/book.h"

#include "core/id.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Out of memory refuses one statement. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum { DAY_S = 86400 };

/* Who has a statement at all. */
struct signer {
	struct node_key key;			     /* key of book->signers */
	struct statement *statements[BOOK_BACKENDS]; /* owned; NULL: free */
	UT_hash_handle hh;
};

struct book {
	const struct id *id;	/* borrowed */
	struct signer *signers; /* owned; each has at least one */
};

const char *book_verdict_text(enum book_verdict verdict)
{
	static const char *const texts[] = {
#define X(name, text) text,
		BOOK_VERDICTS(X)
#undef X
	};

	return texts[verdict];
}

struct book *book_new(const struct id *id)
{
	struct book *book = calloc(1, sizeof(*book));

	if (book)
		book->id = id;
	return book;
}

static void signer_free(struct book *book, struct signer *signer)
{
	HASH_DELETE(hh, book->signers, signer);
	for (unsigned i = 0; i < BOOK_BACKENDS; i++)
		free(signer->statements[i]);
	free(signer);
}

void book_free(struct book *book)
{
	struct signer *signer, *next;

	if (!book)
		return;
	HASH_ITER(hh, book->signers, signer, next)
	signer_free(book, signer);
	free(book);
}

static struct signer *find_signer(const struct book *book, const struct node_key *key)
{
	struct signer *signer;

	HASH_FIND(hh, book->signers, key, sizeof(*key), signer);
	return signer;
}

static struct signer *want_signer(struct book *book, const struct node_key *key)
{
	struct signer *signer = find_signer(book, key);

	if (signer)
		return signer;
	signer = calloc(1, sizeof(*signer));
	if (!signer)
		return NULL;
	signer->key = *key;
	HASH_ADD(hh, book->signers, key, sizeof(signer->key), signer);
	if (!signer->hh.tbl) {
		free(signer);
		return NULL;
	}
	return signer;
}

/* Where the one of that backend stands, else a free place; NULL: all are taken. */
static struct statement **place_of(struct signer *signer, uint8_t backend)
{
	struct statement **place = NULL;

	for (unsigned i = 0; i < BOOK_BACKENDS; i++) {
		struct statement **here = &signer->statements[i];

		if (*here && (*here)->backend == backend)
			return here;
		if (!*here && !place)
			place = here;
	}
	return place;
}

const struct statement *book_find(const struct book *book, const struct node_key *signer,
				  uint8_t backend)
{
	struct signer *found = find_signer(book, signer);

	for (unsigned i = 0; found && i < BOOK_BACKENDS; i++)
		if (found->statements[i] && found->statements[i]->backend == backend)
			return found->statements[i];
	return NULL;
}

static bool same_statement(const struct statement *a, const struct statement *b)
{
	return a->date == b->date && a->key_len == b->key_len &&
	       !memcmp(a->key, b->key, a->key_len) &&
	       !memcmp(a->signature, b->signature, STATEMENT_SIGNATURE_LEN);
}

/* Everything but the signature. BOOK_NEW: it would replace known. */
static enum book_verdict judge(const struct book_owner *owner, const struct statement *s,
			       const struct statement *known, uint64_t wall_s)
{
	if (s->kind != owner->kind || !object_id_equal(&s->object, &owner->object))
		return BOOK_OBJECT;
	if (!node_key_equal(&s->signer, &owner->key))
		return BOOK_SIGNER;
	if (known && same_statement(s, known))
		return BOOK_SAME;
	/* PROTOCOL 9.2: one whose date is more than 86,400 s ahead of the receiver's clock is
	 * refused */
	if (s->date > wall_s && s->date - wall_s > DAY_S)
		return BOOK_FUTURE;
	if (known && s->date < known->date)
		return BOOK_OLD;
	if (known && s->date == known->date)
		return BOOK_CONFLICT;
	return BOOK_NEW;
}

bool book_is_signed(const struct id *id, const struct statement *s)
{
	uint8_t xonly[XONLY_LEN];
	struct hash256 digest;

	id_xonly(&s->signer, xonly);
	statement_digest(s, &digest);
	return id_verify(id, xonly, digest.bytes, HASH_LEN, s->signature);
}

static enum book_verdict keep(struct book *book, const struct statement *s,
			      const struct statement **ret_kept)
{
	struct signer *signer = want_signer(book, &s->signer);
	struct statement **place = signer ? place_of(signer, s->backend) : NULL, *copy;

	if (!place)
		return signer ? BOOK_FULL : BOOK_MEMORY;
	copy = *place ? *place : calloc(1, sizeof(*copy));
	if (!copy) {
		for (unsigned i = 0; i < BOOK_BACKENDS; i++)
			if (signer->statements[i])
				return BOOK_MEMORY;
		signer_free(book, signer);
		return BOOK_MEMORY;
	}
	*copy = *s;
	*ret_kept = *place = copy;
	return BOOK_NEW;
}

enum book_verdict book_take(struct book *book, const struct book_owner *owner, const void *data,
			    size_t len, uint64_t wall_s, const struct statement **ret_taken)
{
	const struct statement *taken = NULL;
	enum book_verdict verdict;
	struct statement s;

	if (!statement_parse(data, len, &s))
		return BOOK_MALFORMED;
	taken = book_find(book, &s.signer, s.backend);
	verdict = judge(owner, &s, taken, wall_s);
	if (verdict == BOOK_NEW && !book_is_signed(book->id, &s))
		verdict = BOOK_SIGNATURE;
	if (verdict == BOOK_NEW)
		verdict = keep(book, &s, &taken);
	if (ret_taken && verdict <= BOOK_SAME)
		*ret_taken = taken;
	return verdict;
}

unsigned book_remove(struct book *book, const struct node_key *signer)
{
	struct signer *found = find_signer(book, signer);
	unsigned count = 0;

	if (!found)
		return 0;
	for (unsigned i = 0; i < BOOK_BACKENDS; i++)
		count += found->statements[i] != NULL;
	signer_free(book, found);
	return count;
}

void book_sign(const struct id *id, const struct identity *identity, const uint8_t aux[static 32],
	       struct statement *statement)
{
	struct hash256 digest;
	bool ok;

	assert(node_key_equal(&statement->signer, &identity->key));
	statement_digest(statement, &digest);
	ok = id_sign(id, &identity->secret, digest.bytes, aux, statement->signature);
	assert(ok);
}
