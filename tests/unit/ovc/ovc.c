#include "fixture/test.h"

#include "core/book.h"
#include "fixture/lab.h"
#include "ovc/ovc.h"
#include "wire/bech32.h"
#include "wire/buf.h"
#include "wire/hex.h"
#include "wire/ovc.h"
#include "wire/stun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct lab lab;
static struct ovc *ovc;

static int setup(void **state)
{
	(void)state;
	lab_init(&lab, REALM_OVC);
	ovc = ovc_new(lab.engine, lab.hub, &lab.io);
	lab_serve(&lab, &ovc_realm_ops, ovc, ovc_member_removed);
	ovc_set_realm(ovc, lab.realm);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lab_stop(&lab);
	ovc_free(ovc);
	lab_done(&lab);
	return 0;
}

static void send(unsigned member, const struct ovc_frame *frame)
{
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	ovc_frame_write(&w, frame);
	assert_false(w.failed);
	lab_ask(&lab, member, bytes, writer_len(&w));
}

static void register_with(unsigned member, unsigned endpoints)
{
	struct ovc_frame frame = {.type = FRAME_REGISTER};

	for (unsigned i = 0; i < endpoints; i++) {
		struct endpoint *e = &frame.local.list[frame.local.count++];

		e->addr.family = ADDR_V4;
		memcpy(e->addr.bytes, (uint8_t[]){10, 0, (uint8_t)member, (uint8_t)i}, 4);
		e->port = 4242;
	}
	send(member, &frame);
}

static void introduce(unsigned member, const struct node_key *key)
{
	struct ovc_frame frame = {.type = FRAME_INTRODUCE, .introduce = *key};

	send(member, &frame);
}

static const struct node_key *key(unsigned member)
{
	return &lab.members[member].identity.key;
}

static struct ovc_frame last(unsigned member, uint8_t type)
{
	const struct lab_frame *bytes = lab_last(&lab, member, type);
	struct ovc_frame frame;

	assert_non_null(bytes);
	assert_true(ovc_frame_parse(bytes->bytes, bytes->len, &frame));
	return frame;
}

static void assert_not_here(unsigned member, enum not_here_reason reason)
{
	assert_int_equal(last(member, FRAME_NOT_HERE).not_here.reason, reason);
	lab.members[member].frame_count = 0;
}

static void members_register_and_hear_how_many_are_here(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LAB_MEMBERS; i++) {
		struct ovc_frame frame;

		lab_connect(&lab, i);
		register_with(i, i);
		frame = last(i, FRAME_REGISTERED);
		assert_true(endpoint_equal(&frame.registered.observed, &lab.members[i].endpoint));
		/* Only those of the own dnet. */
		assert_int_equal(frame.registered.members, i < 3 ? i + 1 : i - 2);
	}
	register_with(0, 0);
	assert_int_equal(last(0, FRAME_REGISTERED).registered.members, 3);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 3);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[1], lab.now), 2);
	assert_int_equal(ovc_registered(ovc, &lab.object, lab.now), 0);
}

static void two_members_are_introduced_at_the_same_time(void **state)
{
	struct ovc_frame frame;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		lab_connect(&lab, i);
		register_with(i, FRAME_CANDIDATES_MAX);
	}
	introduce(0, key(1));
	frame = last(0, FRAME_INTRODUCTION);
	assert_int_equal(frame.introduction.role, INTRODUCTION_INITIATE);
	assert_memory_equal(&frame.introduction.key, key(1), PUBKEY_LEN);
	/* What it said, and what was seen. */
	assert_int_equal(frame.introduction.endpoints.count, FRAME_INTRODUCED_MAX);
	assert_true(endpoint_equal(&frame.introduction.endpoints.list[FRAME_CANDIDATES_MAX],
				   &lab.members[1].endpoint));
	frame = last(1, FRAME_INTRODUCTION);
	assert_int_equal(frame.introduction.role, INTRODUCTION_ANSWER);
	assert_memory_equal(&frame.introduction.key, key(0), PUBKEY_LEN);
	assert_int_equal(ovc_counter(ovc, OVC_introduced), 1);
}

static void an_endpoint_that_is_said_and_seen_stands_once(void **state)
{
	struct ovc_frame frame = {.type = FRAME_REGISTER};

	(void)state;
	lab_connect(&lab, 0);
	lab_connect(&lab, 1);
	frame.local.count = 1;
	frame.local.list[0] = lab.members[1].endpoint;
	send(1, &frame);
	register_with(0, 1);
	introduce(0, key(1));
	assert_int_equal(last(0, FRAME_INTRODUCTION).introduction.endpoints.count, 1);
}

