/* What a peer, or a SOCKS5 proxy before it, sends into one connection, in pieces: the messages that
 * come out are those that are in the stream, and memory stays within one message. Input: which of
 * the states, how large the pieces are, the stream. */

#include "chainwatch/p2p_conn.c"
#include "fuzz/fuzz.h"

static const uint8_t some_magic[P2P_MAGIC_LEN] = {0xfa, 0xbf, 0xb5, 0xda};

static void check_message(const struct p2p_conn *c, const struct p2p_message *m)
{
	struct p2p_message again;
	size_t need;

	FUZZ_CHECK(m->type != P2P_OTHER);
	FUZZ_CHECK(m->payload.len <= p2p_type_max(m->type));
	FUZZ_CHECK(m->payload.data >= c->in.data &&
		   m->payload.data + m->payload.len <= c->in.data + c->in.len);
	FUZZ_CHECK(p2p_open(some_magic, m->payload.data - P2P_HEADER_LEN, m->size, &again, &need) ==
		   P2P_OK);
}

/* False: the connection is over. */
static bool feed(struct p2p_conn *c, const uint8_t *data, size_t len)
{
	enum p2p_conn_result result;
	struct p2p_message message;

	FUZZ_CHECK(reserve(&c->in, MAX((size_t)IN_SIZE, c->in.len + len)));
	memcpy(c->in.data + c->in.len, data, len);
	c->in.len += len;
	if (c->state != OPEN && !on_proxy_bytes(c))
		return false;
	while ((result = p2p_conn_next(c, &message)) == P2P_CONN_MESSAGE)
		check_message(c, &message);
	FUZZ_CHECK(c->in.size <= P2P_HEADER_LEN + P2P_MESSAGE_MAX + IN_SIZE);
	FUZZ_CHECK((result == P2P_CONN_BROKEN) == (c->state == DEAD));
	return result != P2P_CONN_BROKEN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const enum state states[] = {OPEN, GREETED, ASKED};
	struct p2p_conn c = {.fd = -1, .to = {.host = "a.example", .port = 7}};
	size_t piece;

	if (len < 2)
		return 0;
	memcpy(c.magic, some_magic, sizeof(c.magic));
	c.state = states[data[0] % 3];
	piece = data[1] + 1u;
	for (size_t at = 2; at < len; at += piece)
		if (!feed(&c, data + at, MIN(piece, len - at))) {
			FUZZ_CHECK(c.error[0]);
			break;
		}
	free(c.in.data);
	free(c.out.data);
	return 0;
}
