#include "fixture/test.h"

#include "core/id.h"
#include "core/rosterfile.h"
#include "fixture/hex.h"
#include "fixture/vectors.h"

#include <errno.h>
#include <string.h>

enum { LINE = 16384, NODES = 3 };

static struct id *id;

static int start(void **state)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};

	id = id_new(seed);
	return id ? 0 : -1;
}

static int stop(void **state)
{
	id_free(id);
	return 0;
}

static struct identity someone(uint8_t n)
{
	struct identity identity;
	struct secret secret = {.bytes = {[31] = n}};

	assert_int_equal(id_from_secret(id, &secret, &identity), 0);
	return identity;
}

static enum roster_verdict verdict_of(const char *word)
{
	for (int i = 0; i < ROSTER_VERDICT_COUNT; i++)
		if (!strcmp(roster_verdict_name((enum roster_verdict)i), word))
			return (enum roster_verdict)i;
	fail_msg("no verdict %s", word);
	return ROSTER_GOOD;
}

static void files_are_opened_as_the_vectors_say(void **state)
{
	FILE *f = vectors_open("roster.txt");
	static char line[LINE];
	static uint8_t file[LINE];
	struct identity nodes[NODES];
	struct object_id dnet;
	uint8_t admin[XONLY_LEN];
	unsigned count = 0;

	while (vectors_line(f, line, sizeof(line))) {
		char *word = strchr(line, ' ') + 1;

		if (!strncmp(line, "dnet ", 5))
			unhex(word, dnet.bytes, sizeof(dnet.bytes));
		if (!strncmp(line, "admin ", 6))
			unhex(word, admin, sizeof(admin));
		for (size_t i = 0; !strncmp(line, "secrets ", 8) && i < NODES; i++) {
			struct secret secret;

			word = strtok(i ? NULL : word, " ");
			unhex(word, secret.bytes, sizeof(secret.bytes));
			assert_int_equal(id_from_secret(id, &secret, &nodes[i]), 0);
		}
		if (strncmp(line, "file ", 5) != 0)
			continue;
		size_t len = unhex(word, file, sizeof(file));
		assert_true(vectors_line(f, line, sizeof(line)));
		for (int i = 0; i < 2; i++) {
			struct rosterfile opened;
			const char *why;
			enum roster_verdict verdict = rosterfile_open(
				id, &nodes[i ? 2 : 0], &dnet, admin, file, len, &opened, &why);

			assert_int_equal(verdict, verdict_of(strtok(i ? NULL : line, " ")));
			if (verdict == ROSTER_GOOD) {
				assert_int_equal(opened.roster.counts[ROSTER_NODES], 3);
				rosterfile_done(&opened);
			}
			count++;
		}
	}
	assert_true(count >= 14);
}

/* A body with `nodes` nodes without names. */
static size_t make_body(uint8_t *body, size_t size, uint32_t sequence, uint32_t nodes)
{
	struct roster_header header = {.dnet = {{7}}, .sequence = sequence, .expires = 1000};
	struct writer w;

	writer_init(&w, body, size);
	roster_write_header(&w, &header);
	roster_write_count(&w, ROSTER_GROUPS, 0);
	roster_write_count(&w, ROSTER_NODES, nodes);
	for (uint32_t i = 0; i < nodes; i++) {
		struct roster_node node = {.key = {{2}}};

		store_u32be(node.key.bytes + 1, i);
		roster_write_node(&w, &node);
	}
	for (int i = ROSTER_ROUTES; i < ROSTER_LISTS; i++)
		roster_write_count(&w, (enum roster_list)i, 0);
	assert_false(w.failed);
	return writer_len(&w);
}

static enum roster_verdict open_with(const struct identity *node, const struct identity *admin,
				     const uint8_t *file, size_t len, struct rosterfile *ret)
{
	struct object_id dnet = {{7}};
	uint8_t xonly[XONLY_LEN];
	const char *why;

	id_xonly(&admin->key, xonly);
	return rosterfile_open(id, node, &dnet, xonly, file, len, ret, &why);
}

