#include "fixture/test.h"

#include "fixture/reading.h"
#include "fixture/temp.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "service/chain.h"
#include "service/inputcopy.h"
#include "service/lastgood.h"
#include "wire/record.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static struct object_id dnet = {{1, 2, 3}};

static struct netmap_input reading(uint32_t height, unsigned first, unsigned count)
{
	return reading_of(&dnet, height, first, count);
}

static void what_was_revoked_stays_when_a_newer_reading_does_not_know_it(void **state)
{
	struct lastgood l;
	struct netmap_input a = reading(10, 0, 2), b = reading(10, 5, 1), c = reading(11, 0, 0);
	(void)state;
	lastgood_init(&l, &dnet, "");
	lastgood_take(&l, &a);
	assert_int_equal(l.input.revocation_count, 2);
	lastgood_take(&l, &b);
	assert_int_equal(l.input.tip_height, 10);
	assert_int_equal(l.input.revocation_count, 3);
	lastgood_take(&l, &c);
	assert_int_equal(l.input.tip_height, 11);
	assert_int_equal(l.input.revocation_count, 3);
	assert_int_equal(l.behind, 0);
	lastgood_done(&l);
}

static void a_chain_db_that_is_behind_adds_revocations_only(void **state)
{
	struct lastgood l;
	struct netmap_input a = reading(10, 0, 2), b = reading(9, 1, 3), c = reading(10, 7, 1);
	(void)state;
	lastgood_init(&l, &dnet, "");
	lastgood_take(&l, &a);
	lastgood_take(&l, &b);
	assert_int_equal(l.behind, 9);
	assert_int_equal(l.input.tip_height, 10);
	assert_int_equal(l.input.row_count, 1);
	assert_int_equal(l.input.revocation_count, 4); /* 0, 1, and 2, 3 once each */
	lastgood_take(&l, &c);
	assert_int_equal(l.behind, 0);
	assert_int_equal(l.input.revocation_count, 5);
	lastgood_done(&l);
}

/* RECORDS 5.3: by another transaction of the same sequence: hidden; by the revoking one itself, and
 * behind the revocation: not. */
static void the_position_of_a_revocation_is_what_the_newer_reading_says(void **state)
{
	struct lastgood l;
	struct netmap_input a = reading(10, 0, 1), b = reading(11, 0, 1), c = reading(11, 1, 1);
	(void)state;
	lastgood_init(&l, &dnet, "");
	lastgood_take(&l, &a);
	((struct netmap_revocation *)b.revocations)[0].position = 3;
	lastgood_take(&l, &b);
	assert_int_equal(l.input.revocation_count, 1);
	assert_int_equal(l.input.revocations[0].position, 3);
	lastgood_take(&l, &c);
	assert_int_equal(l.input.revocation_count, 2);
	assert_int_equal(l.input.revocations[1].sequence, 0);
	assert_int_equal(l.input.revocations[1].position, UINT32_MAX);
	lastgood_done(&l);
}

/* As a daemon that saw these readings, which are taken over. */
static void save_readings(const struct temp *folder, struct netmap_input *first,
			  struct netmap_input *second)
{
	struct lastgood l;
	lastgood_init(&l, &dnet, folder->path);
	lastgood_load(&l);
	lastgood_take(&l, first);
	l.rows_unsaved = true;
	lastgood_save(&l);
	if (second) {
		lastgood_take(&l, second);
		l.rows_unsaved = true;
		lastgood_save(&l);
	}
	lastgood_done(&l);
}

static const char *const files[] = {
	"copy-0102030000000000000000000000000000000000.json",
	"revoked-0102030000000000000000000000000000000000.json",
};

static void copies_are_listed_by_their_names(void **state)
{
	struct temp folder;
	struct netmap_input a = reading(10, 0, 2);
	struct object_id *ids;
	size_t count;
	char path[256];
	(void)state;
	temp_make(&folder);
	temp_file(&folder, "copy-00.json", path);
	assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	temp_file(&folder, "copy-0g00000000000000000000000000000000000000.json", path);
	assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	assert_int_equal(lastgood_list_copies(folder.path, &ids, &count), 0);
	assert_int_equal(count, 0);
	free(ids);
	save_readings(&folder, &a, NULL);
	assert_int_equal(lastgood_list_copies(folder.path, &ids, &count), 0);
	assert_int_equal(count, 1);
	assert_true(object_id_equal(&ids[0], &dnet));
	free(ids);
	lastgood_remove_copy(folder.path, &dnet);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		temp_file(&folder, files[i], path);
		assert_int_equal(access(path, F_OK), -1);
	}
	temp_remove(&folder);
}

