#ifndef SIM_PARTS_H
#define SIM_PARTS_H

/* The inside of the world, shared by world.c, records.c, member.c and flow.c. Tests include
 * sim/world.h only. */

#include <sys/queue.h>

#include "core/id.h"
#include "core/netmap.h"
#include "core/timers.h"
#include "sim/heap.h"
#include "sim/server.h"
#include "sim/world.h"

/* What the world does at a time of its choice. */
struct turn {
	struct timer timer;
	void (*run)(struct turn *turn);
};

/* The owner's records of one dnet, and those of its helpers. */
struct dnet {
	struct world *w;
	struct object_id id;
	struct record_row *rows; /* owned */
	size_t row_count, row_size;
	struct netmap_revocation *revocations; /* owned */
	size_t revocation_count, revocation_size;
	unsigned member_count, revision; /* how often it was published */
};

/* A host with one engine, in one or more dnets. */
struct machine {
	struct turn turn; /* first */
	struct world *w;
	struct sim_host *host;
	struct engine *engine; /* owned */
	struct heap_account heap;
	LIST_HEAD(, member) members;
	bool asleep;
	/* Its clock, against that of the world. */
	int ppm;
	uint64_t offset, set_at;
	struct member_load load;
	uint64_t second, turns, sent; /* of this second */
	uint64_t instant, at_once;    /* turns at one instant */
};

struct member {
	LIST_ENTRY(member) entry;
	struct machine *machine;
	struct dnet *dnet;
	unsigned number; /* in its dnet */
	struct identity identity;
	struct mesh *mesh; /* owned */
	struct record_row row;
	unsigned revision; /* of the dnet, that it knows */
	uint64_t delivered;
	struct member_news news;
	unsigned revoked_since; /* revision; 0: it is not */
	bool stranger;		/* only he himself thinks that he is a member */
};

struct flow {
	struct turn turn; /* first */
	struct world *w;
	uint32_t number;
	struct member *from, *to;
	uint64_t interval, began, last, gap, first;
	size_t len;
	uint64_t sent, arrived; /* of those since the mark */
	uint8_t *seen;		/* owned; a bit for each sequence number */
	uint64_t sequence, seen_size, mark;
	bool stopped;
};

struct world {
	struct sim_net *net;
	struct id *id;
	struct dnet **dnets; /* owned, as all of these */
	size_t dnet_count;
	struct member **members;
	size_t member_count;
	struct server **servers;
	size_t server_count;
	struct flow **flows;
	size_t flow_count;
	struct timer_heap agenda;
	size_t turn_count;
	uint32_t sequence;
	uint64_t stray, turns; /* packets that are of no flow; turns taken */
};

/* world.c */
/* Makes room for one more in an array of pointers. */
void *sim_grow(void *array, size_t count, size_t size);
void world_add_turn(struct world *w, struct turn *turn, void (*run)(struct turn *turn));
/* TIMERS_NEVER: not until it is set again. */
void world_set_turn(struct world *w, struct turn *turn, uint64_t at);

/* records.c */
struct dnet *dnet_new(struct world *w, uint8_t fill);
void dnet_free(struct dnet *d);
/* Replaces what has the same object, type and key. */
void dnet_put_row(struct dnet *d, const struct record_row *row);
/* As `who` sees it; NULL: as everybody does. */
struct netmap *dnet_netmap(const struct dnet *d, const struct member *who);

/* member.c */
void member_free_all(struct world *w);
/* Something was done with it: when is its turn now? */
void machine_schedule(struct machine *machine);

/* flow.c */
void flow_free(struct flow *f);
/* A packet came out of a member's TUN. */
void flow_arrived(struct member *m, const uint8_t *bytes, size_t len);

#endif