static void what_was_sealed_opens_for_each_recipient_and_nobody_else(void **state)
{
	static uint8_t body[4096];
	const uint8_t seed[ROSTERFILE_SEED_LEN] = {9};
	struct identity admin = someone(200), nodes[20];
	struct node_key keys[20];
	size_t len = make_body(body, sizeof(body), 3, 40), file_len;
	struct rosterfile opened;
	uint8_t *file;

	for (uint8_t i = 0; i < 20; i++) {
		nodes[i] = someone((uint8_t)(i + 1));
		keys[i] = nodes[i].key;
	}
	for (size_t count = 0; count <= 19; count++) {
		assert_int_equal(rosterfile_seal(id, &admin.secret, body, len, count ? keys : NULL,
						 count, seed, &file, &file_len),
				 0);
		for (size_t i = 0; i < 20; i++) {
			bool may = !count || i < count;
			enum roster_verdict v =
				open_with(&nodes[i], &admin, file, file_len, &opened);

			assert_int_equal(v, may ? ROSTER_GOOD : ROSTER_NOT_OURS);
			if (!may)
				continue;
			assert_int_equal(opened.encrypted, count > 0);
			assert_int_equal(opened.len, len);
			assert_memory_equal(opened.body, body, len);
			rosterfile_done(&opened);
		}
		/* 16 wraps or 32: the size does not tell how many there are */
		if (count)
			assert_int_equal((file_len - 47) % 1024,
					 (count > 16 ? 32 : 16) * 56 % 1024 + 16);
		free(file);
	}
}

static void a_changed_byte_is_seen_wherever_it_is(void **state)
{
	static uint8_t body[4096];
	const uint8_t seed[ROSTERFILE_SEED_LEN] = {9};
	struct identity admin = someone(200), node = someone(1);
	size_t len = make_body(body, sizeof(body), 3, 2), file_len;
	struct rosterfile opened;
	uint8_t *file;

	for (int encrypted = 0; encrypted < 2; encrypted++) {
		assert_int_equal(rosterfile_seal(id, &admin.secret, body, len,
						 encrypted ? &node.key : NULL, (size_t)encrypted,
						 seed, &file, &file_len),
				 0);
		for (size_t i = 0; i < file_len; i++) {
			/* what it says of others' wraps is authenticated too */
			file[i] ^= 0x10;
			assert_int_not_equal(open_with(&node, &admin, file, file_len, &opened),
					     ROSTER_GOOD);
			file[i] ^= 0x10;
			if (i % 16 == 0)
				assert_int_not_equal(open_with(&node, &admin, file, i, &opened),
						     ROSTER_GOOD);
		}
		assert_int_equal(open_with(&node, &admin, file, file_len, &opened), ROSTER_GOOD);
		rosterfile_done(&opened);
		assert_int_equal(open_with(NULL, &admin, file, file_len, &opened),
				 encrypted ? ROSTER_NOT_OURS : ROSTER_GOOD);
		if (!encrypted)
			rosterfile_done(&opened);
		free(file);
	}
}

static void what_cannot_be_sealed_is_refused(void **state)
{
	static uint8_t body[4096];
	const uint8_t seed[ROSTERFILE_SEED_LEN] = {9};
	struct identity admin = someone(200);
	struct node_key twice[2] = {someone(1).key, someone(1).key}, no_point = {{2}};
	size_t len = make_body(body, sizeof(body), 3, 2), file_len;
	uint8_t *file;

	memset(no_point.bytes + 1, 0xff, 32);
	assert_int_equal(
		rosterfile_seal(id, &admin.secret, body, len - 1, NULL, 0, seed, &file, &file_len),
		-EINVAL);
	assert_int_equal(
		rosterfile_seal(id, &admin.secret, body, len, twice, 2, seed, &file, &file_len),
		-EINVAL);
	assert_int_equal(
		rosterfile_seal(id, &admin.secret, body, len, &no_point, 1, seed, &file, &file_len),
		-EINVAL);
	assert_int_equal(
		rosterfile_seal(id, &admin.secret, body, len, twice, 0, seed, &file, &file_len),
		-EINVAL);
}

static void the_anchor_says_what_an_opened_file_is_worth(void **state)
{
	static uint8_t body[4096];
	struct rosterfile file = {.body = body};
	struct hash256 other = {{1}};

	file.len = make_body(body, sizeof(body), 5, 1);
	assert_null(roster_parse(body, file.len, &file.roster));
	roster_root(body, file.len, &file.root);
	assert_int_equal(rosterfile_judge(&file, 5, &file.root, 999), ROSTER_GOOD);
	assert_int_equal(rosterfile_judge(&file, 5, &file.root, 1000), ROSTER_EXPIRED);
	assert_int_equal(rosterfile_judge(&file, 5, &other, 999), ROSTER_FORK);
	assert_int_equal(rosterfile_judge(&file, 6, &other, 999), ROSTER_REPLAY);
	assert_int_equal(rosterfile_judge(&file, 4, &file.root, 999), ROSTER_EARLY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_opened_as_the_vectors_say),
		cmocka_unit_test(what_was_sealed_opens_for_each_recipient_and_nobody_else),
		cmocka_unit_test(a_changed_byte_is_seen_wherever_it_is),
		cmocka_unit_test(what_cannot_be_sealed_is_refused),
		cmocka_unit_test(the_anchor_says_what_an_opened_file_is_worth),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
