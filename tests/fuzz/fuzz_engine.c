#include "fixture/test.h"

#include "core/session.h"
#include "fixture/duo.h"
#include "fuzz/fuzz.h"
#include "wire/buf.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

/* The input is a story: what happens on the wire between two engines, step by step. Whatever it is,
 * nothing crashes, time goes on, and when the wire is good again the two find each other. */

enum { STEPS_MAX = 200 };

static struct duo duo;

static void drop_first(void)
{
	struct duo_datagram *datagram = TAILQ_FIRST(&duo.wire);

	if (!datagram)
		return;
	TAILQ_REMOVE(&duo.wire, datagram, entry);
	free(datagram);
}

/* The first datagram comes, changed, and stays on the wire. */
static void deliver_changed(uint8_t at, uint8_t with, uint8_t cut)
{
	struct duo_datagram *datagram = TAILQ_FIRST(&duo.wire);
	uint8_t bytes[sizeof(datagram->bytes)];
	size_t len;

	if (!datagram)
		return;
	len = datagram->len;
	memcpy(bytes, datagram->bytes, len);
	bytes[at % len] ^= with;
	duo_input(&duo, datagram->to, datagram->from, bytes, cut < len ? len - cut : 0);
}

static void swap_first_two(void)
{
	struct duo_datagram *first = TAILQ_FIRST(&duo.wire);

	if (!first || !TAILQ_NEXT(first, entry))
		return;
	TAILQ_REMOVE(&duo.wire, first, entry);
	TAILQ_INSERT_TAIL(&duo.wire, first, entry);
}

static void deliver_first(void)
{
	struct duo_datagram *datagram = TAILQ_FIRST(&duo.wire);

	if (!datagram)
		return;
	TAILQ_REMOVE(&duo.wire, datagram, entry);
	duo_input(&duo, datagram->to, datagram->from, datagram->bytes, datagram->len);
	free(datagram);
}

/* A member that says anything inside its session. */
static void send_content(unsigned from, struct reader *r)
{
	struct session *session = peer_session(duo.nodes[from].peers[1 - from], duo.now);
	uint8_t flags = reader_u8(r) & DATA_FLAG_PARTIAL;
	size_t len = reader_u8(r) % 64, n;
	const uint8_t *content = reader_bytes(r, len);
	uint8_t msg[256];

	if (!session || !content)
		return;
	n = session_seal(session, flags, content, len, msg, sizeof(msg));
	FUZZ_CHECK(n == len + SESSION_OVERHEAD);
	duo_input(&duo, 1 - from, from, msg, n);
}

static void send_raw(unsigned to, struct reader *r)
{
	size_t len = reader_u8(r);
	const uint8_t *bytes = reader_bytes(r, len);

	if (bytes)
		duo_input(&duo, to, 2, bytes, len);
}

static void tick(void)
{
	for (unsigned i = 0; i < 2; i++)
		FUZZ_CHECK(engine_tick(duo.nodes[i].engine, duo.now) > duo.now);
}

static void step(struct reader *r)
{
	uint8_t op = reader_u8(r);
	unsigned node = op >> 7, other = 1 - node;

	switch (op & 0x0f) {
	case 0:
		peer_connect(duo.nodes[node].peers[other], duo.now);
		break;
	case 1:
		peer_reconnect(duo.nodes[node].peers[other], duo.now);
		break;
	case 2:
		duo.now += reader_u8(r) * DUO_MS;
		tick();
		break;
	case 3:
		duo.now += reader_u8(r) * DUO_S;
		tick();
		break;
	case 4:
	case 5:
		deliver_first();
		break;
	case 6:
		drop_first();
		break;
	case 7:
		deliver_changed(reader_u8(r), reader_u8(r), reader_u8(r));
		break;
	case 8:
		swap_first_two();
		break;
	case 9:
		send_content(node, r);
		break;
	case 10:
		send_raw(node, r);
		break;
	case 11:
		duo_send_packet(&duo, node, other, 40);
		break;
	case 12:
		duo_restart(&duo, node);
		break;
	case 13:
		peer_set_persistent(duo.nodes[node].peers[other], op & 0x10);
		break;
	case 14:
		duo.wall_offset_s += (uint64_t)(int8_t)reader_u8(r);
		break;
	default:
		duo_pump(&duo);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r;
	unsigned received;

	duo_init(&duo);
	reader_init(&r, data, len);
	for (unsigned i = 0; i < STEPS_MAX && !r.failed && reader_left(&r); i++)
		step(&r);
	/* A clock that was set back keeps a restarted node out until it has caught up: as
	 * PROTOCOL 3.4 has it. */
	duo.wall_offset_s += UINT64_C(1) << 20;
	while (!TAILQ_EMPTY(&duo.wire))
		drop_first();
	duo.now += DUO_S;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_run_until(&duo, duo.now + 20 * DUO_S);
	for (unsigned i = 0; i < 2; i++) {
		received = duo.nodes[1 - i].packets;
		FUZZ_CHECK(duo_send_packet(&duo, i, 1 - i, 60));
		duo_pump(&duo);
		FUZZ_CHECK(duo.nodes[1 - i].packets == received + 1);
	}
	duo_done(&duo);
	return 0;
}
