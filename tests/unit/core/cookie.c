#include "fixture/test.h"

#include "core/cookie.h"

#include <sodium.h>
#include <string.h>

#define S  UINT64_C(1000000000)
#define MS UINT64_C(1000000)

/* A sender, a receiver, and a handshake message between them. */
struct world {
	struct cookie_keys receiver, other;
	struct cookie_jar jar;
	struct cookie_baker baker;
	struct endpoint src;
	uint8_t msg[INITIATION_LEN];
	uint8_t nonce[COOKIE_NONCE_LEN];
	uint8_t sealed[COOKIE_SEALED_LEN];
	uint64_t now;
};

static const uint8_t secrets[3][COOKIE_SECRET_LEN] = {{1}, {2}, {3}};

static void world_init(struct world *w)
{
	struct node_key key = {{2, 7}}, other = {{3, 7}};

	memset(w, 0, sizeof(*w));
	w->now = 1000 * S;
	cookie_keys_init(&w->receiver, &key);
	cookie_keys_init(&w->other, &other);
	cookie_baker_init(&w->baker, secrets[0], w->now);
	w->src = (struct endpoint){{ADDR_V4, {192, 0, 2, 7}}, 51820};
	for (size_t i = 0; i < sizeof(w->msg); i++)
		w->msg[i] = (uint8_t)i;
	memset(w->nonce, 9, sizeof(w->nonce));
}

static void send(struct world *w)
{
	cookie_add_macs(&w->jar, &w->receiver, w->msg, sizeof(w->msg), w->now);
}

static void reply(struct world *w)
{
	cookie_make_reply(&w->baker, &w->receiver, &w->src, w->msg, sizeof(w->msg), w->nonce,
			  w->sealed);
}

static bool consume(struct world *w)
{
	return cookie_consume_reply(&w->jar, &w->receiver, w->nonce, w->sealed, w->now);
}

static bool mac2_valid(const struct world *w)
{
	return cookie_mac2_valid(&w->baker, &w->src, w->msg, sizeof(w->msg), w->now);
}

/* Ends with a message on its way whose mac2 is right. */
static void get_cookie(struct world *w)
{
	send(w);
	reply(w);
	assert_true(consume(w));
	send(w);
	assert_true(mac2_valid(w));
}

static void mac1_says_for_which_key_a_message_is(void **state)
{
	struct world w;

	world_init(&w);
	send(&w);
	assert_true(cookie_mac1_valid(&w.receiver, w.msg, sizeof(w.msg)));
	assert_false(cookie_mac1_valid(&w.other, w.msg, sizeof(w.msg)));
}

