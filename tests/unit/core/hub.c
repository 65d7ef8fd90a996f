#include "fixture/test.h"

#include "core/hub.h"
#include "fixture/lab.h"

#include <stdlib.h>
#include <string.h>

static struct lab lab;
static struct hub *hub;

struct gone {
	unsigned count, mask;
	bool was_member;
};

static void removed(void *ctx, const struct object_id *dnet, const struct node_key *key)
{
	struct gone *gone = ctx;

	gone->count++;
	gone->was_member |= hub_is_member(hub, dnet, key);
	for (unsigned i = 0; i < LAB_MEMBERS; i++)
		if (node_key_equal(key, &lab.members[i].identity.key))
			gone->mask |= 1u << i;
}

static int setup(void **state)
{
	(void)state;
	lab_init(&lab, REALM_OVC);
	hub = hub_new(REALM_OVC, &lab.object);
	return hub ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	hub_free(hub);
	lab_done(&lab);
	return 0;
}

static bool is_member(unsigned dnet, unsigned member)
{
	return hub_is_member(hub, &lab.dnets[dnet], &lab.members[member].identity.key);
}

static void nobody_is_served_without_a_netmap(void **state)
{
	(void)state;
	assert_int_equal(hub_count(hub), 0);
	assert_false(is_member(0, 0));
	assert_null(hub_grant(hub, &lab.dnets[0]));
	hub_drop_dnet(hub, &lab.dnets[0], removed, NULL);
}

static void members_of_granted_dnets_may_come_in(void **state)
{
	struct gone gone = {0};

	(void)state;
	for (unsigned dnet = LAB_DNETS; dnet-- > 0;)
		assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, dnet, ~0u, true, 1, 2),
						removed, &gone),
				 0);
	assert_int_equal(hub_count(hub), 2);
	assert_memory_equal(&hub_netmap(hub, 0)->id, &lab.dnets[0], OBJECT_ID_LEN);
	for (unsigned i = 0; i < LAB_MEMBERS; i++) {
		assert_int_equal(is_member(0, i), i < 3);
		assert_int_equal(is_member(1, i), i >= 3);
	}
	assert_int_equal(hub_grant(hub, &lab.dnets[0])->rate_kbit, 1);
	assert_int_equal(hub_grant(hub, &lab.dnets[0])->volume_mib, 2);
	assert_int_equal(gone.count, 0);
}

static void whoever_is_missing_in_the_new_netmap_is_told(void **state)
{
	struct gone gone = {0};

	(void)state;
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, true, 0, 0), removed, &gone),
			 0);
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 5, true, 0, 0), removed, &gone),
			 0);
	assert_int_equal(gone.mask, 2);
	assert_int_equal(gone.count, 1);
	assert_false(gone.was_member);
	assert_true(is_member(0, 0) && !is_member(0, 1) && is_member(0, 2));
}

static void a_dnet_without_link_or_grant_is_dropped(void **state)
{
	struct gone gone = {0};

	(void)state;
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, false, 0, 0), removed, &gone),
			 0);
	assert_int_equal(hub_count(hub), 0);
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, true, 0, 0), removed, &gone),
			 0);
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, false, 0, 0), removed, &gone),
			 0);
	assert_int_equal(hub_count(hub), 0);
	assert_int_equal(gone.mask, 7);
	assert_false(gone.was_member);
}

static void a_closed_dnet_is_dropped(void **state)
{
	struct gone gone = {0};
	struct netmap *closed = lab_netmap(&lab, 0, 7, true, 0, 0);

	(void)state;
	closed->exists = false;
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, true, 0, 0), removed, &gone),
			 0);
	assert_int_equal(hub_set_netmap(hub, closed, removed, &gone), 0);
	assert_int_equal(hub_count(hub), 0);
	assert_int_equal(gone.mask, 7);
}

static void a_grant_by_another_service_does_not_count(void **state)
{
	struct netmap *other = lab_netmap(&lab, 0, 7, true, 0, 0);

	(void)state;
	other->helpers[0].id.bytes[0] ^= 1;
	assert_int_equal(hub_set_netmap(hub, other, removed, NULL), 0);
	other = lab_netmap(&lab, 0, 7, true, 0, 0);
	other->helpers[0].kind = REALM_OVR;
	assert_int_equal(hub_set_netmap(hub, other, removed, NULL), 0);
	assert_int_equal(hub_count(hub), 0);
}

static void many_dnets_are_found_again(void **state)
{
	enum { MANY = 100 };
	struct gone gone = {0};

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		struct netmap *netmap = lab_netmap(&lab, 0, 1, true, i + 1, 0);

		netmap->id.bytes[0] = (uint8_t)(i * 37);
		assert_int_equal(hub_set_netmap(hub, netmap, removed, &gone), 0);
	}
	assert_int_equal(hub_count(hub), MANY);
	for (unsigned i = 0; i < MANY; i++) {
		struct object_id id = lab.dnets[0];

		id.bytes[0] = (uint8_t)(i * 37);
		assert_int_equal(hub_grant(hub, &id)->rate_kbit, i + 1);
		if (i % 2)
			hub_drop_dnet(hub, &id, removed, &gone);
	}
	assert_int_equal(hub_count(hub), MANY / 2);
	assert_int_equal(gone.count, MANY / 2);
	for (size_t i = 1; i < hub_count(hub); i++)
		assert_true(memcmp(hub_netmap(hub, i - 1)->id.bytes, hub_netmap(hub, i)->id.bytes,
				   OBJECT_ID_LEN) < 0);
}

static void each_netmap_that_is_taken_is_a_change_of_its_dnet(void **state)
{
	uint64_t first, other;

	(void)state;
	assert_int_equal(hub_change(hub, &lab.dnets[0]), 0);
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, true, 0, 0), NULL, NULL), 0);
	first = hub_change(hub, &lab.dnets[0]);
	assert_int_not_equal(first, 0);
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 1, 7, true, 0, 0), NULL, NULL), 0);
	other = hub_change(hub, &lab.dnets[1]);
	assert_int_equal(hub_change(hub, &lab.dnets[0]), first);
	assert_true(other > first);
	hub_drop_dnet(hub, &lab.dnets[0], NULL, NULL);
	assert_int_equal(hub_change(hub, &lab.dnets[0]), 0);
	assert_int_equal(hub_set_netmap(hub, lab_netmap(&lab, 0, 7, true, 0, 0), NULL, NULL), 0);
	assert_true(hub_change(hub, &lab.dnets[0]) > other);
	assert_int_equal(hub_change(hub, &lab.dnets[1]), other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(nobody_is_served_without_a_netmap),
		T(members_of_granted_dnets_may_come_in),
		T(whoever_is_missing_in_the_new_netmap_is_told),
		T(a_dnet_without_link_or_grant_is_dropped),
		T(a_closed_dnet_is_dropped),
		T(a_grant_by_another_service_does_not_count),
		T(many_dnets_are_found_again),
		T(each_netmap_that_is_taken_is_a_change_of_its_dnet),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
