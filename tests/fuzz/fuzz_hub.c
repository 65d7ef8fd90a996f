#include "fixture/test.h"

#include "fixture/lab.h"
#include "fuzz/fuzz.h"
#include "os/base.h"
#include "ovc/ovc.h"
#include "ovr/ovr.h"
#include "wire/buf.h"
#include "wire/message.h"
#include "wire/ovc.h"
#include "wire/ovr.h"
#include "wire/stun.h"

#include <string.h>

/* An OVC or an OVR, and members of two dnets with sessions of their own that say anything inside
 * them, in any order with time, restarts, removals and what strangers send. The input is a byte
 * that says which of the two it is, then steps. No tenant hears of another one; lanes lead to
 * members of the same dnet only, and nobody is sent more than came in. */

enum { STEPS_MAX = 120, SECONDS_MAX = 200 };

static struct lab lab;
static struct ovc *ovc;
static struct ovr *ovr;
static uint64_t lanes[8]; /* that members were told of, the last ones */
static size_t lane_count;
static uint64_t lane_in, stun_in;

static void start(enum realm_kind kind)
{
	lab_init(&lab, kind);
	ovc = NULL;
	ovr = NULL;
	lane_count = 0;
	lane_in = stun_in = 0;
	if (kind == REALM_OVC) {
		ovc = ovc_new(lab.engine, lab.hub, &lab.io);
		FUZZ_CHECK(ovc);
		lab_serve(&lab, &ovc_realm_ops, ovc, ovc_member_removed);
		ovc_set_realm(ovc, lab.realm);
	} else {
		ovr = ovr_new(lab.engine, lab.hub, &lab.io);
		FUZZ_CHECK(ovr);
		lab_serve(&lab, &ovr_realm_ops, ovr, ovr_member_removed);
		ovr_set_realm(ovr, lab.realm);
	}
	for (unsigned i = 0; i < LAB_MEMBERS; i++)
		lab_connect(&lab, i);
}

static void stop(void)
{
	lab_stop(&lab);
	ovc_free(ovc);
	ovr_free(ovr);
	lab_done(&lab);
}

static bool same_dnet(unsigned member, const struct node_key *key)
{
	for (unsigned i = 0; i < LAB_MEMBERS; i++)
		if (node_key_equal(&lab.members[i].identity.key, key))
			return (i >= 3) == (member >= 3);
	return false;
}

/* What came to a member is well formed, and about its own dnet. */
static void check_frames(unsigned member)
{
	struct lab_member *m = &lab.members[member];

	for (size_t i = 0; i < m->frame_count && i < LAB_FRAMES; i++) {
		const struct lab_frame *bytes = &m->frames[i];
		struct ovc_frame ovc_frame;
		struct ovr_frame ovr_frame;
		struct frame frame;

		if (ovc_frame_parse(bytes->bytes, bytes->len, &ovc_frame)) {
			if (ovc_frame.type == FRAME_INTRODUCTION)
				FUZZ_CHECK(same_dnet(member, &ovc_frame.introduction.key));
		} else if (ovr_frame_parse(bytes->bytes, bytes->len, &ovr_frame)) {
			if (ovr_frame.type == FRAME_LANE) {
				FUZZ_CHECK(same_dnet(member, &ovr_frame.key));
				lanes[lane_count++ % ARRAY_SIZE(lanes)] = ovr_frame.lane;
			}
		} else {
			FUZZ_CHECK(frame_parse(bytes->bytes, bytes->len, &frame));
		}
	}
	m->frame_count = 0;
}

/* ---- What members say ---- */

/* In its session, when it has one. */
static void ask(unsigned member, const uint8_t *frame, size_t len)
{
	const struct via via = {.endpoint = lab.endpoint};

	peer_send_frame(lab.members[member].helper, &via, frame, len, lab.now);
	lab_run_until(&lab, lab.now);
}

static void say_bytes(unsigned member, struct reader *r)
{
	uint8_t frame[FRAME_MAX];
	size_t len = reader_u8(r) + 1u;

	len = len < reader_left(r) ? len : reader_left(r);
	if (!len)
		return;
	reader_copy(r, frame, len);
	ask(member, frame, len);
}

