#include "fixture/test.h"

#include "core/error.h"
#include "core/keystore.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* As cheap as Argon2id gets. */
static const struct keystore_cost cheap = {1, KEYSTORE_MEMORY_KIB_MIN};
static const uint8_t chance[KEYSTORE_RANDOM_LEN] = {1, 2, 3};

enum {
	OPS_AT = 9,
	MEMORY_AT = 13,
	KIND_AT = SECRET_LEN + 4,
};

static struct keystore_entry entry(uint8_t n, const char *chain, const char *label)
{
	struct keystore_entry made = {.kind = OBJECT_DNET,
				      .id = {{n}},
				      .number = KEYSTORE_NUMBER_NONE,
				      .secret = {{n, 0xee}}};

	strcpy(made.chain, chain);
	strcpy(made.label, label);
	return made;
}

static void put(struct keystore *keystore, uint8_t n, const char *label)
{
	struct keystore_entry made = entry(n, "litecoin", label);

	assert_int_equal(keystore_put(keystore, &made), 0);
}

/* Two entries, sealed with "pass". */
static uint8_t *sealed(size_t *ret_len)
{
	struct keystore keystore = {0};
	uint8_t *file;

	put(&keystore, 1, "office");
	put(&keystore, 2, "");
	assert_int_equal(keystore_seal(&keystore, "pass", 4, &cheap, chance, &file, ret_len), 0);
	keystore_done(&keystore);
	return file;
}

static void what_was_sealed_comes_back(void **state)
{
	struct keystore keystore = {0}, back;
	const struct keystore_entry *found;
	struct object_id id = {{1}};
	uint8_t *file;
	size_t len;

	file = sealed(&len);
	assert_int_equal(keystore_open(file, len, "pass", 4, &back), 0);
	assert_int_equal(back.count, 2);
	found = keystore_find(&back, "litecoin", &id);
	assert_non_null(found);
	assert_string_equal(found->label, "office");
	assert_int_equal(found->secret.bytes[1], 0xee);
	assert_null(keystore_find(&back, "bitcoin", &id));
	keystore_done(&back);
	free(file);

	assert_int_equal(keystore_seal(&keystore, "", 0, &cheap, chance, &file, &len), 0);
	assert_int_equal(keystore_open(file, len, "", 0, &back), 0);
	assert_int_equal(back.count, 0);
	keystore_done(&back);
	free(file);
}

static void a_wrong_passphrase_and_a_changed_byte_are_noticed(void **state)
{
	struct keystore back = {0};
	uint8_t *file;
	size_t len;

	file = sealed(&len);
	assert_int_equal(keystore_open(file, len, "Pass", 4, &back), -DNET_EAUTH);
	assert_int_equal(keystore_open(file, len, "pass", 3, &back), -DNET_EAUTH);
	/* Everything behind the cost: salt, nonce, entries, tag. */
	for (size_t i = KEYSTORE_HEADER_LEN - KEYSTORE_RANDOM_LEN; i < len; i++) {
		file[i] ^= 1;
		assert_int_equal(keystore_open(file, len, "pass", 4, &back), -DNET_EAUTH);
		file[i] ^= 1;
	}
	/* A cheaper or dearer cost gives another key. */
	file[OPS_AT]++;
	assert_int_equal(keystore_open(file, len, "pass", 4, &back), -DNET_EAUTH);
	assert_null(back.entries);
	free(file);
}

