#include "fixture/test.h"

#include "adapters/adapter.h"
#include "adapters/wg_config.h"

#include <stdio.h>
#include <string.h>

enum { MANY = 1000 };

static struct netmap_node node_of(unsigned i)
{
	struct netmap_node node = {0};
	node.ipv4 = (struct address){ADDR_V4, {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
	node.ipv6 = (struct address){ADDR_V6, {0xfd, 1, (uint8_t)(i >> 8), (uint8_t)i}};
	return node;
}

static void key_of(unsigned i, uint8_t key[WG_KEY_LEN])
{
	memset(key, (int)(i * 37 % 251), WG_KEY_LEN);
	key[1] = (uint8_t)(i >> 8);
	key[2] = (uint8_t)i;
	key[3] = 1;
}

static struct wg_peer peer_of(unsigned i)
{
	struct netmap_node node = node_of(i);
	uint8_t key[WG_KEY_LEN];
	struct adapter_peer member = {.node = &node, .key = key, .key_len = sizeof(key)};
	struct wg_peer peer;
	key_of(i, key);
	assert_true(wg_peer_of(&member, &peer));
	peer.endpoint = (struct endpoint){{ADDR_V4, {127, 0, 0, 1}}, (uint16_t)(1024 + i)};
	return peer;
}

static void fill(struct wg_config *config, unsigned count)
{
	memset(config, 0, sizeof(*config));
	for (unsigned i = 0; i < count; i++) {
		struct wg_peer peer = peer_of(i);
		wg_config_add(config, &peer);
	}
	wg_config_sort(config);
}

struct seen {
	size_t count, removed, added;
	bool removal_after_others;
	struct wg_change last;
	struct wg_peer peer;
};

static void see(void *ctx, const struct wg_change *change)
{
	struct seen *seen = ctx;
	if (change->remove && seen->count > seen->removed)
		seen->removal_after_others = true;
	seen->count++;
	seen->removed += change->remove;
	seen->added += change->add;
	seen->last = *change;
	seen->peer = *change->peer;
}

static struct seen diff(const struct wg_config *have, const struct wg_config *want)
{
	struct seen seen = {0};
	size_t count = wg_config_diff(have, want, see, &seen);
	assert_int_equal(count, seen.count);
	assert_int_equal(wg_config_diff(have, want, NULL, NULL), seen.count);
	assert_false(seen.removal_after_others);
	return seen;
}

static void a_member_is_a_peer_with_its_addresses(void **state)
{
	(void)state;
	struct wg_peer peer = peer_of(258);
	char text[PREFIX_TEXT_MAX];
	assert_int_equal(peer.allowed_count, 2);
	assert_string_equal(prefix_format(&peer.allowed[0], text), "fd01:102::/128");
	assert_string_equal(prefix_format(&peer.allowed[1], text), "10.0.1.2/32");
	assert_int_equal(peer.keepalive_s, 0);
}

static void a_key_that_is_none_makes_no_peer(void **state)
{
	(void)state;
	struct netmap_node node = node_of(1);
	uint8_t key[WG_KEY_LEN + 1] = {0};
	struct wg_peer peer;
	struct adapter_peer member = {.node = &node};
	assert_false(wg_peer_of(&member, &peer));
	member.key = key;
	member.key_len = WG_KEY_LEN;
	assert_false(wg_peer_of(&member, &peer)); /* zeros */
	key[31] = 1;
	assert_true(wg_peer_of(&member, &peer));
	member.key_len = WG_KEY_LEN - 1;
	assert_false(wg_peer_of(&member, &peer));
	member.key_len = WG_KEY_LEN + 1;
	assert_false(wg_peer_of(&member, &peer));
}

static void one_more_of_a_thousand_touches_one(void **state)
{
	(void)state;
	struct wg_config have, want;
	fill(&have, MANY);
	fill(&want, MANY + 1);
	struct seen seen = diff(&have, &want);
	struct wg_peer last = peer_of(MANY);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.added, 1);
	assert_memory_equal(seen.peer.key, last.key, WG_KEY_LEN);
	assert_true(seen.last.allowed && seen.last.endpoint);
	seen = diff(&want, &have);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.removed, 1);
	assert_memory_equal(seen.peer.key, last.key, WG_KEY_LEN);
	assert_int_equal(diff(&have, &have).count, 0);
	wg_config_done(&have);
	wg_config_done(&want);
}

