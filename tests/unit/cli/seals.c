#include "fixture/test.h"

#include "cli/seals.h"

#include <string.h>

static struct known_seal sample(const char *label)
{
	struct known_seal known = {
		.kind = OBJECT_OVC,
		.id = {{1, 2, 3}},
		.outpoint = {.txid = {{4, 5}}, .vout = UINT32_MAX},
		.value = 2100000000000000,
		.sequence = UINT32_MAX,
		.closed = true,
	};

	strcpy(known.label, label);
	return known;
}

/* The row as JSON, the caller's. */
static json_t *written(const struct known_seal *known, json_t **ret_all)
{
	char id[OBJECT_ID_TEXT_SIZE];

	*ret_all = json_object();
	assert_true(seals_put(*ret_all, "litecoin", known));
	object_id_format(known->kind, &known->id, id);
	return json_object_get(json_object_get(*ret_all, "litecoin"), id);
}

static void what_is_put_is_read_again(void **state)
{
	static const char *const labels[] = {"", "a", "abcdefghijklmnopqrstuvwxyz012345"};

	(void)state;
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		struct known_seal known = sample(labels[i]), again = {0};
		json_t *all, *row = written(&known, &all);

		assert_true(seals_read(row, &again));
		assert_memory_equal(&again.id, &known.id, sizeof(known.id));
		assert_true(outpoint_equal(&again.outpoint, &known.outpoint));
		assert_string_equal(again.label, known.label);
		assert_int_equal(again.kind, known.kind);
		assert_true(again.value == known.value && again.sequence == known.sequence);
		assert_true(again.closed);
		json_decref(all);
	}
}

static void a_later_seal_replaces_the_earlier_one(void **state)
{
	struct known_seal known = sample("a"), again;
	json_t *all, *row = written(&known, &all);

	(void)state;
	(void)row;
	known.sequence = 7;
	assert_true(seals_put(all, "litecoin", &known));
	assert_true(seals_put(all, "bitcoin", &known));
	assert_int_equal(json_object_size(all), 2);
	assert_int_equal(json_object_size(json_object_get(all, "litecoin")), 1);
	row = json_object_iter_value(json_object_iter(json_object_get(all, "litecoin")));
	assert_true(seals_read(row, &again));
	assert_int_equal(again.sequence, 7);
	json_decref(all);
}

static void what_was_denied_is_of_one_dnet_and_can_be_taken_back(void **state)
{
	struct known_seal known = sample("a");
	json_t *all, *row = written(&known, &all);

	(void)state;
	(void)row;
	assert_false(seals_is_denied(all, "dnet1a", "02aa"));
	assert_true(seals_put_denied(all, "dnet1a", "02aa", false));
	assert_true(seals_put_denied(all, "dnet1a", "02aa", true));
	assert_true(seals_put_denied(all, "dnet1a", "02bb", true));
	assert_true(seals_is_denied(all, "dnet1a", "02aa"));
	assert_false(seals_is_denied(all, "dnet1b", "02aa"));
	assert_true(seals_put_denied(all, "dnet1a", "02aa", false));
	assert_false(seals_is_denied(all, "dnet1a", "02aa"));
	assert_true(seals_is_denied(all, "dnet1a", "02bb"));
	assert_int_equal(json_object_size(json_object_get(all, "litecoin")), 1);
	json_decref(all);
}

static void a_field_that_is_missing_or_wrong_is_refused(void **state)
{
	static const struct {
		const char *field, *value; /* NULL: the field is missing */
	} wrong[] = {
		{"id", NULL},
		{"id", "\"ovc1nonsense\""},
		{"id", "1"},
		{"label", NULL},
		{"label", "\"abcdefghijklmnopqrstuvwxyz0123456\""},
		{"label", "\"B\u00fcro\""},
		{"label", "\"\\u001b[31m\""},
		{"txid", NULL},
		{"txid", "\"00\""},
		{"vout", "-1"},
		{"vout", "4294967296"},
		{"vout", "1.5"},
		{"value", "-1"},
		{"value", "\"1\""},
		{"sequence", "-1"},
		{"sequence", "4294967296"},
		{"closed", "0"},
		{"closed", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct known_seal known = sample("a"), before = known;
		json_t *all, *row = written(&known, &all);

		if (wrong[i].value)
			json_object_set_new(row, wrong[i].field,
					    json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
		else
			json_object_del(row, wrong[i].field);
		if (seals_read(row, &known))
			fail_msg("taken: %s %s", wrong[i].field, wrong[i].value);
		assert_memory_equal(&known, &before, sizeof(before));
		json_decref(all);
	}
}

static void what_is_no_object_is_refused(void **state)
{
	static const char *const texts[] = {"",	   "{", "[]", "1", "null", "{\"a\":1,\"a\":2}",
					    "{} x"};
	json_t *all;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_null(seals_parse(texts[i], strlen(texts[i])));
	all = seals_parse("{}x", 2);
	assert_non_null(all);
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_is_read_again),
		cmocka_unit_test(a_later_seal_replaces_the_earlier_one),
		cmocka_unit_test(what_was_denied_is_of_one_dnet_and_can_be_taken_back),
		cmocka_unit_test(a_field_that_is_missing_or_wrong_is_refused),
		cmocka_unit_test(what_is_no_object_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
