#include "fixture/test.h"

#include "core/aead.h"
#include "core/cookie.h"
#include "core/session.h"
#include "fixture/duo.h"
#include "wire/buf.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

/* What strangers, liars and bad luck do to an engine: a counter goes up, and nothing else happens.
 */

static struct duo duo;

static int setup(void **state)
{
	(void)state;
	duo_init(&duo);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	duo_done(&duo);
	return 0;
}

static bool lose_all(void *arg, const struct duo_datagram *datagram)
{
	(void)arg;
	(void)datagram;
	return true;
}

/* What must not move. */
struct snapshot {
	struct peer_stats stats[DUO_NODES];
	struct via via;
	unsigned ups, downs, packets, frames, heard, sent;
	struct session *session;
	uint64_t deadline;
};

static void take(struct snapshot *s, unsigned node)
{
	struct duo_node *n = &duo.nodes[node];

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < DUO_NODES; i++)
		if (n->peers[i])
			peer_get_stats(n->peers[i], &s->stats[i]);
	s->via = *peer_via(n->peers[1 - node]);
	s->ups = n->ups;
	s->downs = n->downs;
	s->packets = n->packets;
	s->frames = n->frames;
	s->heard = n->heard;
	s->sent = duo.sent;
	s->session = peer_session(n->peers[1 - node], duo.now);
	s->deadline = engine_deadline(n->engine);
}

/* Each byte of the message with each of its bits turned, then shorter, then one longer. */
static void assert_no_variation_counts(unsigned node, const struct duo_datagram *good,
				       size_t mac2_at)
{
	struct snapshot before, after;
	uint64_t refusals = duo_refusals(&duo, node);
	uint8_t bytes[sizeof(good->bytes)];
	unsigned tries = 0;

	take(&before, node);
	for (size_t i = 0; i < good->len * 8; i++) {
		/* mac2 counts only under load; a changed type byte may make a punch or a STUN of
		 * it. */
		if (i / 8 >= mac2_at)
			break;
		memcpy(bytes, good->bytes, good->len);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		duo_input(&duo, node, 2, bytes, good->len);
		tries++;
	}
	for (size_t len = 0; len < good->len; len++, tries++)
		duo_input(&duo, node, 2, good->bytes, len);
	memcpy(bytes, good->bytes, good->len);
	bytes[good->len] = 0;
	duo_input(&duo, node, 2, bytes, good->len + 1);
	tries++;
	take(&after, node);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_int_equal(duo_refusals(&duo, node) - refusals, tries);
}

static void an_altered_initiation_is_refused(void **state)
{
	struct duo_datagram good;

	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	good = duo.last;
	assert_int_equal(good.bytes[0], MESSAGE_INITIATION);
	assert_no_variation_counts(1, &good, INITIATION_MAC2_AT);
	assert_int_equal(duo.sent_by_type[MESSAGE_RESPONSE], 0);
	duo.lose = NULL;
	duo_input(&duo, 1, 0, good.bytes, good.len);
	duo_pump(&duo);
	assert_int_equal(duo.nodes[0].ups, 1);
}

static void an_altered_response_is_refused(void **state)
{
	struct duo_datagram good;

	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	good = duo.last;
	assert_int_equal(good.bytes[0], MESSAGE_RESPONSE);
	assert_no_variation_counts(0, &good, RESPONSE_MAC2_AT);
	duo.lose = NULL;
	duo_input(&duo, 0, 1, good.bytes, good.len);
	duo_pump(&duo);
	assert_int_equal(duo.nodes[0].ups, 1);
	assert_int_equal(duo.nodes[1].ups, 1);
}

/* mac1 can be made by anybody who knows the receiver's key. */
static void with_right_mac1(unsigned to, struct duo_datagram *d)
{
	struct cookie_jar jar = {0};
	struct cookie_keys keys;

	cookie_keys_init(&keys, &duo.nodes[to].identity.key);
	cookie_add_macs(&jar, &keys, d->bytes, d->len, duo.now);
}

