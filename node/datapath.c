#include "node/datapath.h"

#include "core/fairq.h"
#include "core/mesh.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "os/udp.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

enum {
	/* What one step takes from one descriptor before the others have theirs, and steps of a
	 * turn. */
	/* Reading is cheap beside sealing: the more is known of what waits, the fairer. */
	READ_STEP_PACKETS = 256,
	READ_STEP_BYTES = 256 << 10,
	SEND_STEP_BYTES = 128 << 10,
	STEPS = 4,
	/* What waits to be sent: a millisecond of it at full speed. */
	QUEUE_BYTES = 2 << 20,
	/* Few large buffers where the kernel joins datagrams: they stay in the cache. */
	UDP_BATCH_GRO = 4,
	UDP_BATCH_PLAIN = 32,
	/* A full socket is waited for this long in all, then what is left of the burst is dropped:
	 * the flows inside recover, a stalled loop would not. */
	SEND_WAIT_MS = 5,
	SEND_WAITS_MAX = 4,
};

struct datapath_port {
	TAILQ_ENTRY(datapath_port) entry;
	struct datapath *dp; /* borrowed */
	void (*lost)(void *ctx);
	void *ctx;
	int fd;		       /* borrowed; -1: none */
	bool bare;	       /* it is a TUN_OFFLOAD_BARE one */
	struct mesh *mesh;     /* borrowed; NULL: none */
	struct loop_fd *watch; /* owned; while there are both */
	bool ready;	       /* there may be something to read */
};

struct datapath {
	struct loop *loop;
	struct engine *engine;	       /* borrowed */
	struct udp_socket *sockets[2]; /* borrowed; IPv4, IPv6 */
	struct loop_fd *watches[2];    /* owned */
	bool ready[2];		       /* there may be something to receive */
	struct loop_timer *timer;      /* owned */
	struct fairq *queue;	       /* owned; its packets are of ports with a mesh */
	struct loop_task *more;	       /* owned; a turn after this one */
	uint64_t time_floor_ns;	       /* wall clock; no timestamp is below */
	uint64_t time_limit_ns;	       /* nor from here on, unless time_keep() has moved it */
	uint64_t (*time_keep)(void *arg, uint64_t wall_ns);
	void *time_arg;
	uint64_t armed_ns;		   /* when the timer comes; UINT64_MAX: it does not */
	TAILQ_HEAD(, datapath_port) ports; /* owned by their makers */
	uint8_t *udp_buffers;		   /* owned */
	struct udp_message messages[UDP_BATCH_PLAIN];
	uint64_t counters[DATAPATH_COUNTER_COUNT];
};

static void count(struct datapath *dp, enum datapath_counter counter, uint64_t n)
{
	dp->counters[counter] += n;
}

/* ---- Timers: one for all deadlines. It is never moved later: an early wake-up now and then is
 * cheaper than setting a timer for each packet. ---- */

static uint64_t next_deadline(const struct datapath *dp)
{
	uint64_t next = engine_deadline(dp->engine);
	struct datapath_port *port;
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (port->mesh)
			next = MIN(next, mesh_deadline(port->mesh));
	}
	return next;
}

static void arm(struct datapath *dp, uint64_t now)
{
	uint64_t next = next_deadline(dp);
	if (next >= dp->armed_ns)
		return;
	dp->armed_ns = next;
	uint64_t wait_ns = next > now ? next - now : 0;
	loop_timer_start(dp->timer, (wait_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void flush_all(struct datapath *dp, uint64_t now)
{
	struct datapath_port *port;
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (port->mesh)
			mesh_flush(port->mesh, now);
	}
}

static void deliver_all(struct datapath *dp)
{
	struct datapath_port *port;
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (port->mesh)
			mesh_flush_in(port->mesh);
	}
}

static void on_timer(void *arg)
{
	struct datapath *dp = arg;
	struct datapath_port *port;
	uint64_t now = clock_boottime_ns();
	dp->armed_ns = UINT64_MAX;
	if (!dp->engine)
		return;
	engine_tick(dp->engine, now);
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (port->mesh)
			mesh_tick(port->mesh, now);
	}
	flush_all(dp, now);
	arm(dp, now);
}

void datapath_wake(struct datapath *dp)
{
	if (!dp->engine)
		return;
	uint64_t now = clock_boottime_ns();
	flush_all(dp, now);
	arm(dp, now);
}

/* ---- Out: TUN → mesh → UDP ---- */

static bool wait_for_room(struct datapath *dp, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	count(dp, DATAPATH_udp_send_waits, 1);
	return poll(&p, 1, SEND_WAIT_MS) > 0;
}

