#include "fixture/test.h"

#include "core/aead.h"
#include "core/error.h"
#include "core/session.h"
#include "core/timers.h"
#include "fixture/duo.h"
#include "wire/buf.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <errno.h>
#include <string.h>

/* Two engines against each other in virtual time: what should work. What should not is in
 * engine_hostile.c. */

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

static bool lose_type(void *arg, const struct duo_datagram *datagram)
{
	return datagram->bytes[0] == *(uint8_t *)arg;
}

static bool lose_all(void *arg, const struct duo_datagram *datagram)
{
	(void)arg;
	(void)datagram;
	return true;
}

/* Loses one datagram of a type. */
static uint8_t lose_next;

static bool lose_one(void *arg, const struct duo_datagram *datagram)
{
	(void)arg;
	if (datagram->bytes[0] != lose_next)
		return false;
	lose_next = 0;
	return true;
}

static void assert_both_up(void)
{
	struct peer_stats stats;

	for (unsigned i = 0; i < 2; i++) {
		peer_get_stats(duo.nodes[i].peers[1 - i], &stats);
		assert_true(stats.up);
		assert_true(duo_send_packet(&duo, i, 1 - i, 100));
		duo_pump(&duo);
		assert_int_equal(duo.nodes[1 - i].last_packet_len, 100);
	}
}

static void a_handshake_brings_both_sides_up(void **state)
{
	struct peer_stats stats;

	(void)state;
	duo_connect(&duo);
	/* initiation, response, and the empty message that proves the keys */
	assert_int_equal(duo.sent, 3);
	assert_int_equal(duo.last.bytes[0], MESSAGE_DATA);
	assert_int_equal(duo.last.len, DATA_MIN);
	assert_int_equal(duo.nodes[0].ups, 1);
	assert_int_equal(duo.nodes[1].ups, 1);
	assert_both_up();
	peer_get_stats(duo.nodes[0].peers[1], &stats);
	assert_int_equal(stats.mtu, 65535);
	assert_int_equal(stats.aead, AEAD_CHACHA20_POLY1305);
	assert_int_equal(stats.tx_packets, 2);
	assert_int_equal(stats.tx_bytes, INITIATION_LEN + DATA_MIN + DATA_MIN + 100);
	assert_int_equal(stats.rx_packets, 1);
	assert_int_equal(stats.rx_bytes, RESPONSE_LEN + DATA_MIN + 100);
	assert_true(stats.last_handshake == duo.now && stats.last_heard == duo.now);
	assert_int_equal(duo_refusals(&duo, 0) + duo_refusals(&duo, 1), 0);
}

static void the_responder_seals_nothing_before_it_has_opened_something(void **state)
{
	uint8_t type = MESSAGE_DATA;

	(void)state;
	duo.lose = lose_type;
	duo.arg = &type;
	duo_connect(&duo);
	assert_non_null(peer_session(duo.nodes[0].peers[1], duo.now));
	assert_null(peer_session(duo.nodes[1].peers[0], duo.now));
	assert_int_equal(duo_send_frame(&duo, 1, 0, (uint8_t[]){FRAME_BYE, 1}, 2),
			 -DNET_ENOSESSION);
	assert_int_equal(duo.nodes[1].ups, 0);
	duo.lose = NULL;
	assert_true(duo_send_packet(&duo, 0, 1, 40));
	duo_pump(&duo);
	assert_int_equal(duo.nodes[1].ups, 1);
	assert_both_up();
}

static void the_best_common_cipher_is_taken(void **state)
{
	static const struct {
		uint8_t masks[DUO_NODES], chosen;
	} rows[] = {
		{{1, 1, 1}, AEAD_CHACHA20_POLY1305},
		{{3, 1, 1}, AEAD_CHACHA20_POLY1305},
		{{1, 3, 1}, AEAD_CHACHA20_POLY1305},
		{{3, 3, 1}, AEAD_AES256_GCM},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct peer_stats stats;

		duo_init_with(&duo, rows[i].masks);
		duo_connect(&duo);
		for (unsigned n = 0; n < 2; n++) {
			peer_get_stats(duo.nodes[n].peers[1 - n], &stats);
			assert_int_equal(stats.aead, rows[i].chosen);
		}
		assert_both_up();
		duo_done(&duo);
	}
}

