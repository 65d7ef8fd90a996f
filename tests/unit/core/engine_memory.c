#include "fixture/test.h"

#include "fixture/duo.h"

#include <stdlib.h>

/* Each allocation of a whole life of two engines fails once: no crash, no leak, and with memory
 * back it works. */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);

static long fail_in; /* 0: never */

static bool fails(void)
{
	return fail_in && --fail_in == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, count, size);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_of_a_peer_may_fail),
		cmocka_unit_test(every_allocation_of_a_handshake_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