/* Whoever sees a handshake cannot put other session indices into it. */
static void an_altered_header_is_refused_although_mac1_is_right(void **state)
{
	static const size_t header[] = {INITIATION_EPHEMERAL_AT, RESPONSE_EPHEMERAL_AT};
	struct duo_datagram good, altered;

	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	for (unsigned to = 1; to < 2; to--) {
		good = duo.last;
		for (size_t bit = 32; bit < header[1 - to] * 8; bit++) {
			altered = good;
			altered.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			with_right_mac1(to, &altered);
			duo_input(&duo, to, 1 - to, altered.bytes, altered.len);
			assert_int_equal(duo.nodes[to].ups, 0);
			assert_int_equal(duo_count(&duo, to, ENGINE_handshake_invalid), bit - 31);
		}
		assert_int_equal(duo_count(&duo, to, ENGINE_handshake_response_out), 0);
		duo_input(&duo, to, 1 - to, good.bytes, good.len);
	}
	assert_int_equal(duo.nodes[0].ups, 1);
}

static void an_altered_data_message_is_refused(void **state)
{
	struct duo_datagram good;

	(void)state;
	duo_connect(&duo);
	duo.lose = lose_all;
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	good = duo.last;
	assert_no_variation_counts(1, &good, good.len);
	duo_input(&duo, 1, 0, good.bytes, good.len);
	assert_int_equal(duo.nodes[1].packets, 1);
}

static void every_message_counts_once(void **state)
{
	struct duo_datagram initiation, response, data;
	struct snapshot before, after;

	(void)state;
	duo_connect(&duo);
	initiation = duo.last_by_type[MESSAGE_INITIATION];
	response = duo.last_by_type[MESSAGE_RESPONSE];
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	duo_pump(&duo);
	data = duo.last;
	duo.now += DUO_S;

	take(&before, 1);
	duo_input(&duo, 1, 2, initiation.bytes, initiation.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_replayed), 1);
	duo_input(&duo, 1, 2, data.bytes, data.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_data_replayed), 1);
	take(&after, 1);
	assert_memory_equal(&before, &after, sizeof(before));
	take(&before, 0);
	duo_input(&duo, 0, 2, response.bytes, response.len);
	assert_int_equal(duo_count(&duo, 0, ENGINE_handshake_invalid), 1);
	/* And messages that come back to their sender. */
	duo_input(&duo, 0, 1, initiation.bytes, initiation.len);
	assert_int_equal(duo_count(&duo, 0, ENGINE_handshake_mac1_wrong), 1);
	duo_input(&duo, 0, 1, data.bytes, data.len);
	assert_int_equal(duo_count(&duo, 0, ENGINE_data_no_session), 1);
	take(&after, 0);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void an_older_initiation_is_refused(void **state)
{
	struct duo_datagram first;

	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	first = duo.last;
	duo_run_until(&duo, duo.now + DUO_S);
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	assert_int_equal(duo.sent_by_type[MESSAGE_RESPONSE], 1);
	duo.now += DUO_S;
	duo_input(&duo, 1, 0, first.bytes, first.len);
	assert_int_equal(duo.sent_by_type[MESSAGE_RESPONSE], 1);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_replayed), 1);
}

static void initiations_of_a_key_are_20_ms_apart(void **state)
{
	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	peer_reconnect(duo.nodes[0].peers[1], duo.now + 50 * DUO_MS);
	duo.now += 20 * DUO_MS - 1;
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_too_often), 1);
	duo.now++;
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	assert_int_equal(duo.sent_by_type[MESSAGE_RESPONSE], 2);
}

