#include "fixture/test.h"

#include "chainwatch/light_settings.h"
#include "chainwatch/p2p_net.h"
#include "fixture/temp.h"
#include "wire/bech32.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct object_id some_id = {{1, 2, 3}};

static char *name_of(uint32_t height, char text[96])
{
	char id[OBJECT_ID_TEXT_SIZE];

	object_id_format(OBJECT_DNET, &some_id, id);
	snprintf(text, 96, "%s@%u", id, height);
	return text;
}

static void what_is_followed_has_an_id_and_a_height(void **state)
{
	static const char *const bad[] = {"",
					  "@1",
					  "dnet1@1",
					  "%s",
					  "%s@",
					  "%s@0",
					  "%s@-1",
					  "%s@1x",
					  "%s@2147483648",
					  "%s@99999999999999999999"};
	char text[160], id[OBJECT_ID_TEXT_SIZE];
	struct light_follow follow;

	assert_null(light_follow_parse(name_of(2147483647, text), &follow));
	assert_int_equal(follow.height, 2147483647);
	assert_int_equal(follow.kind, OBJECT_DNET);
	assert_memory_equal(&follow.object, &some_id, sizeof(some_id));
	object_id_format(OBJECT_OVR, &some_id, id);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *place = strstr(bad[i], "%s");

		snprintf(text, sizeof(text), "%s%s", place ? id : bad[i], place ? place + 2 : "");
		assert_non_null(light_follow_parse(text, &follow));
	}
}

static void init(struct light_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->proxy = (char *)"";
}

static void what_is_followed_is_kept_once_and_up_to_a_limit(void **state)
{
	static struct light_settings s, again;
	struct light_follow follow = {.kind = OBJECT_DNET, .object = some_id};
	char error[200];
	struct temp t;
	bool is_new;

	temp_make(&t);
	init(&s);
	assert_true(light_settings_complete(&s, error, sizeof(error)));
	for (uint32_t i = 1; i <= LIGHT_FOLLOWS_MAX; i++) {
		follow.height = i;
		assert_int_equal(light_settings_follow(&s, &follow, t.path, &is_new), 0);
		assert_true(is_new);
		assert_int_equal(light_settings_follow(&s, &follow, t.path, &is_new), 0);
		assert_false(is_new);
	}
	follow.height = LIGHT_FOLLOWS_MAX + 1;
	assert_int_equal(light_settings_follow(&s, &follow, t.path, &is_new), -ENOSPC);
	init(&again);
	assert_true(light_settings_complete(&again, error, sizeof(error)));
	light_settings_load(&again, t.path);
	assert_int_equal(again.follow_count, LIGHT_FOLLOWS_MAX);
	assert_int_equal(again.config.follow_count, LIGHT_FOLLOWS_MAX);
	assert_memory_equal(again.follows, s.follows, sizeof(s.follows));
	temp_remove(&t);
	/* a folder that is not there: it is not followed for this run only */
	init(&again);
	follow.height = 1;
	assert_int_equal(light_settings_follow(&again, &follow, t.path, &is_new), -ENOENT);
	assert_int_equal(again.follow_count, 0);
}

static void a_peer_is_an_address_or_a_name(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {
		{"192.0.2.1", "", 7},	       {"192.0.2.1:8", "", 8},
		{"[2001:db8::1]:9", "", 9},    {"2001:db8::1", "", 7},
		{"a.example", "a.example", 7}, {"a.onion:65535", "a.onion", 65535},
	};
	static const char *const bad[] = {"",	   ":1",	  "a:",	 "a:0", "a:65536",
					  "a:-1",  "a b",	  "a/b", "u@a", "[::1",
					  "a:1:2", "192.0.2.1:0", "a:1x"};
	char longest[P2P_CONN_HOST_SIZE + 1];
	struct p2p_target target;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(p2p_target_parse(good[i].text, 7, &target));
		assert_string_equal(target.host, good[i].host);
		assert_int_equal(target.port, good[i].port);
		assert_int_equal(target.endpoint.addr.family == ADDR_NONE, good[i].host[0] != 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (p2p_target_parse(bad[i], 7, &target))
			fail_msg("'%s' was taken", bad[i]);
	memset(longest, 'a', sizeof(longest));
	longest[P2P_CONN_HOST_SIZE] = '\0';
	assert_false(p2p_target_parse(longest, 7, &target));
	longest[P2P_CONN_HOST_SIZE - 1] = '\0';
	assert_true(p2p_target_parse(longest, 7, &target));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_followed_has_an_id_and_a_height),
		cmocka_unit_test(what_is_followed_is_kept_once_and_up_to_a_limit),
		cmocka_unit_test(a_peer_is_an_address_or_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