static void mtus_are_told(void **state)
{
	struct peer_stats stats;

	(void)state;
	realm_set_mtu(duo.nodes[0].realm, 1280);
	realm_set_mtu(duo.nodes[1].realm, 1400);
	duo_connect(&duo);
	peer_get_stats(duo.nodes[0].peers[1], &stats);
	assert_int_equal(stats.mtu, 1400);
	peer_get_stats(duo.nodes[1].peers[0], &stats);
	assert_int_equal(stats.mtu, 1280);
}

static void lost_handshake_messages_are_made_up_for(void **state)
{
	static const uint8_t types[] = {MESSAGE_INITIATION, MESSAGE_RESPONSE, MESSAGE_DATA};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		duo_init(&duo);
		lose_next = types[i];
		duo.lose = lose_one;
		duo_connect(&duo);
		assert_int_equal(lose_next, 0);
		duo_run_until(&duo, duo.now + 400 * DUO_MS);
		assert_non_null(peer_session(duo.nodes[0].peers[1], duo.now));
		assert_both_up();
		duo_done(&duo);
	}
}

static void the_initiator_rekeys_after_120_s_of_traffic(void **state)
{
	uint64_t start = duo.now;

	(void)state;
	duo_connect(&duo);
	while (duo.now < start + 119 * DUO_S) {
		assert_true(duo_send_packet(&duo, 1, 0, 60));
		duo_run_until(&duo, duo.now + DUO_S);
	}
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 1);
	while (duo.now < start + 1000 * DUO_S) {
		assert_true(duo_send_packet(&duo, 0, 1, 60));
		assert_true(duo_send_packet(&duo, 1, 0, 60));
		duo_run_until(&duo, duo.now + DUO_S);
	}
	/* At 120, 240, … 960 s, and nothing was lost at any of them. */
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 9);
	assert_int_equal(duo.nodes[0].packets, 1000);
	assert_int_equal(duo.nodes[1].packets, 1000 - 119);
	assert_int_equal(duo.nodes[0].downs + duo.nodes[1].downs, 0);
	assert_int_equal(duo_refusals(&duo, 0) + duo_refusals(&duo, 1), 0);
}

static void a_session_seals_and_opens_nothing_at_180_s(void **state)
{
	uint64_t start = duo.now;
	struct duo_datagram late;

	(void)state;
	duo_connect(&duo);
	duo_run_until(&duo, start + 180 * DUO_S - 1);
	duo.lose = lose_all;
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	duo_input(&duo, 1, 0, duo.last.bytes, duo.last.len);
	assert_int_equal(duo.nodes[1].packets, 1);
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	late = duo.last;
	duo.now = start + 180 * DUO_S;
	assert_false(duo_send_packet(&duo, 0, 1, 60));
	duo_input(&duo, 1, 0, late.bytes, late.len);
	assert_int_equal(duo.nodes[1].packets, 1);
	assert_int_equal(duo_count(&duo, 1, ENGINE_data_no_session), 1);
	duo_run_until(&duo, duo.now);
	assert_int_equal(duo.nodes[0].downs, 1);
	assert_int_equal(duo.nodes[1].downs, 1);
	duo_input(&duo, 1, 0, late.bytes, late.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_data_no_session), 2);
}

static void nobody_there_is_given_up_after_20_s_and_tried_again_after_30_s(void **state)
{
	uint64_t start = duo.now;
	unsigned tries;

	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	duo_run_until(&duo, start + 20 * DUO_S - 1);
	assert_int_equal(duo.nodes[0].downs, 0);
	duo_run_until(&duo, start + 20 * DUO_S);
	assert_int_equal(duo.nodes[0].downs, 1);
	tries = duo.sent;
	assert_in_range(tries, 6, 9);
	duo_run_until(&duo, start + 30 * DUO_S);
	assert_int_equal(duo.sent, tries);
	/* Packets wait; somebody is there now. */
	duo.lose = NULL;
	duo_connect(&duo);
	duo_run_until(&duo, start + 50 * DUO_S - 1);
	assert_int_equal(duo.sent, tries);
	duo_run_until(&duo, start + 50 * DUO_S);
	assert_both_up();
}