static void a_held_back_initiation_moves_nobody_who_has_a_session(void **state)
{
	struct duo_datagram held;

	(void)state;
	duo_connect(&duo);
	duo.now += DUO_S;
	duo.lose = lose_all;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	held = duo.last;
	duo_input(&duo, 1, 2, held.bytes, held.len);
	assert_true(
		endpoint_equal(&peer_via(duo.nodes[1].peers[0])->endpoint, &duo.nodes[0].endpoint));
	assert_int_equal(duo.last.to, 2);
}

static void a_non_member_gets_no_answer(void **state)
{
	unsigned sent;

	(void)state;
	peer_remove(duo.nodes[1].peers[0], 0);
	duo.nodes[1].peers[0] = NULL;
	duo_connect(&duo);
	duo_run_until(&duo, duo.now + 10 * DUO_S);
	assert_true(duo_count(&duo, 1, ENGINE_handshake_not_member) >= 4);
	assert_int_equal(duo.sent, duo.sent_by_type[MESSAGE_INITIATION]);
	/* It becomes one. */
	duo.nodes[1].authorizes = true;
	sent = duo.sent;
	duo_run_until(&duo, duo.now + 6 * DUO_S);
	assert_int_equal(duo.sent, sent + 3);
	assert_int_equal(duo.nodes[1].ups, 1);
}

static void a_removed_peer_is_cut_at_once(void **state)
{
	(void)state;
	duo_connect(&duo);
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	peer_remove(duo.nodes[1].peers[0], BYE_REMOVED);
	duo.nodes[1].peers[0] = NULL;
	/* What was on the way is not opened any more. */
	duo_pump(&duo);
	assert_int_equal(duo.nodes[1].packets, 0);
	assert_int_equal(duo_count(&duo, 1, ENGINE_data_no_session), 1);
	assert_int_equal(duo.nodes[0].downs, 1);
	assert_memory_equal(duo.nodes[0].last_frame, ((uint8_t[]){FRAME_BYE, BYE_REMOVED}), 2);
}

static void peers_may_be_removed_from_inside(void **state)
{
	const uint8_t frames[][9] = {{FRAME_PING}, {FRAME_BYE, 1}};
	const size_t lens[] = {9, 2};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		duo_init(&duo);
		duo_connect(&duo);
		duo.nodes[1].removes = true;
		if (i < 2)
			assert_int_equal(duo_send_frame(&duo, 0, 1, frames[i], lens[i]), 0);
		else
			assert_true(duo_send_packet(&duo, 0, 1, 60));
		duo_pump(&duo);
		assert_null(duo.nodes[1].peers[0]);
		assert_null(realm_find_peer(duo.nodes[1].realm, &duo.nodes[0].identity.key, NULL));
		duo_run_until(&duo, duo.now + 300 * DUO_S);
		duo_done(&duo);
	}
}

/* Makes the responder see 64 right initiations in one moment. */
static void load(unsigned count)
{
	struct duo_datagram good;
	bool (*lose)(void *, const struct duo_datagram *) = duo.lose;

	duo.lose = lose_all;
	peer_connect(duo.nodes[2].peers[1], duo.now);
	good = duo.last_by_type[MESSAGE_INITIATION];
	for (unsigned i = 0; i < count; i++)
		duo_input(&duo, 1, 2, good.bytes, good.len);
	duo.lose = lose;
}

static void up_to_64_initiations_in_100_ms_are_no_load(void **state)
{
	(void)state;
	load(63);
	duo_connect(&duo);
	assert_int_equal(duo.sent_by_type[MESSAGE_COOKIE], 0);
	assert_int_equal(duo.nodes[0].ups, 1);
}

static void under_load_a_cookie_is_asked_for_first(void **state)
{
	uint64_t start = duo.now;

	(void)state;
	load(64);
	duo_connect(&duo);
	assert_int_equal(duo.sent_by_type[MESSAGE_COOKIE], 1);
	assert_int_equal(duo.last.bytes[0], MESSAGE_COOKIE);
	assert_int_equal(duo_count(&duo, 0, ENGINE_cookie_received), 1);
	assert_int_equal(duo.nodes[0].ups, 0);
	/* The next try has it, still under load. */
	duo_run_until(&duo, start + 400 * DUO_MS);
	assert_int_equal(duo_count(&duo, 0, ENGINE_handshake_initiation_out), 2);
	assert_int_equal(duo.nodes[0].ups, 1);
	assert_int_equal(duo.nodes[1].ups, 1);
}