static void say_frame(unsigned member, struct reader *r)
{
	uint8_t choice = reader_u8(r), bytes[FRAME_MAX];
	const struct node_key *other = &lab.members[choice % LAB_MEMBERS].identity.key;
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	if (lab.kind == REALM_OVR) {
		struct ovr_frame frame = {.type = FRAME_LANE_OPEN, .key = *other};

		ovr_frame_write(&w, &frame);
	} else if (choice & 0x80) {
		struct ovc_frame frame = {.type = FRAME_INTRODUCE, .introduce = *other};

		ovc_frame_write(&w, &frame);
	} else {
		struct ovc_frame frame = {.type = FRAME_REGISTER};

		for (unsigned i = 0; i < (choice >> 4); i++)
			frame.local.list[frame.local.count++] = lab.members[i % 5].endpoint;
		ovc_frame_write(&w, &frame);
	}
	FUZZ_CHECK(!w.failed);
	ask(member, bytes, writer_len(&w));
}

/* ---- What comes beside sessions ---- */

static void input_lanes(unsigned member, struct reader *r)
{
	uint8_t bytes[1024];
	size_t segment = 1 + reader_u8(r), len = reader_u8(r) * 4u, taken;
	uint8_t which = reader_u8(r);
	struct writer w;

	memset(bytes, which, sizeof(bytes));
	for (size_t at = 0; at + LANE_HEADER_LEN <= len; at += segment) {
		writer_init(&w, bytes + at, LANE_HEADER_LEN);
		message_lane_write(&w, which < ARRAY_SIZE(lanes) ? lanes[which] : which);
	}
	if (which & 0x80)
		reader_copy(r, bytes, MIN(MIN(reader_left(r), len), (size_t)which));
	lab.lane_len = 0;
	taken = ovr_input_lanes(ovr, &lab.members[member].endpoint, bytes, len, segment, lab.now);
	FUZZ_CHECK(taken <= len);
	FUZZ_CHECK(lab.lane_len <= taken);
	lane_in += taken;
}

static void input_stun(unsigned member, struct reader *r)
{
	uint8_t bytes[256];
	size_t len = reader_u8(r);

	len = len < reader_left(r) ? len : reader_left(r);
	reader_copy(r, bytes, len);
	if (len >= 20 && bytes[0] & 1)
		memcpy(bytes, (uint8_t[]){0, 1, 0, (uint8_t)(len - 20), 0x21, 0x12, 0xa4, 0x42}, 8);
	ovc_input_stun(ovc, &lab.members[member].endpoint, bytes, len, lab.now);
	stun_in += len;
}

static void step(struct reader *r)
{
	uint8_t op = reader_u8(r);
	unsigned member = op / 16 % LAB_MEMBERS;

	switch (op % 16) {
	case 0:
	case 1:
		say_bytes(member, r);
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		say_frame(member, r);
		break;
	case 6:
	case 7:
	case 8:
		if (ovr)
			input_lanes(member, r);
		else
			input_stun(member, r);
		break;
	case 9:
		lab_run_until(&lab, lab.now + reader_u8(r) % SECONDS_MAX * LAB_S);
		break;
	case 10:
		lab_restart_member(&lab, member);
		lab_connect(&lab, member);
		break;
	case 11: /* members removed, and limits */
		op = reader_u8(r);
		lab_set_members(&lab, member >= 3, op, reader_u8(r), op & 1);
		break;
	case 12:
		hub_drop_dnet(lab.hub, &lab.dnets[member >= 3], lab.removed, lab.decider);
		break;
	case 13:
		if (ovr)
			ovr_tick(ovr, lab.now);
		break;
	default:
		lab_connect(&lab, member);
		break;
	}
	for (unsigned i = 0; i < LAB_MEMBERS; i++)
		check_frames(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r;

	reader_init(&r, data, len);
	start(reader_u8(&r) & 1 ? REALM_OVR : REALM_OVC);
	for (unsigned i = 0; i < STEPS_MAX && !r.failed && reader_left(&r); i++)
		step(&r);
	if (ovr) {
		FUZZ_CHECK(ovr_counter(ovr, OVR_forwarded_bytes) <= lane_in);
		for (unsigned i = 0; i < LAB_DNETS; i++)
			FUZZ_CHECK(ovr_usage(ovr, &lab.dnets[i]).members <= LAB_MEMBERS);
	} else {
		for (unsigned i = 0; i < LAB_DNETS; i++)
			FUZZ_CHECK(ovc_registered(ovc, &lab.dnets[i], lab.now) <= LAB_MEMBERS);
	}
	stop();
	return 0;
}