/* What a daemon knows that starts now, and then reads a chain.db that knows no revocation. */
static void check_restart(const struct temp *folder, bool rows, unsigned revocations)
{
	struct netmap_input newer = reading(30, 0, 0);
	struct lastgood l;
	lastgood_init(&l, &dnet, folder->path);
	lastgood_load(&l);
	assert_true(l.loaded);
	assert_int_equal(l.have, rows);
	assert_int_equal(l.input.row_count, rows);
	assert_int_equal(l.input.revocation_count, revocations);
	lastgood_take(&l, &newer);
	assert_int_equal(l.input.row_count, 1);
	assert_int_equal(l.input.revocation_count, revocations);
	lastgood_done(&l);
}

static void damage(const char *path, size_t at, unsigned bit)
{
	char *data;
	size_t len;
	assert_int_equal(file_read(path, 1 << 20, &data, &len), 0);
	data[at] ^= (char)(1u << bit);
	assert_int_equal(file_replace(path, data, len, 0600), 0);
	free(data);
}

/* Missing, empty, cut anywhere, or with any bit flipped: revocations come from the other one, and
 * who saves next makes both whole. */
static void one_damaged_file_forgets_no_revocation(void **state)
{
	(void)state;
	for (size_t which = 0; which < ARRAY_SIZE(files); which++) {
		struct netmap_input a = reading(10, 0, 2), b = reading(11, 2, 1);
		struct temp folder;
		char path[256], *data;
		size_t len;
		temp_make(&folder);
		save_readings(&folder, &a, &b);
		check_restart(&folder, true, 3);
		temp_file(&folder, files[which], path);
		assert_int_equal(file_read(path, 1 << 20, &data, &len), 0);
		for (size_t cut = 0; cut < len; cut += len / 13 + 1) {
			assert_int_equal(file_replace(path, data, cut, 0600), 0);
			check_restart(&folder, which != 0, 3);
		}
		for (size_t at = 0; at < len; at++) {
			assert_int_equal(file_replace(path, data, len, 0600), 0);
			damage(path, at, at % 8);
			check_restart(&folder, which != 0, 3);
		}
		free(data);
		assert_int_equal(unlink(path), 0);
		check_restart(&folder, which != 0, 3);
		a = reading(12, 0, 0);
		save_readings(&folder, &a, NULL);
		temp_file(&folder, files[!which], path);
		assert_int_equal(unlink(path), 0);
		check_restart(&folder, which == 0, 3);
		temp_remove(&folder);
	}
}

/* Killed between the two: the newer one counts, and the older one is written at the next start. */
static void a_revocation_that_only_its_own_file_has_counts(void **state)
{
	struct netmap_input a = reading(10, 0, 2), b = reading(11, 2, 1), c = reading(12, 0, 0);
	char path[256], *data;
	struct temp folder;
	size_t len;
	(void)state;
	temp_make(&folder);
	save_readings(&folder, &a, NULL);
	temp_file(&folder, files[0], path);
	assert_int_equal(file_read(path, 1 << 20, &data, &len), 0);
	save_readings(&folder, &b, NULL);
	assert_int_equal(file_replace(path, data, len, 0600), 0);
	free(data);
	check_restart(&folder, true, 3);
	save_readings(&folder, &c, NULL);
	temp_file(&folder, files[1], path);
	assert_int_equal(unlink(path), 0);
	check_restart(&folder, true, 3);
	temp_remove(&folder);
}

