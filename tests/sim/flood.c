#include "sim/pair.h"

#include "core/cookie.h"
#include "core/handshake.h"
#include "wire/message.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* Handshake messages at full rate from addresses that nobody has, at a member with a flow. What a
 * stranger can make right without a member's key is mac1, from the public key in the records. */

enum { PER_MS = 20, FLOOD_MS = 10000 };

struct flood {
	struct pair p;
	struct flow *there, *back;
	struct sim_host *attacker;
	struct cookie_keys keys; /* of the victim */
	uint64_t answered;	 /* to the addresses of the attacker that exist */
};

static void ignore(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len)
{
	((struct flood *)ctx)->answered += len;
}

static void begin(struct flood *f, uint64_t seed)
{
	memset(f, 0, sizeof(*f));
	pair_make(&f->p, seed, NO_NAT, NO_NAT);
	f->attacker = sim_add_host(world_net(f->p.w), NULL, ignore, f);
	cookie_keys_init(&f->keys, member_key(f->p.alice));
	pair_flows(&f->p, &f->there, &f->back);
	world_run(f->p.w, 5 * SIM_SECOND);
	flow_mark(f->there);
	flow_mark(f->back);
}

/* spoofed: every datagram from another address; else from one, that could learn cookies. */
static void send_one(struct flood *f, uint8_t type, size_t len, bool spoofed)
{
	struct sim_net *net = world_net(f->p.w);
	struct endpoint victim = sim_host_endpoint(member_host(f->p.alice));
	struct endpoint src = sim_host_endpoint(f->attacker);
	uint8_t bytes[INITIATION_LEN + RESPONSE_LEN];
	struct cookie_jar jar = {0};

	assert_true(len <= sizeof(bytes));
	sim_random_bytes(net, bytes, len);
	bytes[0] = type;
	memset(bytes + 1, 0, 3);
	if (type == MESSAGE_INITIATION || type == MESSAGE_RESPONSE)
		bytes[1] = MESSAGE_VERSION;
	cookie_add_macs(&jar, &f->keys, bytes, len, world_now(f->p.w));
	if (spoofed) {
		src.addr.bytes[0] = 203;
		sim_random_bytes(net, src.addr.bytes + 1, 3);
		src.port = (uint16_t)sim_random(net);
	}
	sim_send_as(f->attacker, &src, &victim, bytes, len);
}

static void run_flood(struct flood *f, uint8_t type, size_t len, bool spoofed, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		for (unsigned k = 0; k < PER_MS; k++)
			send_one(f, type, len, spoofed);
		world_run(f->p.w, SIM_MS);
	}
}

static uint64_t counted(const struct flood *f, enum engine_counter counter)
{
	return engine_counter(member_engine(f->p.alice), counter);
}

static void assert_flow_is_well(const struct flow *flow)
{
	struct flow_stats s = flow_stats(flow);

	/* Two may be under way. */
	assert_true((s.arrived + 2) * 100 >= s.sent * 99);
	assert_true(s.longest_gap < SIM_SECOND);
}

static void strangers_in_masses_cost_a_member_nothing(void **state)
{
	struct flood f;
	uint64_t before, tried, responses;

	begin(&f, 800);
	responses = counted(&f, ENGINE_handshake_response_out);
	/* The tables that are there have their size from the beginning. */
	run_flood(&f, MESSAGE_INITIATION, INITIATION_LEN, true, 1000);
	before = mallinfo2().uordblks;
	run_flood(&f, MESSAGE_INITIATION, INITIATION_LEN, true, FLOOD_MS);
	tried = counted(&f, ENGINE_handshake_invalid);
	printf("# %u initiations: %u cookies, %u went as far as public keys, %zd bytes more\n",
	       (unsigned)counted(&f, ENGINE_handshake_initiation_in),
	       (unsigned)counted(&f, ENGINE_cookie_sent), (unsigned)tried,
	       (ssize_t)(mallinfo2().uordblks - before));
	assert_flow_is_well(f.there);
	assert_flow_is_well(f.back);
	assert_true(counted(&f, ENGINE_handshake_initiation_in) > PER_MS * FLOOD_MS);
	/* Public-key work only until the load was seen. */
	assert_true(tried <= 2 * COOKIE_LOAD_INITIATIONS);
	assert_true(counted(&f, ENGINE_cookie_sent) > PER_MS * FLOOD_MS - 1000);
	/* What is under way in the net is the same before and after. */
	assert_true((ssize_t)(mallinfo2().uordblks - before) < 64 * 1024);
	assert_int_equal(counted(&f, ENGINE_handshake_response_out), responses);
	world_free(f.p.w);
}

static void who_takes_the_cookies_is_let_through_five_times_a_second(void **state)
{
	struct flood f;
	uint64_t tried;

	begin(&f, 801);
	run_flood(&f, MESSAGE_INITIATION, INITIATION_LEN, false, 1000);
	tried = counted(&f, ENGINE_handshake_invalid);
	assert_true(tried <= 2 * COOKIE_LOAD_INITIATIONS);
	/* An answer is shorter than the question. */
	assert_true(f.answered > 0 && f.answered < 1000ull * PER_MS * INITIATION_LEN / 2);
	assert_flow_is_well(f.there);
	assert_flow_is_well(f.back);
	world_free(f.p.w);
}

static void a_member_that_restarts_under_a_flood_is_back(void **state)
{
	struct flood f;

	begin(&f, 802);
	run_flood(&f, MESSAGE_INITIATION, INITIATION_LEN, true, 500);
	member_restart(f.p.bob);
	run_flood(&f, MESSAGE_INITIATION, INITIATION_LEN, true, 10000);
	flow_mark(f.there);
	flow_mark(f.back);
	run_flood(&f, MESSAGE_INITIATION, INITIATION_LEN, true, 3000);
	assert_flow_is_well(f.there);
	assert_flow_is_well(f.back);
	world_free(f.p.w);
}

static void other_messages_in_masses_do_nothing(void **state)
{
	static const uint8_t types[] = {MESSAGE_RESPONSE, MESSAGE_COOKIE, MESSAGE_DATA,
					MESSAGE_LANE, MESSAGE_PUNCH};

	for (size_t i = 0; i < sizeof(types); i++) {
		struct flood f;

		begin(&f, 810 + i);
		run_flood(&f, types[i], RESPONSE_LEN, true, 2000);
		assert_flow_is_well(f.there);
		assert_flow_is_well(f.back);
		assert_int_equal(f.answered, 0);
		assert_int_equal(world_stray(f.p.w), 0);
		world_free(f.p.w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_in_masses_cost_a_member_nothing),
		cmocka_unit_test(who_takes_the_cookies_is_let_through_five_times_a_second),
		cmocka_unit_test(a_member_that_restarts_under_a_flood_is_back),
		cmocka_unit_test(other_messages_in_masses_do_nothing),
	};

	return cmocka_run_group_tests_name("sim/flood", tests, NULL, NULL);
}