static void count_send_error(struct datapath *dp, int error, size_t datagrams)
{
	if (error == EAGAIN)
		count(dp, DATAPATH_udp_send_dropped, datagrams);
	else if (error == EMSGSIZE)
		count(dp, DATAPATH_udp_send_too_big, datagrams);
	else
		count(dp, DATAPATH_udp_send_failed, datagrams);
}

static void send_datagrams(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
			   size_t segment)
{
	struct datapath *dp = ctx;
	struct udp_socket *socket = dp->sockets[dst->addr.family == ADDR_V6];
	if (segment == 0 || segment > len)
		segment = len;
	int waits = 0;
	while (len > 0) {
		ssize_t n = socket->fd < 0 ? -EAFNOSUPPORT
					   : udp_send_segments(socket, dst, bytes, len, segment);
		if (n == -EAGAIN && waits++ < SEND_WAITS_MAX && wait_for_room(dp, socket->fd))
			continue;
		if (n <= 0) {
			count_send_error(dp, (int)-n, (len + segment - 1) / segment);
			return;
		}
		count(dp, DATAPATH_udp_sends, 1);
		count(dp, DATAPATH_udp_send_bytes, (uint64_t)n);
		bytes += n;
		len -= (size_t)n;
	}
}

/* Until it is empty, or has had its share. False: the device has gone. */
static bool read_tun(struct datapath_port *port, uint64_t now)
{
	struct datapath *dp = port->dp;
	size_t bytes = 0;
	for (int i = 0; i < READ_STEP_PACKETS && bytes < READ_STEP_BYTES; i++) {
		struct packet packet;
		enum tun_result r = tun_read(port->fd, port->bare, fairq_room(dp->queue), &packet);
		if (r == TUN_EMPTY)
			port->ready = false;
		if (r == TUN_EMPTY || r == TUN_BROKEN)
			return r == TUN_EMPTY;
		if (r == TUN_MALFORMED) {
			count(dp, DATAPATH_tun_malformed, 1);
			continue;
		}
		count(dp, DATAPATH_tun_reads, 1);
		count(dp, DATAPATH_tun_read_bytes, packet.len);
		bytes += packet.len;
		fairq_push(dp->queue, &packet, port, now);
	}
	return true;
}

static void read_ports(struct datapath *dp, uint64_t now)
{
	struct datapath_port *port;
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (!port->ready || read_tun(port, now))
			continue;
		port->ready = false;
		port->lost(port->ctx);
		return; /* the list may be another one */
	}
}

static void send_waiting(struct datapath *dp, uint64_t now)
{
	struct packet packet;
	size_t bytes = 0;
	void *owner;
	while (bytes < SEND_STEP_BYTES && fairq_pop(dp->queue, now, &packet, &owner)) {
		struct datapath_port *port = owner;
		bytes += packet.len;
		mesh_input_packet(port->mesh, &packet, now);
	}
}

/* ---- In: UDP → engine → mesh → TUN ---- */

void datapath_deliver(void *arg, struct packet *packet)
{
	struct datapath_port *port = arg;
	struct datapath *dp = port->dp;
	int r = port->fd >= 0 ? tun_write(port->fd, port->bare, packet) : -ENODEV;
	if (r < 0) {
		count(dp, DATAPATH_tun_write_failed, 1);
		return;
	}
	count(dp, DATAPATH_tun_writes, 1);
	count(dp, DATAPATH_tun_write_bytes, packet->len);
	port->ready = port->watch != NULL;
}

static bool lane_is_ours(const struct datapath *dp, const struct endpoint *relay, uint64_t lane)
{
	struct datapath_port *port;
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (port->mesh && mesh_owns_lane(port->mesh, relay, lane))
			return true;
	}
	return false;
}

/* The lane of a lane datagram; 0: refused. */
static uint64_t take_lane(struct datapath *dp, const struct endpoint *source, const uint8_t *bytes,
			  size_t len)
{
	struct span inner;
	uint64_t lane;

	if (!message_lane_parse(bytes, len, &lane, &inner) || lane == 0) {
		count(dp, DATAPATH_lane_malformed, 1);
		return 0;
	}
	/* Only the OVR that gave us the lane may say that something came over it. */
	if (!lane_is_ours(dp, source, lane)) {
		count(dp, DATAPATH_lane_foreign, 1);
		return 0;
	}
	return lane;
}

/* Data in the same lane as the one before it in the message: what was found of that one still
 * holds, as data needs a session, and the peer of a lane that was given up since has none. */
static bool follows(const uint8_t *bytes, size_t len, const uint8_t *before)
{
	return before && len > LANE_HEADER_LEN && bytes[LANE_HEADER_LEN] == MESSAGE_DATA &&
	       !memcmp(bytes, before, LANE_HEADER_LEN);
}