/* An I/O error, no descriptors: nothing is written over what may be good. */
static void what_cannot_be_read_now_is_not_replaced(void **state)
{
	for (size_t which = 0; which < ARRAY_SIZE(files); which++) {
		struct netmap_input a = reading(10, 0, 2), b = reading(11, 2, 1);
		char path[256], aside[256];
		struct temp folder;
		struct lastgood l;
		(void)state;
		temp_make(&folder);
		save_readings(&folder, &a, NULL);
		temp_file(&folder, files[which], path);
		temp_file(&folder, "aside", aside);
		assert_int_equal(rename(path, aside), 0);
		assert_int_equal(symlink(files[which], path), 0); /* ELOOP */
		lastgood_init(&l, &dnet, folder.path);
		lastgood_load(&l);
		assert_false(l.loaded);
		lastgood_take(&l, &b);
		lastgood_save(&l);
		assert_int_equal(rename(aside, path), 0);
		lastgood_load(&l);
		assert_true(l.loaded);
		assert_int_equal(l.input.tip_height, 11);
		assert_int_equal(l.input.revocation_count, 3);
		lastgood_save(&l);
		lastgood_done(&l);
		check_restart(&folder, true, 3);
		temp_remove(&folder);
	}
}

static void a_copy_reads_back_as_it_was_written(void **state)
{
	struct netmap_input a = reading(77, 3, 2), back;
	(void)state;
	json_t *json = input_to_json(&a);
	assert_non_null(json);
	assert_true(input_from_json(json, &back));
	assert_int_equal(back.tip_height, 77);
	assert_int_equal(back.confirm, 3);
	assert_true(object_id_equal(&back.id, &dnet));
	assert_int_equal(back.row_count, 1);
	assert_string_equal(back.rows[0].record.node_put.name, "alice");
	assert_memory_equal(&back.rows[0].record.node_put.key, &a.rows[0].record.node_put.key,
			    PUBKEY_LEN);
	assert_int_equal(back.rows[0].to_height, UINT32_MAX);
	assert_int_equal(back.revocation_count, 2);
	assert_int_equal(back.revocations[1].sequence, 4);
	assert_int_equal(back.revocations[1].position, UINT32_MAX);
	assert_int_equal(back.revocations[1].subject_len, PUBKEY_LEN);
	json_decref(json);
	input_free(&a);
	input_free(&back);
}

static void a_copy_with_anything_wrong_is_refused(void **state)
{
	static const struct {
		const char *in, *name, *value; /* value as JSON; NULL removes it */
	} table[] = {
		{NULL, "format", "1"},
		{NULL, "dnet", "\"00\""},
		{NULL, "height", "-1"},
		{NULL, "height", "4294967296"},
		{NULL, "confirm", "0"},
		{NULL, "rows", "{}"},
		{NULL, "revocations", NULL},
		{"rows", "record", "\"\""},
		{"rows", "record", "\"1003\""},
		{"rows", "kind", "4"},
		{"rows", "kind", "0"},
		{"rows", "from", "\"5\""},
		{"rows", "to", NULL},
		{"revocations", "type", "16"},
		{"revocations", "type", "273"},
		{"revocations", "subject", "\"0\""},
		{"revocations", "sequence", "1.5"},
		{"revocations", "txid", NULL},
		{"revocations", "txid", "\"00\""},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct netmap_input a = reading(77, 3, 1), back;
		json_t *json = input_to_json(&a), *at = json;
		if (table[i].in)
			at = json_array_get(json_object_get(json, table[i].in), 0);
		if (table[i].value)
			json_object_set_new(at, table[i].name,
					    json_loads(table[i].value, JSON_DECODE_ANY, NULL));
		else
			json_object_del(at, table[i].name);
		assert_false(input_from_json(json, &back));
		json_decref(json);
		input_free(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_revoked_stays_when_a_newer_reading_does_not_know_it),
		cmocka_unit_test(a_chain_db_that_is_behind_adds_revocations_only),
		cmocka_unit_test(the_position_of_a_revocation_is_what_the_newer_reading_says),
		cmocka_unit_test(copies_are_listed_by_their_names),
		cmocka_unit_test(one_damaged_file_forgets_no_revocation),
		cmocka_unit_test(a_revocation_that_only_its_own_file_has_counts),
		cmocka_unit_test(what_cannot_be_read_now_is_not_replaced),
		cmocka_unit_test(a_copy_reads_back_as_it_was_written),
		cmocka_unit_test(a_copy_with_anything_wrong_is_refused),
	};
	log_set_level(LOG_LEVEL_ERROR); /* every damage is said */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
