#include "chainwatch/feed.h"

#include "os/base.h"
#include "os/loop.h"
#include "wire/buf.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

enum {
	TOPIC_MAX = 16,
	COUNTER_LEN = 4,
	PARTS = 3,
	MESSAGE_MAX = 8 << 20, /* a block of the chains that we know has 4 MB at most */
	WAITING_MAX = 64,      /* messages that wait here; what is lost is only a wake-up */
	RECONNECT_MS = 500,
	RECONNECT_MAX_MS = 5000,
	DRAIN_MAX = 1000, /* messages a wake; the rest comes in the next round */
};

/* What Bitcoin Core may publish (doc/zmq.md there). */
static const struct topic {
	const char *name;
	bool transactions;
} topics[] = {
	{"hashblock", false}, {"hashtx", true},	  {"rawblock", false},
	{"rawtx", true},      {"sequence", true},
};

struct feed {
	void *context;		       /* owned */
	void *socket;		       /* owned */
	void *monitor;		       /* owned; events of the socket's connections */
	struct loop_fd *watch;	       /* owned */
	struct loop_fd *watch_monitor; /* owned */
	struct loop_task *again; /* owned; ZMQ_FD is edge-triggered: looks after our own calls */
	feed_cb cb;
	void *arg;
	bool tells_transactions;
	bool has_last[ARRAY_SIZE(topics)];
	uint32_t last[ARRAY_SIZE(topics)];
	struct feed_counts counts;
};

/* Counters run per topic, from 0 at each start of the node. */
static void count_gap(struct feed *feed, size_t topic, uint32_t counter)
{
	if (feed->has_last[topic] && counter > feed->last[topic])
		feed->counts.lost += counter - feed->last[topic] - 1;
	feed->has_last[topic] = true;
	feed->last[topic] = counter;
}

static void on_message(struct feed *feed, zmq_msg_t parts[PARTS], int count)
{
	size_t len = zmq_msg_size(&parts[0]), body_len = zmq_msg_size(&parts[1]);
	const char *name = zmq_msg_data(&parts[0]), *body;
	size_t i = 0;

	while (i < ARRAY_SIZE(topics) &&
	       (len != strlen(topics[i].name) || memcmp(name, topics[i].name, len) != 0))
		i++;
	if (i == ARRAY_SIZE(topics) || count != PARTS || zmq_msg_size(&parts[2]) != COUNTER_LEN) {
		feed->counts.odd++;
		return;
	}
	count_gap(feed, i, load_u32(zmq_msg_data(&parts[2])));
	/* sequence: 32 bytes of hash, then C or D for a block, A or R for a transaction */
	body = zmq_msg_data(&parts[1]);
	if (strcmp(topics[i].name, "sequence") != 0)
		feed->tells_transactions |= topics[i].transactions;
	else if (body_len > 32)
		feed->tells_transactions |= body[32] == 'A' || body[32] == 'R';
}

/* All parts of one message. False when there is none. */
static bool receive(struct feed *feed)
{
	zmq_msg_t parts[PARTS], part;
	int count = 0, more = 1;
	size_t size = sizeof(more);

	for (int i = 0; i < PARTS; i++)
		zmq_msg_init(&parts[i]);
	while (more) {
		zmq_msg_init(&part);
		if (zmq_msg_recv(&part, feed->socket, ZMQ_DONTWAIT) < 0)
			break;
		zmq_getsockopt(feed->socket, ZMQ_RCVMORE, &more, &size);
		if (count < PARTS)
			zmq_msg_move(&parts[count], &part);
		zmq_msg_close(&part);
		count++;
	}
	if (count > 0) {
		feed->counts.messages++;
		on_message(feed, parts, count);
	}
	for (int i = 0; i < PARTS; i++)
		zmq_msg_close(&parts[i]);
	return count > 0;
}

/* ZMQ_FD tells only of changes: read until ZMQ_EVENTS says that nothing is left. */
static void drain(struct feed *feed)
{
	size_t size = sizeof(int);
	bool any = false;
	int events = 0, n;

	for (n = 0; n < DRAIN_MAX; n++) {
		if (zmq_getsockopt(feed->socket, ZMQ_EVENTS, &events, &size) != 0 ||
		    !(events & ZMQ_POLLIN) || !receive(feed))
			break;
		any = true;
	}
	if (n == DRAIN_MAX)
		loop_task_schedule(feed->again);
	if (any)
		feed->cb(feed->arg);
}