static void who_is_not_registered_is_not_here(void **state)
{
	(void)state;
	lab_connect(&lab, 0);
	introduce(0, key(1));
	assert_not_here(0, NOT_HERE_NOT_REGISTERED);
	register_with(0, 1);
	introduce(0, key(1)); /* no session */
	assert_not_here(0, NOT_HERE_NOT_REGISTERED);
	lab_connect(&lab, 1);
	introduce(0, key(1)); /* a session, no REGISTER */
	assert_not_here(0, NOT_HERE_NOT_REGISTERED);
	introduce(0, key(0)); /* itself */
	assert_not_here(0, NOT_HERE_NOT_REGISTERED);
	register_with(1, 1);
	introduce(0, key(1));
	assert_int_equal(lab_count(&lab, 0, FRAME_INTRODUCTION), 1);
}

static void tenants_never_see_each_other(void **state)
{
	struct node_key nobody = *key(3);

	(void)state;
	lab_connect(&lab, 0);
	lab_connect(&lab, 3);
	register_with(0, 1);
	register_with(3, 1);
	introduce(0, key(3));
	assert_int_equal(lab_count(&lab, 3, FRAME_INTRODUCTION), 0);
	/* The same answer as for a key that nobody has. */
	assert_not_here(0, NOT_HERE_NOT_MEMBER);
	nobody.bytes[5] ^= 1;
	introduce(0, &nobody);
	assert_not_here(0, NOT_HERE_NOT_MEMBER);
}

static void a_registration_lives_40_s(void **state)
{
	uint64_t start = lab.now;

	(void)state;
	lab_connect(&lab, 0);
	lab_connect(&lab, 1);
	register_with(1, 1);
	lab_run_until(&lab, start + 10 * LAB_S);
	register_with(0, 1);
	lab_run_until(&lab, start + 40 * LAB_S - 1);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 2);
	introduce(0, key(1));
	assert_int_equal(lab_count(&lab, 0, FRAME_INTRODUCTION), 1);
	lab_run_until(&lab, start + 40 * LAB_S);
	introduce(0, key(1));
	assert_not_here(0, NOT_HERE_NOT_REGISTERED);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 1);
}

static void introductions_are_limited_to_20_then_10_a_second(void **state)
{
	(void)state;
	lab_connect(&lab, 0);
	lab_connect(&lab, 1);
	register_with(0, 1);
	register_with(1, 1);
	for (unsigned i = 0; i < 20; i++)
		introduce(0, key(1));
	assert_int_equal(lab_count(&lab, 0, FRAME_INTRODUCTION), 20);
	introduce(0, key(1));
	assert_not_here(0, NOT_HERE_TOO_OFTEN);
	lab.now += 100 * LAB_MS - 1;
	introduce(0, key(1));
	assert_not_here(0, NOT_HERE_TOO_OFTEN);
	lab.now += 1;
	introduce(0, key(1));
	assert_int_equal(lab_count(&lab, 0, FRAME_INTRODUCTION), 1);
	/* Another member has its own. */
	introduce(1, key(0));
	assert_int_equal(lab_count(&lab, 0, FRAME_INTRODUCTION), 2);
}

static void a_removed_member_is_cut_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		lab_connect(&lab, i);
		register_with(i, 1);
	}
	lab_set_members(&lab, 0, 1, 0, 0);
	assert_int_equal(lab.members[1].downs, 1);
	assert_int_equal(lab_last(&lab, 1, FRAME_BYE)->bytes[1], BYE_REMOVED);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 1);
	introduce(0, key(1));
	assert_not_here(0, NOT_HERE_NOT_MEMBER);
	/* And does not come back. */
	lab.now += LAB_S;
	lab_connect(&lab, 1);
	assert_int_equal(lab.members[1].ups, 1);
	assert_true(engine_counter(lab.engine, ENGINE_handshake_not_member) > 0);
}

static void a_member_in_the_name_of_another_dnet_is_a_stranger(void **state)
{
	struct realm *realm = lab.members[0].realm;
	struct via via = {.endpoint = lab.endpoint};
	struct peer *peer = realm_add_peer(realm, &lab.identity.key, &lab.dnets[1]);

	(void)state;
	peer_set_via(peer, &via);
	peer_connect(peer, lab.now);
	lab_run_until(&lab, lab.now + LAB_S);
	assert_int_equal(lab.members[0].ups, 0);
	assert_true(engine_counter(lab.engine, ENGINE_handshake_not_member) > 0);
}