static void what_is_no_keystore_is_refused_before_any_work(void **state)
{
	static const struct {
		size_t at;
		uint8_t bytes[4];
		size_t len;
		int result;
	} table[] = {
		{0, {'D'}, 1, -DNET_EFORMAT},
		{8, {KEYSTORE_VERSION + 1}, 1, -ENOTSUP},
		{8, {0}, 1, -ENOTSUP},
		{8, {1}, 1, 0},
		{OPS_AT, {0, 0, 0, 0}, 4, -E2BIG},
		{OPS_AT, {KEYSTORE_OPS_MAX, 0, 0, 0}, 4, 0},
		{OPS_AT, {KEYSTORE_OPS_MAX + 1, 0, 0, 0}, 4, -E2BIG},
		{MEMORY_AT, {KEYSTORE_MEMORY_KIB_MIN - 1, 0, 0, 0}, 4, -E2BIG},
		{MEMORY_AT, {KEYSTORE_MEMORY_KIB_MIN, 0, 0, 0}, 4, 0},
		{MEMORY_AT, {0, 0, 0x10, 0}, 4, 0},
		{MEMORY_AT, {1, 0, 0x10, 0}, 4, -E2BIG},
		{MEMORY_AT, {0xff, 0xff, 0xff, 0xff}, 4, -E2BIG},
	};
	struct keystore_cost cost;
	uint8_t *file, *copy, version;
	size_t len;

	file = sealed(&len);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		copy = malloc(len);
		assert_non_null(copy);
		memcpy(copy, file, len);
		memcpy(copy + table[i].at, table[i].bytes, table[i].len);
		assert_int_equal(keystore_read_header(copy, len, &cost, &version), table[i].result);
		free(copy);
	}
	for (size_t cut = 0; cut < KEYSTORE_HEADER_LEN + 4 + KEYSTORE_TAG_LEN; cut++)
		assert_int_equal(keystore_read_header(file, cut, &cost, &version), -DNET_EFORMAT);
	assert_int_equal(keystore_read_header(file, KEYSTORE_HEADER_LEN + 4 + KEYSTORE_TAG_LEN,
					      &cost, &version),
			 0);
	free(file);
}

static void entries_are_read_only_as_they_are_written(void **state)
{
	struct keystore keystore = {0}, back;
	uint8_t plain[512];
	size_t len;

	put(&keystore, 1, "office");
	put(&keystore, 2, "lab");
	len = keystore_write_entries(&keystore, plain, sizeof(plain));
	assert_int_equal(keystore_write_entries(&keystore, plain, len - 1), 0);
	len = keystore_write_entries(&keystore, plain, len);
	assert_true(len > 0);
	keystore_done(&keystore);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(keystore_read_entries(plain, cut, 2, &back), -DNET_EFORMAT);
	plain[len] = 0;
	assert_int_equal(keystore_read_entries(plain, len + 1, 2, &back), -DNET_EFORMAT);
	plain[KIND_AT] = 4; /* no such kind */
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), -DNET_EFORMAT);
	plain[KIND_AT] = OBJECT_OVR;
	plain[len - 1] = 'B'; /* not of the letters of a label */
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), -DNET_EFORMAT);
	plain[len - 1] = 'b';
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), 0);
	keystore_done(&back);
	memset(plain + SECRET_LEN, 0xff, 4); /* a count that is not there */
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), -DNET_EFORMAT);
}

static void an_object_has_one_entry_a_chain(void **state)
{
	struct keystore_entry other = entry(1, "bitcoin", "office"),
			      newer = entry(1, "litecoin", "new");
	struct keystore keystore = {0};

	put(&keystore, 1, "old");
	assert_int_equal(keystore_put(&keystore, &newer), 0);
	assert_int_equal(keystore.count, 1);
	assert_string_equal(keystore.entries[0].label, "new");
	assert_int_equal(keystore_put(&keystore, &other), 0);
	assert_int_equal(keystore.count, 2);
	strcpy(other.label, "Bad Label");
	assert_int_equal(keystore_put(&keystore, &other), -EINVAL);
	memset(other.label, 'a', sizeof(other.label));
	assert_int_equal(keystore_put(&keystore, &other), -EINVAL);
	keystore_done(&keystore);
}

static void a_seal_that_went_to_another_key_has_both(void **state)
{
	struct keystore_entry old = entry(1, "litecoin", "office"), newer = old;
	struct keystore keystore = {0}, back;
	uint8_t *file;
	size_t len;

	newer.secret.bytes[5] = 1;
	assert_int_equal(keystore_put(&keystore, &old), 0);
	assert_int_equal(keystore_put(&keystore, &newer), 0);
	assert_int_equal(keystore.count, 2);
	assert_int_equal(keystore_find(&keystore, "litecoin", &old.id)->secret.bytes[5], 1);
	assert_int_equal(keystore_seal(&keystore, "p", 1, &cheap, chance, &file, &len), 0);
	assert_int_equal(keystore_open(file, len, "p", 1, &back), 0);
	assert_int_equal(back.count, 2);
	assert_int_equal(keystore_find(&back, "litecoin", &old.id)->secret.bytes[5], 1);
	keystore_done(&keystore);
	keystore_done(&back);
	free(file);
}

