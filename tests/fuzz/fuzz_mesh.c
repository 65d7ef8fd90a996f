#include "fixture/test.h"

#include "core/id.h"
#include "core/mesh_parts.h"
#include "fuzz/fuzz.h"
#include "os/base.h"
#include "wire/buf.h"
#include "wire/ip.h"
#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"

#include <string.h>

/* One member's mesh; two other members, an OVC and an OVR with sessions of their own that say
 * anything inside them; netmaps that change; and what the machine writes into the TUN. The input is
 * steps. Whatever they are: a packet that leaves the TUN came from a member of the netmap in force,
 * has a source address that this netmap gives to that member, and one of ours as destination. */

enum { SELF, ALICE, BOB, OVC, OVR, ACTORS };
enum { STEPS_MAX = 150, WIRE_MAX = 64 };

struct actor {
	unsigned number;
	struct identity identity;
	struct endpoint endpoint;
	struct engine *engine; /* owned */
	struct realm *realm;
	struct peer *peer; /* SELF there; NULL: none yet */
};

struct datagram {
	unsigned from, to;
	size_t len;
	uint8_t bytes[2048];
};

static struct actor actors[ACTORS];
static struct datagram wire[WIRE_MAX];
static size_t wire_len;
static struct mesh *mesh; /* owned */
static struct id *id;	  /* owned */
static struct object_id dnet, helper_ids[2];
static uint64_t now, chance;
static unsigned speaker; /* whose datagram is taken just now */

/* ---- The wire ---- */

static void io_random(void *ctx, void *dst, size_t len)
{
	uint8_t *bytes = dst;

	for (; len--; chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407)
		*bytes++ = (uint8_t)(chance >> 40);
}

static void io_timestamp(void *ctx, uint8_t dst[12])
{
	store_u32be(dst, 0x40000000);
	store_u32be(dst + 4, (uint32_t)(now / NS_PER_S));
	store_u32be(dst + 8, (uint32_t)(now % NS_PER_S));
}

static void put(unsigned from, const struct endpoint *dst, const uint8_t *bytes, size_t len)
{
	for (unsigned to = 0; to < ACTORS && wire_len < WIRE_MAX && len <= 2048; to++) {
		if (!endpoint_equal(dst, &actors[to].endpoint))
			continue;
		wire[wire_len] = (struct datagram){from, to, len, {0}};
		memcpy(wire[wire_len++].bytes, bytes, len);
	}
}

/* A burst is cut as the kernel would; lanes end here. */
static void io_send(void *ctx, const struct endpoint *dst, const uint8_t *bytes, size_t len,
		    size_t segment)
{
	const struct actor *actor = ctx;

	FUZZ_CHECK(len && segment && segment <= len);
	for (size_t at = 0; at < len; at += segment) {
		size_t n = MIN(segment, len - at);

		if (bytes[at] != MESSAGE_LANE)
			put(actor->number, dst, bytes + at, n);
	}
}

static void take(struct datagram *datagram)
{
	struct via via = {.endpoint = actors[datagram->from].endpoint};

	speaker = datagram->from;
	engine_input(actors[datagram->to].engine, &via, datagram->bytes, datagram->len, now);
	if (datagram->to == SELF)
		mesh_flush(mesh, now);
	speaker = SELF;
}

static void pump(void)
{
	static struct datagram taken;

	for (unsigned n = 0; wire_len && n < 4 * WIRE_MAX; n++) {
		taken = wire[0];
		memmove(wire, wire + 1, --wire_len * sizeof(*wire));
		take(&taken);
	}
	wire_len = 0;
}

/* ---- What leaves the TUN ---- */

static bool has_address(const struct netmap_node *node, const uint8_t *bytes, size_t len)
{
	const struct address *all[] = {&node->ipv4, &node->ipv6, &node->extra_ipv6};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->family && address_bits(all[i]) == 8 * len &&
		    !memcmp(all[i]->bytes, bytes, len))
			return true;
	return false;
}

static void io_deliver(void *ctx, struct packet *packet)
{
	const struct netmap *map = mesh_netmap(mesh);
	const struct netmap_node *author, *ours;
	uint8_t version = packet->data[0] >> 4;
	const uint8_t *src = packet->data + (version == 4 ? 12 : 8);
	size_t len = version == 4 ? 4 : 16;

	/* What we are told ourselves, as an answer to what came from the TUN, names nobody. */
	if (speaker == SELF)
		return;
	FUZZ_CHECK(map && (version == 4 || version == 6) && packet->len >= (len == 4 ? 20u : 40u));
	author = netmap_find_node(map, &actors[speaker].identity.key);
	ours = netmap_find_node(map, &actors[SELF].identity.key);
	FUZZ_CHECK(author && ours && author != ours);
	FUZZ_CHECK(has_address(author, src, len) && has_address(ours, src + len, len));
}

