#ifndef CORE_DIRECT_H
#define CORE_DIRECT_H

/* Direct paths of the WireGuard backend (PROTOCOL 9.8 to 9.10): which endpoint of a peer's own port
 * is reached from our own port, and answers. Until one does, and when it no longer does, packets
 * take the bridge. Datagrams and facts in, datagrams and choices out; no I/O. Times are ns. */

#include "wire/addr.h"
#include "wire/key.h"
#include "wire/probe.h"
#include "wire/units.h"

enum {
	DIRECT_TOLD_MAX = 16, /* endpoints of a peer that it told */
	DIRECT_SEEN_MAX = 2,  /* and that its probes came from, or its backend roamed to */
	DIRECT_SERVERS_MAX = 8,
	DIRECT_MAPPED_MAX = 4,
	DIRECT_LOST = 3,  /* questions in a row without answer: the path is lost */
	DIRECT_RATE = 50, /* questions in a second, and at once, to what does not answer yet */
};
#define DIRECT_CHECK   (10 * NS_PER_S) /* of a path that answers */
#define DIRECT_RETRY   NS_PER_S	       /* of one that does not */
#define DIRECT_RETRIES 20	       /* then DIRECT_CHECK again */
#define DIRECT_STUN    (20 * NS_PER_S)
#define DIRECT_ANSWERS 32 /* to one peer in a second */

struct direct;

struct direct_io {
	void *ctx;
	/* From the backend's own port. What cannot be sent is lost. */
	void (*send)(void *ctx, const struct endpoint *to, const void *bytes, size_t len);
	/* Packets of this peer go there from now on; NULL: over the bridge. */
	void (*choose)(void *ctx, const struct node_key *key, const struct endpoint *endpoint);
	/* direct_mapped() has changed. */
	void (*mapped)(void *ctx);
	/* Whether this endpoint may be tried at all (not inside the overlay). NULL: any. */
	bool (*allowed)(void *ctx, const struct endpoint *endpoint);
	void (*random)(void *ctx, void *dst, size_t len);
};

/* secret: of the backend, copied. */
struct direct *direct_new(const struct direct_io *io, const uint8_t secret[static PROBE_KEY_LEN]);
void direct_free(struct direct *direct); /* wipes */

/* What is known of a peer: its backend's key and endpoints, best first, of which the first
 * DIRECT_TOLD_MAX are used. One whose key is another one now begins anew. 0, or -EINVAL (a key
 * that is none; then the peer is not there). */
int direct_set_peer(struct direct *direct, const struct node_key *key,
		    const uint8_t public_key[static PROBE_KEY_LEN],
		    const struct endpoint *endpoints, size_t count, uint64_t now);
void direct_remove_peer(struct direct *direct, const struct node_key *key);
/* STUN servers that say where our port is seen. */
void direct_set_servers(struct direct *direct, const struct endpoint *servers, size_t count,
			uint64_t now);

/* What came to our port. False: it is no probe and no STUN answer that was asked for. */
bool direct_input(struct direct *direct, const struct endpoint *source, const void *data,
		  size_t len, uint64_t now);
/* Where the backend sends to by itself now, after its peer roamed (NULL: the bridge), and when its
 * last handshake was (0: none). */
void direct_observe(struct direct *direct, const struct node_key *key,
		    const struct endpoint *endpoint, uint64_t handshake, uint64_t now);
/* Something is sent and nothing comes back: asks at once. */
void direct_doubt(struct direct *direct, const struct node_key *key, uint64_t now);
/* The host's addresses or routes have changed: all paths are doubted, all endpoints asked. */
void direct_network_changed(struct direct *direct, uint64_t now);
/* Returns when to call again. */
uint64_t direct_tick(struct direct *direct, uint64_t now);
uint64_t direct_deadline(const struct direct *direct);

/* Where our port is seen from outside; returns how many. */
size_t direct_mapped(const struct direct *direct,
		     struct endpoint ret_mapped[static DIRECT_MAPPED_MAX]);

struct direct_status {
	bool direct;
	struct endpoint endpoint; /* of the path; ADDR_NONE: the bridge */
	uint64_t rtt_ns;	  /* 0: unknown */
	const char *reason;	  /* static */
};
/* False: no such peer. */
bool direct_status(const struct direct *direct, const struct node_key *key,
		   struct direct_status *ret_status);

#define DIRECT_COUNTERS(X)                                                                         \
	X(question_out)                                                                            \
	X(question_in)                                                                             \
	X(answer_out)                                                                              \
	X(answer_in)                                                                               \
	X(stun_in)                                                                                 \
	X(malformed)                                                                               \
	X(unknown)                                                                                 \
	X(unexpected)                                                                              \
	X(limited)

enum direct_counter {
#define X(name) DIRECT_##name,
	DIRECT_COUNTERS(X)
#undef X
		DIRECT_COUNTER_COUNT
};
uint64_t direct_counter(const struct direct *direct, enum direct_counter counter);

#endif
