#include "core/coalesce.h"
#include "core/segment.h"
#include "fixture/packet.h"
#include "fuzz/fuzz.h"
#include "wire/ip.h"

#include <string.h>

/* Whatever is joined is cut again here: the same packets come out as went in, and those of one
 * flow in the same order. The first byte says what the rest is: a super-packet of the TUN, one
 * packet of the other side, or a row of packets, 8 bytes each, that are made here. */
enum { SUPER_PACKET, RAW, ROW, MODES };
enum { LIST_MAX = 2048, DESCRIPTION = 8 };

struct item {
	uint8_t *bytes; /* owned */
	size_t len;
	bool matched;
};

struct list {
	struct item items[LIST_MAX];
	size_t count;
};

static struct list in, out;
static uint8_t room[COALESCE_ROOM];

static bool list_add(struct list *list, const uint8_t *bytes, size_t len)
{
	struct item *item = &list->items[list->count];

	if (list->count == LIST_MAX)
		return false;
	*item = (struct item){malloc(len), len, false};
	if (!item->bytes)
		abort();
	memcpy(item->bytes, bytes, len);
	list->count++;
	return true;
}

static void list_clear(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].bytes);
	list->count = 0;
}

/* RFC 6864: the id of IPv4 packets that may not be fragmented means nothing, and joining may
 * change it. */
static void forget_id(const struct item *item)
{
	if (item->len >= 20 && item->bytes[0] >> 4 == 4 && (item->bytes[6] & 0x40)) {
		memset(item->bytes + 4, 0, 2);
		memset(item->bytes + 10, 0, 2);
	}
}

static void cut(const struct packet *packet, struct list *list)
{
	struct cutter cutter;
	uint8_t *segment;
	size_t size;

	FUZZ_CHECK(cutter_init(&cutter, packet));
	for (size_t at = 0; at < cutter.payload_len; at += cutter.step) {
		size = cutter_size(&cutter, at);
		segment = malloc(size);
		if (!segment)
			abort();
		cutter_write(&cutter, at, segment);
		FUZZ_CHECK(list_add(list, segment, size));
		free(segment);
	}
}

static void deliver(void *ctx, struct packet *packet)
{
	if (packet->gso == GSO_NONE)
		FUZZ_CHECK(list_add(&out, packet->data, packet->len));
	else
		cut(packet, &out);
}

/* Flow of a packet, false: it has none. */
static bool flow_of(const struct item *item, struct ip_flow *ret)
{
	struct ip_view view;

	if (ip_parse(item->bytes, item->len, &view) != IP_OK || !view.has_ports)
		return false;
	ip_flow_of(&view, ret);
	return true;
}

static size_t match(const struct item *item)
{
	for (size_t i = 0; i < out.count; i++) {
		if (!out.items[i].matched && out.items[i].len == item->len &&
		    !memcmp(out.items[i].bytes, item->bytes, item->len)) {
			out.items[i].matched = true;
			return i;
		}
	}
	FUZZ_CHECK(!"a packet is lost or another");
	return 0;
}

static void check_same(void)
{
	static struct ip_flow flows[LIST_MAX];
	static bool has_flow[LIST_MAX];
	static size_t at[LIST_MAX];

	FUZZ_CHECK(in.count == out.count);
	for (size_t i = 0; i < in.count; i++) {
		forget_id(&in.items[i]);
		forget_id(&out.items[i]);
	}
	for (size_t i = 0; i < in.count; i++) {
		at[i] = match(&in.items[i]);
		has_flow[i] = flow_of(&in.items[i], &flows[i]);
		for (size_t k = i; has_flow[i] && k-- > 0;) {
			if (has_flow[k] && !memcmp(&flows[k], &flows[i], sizeof(flows[i]))) {
				FUZZ_CHECK(at[k] < at[i]);
				break;
			}
		}
	}
}

/* bytes are changed as the coalescer changes them. */
static void feed(struct coalescer *c, const uint8_t *bytes, size_t len, bool partial,
		 unsigned usable)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	/* It is looked at, delivered maybe, and then what it became is noted. */
	if (coalesce_add(c, copy, len, partial, usable, deliver, NULL))
		FUZZ_CHECK(list_add(&in, copy, len));
	free(copy);
}

static void feed_super_packet(struct coalescer *c, const uint8_t *data, size_t len, unsigned usable)
{
	static struct list segments;
	struct packet packet = {0};
	struct cutter cutter;

	if (len < 7)
		return;
	packet = (struct packet){
		.data = (uint8_t *)data + 7,
		.len = len - 7,
		.gso = data[0] % 4,
		.gso_size = (uint16_t)(data[1] << 8 | data[2]),
		.partial_checksum = data[3] & 1,
		.csum_start = (uint16_t)(data[4] << 8 | data[5]),
		.csum_offset = data[6],
	};
	if (!cutter_init(&cutter, &packet) || cutter.payload_len / cutter.step >= LIST_MAX)
		return;
	cut(&packet, &segments);
	for (size_t i = 0; i < segments.count; i++)
		feed(c, segments.items[i].bytes, segments.items[i].len, true, usable);
	/* What was cut can be taken. */
	FUZZ_CHECK(in.count == segments.count);
	list_clear(&segments);
}

/* Kind, flow, sequence, length, flags, and a byte to change somewhere. */
static void feed_row(struct coalescer *c, const uint8_t *data, size_t len, unsigned usable)
{
	static uint8_t payload[8192], packet[9000];
	uint32_t seq = 0;
	uint16_t id = 0;

	for (; len >= DESCRIPTION && in.count < LIST_MAX - 1; data += DESCRIPTION) {
		struct packet_spec spec = {
			.version = data[0] & 1 ? 6 : 4,
			.udp = data[0] & 2,
			.full = data[0] & 4,
			.df = data[0] & 8,
			.options = data[0] & 16 ? 12 : 0,
			.host = data[1] & 3,
			.src_port = data[1] >> 2 & 3,
			.flags = data[5] ? data[5] : PACKET_ACK,
			.seq = seq + (data[2] & 7 ? 0 : data[2]),
			.id = (uint16_t)(id + (data[2] & 0x80 ? 1 : 0)),
		};
		size_t size = (size_t)(data[3] << 8 | data[4]) % sizeof(payload), n;

		n = packet_build(&spec, payload, size, packet);
		packet[data[6] % n] ^= data[7];
		feed(c, packet, n, !spec.full, usable);
		seq = spec.seq + (uint32_t)size;
		id = (uint16_t)(spec.id + 1);
		len -= DESCRIPTION;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct coalescer c;
	unsigned usable;

	if (!len || len > UINT16_MAX)
		return 0;
	usable = data[0] >> 4 << 1;
	coalesce_init(&c, room);
	if (data[0] % 4 == SUPER_PACKET)
		feed_super_packet(&c, data + 1, len - 1, usable);
	else if (data[0] % 4 == RAW)
		feed(&c, data + 1, len - 1, data[0] & 4, usable);
	else
		feed_row(&c, data + 1, len - 1, usable);
	coalesce_flush(&c, deliver, NULL);
	check_same();
	list_clear(&in);
	list_clear(&out);
	return 0;
}