/* Sealed by the version before: "office" of dnet 01 00…, without a seed. */
static void a_keystore_of_version_1_is_read(void **state)
{
	uint8_t plain[] = {1,	0,   0,	  0,   OBJECT_DNET, [5] = 1, [25] = 7, [57] = 8,
			   'l', 'i', 't', 'e', 'c',	    'o',     'i',      'n',
			   6,	'o', 'f', 'f', 'i',	    'c',     'e'};
	struct object_id id = {{1}};
	struct keystore back;

	assert_int_equal(keystore_read_entries(plain, sizeof(plain), 1, &back), 0);
	assert_false(back.has_seed);
	assert_string_equal(keystore_find(&back, "litecoin", &id)->label, "office");
	assert_int_equal(keystore_find(&back, "litecoin", &id)->number, KEYSTORE_NUMBER_NONE);
	assert_int_equal(keystore_next_number(&back, "litecoin"), 0);
	keystore_done(&back);
	assert_int_equal(keystore_read_entries(plain, sizeof(plain), 2, &back), -DNET_EFORMAT);
}

static struct keystore with_seed(uint8_t n)
{
	return (struct keystore){.has_seed = true, .seed = {{n}}};
}

static void secrets_come_from_the_seed(void **state)
{
	static const uint8_t want[SECRET_LEN] = {
		0xa9, 0xcd, 0x9d, 0xbd, 0xdf, 0x22, 0xbd, 0x1d, 0x9d, 0x8b, 0x90,
		0x86, 0xdd, 0xdb, 0x24, 0x7c, 0x72, 0xb5, 0x12, 0xb5, 0xee, 0x8c,
		0x71, 0x9f, 0x98, 0xcb, 0xb5, 0x68, 0x9a, 0x51, 0x7e, 0xa4,
	};
	struct id *id = id_new((const uint8_t[ID_SEED_LEN]){1});
	struct keystore keystore = with_seed(1);
	struct keystore_entry made = entry(1, "litecoin", "");
	struct secret a, b;

	keystore_derive(&keystore, id, "litecoin", 0, &a);
	assert_memory_equal(a.bytes, want, SECRET_LEN);
	keystore_derive(&keystore, id, "litecoin", 1, &b);
	assert_memory_not_equal(a.bytes, b.bytes, SECRET_LEN);
	keystore_derive(&keystore, id, "bitcoin", 0, &b);
	assert_memory_not_equal(a.bytes, b.bytes, SECRET_LEN);
	made.number = 4;
	assert_int_equal(keystore_put(&keystore, &made), 0);
	assert_int_equal(keystore_next_number(&keystore, "litecoin"), 5);
	assert_int_equal(keystore_next_number(&keystore, "bitcoin"), 0);
	keystore_done(&keystore);
	id_free(id);
}

static void a_number_without_a_seed_is_no_keystore(void **state)
{
	struct keystore keystore = with_seed(1), back;
	struct keystore_entry made = entry(1, "litecoin", "");
	uint8_t plain[256];
	size_t len;

	made.number = 0;
	assert_int_equal(keystore_put(&keystore, &made), 0);
	len = keystore_write_entries(&keystore, plain, sizeof(plain));
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), 0);
	keystore_done(&back);
	plain[KIND_AT + 1 + OBJECT_ID_LEN + 3] = 0x80; /* below -1 */
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), -DNET_EFORMAT);
	plain[KIND_AT + 1 + OBJECT_ID_LEN + 3] = 0;
	memset(plain, 0, SECRET_LEN);
	assert_int_equal(keystore_read_entries(plain, len, 2, &back), -DNET_EFORMAT);
	keystore_done(&keystore);
}