static void load_is_over_after_a_second(void **state)
{
	(void)state;
	load(65);
	duo.now += DUO_S - 1;
	duo_connect(&duo);
	assert_int_equal(duo.sent_by_type[MESSAGE_COOKIE], 2);
	duo_done(&duo);
	duo_init(&duo);
	load(65);
	duo.now += DUO_S;
	duo_connect(&duo);
	assert_int_equal(duo.sent_by_type[MESSAGE_COOKIE], 1);
	assert_int_equal(duo.nodes[0].ups, 1);
}

static void with_cookies_a_source_is_let_through_5_times(void **state)
{
	struct duo_datagram good;

	(void)state;
	load(64);
	duo_connect(&duo);
	duo.lose = lose_all;
	duo.now += 60 * DUO_MS;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	good = duo.last;
	for (unsigned i = 0; i < 5; i++)
		duo_input(&duo, 1, 0, good.bytes, good.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_too_often), 0);
	duo_input(&duo, 1, 0, good.bytes, good.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_too_often), 1);
	/* The cookie is good for its address only. */
	duo_input(&duo, 1, 2, good.bytes, good.len);
	assert_int_equal(duo.last.bytes[0], MESSAGE_COOKIE);
	assert_int_equal(duo.last.to, 2);
}

static void an_altered_cookie_is_refused(void **state)
{
	struct duo_datagram good;

	(void)state;
	load(64);
	duo.lose = lose_all;
	duo_connect(&duo);
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	good = duo.last;
	assert_int_equal(good.bytes[0], MESSAGE_COOKIE);
	assert_no_variation_counts(0, &good, good.len);
	duo_input(&duo, 0, 1, good.bytes, good.len);
	assert_int_equal(duo_count(&duo, 0, ENGINE_cookie_received), 1);
	/* The answer to an older message is no cookie. */
	duo.now += 60 * DUO_MS;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_input(&duo, 0, 1, good.bytes, good.len);
	assert_int_equal(duo_count(&duo, 0, ENGINE_cookie_received), 1);
}

static void other_datagrams_are_counted(void **state)
{
	static const struct {
		uint8_t bytes[40];
		size_t len;
		enum engine_counter counter;
	} rows[] = {
		{{0}, 0, ENGINE_datagram_unknown},
		{{0x17}, 40, ENGINE_datagram_unknown},
		{{MESSAGE_LANE}, 40, ENGINE_datagram_unknown},
		{{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20, ENGINE_datagram_unknown},
		{{MESSAGE_DATA}, DATA_MIN - 1, ENGINE_datagram_truncated},
		{{MESSAGE_DATA, 2}, DATA_MIN, ENGINE_datagram_truncated},
		{{MESSAGE_DATA, 0, 1}, DATA_MIN, ENGINE_datagram_truncated},
		{{MESSAGE_DATA}, DATA_MIN, ENGINE_data_no_session},
		{{MESSAGE_PUNCH}, 3, ENGINE_datagram_truncated},
		{{MESSAGE_PUNCH, 1}, 4, ENGINE_datagram_truncated},
		{{MESSAGE_PUNCH + 1}, 4, ENGINE_datagram_unknown},
	};
	uint64_t refusals;

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = duo_count(&duo, 1, rows[i].counter);

		duo_input(&duo, 1, 0, rows[i].bytes, rows[i].len);
		assert_int_equal(duo_count(&duo, 1, rows[i].counter), before + 1);
	}
	refusals = duo_refusals(&duo, 1);
	duo_input(&duo, 1, 0, (uint8_t[]){MESSAGE_PUNCH, 0, 0, 0}, PUNCH_LEN);
	assert_int_equal(duo_refusals(&duo, 1), refusals);
	assert_int_equal(duo.sent, 0);
}