/* A publisher went away: until one tells of transactions again, the mempool is polled. */
static void drain_monitor(struct feed *feed)
{
	size_t size = sizeof(int);
	bool any = false;
	zmq_msg_t part;
	int events = 0;

	/* the only event asked for is that of a lost connection: what it says does not matter */
	while (zmq_getsockopt(feed->monitor, ZMQ_EVENTS, &events, &size) == 0 &&
	       (events & ZMQ_POLLIN)) {
		zmq_msg_init(&part);
		any |= zmq_msg_recv(&part, feed->monitor, ZMQ_DONTWAIT) >= 0;
		zmq_msg_close(&part);
	}
	if (!any)
		return;
	feed->tells_transactions = false;
	feed->cb(feed->arg);
}

static void on_readable(void *arg, int fd, unsigned events)
{
	drain(arg);
}

static void on_monitor(void *arg, int fd, unsigned events)
{
	drain_monitor(arg);
}

static void on_again(void *arg)
{
	drain(arg);
	drain_monitor(arg);
}

static bool set_up_socket(struct feed *feed)
{
	int zero = 0, waiting = WAITING_MAX, first = RECONNECT_MS, most = RECONNECT_MAX_MS;
	int64_t largest = MESSAGE_MAX;

	zmq_setsockopt(feed->socket, ZMQ_RCVHWM, &waiting, sizeof(waiting));
	zmq_setsockopt(feed->socket, ZMQ_LINGER, &zero, sizeof(zero));
	zmq_setsockopt(feed->socket, ZMQ_RECONNECT_IVL, &first, sizeof(first));
	zmq_setsockopt(feed->socket, ZMQ_RECONNECT_IVL_MAX, &most, sizeof(most));
	zmq_setsockopt(feed->socket, ZMQ_MAXMSGSIZE, &largest, sizeof(largest));
	for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
		if (zmq_setsockopt(feed->socket, ZMQ_SUBSCRIBE, topics[i].name,
				   strlen(topics[i].name)) != 0)
			return false;
	return true;
}

static bool set_up_monitor(struct feed *feed)
{
	static const char address[] = "inproc://monitor";
	int zero = 0;

	if (zmq_socket_monitor(feed->socket, address, ZMQ_EVENT_DISCONNECTED) != 0)
		return false;
	feed->monitor = zmq_socket(feed->context, ZMQ_PAIR);
	return feed->monitor &&
	       zmq_setsockopt(feed->monitor, ZMQ_LINGER, &zero, sizeof(zero)) == 0 &&
	       zmq_connect(feed->monitor, address) == 0;
}

/* Wakes up when ZMQ has something for the socket. 0 or a negative errno. */
static int watch_socket(struct loop *loop, void *socket, loop_fd_cb cb, struct feed *feed,
			struct loop_fd **ret_watch)
{
	size_t size = sizeof(int);
	int fd = -1;

	if (zmq_getsockopt(socket, ZMQ_FD, &fd, &size) != 0)
		return -ENOMEM;
	*ret_watch = loop_fd_new(loop, fd, LOOP_READ, cb, feed);
	return *ret_watch ? 0 : -errno;
}

static int connect_all(struct feed *feed, char *const *endpoints, size_t count, size_t *ret_bad)
{
	for (size_t i = 0; i < count; i++)
		if (zmq_connect(feed->socket, endpoints[i]) != 0) {
			*ret_bad = i;
			return -EINVAL;
		}
	return 0;
}

int feed_new(struct loop *loop, char *const *endpoints, size_t count, feed_cb cb, void *arg,
	     struct feed **ret_feed, size_t *ret_bad)
{
	struct feed *feed = xcalloc(1, sizeof(*feed));
	int result = -ENOMEM;

	feed->cb = cb;
	feed->arg = arg;
	feed->context = zmq_ctx_new();
	feed->socket = feed->context ? zmq_socket(feed->context, ZMQ_SUB) : NULL;
	if (feed->socket && set_up_socket(feed) && set_up_monitor(feed))
		result = connect_all(feed, endpoints, count, ret_bad);
	if (!result)
		result = watch_socket(loop, feed->socket, on_readable, feed, &feed->watch);
	if (!result)
		result = watch_socket(loop, feed->monitor, on_monitor, feed, &feed->watch_monitor);
	if (result) {
		feed_free(feed);
		return result;
	}
	feed->again = loop_task_new(loop, on_again, feed);
	loop_task_schedule(feed->again);
	*ret_feed = feed;
	return 0;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	if (feed->watch)
		loop_fd_free(feed->watch);
	if (feed->watch_monitor)
		loop_fd_free(feed->watch_monitor);
	if (feed->again)
		loop_task_free(feed->again);
	if (feed->monitor)
		zmq_close(feed->monitor);
	if (feed->socket)
		zmq_close(feed->socket);
	if (feed->context)
		zmq_ctx_term(feed->context);
	free(feed);
}

bool feed_tells_transactions(const struct feed *feed)
{
	return feed->tells_transactions;
}

void feed_count(const struct feed *feed, struct feed_counts *ret_counts)
{
	*ret_counts = feed->counts;
}