static void a_copy_as_text_comes_back_and_a_wrong_digit_is_noticed(void **state)
{
	struct keystore keystore = with_seed(9), back;
	char *text = malloc(KEYSTORE_COPY_MAX);
	size_t len;

	assert_non_null(text);
	put(&keystore, 1, "office");
	assert_int_equal(keystore_format_copy(&keystore, text), 0);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		text[i] = was == '0' ? '1' : '0';
		assert_int_equal(keystore_parse_copy(text, &back), -DNET_EFORMAT);
		text[i] = was;
	}
	memmove(text + 9, text + 8, len - 8 + 1);
	text[8] = '\n';
	assert_int_equal(keystore_parse_copy(text, &back), 0);
	assert_true(back.has_seed);
	assert_int_equal(back.seed.bytes[0], 9);
	assert_int_equal(back.count, 1);
	keystore_done(&back);
	text[len - 2] = '\0';
	assert_int_equal(keystore_parse_copy(text, &back), -DNET_EFORMAT);
	assert_int_equal(keystore_parse_copy("", &back), -DNET_EFORMAT);
	keystore_done(&keystore);
	free(text);
}

static void copies_are_merged_unless_the_seeds_differ(void **state)
{
	struct keystore one = with_seed(1), other = with_seed(2), none = {0};

	put(&one, 1, "a");
	put(&none, 2, "b");
	put(&other, 3, "c");
	assert_int_equal(keystore_merge(&one, &other), -EEXIST);
	assert_int_equal(one.count, 1);
	assert_int_equal(keystore_merge(&one, &none), 0);
	assert_int_equal(one.count, 2);
	assert_int_equal(keystore_merge(&none, &one), 0);
	assert_int_equal(none.count, 2);
	assert_true(none.has_seed);
	keystore_done(&one);
	keystore_done(&other);
	keystore_done(&none);
}

static void a_full_keystore_takes_no_more_and_still_fits_its_file(void **state)
{
	struct keystore_entry made = entry(0, "litecoin", "");
	struct keystore keystore = {0}, back;
	uint8_t *file;
	size_t len;

	memset(made.label, 'x', KEYSTORE_TEXT_SIZE - 1);
	memset(made.chain, 'y', KEYSTORE_TEXT_SIZE - 1);
	for (unsigned i = 0; i < KEYSTORE_ENTRIES_MAX; i++) {
		made.id.bytes[0] = (uint8_t)i;
		made.id.bytes[1] = (uint8_t)(i >> 8);
		assert_int_equal(keystore_put(&keystore, &made), 0);
	}
	made.id.bytes[2] = 1;
	assert_int_equal(keystore_put(&keystore, &made), -ENOSPC);
	assert_int_equal(keystore_seal(&keystore, "p", 1, &cheap, chance, &file, &len), 0);
	assert_true(len <= KEYSTORE_FILE_MAX);
	assert_int_equal(keystore_open(file, len, "p", 1, &back), 0);
	assert_int_equal(back.count, KEYSTORE_ENTRIES_MAX);
	keystore_done(&keystore);
	keystore_done(&back);
	free(file);
}

static void a_cost_out_of_bounds_is_not_sealed_with(void **state)
{
	const struct keystore_cost dear = {KEYSTORE_OPS_MAX + 1, KEYSTORE_MEMORY_KIB_MIN};
	struct keystore keystore = {0};
	uint8_t *file = NULL;
	size_t len;

	assert_int_equal(keystore_seal(&keystore, "p", 1, &dear, chance, &file, &len), -EINVAL);
	assert_null(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_sealed_comes_back),
		cmocka_unit_test(a_wrong_passphrase_and_a_changed_byte_are_noticed),
		cmocka_unit_test(what_is_no_keystore_is_refused_before_any_work),
		cmocka_unit_test(entries_are_read_only_as_they_are_written),
		cmocka_unit_test(an_object_has_one_entry_a_chain),
		cmocka_unit_test(a_seal_that_went_to_another_key_has_both),
		cmocka_unit_test(a_keystore_of_version_1_is_read),
		cmocka_unit_test(secrets_come_from_the_seed),
		cmocka_unit_test(a_number_without_a_seed_is_no_keystore),
		cmocka_unit_test(a_copy_as_text_comes_back_and_a_wrong_digit_is_noticed),
		cmocka_unit_test(copies_are_merged_unless_the_seeds_differ),
		cmocka_unit_test(a_full_keystore_takes_no_more_and_still_fits_its_file),
		cmocka_unit_test(a_cost_out_of_bounds_is_not_sealed_with),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("core/keystore", tests, NULL, NULL);
}