static void members_register_again_after_a_restart_of_either(void **state)
{
	(void)state;
	lab_connect(&lab, 0);
	register_with(0, 1);
	lab.now += LAB_S;
	lab_restart_member(&lab, 0);
	lab_connect(&lab, 0);
	register_with(0, 2);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 1);
	teardown(NULL);
	setup(NULL);
	lab_connect(&lab, 0);
	register_with(0, 1);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 1);
}

static void a_member_that_went_away_leaves_nothing(void **state)
{
	(void)state;
	lab_connect(&lab, 0);
	register_with(0, 1);
	peer_remove(lab.members[0].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, lab.now + 1);
	assert_int_equal(ovc_registered(ovc, &lab.dnets[0], lab.now), 0);
	assert_null(realm_find_peer(lab.realm, key(0), &lab.dnets[0]));
}

static struct statement make(const struct identity *who, uint8_t backend, uint8_t fill)
{
	static const uint8_t aux[32];
	struct statement s = {.backend = backend,
			      .kind = OBJECT_DNET,
			      .object = lab.dnets[0],
			      .signer = who->key,
			      .date = fill,
			      .key_len = 32};

	memset(s.key, fill, s.key_len);
	book_sign(lab.id, who, aux, &s);
	return s;
}

static void publish(unsigned member, const struct statement *s)
{
	struct ovc_frame frame = {.type = FRAME_PUBLISH};
	uint8_t bytes[STATEMENT_MAX], all[FRAME_STATEMENT_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, s);
	frame.publish = (struct span){bytes, writer_len(&w)};
	writer_init(&w, all, sizeof(all));
	ovc_frame_write(&w, &frame);
	assert_false(w.failed);
	lab_ask(&lab, member, all, writer_len(&w));
}

/* The first key bytes of the statements that came to this member, by backend; forgets them. */
static void came(unsigned member, const struct node_key *whose, uint8_t keys[static 16])
{
	struct lab_member *m = &lab.members[member];

	memset(keys, 0, 16);
	for (size_t i = 0; i < m->frame_count; i++) {
		struct ovc_frame frame;
		struct statement s;

		if (m->frames[i].bytes[0] != FRAME_STATEMENT)
			continue;
		assert_true(ovc_frame_parse(m->frames[i].bytes, m->frames[i].len, &frame));
		assert_memory_equal(&frame.statement.key, whose, PUBKEY_LEN);
		assert_true(statement_parse(frame.statement.statement.data,
					    frame.statement.statement.len, &s));
		assert_true(book_is_signed(lab.id, &s));
		assert_true(s.backend < 16 && !keys[s.backend]);
		keys[s.backend] = s.key[0];
	}
	m->frame_count = 0;
}

/* PROTOCOL 9.7 */
static void statements_come_with_introductions_four_at_most(void **state)
{
	uint8_t keys[16];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		lab_connect(&lab, i);
		register_with(i, 1);
	}
	for (uint8_t backend = 2; backend <= 6; backend++) {
		struct statement s = make(&lab.members[1].identity, backend, backend);

		publish(1, &s);
	}
	assert_int_equal(ovc_counter(ovc, OVC_publish_in), 5);
	assert_int_equal(ovc_counter(ovc, OVC_publish_refused), 1);
	struct statement newer = make(&lab.members[1].identity, 3, 33);
	publish(1, &newer);
	introduce(0, key(1));
	came(0, key(1), keys);
	assert_memory_equal(keys, ((uint8_t[16]){[2] = 2, [3] = 33, [4] = 4, [5] = 5}), 16);
	came(1, key(0), keys);
	assert_memory_equal(keys, (uint8_t[16]){0}, 16);
	/* With the session they are gone. */
	lab.now += LAB_S;
	peer_remove(lab.members[1].helper, BYE_SHUTDOWN);
	lab_run_until(&lab, lab.now + LAB_S);
	lab_restart_member(&lab, 1);
	lab_connect(&lab, 1);
	register_with(1, 1);
	introduce(0, key(1));
	assert_non_null(lab_last(&lab, 0, FRAME_INTRODUCTION));
	came(0, key(1), keys);
	assert_memory_equal(keys, (uint8_t[16]){0}, 16);
}

static void only_ones_own_statement_for_this_dnet_is_kept(void **state)
{
	struct statement s;
	uint8_t keys[16];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		lab_connect(&lab, i);
		register_with(i, 1);
	}
	s = make(&lab.members[0].identity, 2, 7);
	publish(1, &s);
	s = make(&lab.members[1].identity, 2, 7);
	s.object = lab.dnets[1];
	publish(1, &s);
	s = make(&lab.members[1].identity, 2, 7);
	s.kind = OBJECT_OVC;
	publish(1, &s);
	assert_int_equal(ovc_counter(ovc, OVC_publish_refused), 3);
	introduce(0, key(1));
	came(0, key(1), keys);
	assert_memory_equal(keys, (uint8_t[16]){0}, 16);
}

