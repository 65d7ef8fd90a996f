#include "fixture/test.h"

#include "core/peer.h"
#include "fixture/duo.h"

#include <stdlib.h>

/* Each allocation of a whole life of two engines fails once: no crash, no leak, and with memory
 * back it works. And what a peer takes while it is in use it gives back. */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *p);

static long fail_in; /* 0: never */
static long held;    /* blocks */

static bool fails(void)
{
	return fail_in && --fail_in == 0;
}

static void *taken(void *p)
{
	held += p != NULL;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : taken(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : taken(__real_calloc(count, size));
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
	return fails() ? NULL
	       : p     ? __real_reallocarray(p, count, size)
		       : taken(__real_reallocarray(NULL, count, size));
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : taken(__real_aligned_alloc(align, size));
}

void __wrap_free(void *p)
{
	held -= p != NULL;
	__real_free(p);
}

static struct duo duo;

static void every_allocation_of_a_peer_may_fail(void **state)
{
	long failed = 0;
	bool done = false;

	(void)state;
	duo_init(&duo);
	for (long n = 1; !done; n++) {
		struct realm_ops ops = {0};
		struct realm *realm;

		fail_in = n;
		realm = engine_add_realm(duo.nodes[0].engine, REALM_OVC, &duo.dnet,
					 &duo.nodes[0].identity, &ops, NULL);
		if (realm && realm_add_peer(realm, &duo.nodes[1].identity.key, NULL))
			done = fail_in > 0;
		failed += fail_in == 0;
		fail_in = 0;
		if (realm)
			realm_remove(realm);
	}
	assert_true(failed >= 3);
	duo_connect(&duo);
	assert_int_equal(duo.nodes[1].ups, 1);
	duo_done(&duo);
}

/* The datagrams of the fixture are allocated too; when one of these fails it is lost, as on any
 * network. */
static void every_allocation_of_a_handshake_may_fail(void **state)
{
	(void)state;
	for (long n = 1; n < 40; n++) {
		duo_init(&duo);
		duo.lossy = true;
		duo.nodes[1].authorizes = true;
		peer_remove(duo.nodes[1].peers[0], 0);
		fail_in = n;
		duo_connect(&duo);
		fail_in = 0;
		duo_run_until(&duo, duo.now + 2 * DUO_S);
		assert_int_equal(duo.nodes[0].ups, 1);
		assert_true(duo_send_packet(&duo, 0, 1, 60));
		duo_pump(&duo);
		assert_int_equal(duo.nodes[1].packets, 1);
		duo_done(&duo);
	}
}

/* As a mesh does: the peers need not keep where they were last. */
static void transmit(void *ctx, struct peer *peer, const uint8_t *msg, size_t len)
{
	struct duo_node *node = ctx;

	for (unsigned i = 0; i < DUO_NODES; i++)
		if (node->peers[i] == peer)
			engine_send_via(node->engine,
					&(struct via){.endpoint = duo.nodes[i].endpoint}, msg, len);
}

static bool lose_all(void *arg, const struct duo_datagram *datagram)
{
	return true;
}

static void begin_transmitting(void)
{
	static struct realm_ops ops;

	duo_init(&duo);
	ops = *duo.nodes[0].realm->ops;
	ops.transmit_handshake = transmit;
	for (unsigned i = 0; i < DUO_NODES; i++)
		duo.nodes[i].realm->ops = &ops;
}

static void a_peer_that_falls_idle_gives_its_memory_back(void **state)
{
	struct peer *there, *here;
	struct peer_stats stats;
	long idle = 0;

	(void)state;
	begin_transmitting();
	there = duo.nodes[0].peers[1];
	here = duo.nodes[1].peers[0];
	for (unsigned round = 0; round < 3; round++) {
		uint64_t connected = duo.now;

		duo_connect(&duo);
		assert_true(there->active && here->active);
		duo_run_until(&duo, connected + TIMERS_REJECT_AFTER - DUO_S);
		assert_true(there->active && here->active);
		assert_true(!round || held > idle);
		duo_run_until(&duo, connected + TIMERS_REJECT_AFTER + DUO_S);
		assert_true(!there->active && !here->active);
		assert_true(!round || held == idle);
		idle = held;
		/* What is known of it stays. */
		peer_get_stats(here, &stats);
		assert_true(stats.last_heard >= connected && stats.last_handshake >= connected);
		assert_true(stats.rx_bytes && stats.tx_bytes && !stats.up);
	}
	assert_int_equal(duo.nodes[1].ups, 3);
	duo_done(&duo);
}

/* PROTOCOL 3.4: also when it fell idle in between. */
static void a_replayed_initiation_makes_no_idle_peer_active(void **state)
{
	struct duo_datagram initiation;

	(void)state;
	begin_transmitting();
	duo_connect(&duo);
	initiation = duo.last_by_type[MESSAGE_INITIATION];
	duo_run_until(&duo, duo.now + TIMERS_REJECT_AFTER + DUO_S);
	duo_input(&duo, 1, 0, initiation.bytes, initiation.len);
	assert_int_equal(duo_count(&duo, 1, ENGINE_handshake_replayed), 1);
	assert_null(duo.nodes[1].peers[0]->active);
	duo_done(&duo);
}

static void one_that_was_given_up_is_idle_when_it_may_be_tried_again(void **state)
{
	struct peer *there;
	uint64_t now;

	(void)state;
	begin_transmitting();
	duo.lose = lose_all;
	there = duo.nodes[0].peers[2];
	now = duo.now;
	peer_connect(there, now);
	duo_run_until(&duo, now + TIMERS_GIVE_UP + TIMERS_TRY_AGAIN - DUO_S);
	assert_non_null(there->active);
	duo_run_until(&duo, now + TIMERS_GIVE_UP + TIMERS_TRY_AGAIN + DUO_S);
	assert_null(there->active);
	assert_int_equal(duo.nodes[0].downs, 1);
	duo_done(&duo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_of_a_peer_may_fail),
		cmocka_unit_test(every_allocation_of_a_handshake_may_fail),
		cmocka_unit_test(a_peer_that_falls_idle_gives_its_memory_back),
		cmocka_unit_test(a_replayed_initiation_makes_no_idle_peer_active),
		cmocka_unit_test(one_that_was_given_up_is_idle_when_it_may_be_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