/* ---- Netmaps ---- */

struct rows {
	struct record_row list[40];
	size_t count;
};

static struct record *add(struct rows *rows, uint8_t type, const struct object_id *object)
{
	struct record_row *row = &rows->list[rows->count++];

	*row = (struct record_row){.object = *object,
				   .from_height = 1,
				   .to_height = UINT32_MAX,
				   .sequence = (uint32_t)rows->count,
				   .record.type = type};
	return &row->record;
}

static void add_node(struct rows *rows, unsigned who, uint8_t how)
{
	struct record *put = add(rows, RECORD_NODE_PUT, &dnet);

	put->node_put.key = actors[who].identity.key;
	if (how & 1)
		put->node_put.ipv4 =
			(struct address){ADDR_V4, {10, 9, 0, how & 2 ? 7 : (uint8_t)(who + 1)}};
	if (how & 4)
		put->node_put.ipv6 =
			(struct address){ADDR_V6, {0xfd, 1, how & 8 ? 9 : (uint8_t)who}};
	if (how & 16)
		strcpy(put->node_put.name, how & 32 ? "same" : who == ALICE ? "alice" : "bob");
}

static void add_helper(struct rows *rows, unsigned who, uint8_t how)
{
	const struct object_id *helper = &helper_ids[who - OVC];
	struct record *record = add(rows, RECORD_LINK, &dnet);

	record->link.kind = who == OVC ? OBJECT_OVC : OBJECT_OVR;
	record->link.id = *helper;
	record = add(rows, who == OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE, helper);
	record->service_create.service_key = actors[who].identity.key;
	record = add(rows, RECORD_ENDPOINT_PUT, helper);
	record->endpoint.transport = TRANSPORT_UDP;
	record->endpoint.port = actors[who].endpoint.port;
	record->endpoint.address = actors[who].endpoint.addr;
	if (how & 1) {
		record = add(rows, RECORD_ENDPOINT_PUT, helper);
		record->endpoint.transport = TRANSPORT_UDP;
		record->endpoint.port = 7;
		strcpy(record->endpoint.host, "a.example");
	}
	add(rows, RECORD_GRANT, helper)->grant.dnet = dnet;
}

static void set_netmap(struct reader *r)
{
	uint8_t members = reader_u8(r), how = reader_u8(r);
	struct netmap_revocation revocations[2] = {
		{.object = dnet, .type = RECORD_NODE_DEL, .sequence = reader_u8(r)},
		{.object = helper_ids[0], .type = RECORD_REVOKE, .sequence = reader_u8(r)}};
	struct netmap_input input = {.id = dnet,
				     .revocations = revocations,
				     .revocation_count = how >> 7 ? 2 : 0,
				     .tip_height = 10,
				     .confirm = 1};
	struct rows rows = {0};
	struct netmap *map;

	if (!(members & 0x80))
		prefix_parse("10.9.0.0/24",
			     &add(&rows, RECORD_DNET_CREATE, &dnet)->dnet_create.ipv4);
	for (unsigned i = 0; i <= BOB; i++)
		if (members >> i & 1)
			add_node(&rows, i, how ^ (uint8_t)(i * reader_u8(r)));
	for (unsigned i = OVC; i <= OVR; i++)
		if (members >> i & 1)
			add_helper(&rows, i, how);
	if (members & 0x20)
		add(&rows, RECORD_ROSTER, &dnet)->roster.sequence = how;
	if (members & 0x40)
		add(&rows, RECORD_TRANSFER, &dnet)->transfer.has_admin_key = true;
	revocations[0].subject_len = PUBKEY_LEN;
	memcpy(revocations[0].subject, actors[ALICE].identity.key.bytes, PUBKEY_LEN);
	revocations[1].subject_len = OBJECT_ID_LEN;
	memcpy(revocations[1].subject, dnet.bytes, OBJECT_ID_LEN);
	input.rows = rows.list;
	input.row_count = rows.count;
	FUZZ_CHECK(!netmap_build(&input, &map));
	FUZZ_CHECK(!mesh_set_netmap(mesh, map, now));
	for (unsigned i = ALICE; i <= BOB; i++)
		mesh_add_endpoint(mesh, &actors[i].identity.key, &actors[i].endpoint, now);
}

/* ---- What others say ---- */

/* The length of a packet of an IP version that a byte chooses, with addresses that others choose.
 */