static void news_of_the_peer_try_it_at_once(void **state)
{
	uint64_t start = duo.now;

	(void)state;
	duo.lose = lose_all;
	duo_connect(&duo);
	duo_run_until(&duo, start + 21 * DUO_S);
	duo.lose = NULL;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_pump(&duo);
	assert_both_up();
	/* Also over a session that seems good, but the other side forgot. */
	duo_restart(&duo, 1);
	duo.now += 50 * DUO_MS;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_pump(&duo);
	assert_int_equal(duo.nodes[0].downs, 1);
	assert_both_up();
}

static void a_persistent_peer_is_kept_for_ever(void **state)
{
	uint64_t start = duo.now;

	(void)state;
	duo.lose = lose_all;
	peer_set_persistent(duo.nodes[0].peers[1], true);
	duo_run_until(&duo, start + 300 * DUO_S);
	assert_int_equal(duo.nodes[0].downs, 1);
	duo.lose = NULL;
	duo_run_until(&duo, start + 306 * DUO_S);
	assert_both_up();
	duo_run_until(&duo, start + 3600 * DUO_S);
	assert_int_equal(duo.nodes[0].downs, 1);
	assert_both_up();
}

static void a_peer_that_forgot_the_session_is_found_out(void **state)
{
	uint64_t start = duo.now;

	(void)state;
	duo_connect(&duo);
	duo_restart(&duo, 1);
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	duo_run_until(&duo, start + 15 * DUO_S - 1);
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 1);
	duo_run_until(&duo, start + 15 * DUO_S);
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 2);
	assert_both_up();
	/* Sooner when it is asked something. */
	duo_restart(&duo, 1);
	start = duo.now;
	assert_int_equal(
		duo_send_frame(&duo, 0, 1, (uint8_t[]){FRAME_PING, 1, 2, 3, 4, 5, 6, 7, 8}, 9), 0);
	duo_run_until(&duo, start + 5 * DUO_S);
	assert_both_up();
	assert_int_equal(duo.nodes[0].downs, 0);
}

static void an_empty_message_answers_data_after_10_s(void **state)
{
	uint64_t start = duo.now;
	unsigned sent;

	(void)state;
	duo_connect(&duo);
	assert_true(duo_send_packet(&duo, 0, 1, 60));
	duo_pump(&duo);
	sent = duo.sent;
	duo_run_until(&duo, start + 10 * DUO_S - 1);
	assert_int_equal(duo.sent, sent);
	duo_run_until(&duo, start + 100 * DUO_S);
	assert_int_equal(duo.sent, sent + 1);
	assert_int_equal(duo.last.from, 1);
	assert_int_equal(duo.last.len, DATA_MIN);
}

static void both_may_begin_at_the_same_time(void **state)
{
	uint64_t start = duo.now;

	(void)state;
	/* Both initiations are on the way before either arrives. */
	peer_connect(duo.nodes[0].peers[1], duo.now);
	peer_connect(duo.nodes[1].peers[0], duo.now);
	duo_pump(&duo);
	assert_int_equal(duo.nodes[0].ups, 1);
	assert_int_equal(duo.nodes[1].ups, 1);
	assert_both_up();
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 2);
	/* The first rekey makes it one session again, with one initiator. */
	duo_run_until(&duo, start + 120 * DUO_S);
	assert_both_up();
	duo_run_until(&duo, start + 240 * DUO_S - 1);
	assert_true(session_is_initiator(peer_session(duo.nodes[0].peers[1], duo.now)) !=
		    session_is_initiator(peer_session(duo.nodes[1].peers[0], duo.now)));
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 3);
	duo_run_until(&duo, start + 240 * DUO_S);
	assert_both_up();
	duo_run_until(&duo, duo.now + DUO_S);
	assert_int_equal(duo.sent_by_type[MESSAGE_INITIATION], 4);
	assert_int_equal(duo.nodes[0].downs + duo.nodes[1].downs, 0);
}

/* A session that is seconds old is as easily forgotten as any. */
static void a_peer_that_restarts_right_after_the_handshake_is_reached(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		unsigned first = i & 1, killed = i >> 1 & 1, asks = i >> 2;

		duo_init(&duo);
		peer_connect(duo.nodes[first].peers[1 - first], duo.now);
		duo_pump(&duo);
		duo.now += DUO_S;
		duo_restart(&duo, killed);
		peer_reconnect(duo.nodes[asks].peers[1 - asks], duo.now);
		duo_pump(&duo);
		assert_both_up();
		duo_done(&duo);
	}
}

