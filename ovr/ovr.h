#ifndef OVR_OVR_H
#define OVR_OVR_H

/* What an OVR decides (PROTOCOL 8.3, 8.4): lanes between two members of one granted dnet, and what
 * each dnet may still send. Lane datagrams are forwarded unopened, whole batches at a time. No
 * I/O. */

#include "core/engine.h"
#include "core/hub.h"

struct ovr;

enum {
	OVR_MEMBER_LANES = 1024, /* of one member; one more is refused */
	OVR_LANES = 1 << 20,	 /* of all */
};

/* engine and hub are borrowed. NULL: out of memory. */
struct ovr *ovr_new(struct engine *engine, const struct hub *hub, const struct engine_io *io);
/* After its realm is removed. */
void ovr_free(struct ovr *ovr);

/* The operations of the OVR's realm; its ctx is the struct ovr. */
extern const struct realm_ops ovr_realm_ops;
/* Once, before any datagram comes in. */
void ovr_set_realm(struct ovr *ovr, struct realm *realm);
/* A hub_removed: the member is cut and its lanes are closed at once. */
void ovr_member_removed(void *ovr, const struct object_id *dnet, const struct node_key *key);

/* Lane datagrams at the beginning of what came from source: datagrams of segment bytes each, the
 * last may be shorter. Those of one lane leave in one send, with the other side's lane id in place.
 * Returns how many bytes were taken (forwarded, or dropped and counted); 0: the first is no lane
 * datagram. */
size_t ovr_input_lanes(struct ovr *ovr, const struct endpoint *source, uint8_t *bytes, size_t len,
		       size_t segment, uint64_t now);
/* Frees lanes that nobody uses (PROTOCOL 8.4). Call it now and then: every few seconds. */
void ovr_tick(struct ovr *ovr, uint64_t now);

/* What was forwarded for a dnet; set at the start from what a former run kept, so that the volume
 * of a grant holds over restarts. */
struct ovr_usage {
	uint64_t bytes;	  /* forwarded, lane headers included */
	uint64_t dropped; /* bytes over the rate or the volume, in this run */
	size_t lanes, members;
};
struct ovr_usage ovr_usage(const struct ovr *ovr, const struct object_id *dnet);
/* 0 or -ENOMEM. */
int ovr_set_used(struct ovr *ovr, const struct object_id *dnet, uint64_t bytes);

#define OVR_COUNTERS(X)                                                                            \
	X(lane_open_in)                                                                            \
	X(lane_made)                                                                               \
	X(lane_refused_not_member)                                                                 \
	X(lane_refused_not_here)                                                                   \
	X(lane_refused_too_many)                                                                   \
	X(lane_refused_quota)                                                                      \
	X(forwarded_datagrams)                                                                     \
	X(forwarded_bytes)                                                                         \
	X(dropped_malformed)                                                                       \
	X(dropped_unknown_lane)                                                                    \
	X(dropped_wrong_source)                                                                    \
	X(dropped_rate)                                                                            \
	X(dropped_volume)                                                                          \
	X(frame_malformed)                                                                         \
	X(frame_unexpected)

enum ovr_counter {
#define X(name) OVR_##name,
	OVR_COUNTERS(X)
#undef X
		OVR_COUNTER_COUNT
};
uint64_t ovr_counter(const struct ovr *ovr, enum ovr_counter counter);
const char *ovr_counter_name(enum ovr_counter counter);

#endif