static void take_message(struct datapath *dp, struct udp_message *m, uint64_t now)
{
	size_t segment = m->segment_size ? m->segment_size : m->len, at = 0;
	struct via via = {.endpoint = m->source};
	const uint8_t *before = NULL; /* a lane datagram that was taken, lane via.lane */

	/* An empty datagram is one too. */
	do {
		size_t len = MIN(segment, m->len - at);
		uint8_t *bytes = m->data + at;
		bool is_lane = len && bytes[0] == MESSAGE_LANE;

		count(dp, DATAPATH_udp_read_datagrams, 1);
		if (!is_lane)
			via.lane = 0;
		else if (!follows(bytes, len, before))
			via.lane = take_lane(dp, &m->source, bytes, len);
		before = via.lane ? bytes : NULL;
		if (!is_lane)
			engine_input(dp->engine, &via, bytes, len, now);
		else if (via.lane)
			engine_input(dp->engine, &via, bytes + LANE_HEADER_LEN,
				     len - LANE_HEADER_LEN, now);
		at += segment;
	} while (at < m->len);
	count(dp, DATAPATH_udp_read_bytes, m->len);
}

/* One batch. */
static void receive(struct datapath *dp, unsigned index, uint64_t now)
{
	struct udp_socket *socket = dp->sockets[index];
	int room = socket->gro ? UDP_BATCH_GRO : UDP_BATCH_PLAIN;
	int n = udp_receive_batch(socket, dp->messages, (unsigned)room);
	if (n < 0)
		log_limited(LOG_LEVEL_WARN, 6, "cannot receive: %s", strerror(-n));
	dp->ready[index] = n == room;
	if (n <= 0)
		return;
	count(dp, DATAPATH_udp_reads, 1);
	for (int i = 0; i < n; i++)
		take_message(dp, &dp->messages[i], now);
}

/* ---- Turns: a little from each side, until there is nothing left or others of the loop have
 * waited long enough. Who begins to speak waits for a step, not for a turn. ---- */

static bool has_work(const struct datapath *dp)
{
	const struct datapath_port *port;
	TAILQ_FOREACH(port, &dp->ports, entry)
	{
		if (port->ready)
			return true;
	}
	return dp->ready[0] || dp->ready[1] || fairq_stats(dp->queue)->packets;
}

/* once_more: so much was done since the last look that a datagram may have come. */
static void step(struct datapath *dp, bool once_more, uint64_t now)
{
	for (unsigned i = 0; i < ARRAY_SIZE(dp->ready); i++) {
		if (dp->sockets[i]->fd >= 0 && (once_more || dp->ready[i]))
			receive(dp, i, now);
	}
	/* While more waits, runs of a flow go on; and answers to what is delivered can be read at
	 * once. */
	if (!dp->ready[0] && !dp->ready[1])
		deliver_all(dp);
	read_ports(dp, now);
	send_waiting(dp, now);
	/* What more there is fills the burst that was begun. */
	if (!has_work(dp))
		flush_all(dp, now);
}

static void note_queue(struct datapath *dp)
{
	const struct fairq_stats *stats = fairq_stats(dp->queue);
	dp->counters[DATAPATH_queue_marked] = stats->marked;
	dp->counters[DATAPATH_queue_dropped] = stats->dropped;
	dp->counters[DATAPATH_queue_overflowed] = stats->overflowed;
}

static void turn(struct datapath *dp)
{
	uint64_t now = clock_boottime_ns();
	for (int i = 0; i < STEPS && has_work(dp); i++, now = clock_boottime_ns())
		step(dp, i > 0, now);
	flush_all(dp, now);
	arm(dp, now);
	note_queue(dp);
	if (has_work(dp))
		loop_task_schedule(dp->more);
}

static void on_more(void *arg)
{
	struct datapath *dp = arg;
	if (dp->engine)
		turn(dp);
}

static void on_udp(void *arg, int fd, unsigned events)
{
	struct datapath *dp = arg;
	(void)events;
	if (!dp->engine)
		return;
	dp->ready[dp->sockets[0]->fd != fd] = true;
	turn(dp);
}

static void on_tun(void *arg, int fd, unsigned events)
{
	struct datapath_port *port = arg;
	(void)fd;
	(void)events;
	port->ready = true;
	turn(port->dp);
}

/* ---- The parts ---- */

static void fill_random(void *ctx, void *dst, size_t len)
{
	(void)ctx;
	rand_bytes(dst, len);
}

static void fill_timestamp(void *ctx, uint8_t dst[12])
{
	struct datapath *dp = ctx;
	uint64_t now = clock_wall_ns();
	dp->time_floor_ns = MAX(now, dp->time_floor_ns);
	if (dp->time_floor_ns >= dp->time_limit_ns)
		datapath_keep_time(dp);
	clock_tai64n(dp->time_floor_ns, dst);
}