/* Seals content with node 0's session and gives it to node 1. */
static void send_content(uint8_t flags, const uint8_t *content, size_t len)
{
	uint8_t msg[1600];
	size_t n = session_seal(peer_session(duo.nodes[0].peers[1], duo.now), flags, content, len,
				msg, sizeof(msg));

	assert_true(n > 0);
	duo_input(&duo, 1, 0, msg, n);
}

static void contents_have_to_be_what_they_say(void **state)
{
	static const struct {
		uint8_t flags, head[10];
		size_t len;
		bool good;
	} rows[] = {
		{0, {0x45, 0, 0, 20}, 20, true},
		{1, {0x45, 0, 0, 20}, 20, true},
		{0, {0x45, 0, 0, 20}, 19, false},
		{0, {0x45, 0, 0, 20}, 21, false},
		{0, {0x45, 0, 0, 19}, 19, false},
		{0, {0x60, 0, 0, 0, 0, 0}, 40, true},
		{0, {0x60, 0, 0, 0, 0, 1}, 41, true},
		{0, {0x60, 0, 0, 0, 0, 0}, 41, false},
		{0, {0x60, 0, 0, 0, 0, 1}, 40, false},
		{0, {0x60}, 1, false},
		{0, {0x45}, 1, false},
		{1, {0}, 0, false},
		{1, {FRAME_PING}, 9, false},
		{0, {FRAME_PING}, 9, true},
		{0, {FRAME_PING}, 8, false},
		{0, {FRAME_PING}, 10, false},
		{0, {FRAME_PONG}, 28, true},
		{0, {FRAME_PONG}, 27, false},
		{0, {FRAME_BYE}, 2, false},
		{0, {FRAME_BYE, 1}, 3, false},
	};

	(void)state;
	duo_connect(&duo);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = duo_count(&duo, 1, ENGINE_data_malformed);
		unsigned taken = duo.nodes[1].packets + duo.nodes[1].frames;
		uint8_t content[64] = {0};

		memcpy(content, rows[i].head, sizeof(rows[i].head));
		send_content(rows[i].flags, content, rows[i].len);
		assert_int_equal(duo_count(&duo, 1, ENGINE_data_malformed) - before, !rows[i].good);
		assert_int_equal(duo.nodes[1].packets + duo.nodes[1].frames - taken, rows[i].good);
	}
}

/* A helper's realm takes no packets. */
static void packets_that_nobody_wants_are_counted(void **state)
{
	static const struct realm_ops none = {0};
	struct object_id other = {{7}};
	struct realm *a = engine_add_realm(duo.nodes[0].engine, REALM_DNET, &other,
					   &duo.nodes[0].identity, &none, NULL);
	struct realm *b = engine_add_realm(duo.nodes[1].engine, REALM_DNET, &other,
					   &duo.nodes[1].identity, &none, NULL);
	struct via via = {.endpoint = duo.nodes[1].endpoint};
	struct peer *peer = realm_add_peer(a, &duo.nodes[1].identity.key, NULL);

	(void)state;
	assert_non_null(realm_add_peer(b, &duo.nodes[0].identity.key, NULL));
	peer_set_via(peer, &via);
	/* The same keys in two realms: the prologue tells them apart. */
	peer_connect(peer, duo.now);
	duo_pump(&duo);
	duo_connect(&duo);
	assert_int_equal(duo.nodes[1].ups, 1);
	assert_non_null(peer_session(peer, duo.now));
	assert_int_equal(peer_send_frame(peer, &via, (uint8_t[]){FRAME_REGISTER, 0}, 2, duo.now),
			 0);
	duo_pump(&duo);
	assert_int_equal(duo_count(&duo, 1, ENGINE_data_unexpected), 1);
	assert_int_equal(duo.nodes[1].frames, 0);
}

