#ifndef NODE_DATAPATH_H
#define NODE_DATAPATH_H

/* Packets between the TUN devices, the engine and the two UDP sockets, in batches, on the loop's
 * one thread. Nothing is allocated once a port is made. */

#include "core/engine.h"
#include "core/packet.h"
#include "node/tun.h"

#include <stdbool.h>
#include <stdint.h>

struct datapath;
struct datapath_port; /* one TUN and its mesh */
struct loop;
struct mesh;
struct udp_socket;

/* Sockets are borrowed; fd -1: that family is missing. */
struct datapath *datapath_new(struct loop *loop, struct udp_socket *v4, struct udp_socket *v6);
void datapath_free(struct datapath *dp); /* after its ports */
/* How an engine sends through this data path; valid for its life. */
void datapath_engine_io(struct datapath *dp, struct engine_io *ret_io);
/* Timestamps of handshakes are of floor_ns at least and never go back: the clock may have been set,
 * or the machine has none that runs while it is off. keep() returns up to when timestamps may be
 * given before it is asked again; it is asked now, too, with the greatest so far. */
void datapath_set_time(struct datapath *dp, uint64_t floor_ns,
		       uint64_t (*keep)(void *arg, uint64_t wall_ns), void *arg);
/* Has the time of now kept, or of the last timestamp if that is later. */
void datapath_keep_time(struct datapath *dp);
/* Borrowed; NULL before it is freed. */
void datapath_set_engine(struct datapath *dp, struct engine *engine);
/* Something else than packets was handed to the engine or a mesh: flushes, and looks at the
 * deadlines anew. */
void datapath_wake(struct datapath *dp);

/* lost is called when the TUN device has gone. */
struct datapath_port *datapath_port_new(struct datapath *dp, void (*lost)(void *ctx), void *ctx);
void datapath_port_free(struct datapath_port *port);
/* fd -1: none. */
void datapath_port_set_tun(struct datapath_port *port, int fd, enum tun_offload offload);
void datapath_port_set_mesh(struct datapath_port *port,
			    struct mesh *mesh); /* borrowed; NULL: none */
/* mesh_io.deliver; ctx is the port. */
void datapath_deliver(void *port, struct packet *packet);

/* Named counters, as in core/engine.h. */
#define DATAPATH_COUNTERS(X)                                                                       \
	X(tun_reads)                                                                               \
	X(tun_read_bytes)                                                                          \
	X(tun_writes)                                                                              \
	X(tun_write_bytes)                                                                         \
	X(tun_write_failed)                                                                        \
	X(tun_malformed)                                                                           \
	X(queue_marked)                                                                            \
	X(queue_dropped)                                                                           \
	X(queue_overflowed)                                                                        \
	X(udp_reads)                                                                               \
	X(udp_read_datagrams)                                                                      \
	X(udp_read_bytes)                                                                          \
	X(udp_sends)                                                                               \
	X(udp_send_bytes)                                                                          \
	X(udp_send_waits)                                                                          \
	X(udp_send_dropped)                                                                        \
	X(udp_send_too_big)                                                                        \
	X(udp_send_failed)                                                                         \
	X(lane_malformed)                                                                          \
	X(lane_foreign)

enum datapath_counter {
#define X(name) DATAPATH_##name,
	DATAPATH_COUNTERS(X)
#undef X
		DATAPATH_COUNTER_COUNT
};
uint64_t datapath_counter(const struct datapath *dp, enum datapath_counter counter);
const char *datapath_counter_name(enum datapath_counter counter);

#endif