static void any_flipped_bit_before_mac2_makes_mac1_wrong(void **state)
{
	struct world w;
	size_t bits = 8 * (sizeof(w.msg) - COOKIE_MAC_LEN);

	world_init(&w);
	send(&w);
	for (size_t bit = 0; bit < 8 * sizeof(w.msg); bit++) {
		w.msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(cookie_mac1_valid(&w.receiver, w.msg, sizeof(w.msg)), bit >= bits);
		w.msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void a_message_shorter_than_its_macs_is_refused(void **state)
{
	struct world w;

	world_init(&w);
	for (size_t len = 0; len < 2 * COOKIE_MAC_LEN; len++) {
		assert_false(cookie_mac1_valid(&w.receiver, w.msg, len));
		assert_false(cookie_mac2_valid(&w.baker, &w.src, w.msg, len, w.now));
	}
	/* Macs of nothing. */
	cookie_add_macs(&w.jar, &w.receiver, w.msg, 2 * COOKIE_MAC_LEN, w.now);
	assert_true(cookie_mac1_valid(&w.receiver, w.msg, 2 * COOKIE_MAC_LEN));
}

static void without_a_cookie_mac2_is_zero_and_wrong(void **state)
{
	static const uint8_t zero[COOKIE_MAC_LEN];
	struct world w;

	world_init(&w);
	send(&w);
	assert_memory_equal(w.msg + sizeof(w.msg) - COOKIE_MAC_LEN, zero, COOKIE_MAC_LEN);
	assert_false(mac2_valid(&w));
}

static void a_cookie_makes_mac2_right(void **state)
{
	struct world w;

	world_init(&w);
	get_cookie(&w);
	for (size_t bit = 0; bit < 8 * sizeof(w.msg); bit++) {
		w.msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(mac2_valid(&w));
		w.msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(mac2_valid(&w));
}

static void a_cookie_is_for_one_address_and_port(void **state)
{
	struct world w;

	world_init(&w);
	get_cookie(&w);
	w.src.port++;
	assert_false(mac2_valid(&w));
	w.src.port--;
	for (int i = 0; i < 4; i++) {
		w.src.addr.bytes[i]++;
		assert_false(mac2_valid(&w));
		w.src.addr.bytes[i]--;
	}
	assert_true(mac2_valid(&w));
	/* PROTOCOL 4.3: 16 bytes (IPv4 mapped): the same host by a socket of IPv6. */
	w.src.addr = (struct address){ADDR_V6, {[10] = 0xff, 0xff, 192, 0, 2, 7}};
	assert_true(mac2_valid(&w));
	for (int i = 0; i < 16; i++) {
		w.src.addr.bytes[i]++;
		assert_false(mac2_valid(&w));
		w.src.addr.bytes[i]--;
	}
}

static void a_sender_uses_a_cookie_for_less_than_115_seconds(void **state)
{
	static const uint8_t zero[COOKIE_MAC_LEN];
	struct world w;

	world_init(&w);
	get_cookie(&w);
	w.now += 115 * S - 1;
	send(&w);
	assert_true(mac2_valid(&w));
	w.now++;
	send(&w);
	assert_memory_equal(w.msg + sizeof(w.msg) - COOKIE_MAC_LEN, zero, COOKIE_MAC_LEN);
}

static void a_secret_is_due_for_change_at_120_seconds(void **state)
{
	struct world w;

	world_init(&w);
	assert_false(cookie_baker_due(&w.baker, w.now + 120 * S - 1));
	assert_true(cookie_baker_due(&w.baker, w.now + 120 * S));
	cookie_baker_renew(&w.baker, secrets[1], w.now + 120 * S);
	assert_false(cookie_baker_due(&w.baker, w.now + 240 * S - 1));
	assert_true(cookie_baker_due(&w.baker, w.now + 240 * S));
}

static void the_secret_before_is_good_for_120_seconds_more(void **state)
{
	struct world w;
	uint64_t start;

	world_init(&w);
	start = w.now;
	get_cookie(&w);
	w.now = start + 120 * S;
	cookie_baker_renew(&w.baker, secrets[1], w.now);
	assert_true(mac2_valid(&w));
	w.now = start + 240 * S - 1;
	assert_true(mac2_valid(&w));
	w.now++;
	assert_false(mac2_valid(&w));
	/* Two changes later nothing is left of it. */
	world_init(&w);
	get_cookie(&w);
	cookie_baker_renew(&w.baker, secrets[1], w.now + 120 * S);
	cookie_baker_renew(&w.baker, secrets[2], w.now + 240 * S);
	w.now += 240 * S;
	assert_false(mac2_valid(&w));
}

static void a_secret_that_nobody_changed_ends_by_itself(void **state)
{
	struct world w;
	uint64_t start;

	world_init(&w);
	start = w.now;
	get_cookie(&w);
	w.now = start + 240 * S - 1;
	assert_true(mac2_valid(&w));
	w.now++;
	assert_false(mac2_valid(&w));
	/* Nor does a late change bring it back. */
	cookie_baker_renew(&w.baker, secrets[1], w.now);
	assert_false(mac2_valid(&w));
}

static void new_replies_are_made_with_the_new_secret(void **state)
{
	struct world w;

	world_init(&w);
	w.now += 120 * S;
	cookie_baker_renew(&w.baker, secrets[1], w.now);
	get_cookie(&w);
	w.now += 120 * S;
	cookie_baker_renew(&w.baker, secrets[2], w.now);
	assert_true(mac2_valid(&w));
}

static void any_flipped_bit_of_a_reply_is_refused(void **state)
{
	struct world w;
	struct cookie_jar before;

	world_init(&w);
	send(&w);
	reply(&w);
	before = w.jar;
	for (size_t bit = 0; bit < 8 * sizeof(w.sealed); bit++) {
		w.sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(consume(&w));
		assert_memory_equal(&w.jar, &before, sizeof(before));
		w.sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 0; bit < 8 * sizeof(w.nonce); bit++) {
		w.nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(consume(&w));
		w.nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_false(cookie_consume_reply(&w.jar, &w.other, w.nonce, w.sealed, w.now));
	assert_true(consume(&w));
}

static void a_reply_counts_only_for_the_last_message_and_once(void **state)
{
	struct world w;

	world_init(&w);
	/* To one who has sent nothing. */
	reply(&w);
	assert_false(consume(&w));
	send(&w);
	reply(&w);
	w.msg[0]++;
	send(&w);
	assert_false(consume(&w));
	reply(&w);
	assert_true(consume(&w));
	/* Seen again it would make the cookie look younger. */
	w.now += 100 * S;
	assert_false(consume(&w));
	w.now += 15 * S;
	send(&w);
	assert_false(mac2_valid(&w));
}

static void the_baker_forgets_when_wiped(void **state)
{
	static const struct cookie_baker none;
	struct world w;

	world_init(&w);
	cookie_baker_wipe(&w.baker);
	assert_memory_equal(&w.baker, &none, sizeof(none));
}

/* PROTOCOL 4.2: more than 64 initiations in 100 ms */
static void the_65th_initiation_in_100_ms_is_load(void **state)
{
	struct cookie_load load = {0};

	for (int i = 0; i < 64; i++)
		assert_false(cookie_load_add(&load, 5 * S));
	assert_false(cookie_load_high(&load, 5 * S));
	assert_true(cookie_load_add(&load, 5 * S + 100 * MS - 1));
	/* until 1 s after the last such moment */
	assert_true(cookie_load_high(&load, 6 * S + 100 * MS - 2));
	assert_false(cookie_load_high(&load, 6 * S + 100 * MS - 1));
}

static void the_65th_initiation_after_100_ms_is_no_load(void **state)
{
	struct cookie_load load = {0};

	for (int i = 0; i < 64; i++)
		assert_false(cookie_load_add(&load, 5 * S));
	assert_false(cookie_load_add(&load, 5 * S + 100 * MS));
	/* 640 a second for ever, evenly. */
	memset(&load, 0, sizeof(load));
	for (uint64_t i = 0; i < 1000; i++)
		assert_false(cookie_load_add(&load, 5 * S + i * 100 * MS / 64));
	/* A little more. */
	for (uint64_t i = 0; i < 63; i++)
		assert_false(cookie_load_add(&load, 50 * S + i * MS));
	assert_false(cookie_load_add(&load, 50 * S + 99 * MS));
	assert_true(cookie_load_add(&load, 50 * S + 99 * MS));
}

static void load_lasts_as_long_as_it_is_fed(void **state)
{
	struct cookie_load load = {0};
	uint64_t now = 5 * S;

	for (int i = 0; i < 5000; i++, now += MS)
		cookie_load_add(&load, now);
	assert_true(cookie_load_high(&load, now));
	assert_true(cookie_load_high(&load, now - MS + S - 1));
	assert_false(cookie_load_high(&load, now - MS + S));
	assert_false(cookie_load_add(&load, now + 2 * S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mac1_says_for_which_key_a_message_is),
		cmocka_unit_test(any_flipped_bit_before_mac2_makes_mac1_wrong),
		cmocka_unit_test(a_message_shorter_than_its_macs_is_refused),
		cmocka_unit_test(without_a_cookie_mac2_is_zero_and_wrong),
		cmocka_unit_test(a_cookie_makes_mac2_right),
		cmocka_unit_test(a_cookie_is_for_one_address_and_port),
		cmocka_unit_test(a_sender_uses_a_cookie_for_less_than_115_seconds),
		cmocka_unit_test(a_secret_is_due_for_change_at_120_seconds),
		cmocka_unit_test(the_secret_before_is_good_for_120_seconds_more),
		cmocka_unit_test(a_secret_that_nobody_changed_ends_by_itself),
		cmocka_unit_test(new_replies_are_made_with_the_new_secret),
		cmocka_unit_test(any_flipped_bit_of_a_reply_is_refused),
		cmocka_unit_test(a_reply_counts_only_for_the_last_message_and_once),
		cmocka_unit_test(the_baker_forgets_when_wiped),
		cmocka_unit_test(the_65th_initiation_in_100_ms_is_load),
		cmocka_unit_test(the_65th_initiation_after_100_ms_is_no_load),
		cmocka_unit_test(load_lasts_as_long_as_it_is_fed),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("core/cookie", tests, NULL, NULL);
}