/* True: the change of that dnet is another one than the last time. */
static bool changed(unsigned dnet)
{
	static char before[LAB_DNETS][OVC_CHANGE_SIZE];
	char now[OVC_CHANGE_SIZE];
	bool same;

	ovc_change(ovc, &lab.dnets[dnet], now);
	same = strcmp(now, before[dnet]) == 0;
	memcpy(before[dnet], now, sizeof(now));
	return !same;
}

static void whoever_asks_sees_when_there_are_other_statements(void **state)
{
	struct statement s;

	(void)state;
	changed(0);
	changed(1);
	lab_connect(&lab, 0);
	register_with(0, 1);
	assert_false(changed(0));
	s = make(&lab.members[0].identity, 2, 7);
	publish(0, &s);
	assert_true(changed(0));
	publish(0, &s); /* the same */
	assert_false(changed(0));
	s = make(&lab.members[0].identity, 2, 8);
	publish(0, &s);
	assert_true(changed(0));
	s = make(&lab.members[0].identity, 3, 8); /* of another backend */
	publish(0, &s);
	assert_true(changed(0));
	assert_false(changed(1));
	ovc_clear_hubs(ovc); /* whoever told one has to tell it again */
	assert_true(changed(0));
	assert_true(changed(1));
	publish(0, &s);
	assert_false(changed(0));
	s = make(&lab.members[0].identity, 3, 9);
	publish(0, &s);
	assert_true(changed(0));
	lab_set_members(&lab, 0, 7, 0, 0);
	assert_true(changed(0));
}

static size_t hub_line(char *text, size_t size, const struct object_id *dnet, const char *port,
		       const struct statement *s)
{
	char id[OBJECT_ID_TEXT_SIZE], hex[2 * STATEMENT_MAX + 1];
	uint8_t bytes[STATEMENT_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, s);
	assert_false(w.failed);
	hex_format(bytes, writer_len(&w), hex);
	object_id_format(OBJECT_DNET, dnet, id);
	return (size_t)snprintf(text, size, "%s %s %s\n", id, port, hex);
}

static struct statement make_hub(uint8_t fill)
{
	static const uint8_t aux[32];
	struct statement s = make(&lab.identity, BACKEND_TINC, fill);

	s.kind = OBJECT_OVC;
	s.object = lab.object;
	book_sign(lab.id, &lab.identity, aux, &s);
	return s;
}

static void hubs_of_a_file_are_told_to_their_dnet(void **state)
{
	struct statement first = make_hub(1), second = make_hub(2);
	char text[4096] = "# hubs\n\n";
	struct ovc_frame frame;
	const char *why;
	unsigned line;
	uint8_t keys[16];
	size_t len = strlen(text);

	(void)state;
	len += hub_line(text + len, sizeof(text) - len, &lab.dnets[0], "1655", &first);
	hub_line(text + len, sizeof(text) - len, &lab.dnets[1], "1656", &second);
	assert_int_equal(ovc_read_hubs(ovc, text, &lab.object, &line, &why), 0);
	lab_connect(&lab, 0);
	lab_connect(&lab, 3);
	register_with(0, 1);
	register_with(3, 1);
	frame = last(0, FRAME_STATEMENT);
	assert_int_equal(frame.statement.port, 1655);
	came(0, &lab.identity.key, keys);
	assert_int_equal(keys[BACKEND_TINC], 1);
	frame = last(3, FRAME_STATEMENT);
	assert_int_equal(frame.statement.port, 1656);
	came(3, &lab.identity.key, keys);
	assert_int_equal(keys[BACKEND_TINC], 2);
	/* An empty one takes them all back. */
	assert_int_equal(ovc_read_hubs(ovc, "", &lab.object, &line, &why), 0);
	register_with(0, 1);
	assert_int_equal(lab_count(&lab, 0, FRAME_STATEMENT), 0);
}

