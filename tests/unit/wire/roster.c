#include "fixture/test.h"

#include "fixture/hex.h"
#include "fixture/vectors.h"
#include "wire/hex.h"
#include "wire/roster.h"

#include <string.h>

enum { LINE = 16384 };

/* Writes again what was read. */
static void write_again(const struct roster *roster, struct writer *w)
{
	roster_write_header(w, &roster->header);
	for (int i = 0; i < ROSTER_LISTS; i++) {
		enum roster_list list = (enum roster_list)i;
		char group[RECORD_NAME_MAX + 1];
		struct roster_node node;
		struct roster_route route;
		struct roster_rule rule;
		struct roster_name name;
		struct reader r;
		uint32_t count = 0;

		roster_write_count(w, list, roster->counts[i]);
		reader_init(&r, roster->lists[i].data, roster->lists[i].len);
		for (; list == ROSTER_GROUPS && roster_next_group(&r, group); count++)
			roster_write_group(w, group);
		for (; list == ROSTER_NODES && roster_next_node(&r, &node); count++)
			roster_write_node(w, &node);
		for (; list == ROSTER_ROUTES && roster_next_route(&r, &route); count++)
			roster_write_route(w, &route);
		for (; list == ROSTER_RULES && roster_next_rule(&r, &rule); count++)
			roster_write_rule(w, &rule);
		for (; list == ROSTER_NAMES && roster_next_name(&r, &name); count++)
			roster_write_name(w, &name);
		assert_int_equal(count, roster->counts[i]);
	}
}

static void bodies_say_what_the_vectors_say(void **state)
{
	FILE *f = vectors_open("roster.txt");
	static char line[LINE];
	static uint8_t body[LINE], again[LINE];
	unsigned good = 0, malformed = 0;

	while (vectors_line(f, line, sizeof(line))) {
		char root[2 * HASH_LEN + 1];
		struct hash256 hash;
		struct roster roster;
		struct writer w;
		size_t len;

		if (strncmp(line, "body ", 5) != 0)
			continue;
		len = unhex(line + 5, body, sizeof(body));
		assert_true(vectors_line(f, line, sizeof(line)));
		if (!strcmp(line, "malformed")) {
			assert_non_null(roster_parse(body, len, &roster));
			malformed++;
			continue;
		}
		assert_null(roster_parse(body, len, &roster));
		roster_root(body, len, &hash);
		hex_format(hash.bytes, HASH_LEN, root);
		assert_string_equal(root, line + strlen("good root="));
		writer_init(&w, again, sizeof(again));
		write_again(&roster, &w);
		assert_false(w.failed);
		assert_int_equal(writer_len(&w), len);
		assert_memory_equal(again, body, len);
		for (size_t i = 0; i < len; i++)
			assert_non_null(roster_parse(body, i, &roster));
		good++;
	}
	assert_true(good >= 3 && malformed >= 30);
}

static bool writes_node(const struct roster_node *node)
{
	uint8_t bytes[ROSTER_ENTRY_MAX];
	struct writer w;

	writer_init(&w, bytes, sizeof(bytes));
	roster_write_node(&w, node);
	return !w.failed;
}

static void what_would_be_refused_is_not_written(void **state)
{
	struct roster_node node = {.key = {{2}}, .group_count = ROSTER_NODE_GROUPS_MAX};
	uint8_t bytes[ROSTER_ENTRY_MAX];
	struct writer w;

	for (uint16_t i = 0; i < ROSTER_NODE_GROUPS_MAX; i++)
		node.groups[i] = i;
	memset(node.name, 'a', RECORD_NAME_MAX);
	node.flags = ROSTER_FLAG_EXPIRES | NODE_FLAG_IPV4 | NODE_FLAG_IPV6;
	node.ipv6.bytes[0] = 0xfd;
	node.expires = 1;
	assert_true(writes_node(&node)); /* the longest there is */
	node.group_count++;
	assert_false(writes_node(&node));
	node.group_count = 0;
	node.expires = 0;
	assert_false(writes_node(&node));
	writer_init(&w, bytes, sizeof(bytes));
	roster_write_group(&w, "Capital");
	assert_true(w.failed);
	writer_init(&w, bytes, sizeof(bytes));
	roster_write_count(&w, ROSTER_GROUPS, ROSTER_GROUPS_MAX);
	assert_false(w.failed);
	roster_write_count(&w, ROSTER_GROUPS, ROSTER_GROUPS_MAX + 1);
	assert_true(w.failed);
}

/* Each list at its limit, and one past it. */
static void limits_hold(void **state)
{
	static const uint32_t max[] = {ROSTER_GROUPS_MAX, ROSTER_NODES_MAX};
	uint8_t *body = malloc(ROSTER_BODY_MAX + 1);
	struct roster_header header = {.sequence = 1};
	struct roster roster;

	for (int list = 0; list < 2; list++) {
		for (uint32_t extra = 0; extra < 2; extra++) {
			struct writer w;

			writer_init(&w, body, ROSTER_BODY_MAX);
			roster_write_header(&w, &header);
			for (int i = 0; i < ROSTER_LISTS; i++) {
				uint32_t count = i == list ? max[list] + extra : 0;

				if (i == ROSTER_NODES)
					writer_u32(&w, count);
				else
					writer_u16(&w, (uint16_t)count);
				for (uint32_t n = 0; n < count && i == ROSTER_GROUPS; n++) {
					char name[16];

					snprintf(name, sizeof(name), "g%04u", n);
					roster_write_group(&w, name);
				}
				for (uint32_t n = 0; n < count && i == ROSTER_NODES; n++) {
					struct roster_node node = {.key = {{2}}};

					store_u32be(node.key.bytes + 1, n);
					roster_write_node(&w, &node);
				}
			}
			assert_false(w.failed);
			assert_int_equal(!roster_parse(body, writer_len(&w), &roster), !extra);
		}
	}
	assert_non_null(roster_parse(body, ROSTER_BODY_MAX + 1, &roster));
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_say_what_the_vectors_say),
		cmocka_unit_test(what_would_be_refused_is_not_written),
		cmocka_unit_test(limits_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