static void a_members_realm_of_a_helper_is_not_called(void **state)
{
	static const struct realm_ops none = {0};
	struct object_id ovc = {{9}};
	struct realm *helper = engine_add_realm(duo.nodes[1].engine, REALM_OVC, &ovc,
						&duo.nodes[1].identity, &none, NULL);
	struct realm *member = engine_add_realm(duo.nodes[0].engine, REALM_OVC, &ovc,
						&duo.nodes[0].identity, &none, NULL);
	struct peer *peer = realm_add_peer(member, &duo.nodes[1].identity.key, &duo.dnet);
	struct via via = {.endpoint = duo.nodes[1].endpoint};

	(void)state;
	assert_non_null(realm_add_peer(helper, &duo.nodes[0].identity.key, &duo.dnet));
	peer_set_via(peer, &via);
	peer_connect(peer, duo.now);
	duo_pump(&duo);
	assert_int_equal(duo.sent, 1);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_invalid), 1);
}

static void a_key_that_is_no_point_is_given_up(void **state)
{
	struct node_key key = {{2}};
	struct peer *peer;

	(void)state;
	memset(key.bytes + 1, 0xff, PUBKEY_LEN - 1);
	peer = realm_add_peer(duo.nodes[0].realm, &key, NULL);
	assert_non_null(peer);
	peer_connect(peer, duo.now);
	duo_run_until(&duo, duo.now + 20 * DUO_S);
	assert_int_equal(duo.nodes[0].downs, 1);
	assert_int_equal(duo.sent, 0);
}

static void many_peers_keep_their_indices_apart(void **state)
{
	enum { MANY = 300 };
	struct peer *peers[MANY];

	(void)state;
	duo.lose = lose_all;
	for (unsigned i = 0; i < MANY; i++) {
		struct secret secret = {{0}};
		struct identity identity;
		struct via via = {.endpoint = duo.nodes[1].endpoint};

		store_u32be(secret.bytes + 28, i + 1000);
		assert_int_equal(id_from_secret(duo.id, &secret, &identity), 0);
		peers[i] = realm_add_peer(duo.nodes[0].realm, &identity.key, NULL);
		assert_non_null(peers[i]);
		assert_ptr_equal(realm_find_peer(duo.nodes[0].realm, &identity.key, NULL),
				 peers[i]);
		peer_set_via(peers[i], &via);
		peer_connect(peers[i], duo.now);
	}
	assert_int_equal(duo.sent, MANY);
	for (unsigned i = 0; i < MANY; i += 2)
		peer_remove(peers[i], BYE_SHUTDOWN);
	duo_run_until(&duo, duo.now + 20 * DUO_S);
	assert_int_equal(duo.nodes[0].downs, MANY / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(an_altered_initiation_is_refused),
		T(an_altered_response_is_refused),
		T(an_altered_header_is_refused_although_mac1_is_right),
		T(an_altered_data_message_is_refused),
		T(every_message_counts_once),
		T(an_older_initiation_is_refused),
		T(initiations_of_a_key_are_20_ms_apart),
		T(a_held_back_initiation_moves_nobody_who_has_a_session),
		T(a_non_member_gets_no_answer),
		T(a_removed_peer_is_cut_at_once),
		cmocka_unit_test(peers_may_be_removed_from_inside),
		T(up_to_64_initiations_in_100_ms_are_no_load),
		T(under_load_a_cookie_is_asked_for_first),
		T(load_is_over_after_a_second),
		T(with_cookies_a_source_is_let_through_5_times),
		T(an_altered_cookie_is_refused),
		T(other_datagrams_are_counted),
		T(contents_have_to_be_what_they_say),
		T(packets_that_nobody_wants_are_counted),
		T(a_members_realm_of_a_helper_is_not_called),
		T(a_key_that_is_no_point_is_given_up),
		T(many_peers_keep_their_indices_apart),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
