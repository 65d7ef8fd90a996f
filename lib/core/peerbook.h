#ifndef CORE_PEERBOOK_H
#define CORE_PEERBOOK_H

/* Addresses of light peers: which are known, which answered, which are banned and why. Against an
 * eclipse no group of addresses (IPv4 /16, IPv6 /32) and no group that tells of addresses fills it,
 * and peerbook_pick() never gives two of one group. Bounded, no I/O; time and randomness are handed
 * in. */

#include "wire/addr.h"
#include "wire/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peerbook;

enum {
	PEERBOOK_MAX = 2048,	   /* addresses */
	PEERBOOK_GROUP_MAX = 16,   /* untried ones of one group */
	PEERBOOK_SOURCE_MAX = 256, /* untried ones that one group told */
	PEERBOOK_BANS_MAX = 256,
	PEERBOOK_NAME_SIZE = 136,   /* of a banned peer, with its NUL: HOST:PORT */
	PEERBOOK_REASON_SIZE = 120, /* with its NUL */
	PEERBOOK_FAILURES_MAX = 8,  /* in a row, never answered: forgotten */
	/* of peerbook_write() */
	PEERBOOK_FILE_MAX = 64 + PEERBOOK_MAX * 64 +
			    PEERBOOK_BANS_MAX * (PEERBOOK_NAME_SIZE + PEERBOOK_REASON_SIZE + 16),
};

/* any_address: also private and loopback ones, for test networks. NULL: out of memory. */
struct peerbook *peerbook_new(bool any_address);
void peerbook_free(struct peerbook *book);

enum peerbook_verdict {
	PEERBOOK_ADDED,
	PEERBOOK_KNOWN,
	PEERBOOK_UNUSABLE, /* no address that somebody else can have, or no port */
	PEERBOOK_CROWDED,  /* its group, or what its source told, is full */
};

/* Told of by source: services as claimed. random: which one goes when the book is full; those that
 * answered stay. */
enum peerbook_verdict peerbook_add(struct peerbook *book, const struct endpoint *endpoint,
				   uint64_t services, const struct address *source,
				   uint64_t random);

/* One to connect to: not banned, of no group of those in use (count endpoints), with all bits of
 * services if any such is known, rested since its last failure. As likely one that answered before
 * as one that never was tried. now_s here and below: seconds since 1970. False: none. */
bool peerbook_pick(const struct peerbook *book, const struct endpoint *used, size_t count,
		   uint64_t services, uint64_t now_s, uint64_t random,
		   struct endpoint *ret_endpoint);

/* It was a peer of our chain; services as its own word. An unknown one is taken in. */
void peerbook_on_success(struct peerbook *book, const struct endpoint *endpoint, uint64_t services,
			 uint64_t now_s);
void peerbook_on_failure(struct peerbook *book, const struct endpoint *endpoint, uint64_t now_s);

/* name: HOST:PORT as it was dialled; reason: what it did; both cut when too long. The ban that ends
 * first makes room. */
void peerbook_ban(struct peerbook *book, const char *name, const char *reason, uint64_t now_s,
		  uint64_t until_s);
/* The reason, borrowed; NULL: not banned. */
const char *peerbook_is_banned(const struct peerbook *book, const char *name, uint64_t now_s);

struct peerbook_ban {
	char name[PEERBOOK_NAME_SIZE];
	char reason[PEERBOOK_REASON_SIZE];
	uint64_t since_s, until_s;
};

/* By number, the latest first or not; NULL past the last. Borrowed until the next change. */
const struct peerbook_ban *peerbook_ban_at(const struct peerbook *book, size_t index);

struct peerbook_counts {
	size_t tried; /* answered once */
	size_t fresh; /* not yet */
	size_t bans;
};

void peerbook_count(const struct peerbook *book, struct peerbook_counts *ret_counts);

/* The whole book, with a checksum; at most PEERBOOK_FILE_MAX bytes. */
void peerbook_write(const struct peerbook *book, struct writer *w);
/* Into an empty book. False: damaged or of another version, and the book stays empty. */
bool peerbook_read(struct peerbook *book, const void *data, size_t len);

/* Same group: IPv4 /16, IPv6 /32. */
bool peerbook_same_group(const struct address *a, const struct address *b);

#endif
