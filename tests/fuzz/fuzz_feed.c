#include "fuzz/fuzz.h"

#include "os/base.h"
#include "os/loop.h"

#include <string.h>

/* A publisher of ZMQ messages that sends anything: the input is messages, each a byte of the count
 * of its parts (0: the connection was lost), then for each part a byte of length (255: the next of
 * the topics' names) and the bytes. Receiving is played here. */

#include <zmq.h>

static int fake_recv(zmq_msg_t *part, void *socket, int flags);
static int fake_getsockopt(void *socket, int option, void *value, size_t *size);

static void fake_schedule(struct loop_task *task);

#define zmq_msg_recv	   fake_recv
#define zmq_getsockopt	   fake_getsockopt
#define loop_task_schedule fake_schedule
#include "chainwatch/feed.c"

static const uint8_t *input;
static size_t input_left;
static unsigned parts_left;
static unsigned told;

static uint8_t take_byte(void)
{
	if (!input_left)
		return 0;
	input_left--;
	return *input++;
}

static void fill(zmq_msg_t *part, const void *data, size_t len)
{
	FUZZ_CHECK(!zmq_msg_init_size(part, len));
	if (len)
		memcpy(zmq_msg_data(part), data, len);
}

static int fake_recv(zmq_msg_t *part, void *socket, int flags)
{
	size_t len = take_byte();
	const char *name;

	if (!parts_left || !input_left)
		return -1;
	parts_left--;
	if (len == 255) {
		name = topics[take_byte() % ARRAY_SIZE(topics)].name;
		fill(part, name, strlen(name));
		return (int)strlen(name);
	}
	len = MIN(len, input_left);
	fill(part, input, len);
	input += len;
	input_left -= len;
	return (int)len;
}

static int fake_getsockopt(void *socket, int option, void *value, size_t *size)
{
	bool more = option == ZMQ_RCVMORE ? parts_left > 0 && input_left : input_left > 0;

	if (option == ZMQ_EVENTS && more)
		parts_left = take_byte() % 6;
	*(int *)value = option == ZMQ_EVENTS ? (more ? ZMQ_POLLIN : 0) : more;
	return 0;
}

/* The rest comes in the next turn: the caller's loop. */
static void fake_schedule(struct loop_task *task)
{
	FUZZ_CHECK(!task);
}

static void on_told(void *arg)
{
	told++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct feed feed = {.cb = on_told};
	struct feed_counts counts;

	input = data;
	input_left = len;
	told = 0;
	while (input_left)
		drain(&feed);
	feed_count(&feed, &counts);
	FUZZ_CHECK(counts.odd <= counts.messages && counts.messages <= len);
	FUZZ_CHECK(!counts.messages || told);
	FUZZ_CHECK(!feed_tells_transactions(&feed) || counts.messages > counts.odd);
	return 0;
}