static void ping_is_answered_with_the_address_it_came_from(void **state)
{
	const uint8_t ping[] = {FRAME_PING, 1, 2, 3, 4, 5, 6, 7, 8};
	struct frame pong;

	(void)state;
	duo_connect(&duo);
	assert_int_equal(duo_send_frame(&duo, 0, 1, ping, sizeof(ping)), 0);
	duo_pump(&duo);
	assert_int_equal(duo.nodes[1].frames, 1);
	assert_int_equal(duo.nodes[0].frames, 1);
	assert_true(frame_parse(duo.nodes[0].last_frame, duo.nodes[0].last_frame_len, &pong));
	assert_int_equal(pong.type, FRAME_PONG);
	assert_true(pong.ping.id == UINT64_C(0x0807060504030201));
	assert_true(endpoint_equal(&pong.ping.observed, &duo.nodes[0].endpoint));
	/* By a lane the answer takes the lane, and nobody saw an address. */
	duo.nodes[0].lane = duo.nodes[1].lane = 7;
	assert_int_equal(duo_send_frame(&duo, 0, 1, ping, sizeof(ping)), 0);
	duo_pump(&duo);
	assert_true(duo.nodes[0].last_via.lane == 7);
	assert_true(frame_parse(duo.nodes[0].last_frame, duo.nodes[0].last_frame_len, &pong));
	assert_int_equal(pong.ping.observed.addr.family, ADDR_NONE);
}

static void bye_ends_the_session(void **state)
{
	(void)state;
	duo_connect(&duo);
	peer_remove(duo.nodes[0].peers[1], BYE_SHUTDOWN);
	duo.nodes[0].peers[1] = NULL;
	duo_pump(&duo);
	assert_int_equal(duo.nodes[1].frames, 1);
	assert_memory_equal(duo.nodes[1].last_frame, ((uint8_t[]){FRAME_BYE, BYE_SHUTDOWN}), 2);
	assert_int_equal(duo.nodes[1].downs, 1);
	assert_null(peer_session(duo.nodes[1].peers[0], duo.now));
}

static void a_late_bye_does_not_end_a_newer_session(void **state)
{
	struct duo_datagram bye;

	(void)state;
	duo_connect(&duo);
	duo.lose = lose_all;
	assert_int_equal(duo_send_frame(&duo, 0, 1, (uint8_t[]){FRAME_BYE, 1}, 2), 0);
	bye = duo.last;
	duo.lose = NULL;
	duo.now += DUO_S;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_pump(&duo);
	duo_input(&duo, 1, 0, bye.bytes, bye.len);
	assert_int_equal(duo.nodes[1].frames, 1);
	assert_int_equal(duo.nodes[1].downs, 0);
	assert_both_up();
}

static void realms_say_goodbye(void **state)
{
	(void)state;
	duo_connect(&duo);
	peer_connect(duo.nodes[0].peers[2], duo.now);
	duo_pump(&duo);
	realm_remove(duo.nodes[0].realm);
	duo_pump(&duo);
	assert_int_equal(duo.nodes[1].downs, 1);
	assert_int_equal(duo.nodes[2].downs, 1);
}

static void frames_have_a_limit(void **state)
{
	uint8_t frame[ENGINE_FRAME_MAX + 1] = {0x33};

	(void)state;
	duo_connect(&duo);
	duo.lose = lose_all;
	assert_int_equal(duo_send_frame(&duo, 0, 1, frame, ENGINE_FRAME_MAX), 0);
	assert_int_equal(duo.last.len, ENGINE_FRAME_MAX + SESSION_OVERHEAD);
	assert_int_equal(duo_send_frame(&duo, 0, 1, frame, ENGINE_FRAME_MAX + 1), -EMSGSIZE);
}

static void a_clock_that_goes_back_does_not_lock_us_out(void **state)
{
	(void)state;
	duo_connect(&duo);
	duo.wall_offset_s -= 3600;
	duo.now += DUO_S;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_pump(&duo);
	assert_int_equal(duo.sent_by_type[MESSAGE_RESPONSE], 2);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_replayed), 0);
}