void datapath_keep_time(struct datapath *dp)
{
	uint64_t now = clock_wall_ns();
	dp->time_limit_ns = dp->time_keep(dp->time_arg, MAX(now, dp->time_floor_ns));
}

void datapath_set_time(struct datapath *dp, uint64_t floor_ns,
		       uint64_t (*keep)(void *arg, uint64_t wall_ns), void *arg)
{
	dp->time_floor_ns = floor_ns;
	dp->time_keep = keep;
	dp->time_arg = arg;
	datapath_keep_time(dp);
}

static uint16_t path_mtu(void *ctx, const struct endpoint *dst)
{
	(void)ctx;
	return udp_path_mtu(dst);
}

void datapath_engine_io(struct datapath *dp, struct engine_io *ret_io)
{
	*ret_io = (struct engine_io){.ctx = dp,
				     .send = send_datagrams,
				     .random = fill_random,
				     .timestamp = fill_timestamp,
				     .path_mtu = path_mtu};
}

struct datapath *datapath_new(struct loop *loop, struct udp_socket *v4, struct udp_socket *v6)
{
	struct datapath *dp = xcalloc(1, sizeof(*dp));
	dp->loop = loop;
	dp->sockets[0] = v4;
	dp->sockets[1] = v6;
	dp->armed_ns = UINT64_MAX;
	TAILQ_INIT(&dp->ports);
	dp->queue = fairq_init(xmalloc(fairq_size(QUEUE_BYTES)), QUEUE_BYTES, rand_u64());
	dp->more = loop_task_new(loop, on_more, dp);
	dp->udp_buffers = xmalloc((size_t)UDP_BATCH_PLAIN * UDP_RECEIVE_SIZE);
	for (size_t i = 0; i < UDP_BATCH_PLAIN; i++) {
		dp->messages[i].data = dp->udp_buffers + i * UDP_RECEIVE_SIZE;
		dp->messages[i].size = UDP_RECEIVE_SIZE;
	}
	dp->timer = loop_timer_new(loop, on_timer, dp);
	for (size_t i = 0; i < ARRAY_SIZE(dp->sockets); i++) {
		if (dp->sockets[i]->fd >= 0)
			dp->watches[i] =
				loop_fd_new(loop, dp->sockets[i]->fd, LOOP_READ, on_udp, dp);
	}
	return dp;
}

void datapath_free(struct datapath *dp)
{
	if (!dp)
		return;
	assert(TAILQ_EMPTY(&dp->ports));
	for (size_t i = 0; i < ARRAY_SIZE(dp->watches); i++)
		loop_fd_free(dp->watches[i]);
	loop_timer_free(dp->timer);
	loop_task_free(dp->more);
	free(dp->queue);
	free(dp->udp_buffers);
	free(dp);
}

void datapath_set_engine(struct datapath *dp, struct engine *engine)
{
	dp->engine = engine;
}

struct datapath_port *datapath_port_new(struct datapath *dp, void (*lost)(void *ctx), void *ctx)
{
	struct datapath_port *port = xcalloc(1, sizeof(*port));
	port->dp = dp;
	port->lost = lost;
	port->ctx = ctx;
	port->fd = -1;
	TAILQ_INSERT_TAIL(&dp->ports, port, entry);
	return port;
}

void datapath_port_free(struct datapath_port *port)
{
	if (!port)
		return;
	fairq_forget(port->dp->queue, port);
	loop_fd_free(port->watch);
	TAILQ_REMOVE(&port->dp->ports, port, entry);
	free(port);
}

static void set_watch(struct datapath_port *port)
{
	bool wanted = port->fd >= 0 && port->mesh;
	port->ready = port->ready && wanted;
	if (wanted == (port->watch != NULL))
		return;
	if (wanted) {
		port->watch = loop_fd_new(port->dp->loop, port->fd, LOOP_READ, on_tun, port);
		return;
	}
	loop_fd_free(port->watch);
	port->watch = NULL;
}

void datapath_port_set_tun(struct datapath_port *port, int fd, enum tun_offload offload)
{
	loop_fd_free(port->watch);
	port->watch = NULL;
	port->fd = fd;
	port->bare = offload == TUN_OFFLOAD_BARE;
	set_watch(port);
}

void datapath_port_set_mesh(struct datapath_port *port, struct mesh *mesh)
{
	fairq_forget(port->dp->queue, port);
	port->mesh = mesh;
	set_watch(port);
}

uint64_t datapath_counter(const struct datapath *dp, enum datapath_counter counter)
{
	return dp->counters[counter];
}

const char *datapath_counter_name(enum datapath_counter counter)
{
	static const char *const names[] = {
#define X(name) [DATAPATH_##name] = #name,
		DATAPATH_COUNTERS(X)
#undef X
	};
	return names[counter];
}
