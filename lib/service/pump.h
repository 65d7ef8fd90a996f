#ifndef SERVICE_PUMP_H
#define SERVICE_PUMP_H

/* Datagrams between two UDP sockets and an engine, in batches, on the loop's one thread; for
 * daemons without a TUN device. Nothing is allocated once it runs. */

#include "core/engine.h"

struct loop;
struct pump;
struct udp_socket;

/* What comes before the engine: takes bytes from the beginning of a message of datagrams of segment
 * bytes each (the last may be shorter). Returns how many it took, 0: the first datagram is not for
 * it. May change the bytes. */
typedef size_t pump_intercept(void *ctx, const struct endpoint *source, uint8_t *bytes, size_t len,
			      size_t segment, uint64_t now);

/* Sockets are borrowed; fd -1: that family is missing. */
struct pump *pump_new(struct loop *loop, struct udp_socket *v4, struct udp_socket *v6);
void pump_free(struct pump *pump);
/* How an engine sends through it; valid for its life. What an interceptor sends from within the
 * message that it was given may wait for its neighbours until the batch is over: its bytes stay as
 * they are. All else leaves at once. */
void pump_engine_io(struct pump *pump, struct engine_io *ret_io);
/* Borrowed; starts receiving. engine NULL: stops. */
void pump_start(struct pump *pump, struct engine *engine, pump_intercept *intercept, void *ctx);
/* The engine was used from outside: looks at its deadline anew. */
void pump_wake(struct pump *pump);

#define PUMP_COUNTERS(X)                                                                           \
	X(udp_reads)                                                                               \
	X(udp_read_datagrams)                                                                      \
	X(udp_read_bytes)                                                                          \
	X(udp_sends)                                                                               \
	X(udp_send_bytes)                                                                          \
	X(udp_send_dropped)                                                                        \
	X(udp_send_failed)

enum pump_counter {
#define X(name) PUMP_##name,
	PUMP_COUNTERS(X)
#undef X
		PUMP_COUNTER_COUNT
};
uint64_t pump_counter(const struct pump *pump, enum pump_counter counter);
const char *pump_counter_name(enum pump_counter counter);

#endif