static void another_key_takes_the_old_peer_away_first(void **state)
{
	(void)state;
	struct wg_config have, want;
	fill(&have, MANY);
	fill(&want, MANY);
	struct wg_peer old = peer_of(500);
	memset(wg_config_find(&want, old.key)->key, 0xee, WG_KEY_LEN);
	wg_config_sort(&want);
	struct seen seen = diff(&have, &want);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.removed, 1);
	assert_int_equal(seen.added, 1);
	wg_config_done(&have);
	wg_config_done(&want);
}

static void each_field_is_a_change_of_its_own(void **state)
{
	(void)state;
	struct wg_config have, want;
	fill(&have, 3);
	fill(&want, 3);
	struct wg_peer *peer = wg_config_find(&want, peer_of(1).key);

	peer->keepalive_s = WG_KEEPALIVE_S;
	struct seen seen = diff(&have, &want);
	assert_int_equal(seen.count, 1);
	assert_true(seen.last.keepalive && !seen.last.allowed && !seen.last.endpoint);
	assert_false(seen.last.add || seen.last.remove);

	*peer = peer_of(1);
	peer->endpoint.port++;
	seen = diff(&have, &want);
	assert_int_equal(seen.count, 1);
	assert_true(seen.last.endpoint && !seen.last.allowed && !seen.last.keepalive);

	peer->endpoint = (struct endpoint){0}; /* nothing to set: what it has stays */
	assert_int_equal(diff(&have, &want).count, 0);

	*peer = peer_of(1);
	peer->allowed[0].addr.bytes[5] = 7;
	seen = diff(&have, &want);
	assert_int_equal(seen.count, 1);
	assert_true(seen.last.allowed && !seen.last.endpoint && !seen.last.keepalive);
	wg_config_done(&have);
	wg_config_done(&want);
}

static void allowed_ips_are_a_set(void **state)
{
	(void)state;
	struct wg_config have, want;
	fill(&have, 2);
	fill(&want, 2);
	struct wg_peer *peer = wg_config_find(&have, peer_of(0).key);
	struct prefix first = peer->allowed[0];
	peer->allowed[0] = peer->allowed[1];
	peer->allowed[1] = first;
	assert_int_equal(diff(&have, &want).count, 0);
	/* Of what is more than we would ever give nothing is said but that it is too much. */
	peer->allowed_count = WG_ALLOWED_MAX + 1;
	assert_int_equal(diff(&have, &want).count, 1);
	wg_config_done(&have);
	wg_config_done(&want);
}

static void a_copy_stands_alone(void **state)
{
	(void)state;
	struct wg_config config, copy, none = {0};
	fill(&config, 20);
	wg_config_copy(&copy, &config);
	wg_config_done(&config);
	fill(&config, 20);
	assert_int_equal(diff(&copy, &config).count, 0);
	assert_int_equal(diff(&none, &copy).added, 20);
	assert_null(wg_config_find(&none, copy.peers[0].key));
	wg_config_done(&config);
	wg_config_done(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_is_a_peer_with_its_addresses),
		cmocka_unit_test(a_key_that_is_none_makes_no_peer),
		cmocka_unit_test(one_more_of_a_thousand_touches_one),
		cmocka_unit_test(another_key_takes_the_old_peer_away_first),
		cmocka_unit_test(each_field_is_a_change_of_its_own),
		cmocka_unit_test(allowed_ips_are_a_set),
		cmocka_unit_test(a_copy_stands_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