static void a_wrong_line_leaves_the_hubs_as_they_were(void **state)
{
	struct statement good = make_hub(1), bad;
	char text[4200], line_text[2048], one[2048];
	const char *why = NULL;
	unsigned line;

	(void)state;
	hub_line(one, sizeof(one), &lab.dnets[0], "1655", &good);
	assert_int_equal(ovc_read_hubs(ovc, one, &lab.object, &line, &why), 0);
	for (unsigned i = 0; i < 9; i++) {
		static const char *const ports[] = {"0", "65536", "x", "-1", "1655 9"};
		const char *port = i < 5 ? ports[i] : "1655";

		bad = make_hub(3);
		if (i == 5)
			bad.key[0] ^= 1;
		if (i == 6)
			bad.object.bytes[0] ^= 1;
		if (i == 7)
			bad = make(&lab.members[0].identity, BACKEND_TINC, 3);
		hub_line(line_text, sizeof(line_text), &lab.dnets[0], port, &bad);
		if (i == 8)
			line_text[0] = 'x';
		snprintf(text, sizeof(text), "# one is right\n%s%s", one, line_text);
		why = NULL;
		assert_int_equal(ovc_read_hubs(ovc, text, &lab.object, &line, &why), -EBADMSG);
		assert_int_equal(line, 3);
		assert_non_null(why);
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(ovc_read_hubs(ovc, text, &lab.object, &line, &why), -EBADMSG);
	lab_connect(&lab, 0);
	register_with(0, 1);
	assert_int_equal(lab_count(&lab, 0, FRAME_STATEMENT), 1);
}

static void other_frames_are_counted(void **state)
{
	static const struct {
		uint8_t bytes[40];
		size_t len;
		enum ovc_counter counter;
	} rows[] = {
		{{FRAME_CANDIDATES, 0}, 2, OVC_frame_unexpected},
		{{FRAME_REGISTERED}, 22, OVC_frame_unexpected},
		{{FRAME_LANE_OPEN, 2}, 34, OVC_frame_unexpected},
		{{0x3f}, 1, OVC_frame_unexpected},
		{{FRAME_REGISTER}, 1, OVC_frame_malformed},
		{{FRAME_REGISTER, 9}, 2, OVC_frame_malformed},
		{{FRAME_REGISTER, 0, 0}, 3, OVC_frame_malformed},
		{{FRAME_REGISTER, 1, 4, 1, 2, 3, 4}, 21, OVC_frame_malformed},
		{{FRAME_INTRODUCE, 2}, 33, OVC_frame_malformed},
		{{FRAME_PUBLISH, 1}, 40, OVC_frame_malformed},
		{{FRAME_STATEMENT, 2}, 40, OVC_frame_unexpected},
		{{FRAME_INTRODUCE, 2}, 35, OVC_frame_malformed},
	};

	(void)state;
	lab_connect(&lab, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = ovc_counter(ovc, rows[i].counter);

		lab_ask(&lab, 0, rows[i].bytes, rows[i].len);
		assert_int_equal(ovc_counter(ovc, rows[i].counter), before + 1);
	}
	assert_int_equal(lab.members[0].frame_count, 0);
}

static void stun_is_answered_5_times_a_second_after_10(void **state)
{
	uint8_t id[STUN_ID_LEN] = {1, 2, 3}, request[STUN_REQUEST_LEN];
	struct writer w;

	(void)state;
	writer_init(&w, request, sizeof(request));
	stun_request_write(&w, id);
	for (unsigned i = 0; i < 11; i++)
		assert_true(ovc_input_stun(ovc, &lab.members[0].endpoint, request, sizeof(request),
					   lab.now));
	assert_int_equal(ovc_counter(ovc, OVC_stun_answered), 10);
	assert_int_equal(ovc_counter(ovc, OVC_stun_refused), 1);
	lab.now += 200 * LAB_MS;
	assert_true(
		ovc_input_stun(ovc, &lab.members[0].endpoint, request, sizeof(request), lab.now));
	assert_int_equal(ovc_counter(ovc, OVC_stun_answered), 11);
	assert_false(ovc_input_stun(ovc, &lab.members[0].endpoint, request, sizeof(request) - 13,
				    lab.now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(members_register_and_hear_how_many_are_here),
		T(two_members_are_introduced_at_the_same_time),
		T(an_endpoint_that_is_said_and_seen_stands_once),
		T(who_is_not_registered_is_not_here),
		T(tenants_never_see_each_other),
		T(a_registration_lives_40_s),
		T(introductions_are_limited_to_20_then_10_a_second),
		T(a_removed_member_is_cut_at_once),
		T(a_member_in_the_name_of_another_dnet_is_a_stranger),
		T(members_register_again_after_a_restart_of_either),
		T(a_member_that_went_away_leaves_nothing),
		T(statements_come_with_introductions_four_at_most),
		T(only_ones_own_statement_for_this_dnet_is_kept),
		T(whoever_asks_sees_when_there_are_other_statements),
		T(hubs_of_a_file_are_told_to_their_dnet),
		T(a_wrong_line_leaves_the_hubs_as_they_were),
		T(other_frames_are_counted),
		T(stun_is_answered_5_times_a_second_after_10),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