static size_t make_packet(struct reader *r, uint8_t bytes[1600])
{
	uint8_t how = reader_u8(r), src = reader_u8(r), dst = reader_u8(r);
	size_t len = (how & 1 ? 40 : 20) + 8 + reader_u8(r) * 4u;
	static const struct netmap_node nobody;
	const struct netmap *map = mesh_netmap(mesh);
	const struct netmap_node *from = NULL, *to = NULL;

	memset(bytes, how, len);
	if (map) {
		from = netmap_find_node(map, &actors[src % (BOB + 1)].identity.key);
		to = netmap_find_node(map, &actors[dst % (BOB + 1)].identity.key);
	}
	from = from ? from : &nobody;
	to = to ? to : &nobody;
	if (how & 1) {
		memset(bytes, 0, 40);
		bytes[0] = 0x60;
		store_u16be(bytes + 4, (uint16_t)(len - 40));
		bytes[6] = how & 2 ? IP_PROTO_TCP : how & 4 ? reader_u8(r) : IP_PROTO_UDP;
		bytes[7] = 64;
		memcpy(bytes + 8, (how & 8 ? &from->extra_ipv6 : &from->ipv6)->bytes, 16);
		memcpy(bytes + 24, (how & 16 ? &to->extra_ipv6 : &to->ipv6)->bytes, 16);
	} else {
		memset(bytes, 0, 20);
		bytes[0] = 0x45;
		store_u16be(bytes + 2, (uint16_t)len);
		store_u16be(bytes + 6, how & 32 ? reader_u16(r) : 0);
		bytes[8] = 64;
		bytes[9] = how & 2 ? IP_PROTO_TCP : how & 4 ? reader_u8(r) : IP_PROTO_UDP;
		memcpy(bytes + 12, from->ipv4.bytes, 4);
		memcpy(bytes + 16, to->ipv4.bytes, 4);
		store_u16be(bytes + 10, ipv4_header_checksum(bytes, 20));
	}
	if (how & 0x80)
		reader_copy(r, bytes + reader_u8(r) % 28, 1);
	return len;
}

/* In the session of the speaker, when there is one. */
static void say(unsigned who, uint8_t flags, const uint8_t *content, size_t len)
{
	struct session *session = actors[who].peer ? peer_session(actors[who].peer, now) : NULL;
	struct datagram datagram = {.from = who, .to = SELF};

	if (!session)
		return;
	datagram.len =
		session_seal(session, flags, content, len, datagram.bytes, sizeof(datagram.bytes));
	if (datagram.len)
		take(&datagram);
}

static void say_frame(unsigned who, struct reader *r)
{
	uint8_t choice = reader_u8(r), bytes[FRAME_MAX];
	const struct actor *other = &actors[choice % ACTORS];
	struct ovc_frame ovc = {.type = FRAME_INTRODUCTION};
	struct ovr_frame ovr = {.type = FRAME_LANE, .key = other->identity.key};
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	if (who == OVR) {
		ovr.type = FRAME_LANE + choice / 8 % 3;
		ovr.lane = ovr.type == FRAME_LANE_REFUSED ? 0 : choice;
		ovr.reason = 1 + choice % 3;
		ovr_frame_write(&w, &ovr);
	} else {
		ovc.introduction.key = other->identity.key;
		ovc.introduction.role = 1 + choice / 8 % 2;
		for (unsigned i = 0; i < choice / 16u % 8; i++)
			ovc.introduction.endpoints.list[ovc.introduction.endpoints.count++] =
				actors[i % ACTORS].endpoint;
		ovc_frame_write(&w, &ovc);
	}
	if (!w.failed)
		say(who, 0, bytes, writer_len(&w));
}

static void say_bytes(unsigned who, struct reader *r)
{
	uint8_t flags = reader_u8(r) & DATA_FLAG_PARTIAL;
	size_t len = MIN((size_t)reader_u8(r), reader_left(r));
	const uint8_t *bytes = reader_bytes(r, len);

	if (bytes)
		say(who, flags, bytes, len);
}

/* From the TUN, with any header about segments and checksums. */
static void write_tun(struct reader *r)
{
	static uint8_t room[64 + 1600];
	uint8_t how = reader_u8(r);
	struct packet packet = {.data = room + 64, .len = make_packet(r, room + 64)};

	if (how & 1) {
		packet.gso = (enum gso_type)(how / 2 % 4);
		packet.gso_size = reader_u16(r);
	}
	if (how & 16) {
		packet.partial_checksum = true;
		packet.csum_start = reader_u8(r);
		packet.csum_offset = how & 32 ? 6 : how & 64 ? 16 : reader_u8(r);
	}
	mesh_input_packet(mesh, &packet, now);
	mesh_flush(mesh, now);
}