static void an_epoch_or_psk_that_differs_keeps_out(void **state)
{
	const struct epoch bare = {.number = 1}, right = {1, {{1}}};

	(void)state;
	realm_set_epoch(duo.nodes[0].realm, &bare, NULL);
	duo_connect(&duo);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_invalid), 1);
	realm_set_epoch(duo.nodes[1].realm, &right, NULL);
	duo.now += DUO_S;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_pump(&duo);
	assert_int_equal(duo_count(&duo, 0, ENGINE_handshake_invalid), 1);
	assert_int_equal(duo.nodes[0].ups, 0);
	realm_set_epoch(duo.nodes[0].realm, &right, NULL);
	duo.now += DUO_S;
	peer_reconnect(duo.nodes[0].peers[1], duo.now);
	duo_pump(&duo);
	assert_both_up();
}

/* Without a session it begins one; the initiations that it took, 0: none was answered in 10 s. */
static unsigned tries_to_meet(unsigned who)
{
	struct peer *peer = duo.nodes[who].peers[!who];
	unsigned before;

	duo_run_until(&duo, duo.now + 200 * DUO_S);
	assert_null(peer_session(peer, duo.now));
	before = duo.sent_by_type[MESSAGE_INITIATION];
	peer_connect(peer, duo.now);
	duo_run_until(&duo, duo.now + 10 * DUO_S);
	return peer_session(peer, duo.now) ? duo.sent_by_type[MESSAGE_INITIATION] - before : 0;
}

/* PROTOCOL 3.8: who has the new roster and who does not yet talk to each other */
static void an_old_epoch_is_talked_to_while_it_rolls_over(void **state)
{
	const struct epoch none = {0}, old = {1, {{1}}}, new = {2, {{2}}};
	struct realm *a = duo.nodes[0].realm, *b = duo.nodes[1].realm;

	(void)state;
	for (int begins = 0; begins < 2; begins++) {
		realm_set_epoch(a, begins ? &old : &new, begins ? &none : &old);
		realm_set_epoch(b, begins ? &none : &old, NULL);
		assert_int_equal(tries_to_meet(0), 2); /* the first is in its own epoch */
		assert_int_equal(tries_to_meet(1), 1);
		realm_set_epoch(a, begins ? &old : &new, NULL);
		assert_int_equal(tries_to_meet(0), 0);
		assert_int_equal(tries_to_meet(1), 0);
		realm_set_epoch(b, begins ? &old : &new, begins ? &none : &old);
		assert_int_equal(tries_to_meet(0), 1);
		assert_int_equal(tries_to_meet(1), 1);
	}
}

static void counters_have_names(void **state)
{
	(void)state;
	assert_string_equal(engine_counter_name(ENGINE_datagram_unknown), "datagram_unknown");
	assert_string_equal(engine_counter_name(ENGINE_COUNTER_COUNT - 1), "data_unexpected");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_handshake_brings_both_sides_up),
		T(the_responder_seals_nothing_before_it_has_opened_something),
		cmocka_unit_test(the_best_common_cipher_is_taken),
		T(mtus_are_told),
		cmocka_unit_test(lost_handshake_messages_are_made_up_for),
		T(the_initiator_rekeys_after_120_s_of_traffic),
		T(a_session_seals_and_opens_nothing_at_180_s),
		T(nobody_there_is_given_up_after_20_s_and_tried_again_after_30_s),
		T(news_of_the_peer_try_it_at_once),
		T(a_persistent_peer_is_kept_for_ever),
		T(a_peer_that_forgot_the_session_is_found_out),
		T(an_empty_message_answers_data_after_10_s),
		T(both_may_begin_at_the_same_time),
		cmocka_unit_test(a_peer_that_restarts_right_after_the_handshake_is_reached),
		T(ping_is_answered_with_the_address_it_came_from),
		T(bye_ends_the_session),
		T(a_late_bye_does_not_end_a_newer_session),
		T(realms_say_goodbye),
		T(frames_have_a_limit),
		T(a_clock_that_goes_back_does_not_lock_us_out),
		T(an_epoch_or_psk_that_differs_keeps_out),
		T(an_old_epoch_is_talked_to_while_it_rolls_over),
		T(counters_have_names),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