static void go_on(uint64_t until)
{
	for (unsigned n = 0; n < 200; n++) {
		uint64_t next = mesh_deadline(mesh);

		for (unsigned i = 0; i < ACTORS; i++)
			next = MIN(next, engine_deadline(actors[i].engine));
		if (next > until)
			break;
		now = MAX(now, next);
		mesh_tick(mesh, now);
		for (unsigned i = 0; i < ACTORS; i++)
			engine_tick(actors[i].engine, now);
		pump();
	}
	now = MAX(now, until);
}

static void step(struct reader *r)
{
	uint8_t op = reader_u8(r), packet[1600];
	unsigned who = 1 + op / 16 % (ACTORS - 1);

	switch (op % 16) {
	case 0:
		set_netmap(r);
		break;
	case 1:
		write_tun(r);
		break;
	case 2:
	case 3:
	case 4:
		say(who, op % 16 == 4 ? DATA_FLAG_PARTIAL : 0, packet, make_packet(r, packet));
		break;
	case 5:
		say_bytes(who, r);
		break;
	case 6:
	case 7:
		say_frame(who, r);
		break;
	case 8:
		go_on(now + reader_u8(r) * 20 * NS_PER_MS);
		break;
	case 9:
		go_on(now + reader_u8(r) * NS_PER_S);
		break;
	case 10:
		mesh_network_changed(mesh, now);
		break;
	case 11: /* the wire is cut */
		wire_len = 0;
		break;
	case 12:
		mesh_set_local_endpoints(mesh, &actors[who].endpoint, op / 128, now);
		break;
	default:
		if (actors[who].peer)
			peer_connect(actors[who].peer, now);
		break;
	}
	if (op % 16 != 11)
		pump();
}

/* ---- Beginning and end ---- */

static struct peer *authorize(void *ctx, struct realm *realm, const struct node_key *key,
			      const struct object_id *of)
{
	struct actor *actor = ctx;

	actor->peer = realm_add_peer(realm, key, of);
	return actor->peer;
}

static const struct realm_ops actor_ops = {.authorize = authorize};

static void start(unsigned i)
{
	struct actor *actor = &actors[i];
	struct engine_io io = {actor, io_send, io_random, io_timestamp, NULL};
	const struct mesh_io out = {.ctx = NULL, .deliver = io_deliver};
	const struct via via = {.endpoint = actors[SELF].endpoint};

	actor->engine = engine_new(&io, id, AEAD_CHACHA20_POLY1305, now);
	FUZZ_CHECK(actor->engine);
	if (i == SELF) {
		mesh = mesh_new(actor->engine, &io, &out, &dnet, &actor->identity, 0xf);
		FUZZ_CHECK(mesh);
		return;
	}
	actor->realm = engine_add_realm(actor->engine,
					i == OVC   ? REALM_OVC
					: i == OVR ? REALM_OVR
						   : REALM_DNET,
					i >= OVC ? &helper_ids[i - OVC] : &dnet, &actor->identity,
					&actor_ops, actor);
	FUZZ_CHECK(actor->realm);
	if (i >= OVC)
		return;
	actor->peer = realm_add_peer(actor->realm, &actors[SELF].identity.key, NULL);
	FUZZ_CHECK(actor->peer);
	peer_set_via(actor->peer, &via);
}

static void begin(void)
{
	static const uint8_t seed[ID_SEED_LEN] = {3};

	now = 1000 * NS_PER_S;
	chance = 1;
	wire_len = 0;
	if (!id) {
		id = id_new(seed);
		FUZZ_CHECK(id);
	}
	memset(&dnet, 0xd0, sizeof(dnet));
	for (unsigned i = 0; i < ACTORS; i++) {
		struct secret secret;

		memset(&secret, (int)i + 1, sizeof(secret));
		actors[i] = (struct actor){.number = i};
		actors[i].endpoint = (struct endpoint){{ADDR_V4, {192, 0, 2, (uint8_t)(i + 1)}},
						       (uint16_t)(1000 + i)};
		FUZZ_CHECK(!id_from_secret(id, &secret, &actors[i].identity));
	}
	memset(&helper_ids[0], 0xc0, sizeof(helper_ids[0]));
	memset(&helper_ids[1], 0xe0, sizeof(helper_ids[1]));
	for (unsigned i = 0; i < ACTORS; i++)
		start(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r;

	begin();
	reader_init(&r, data, len);
	for (unsigned i = 0; i < STEPS_MAX && !r.failed && reader_left(&r); i++)
		step(&r);
	mesh_free(mesh);
	for (unsigned i = 0; i < ACTORS; i++)
		engine_free(actors[i].engine);
	return 0;
}
