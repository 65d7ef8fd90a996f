#include "fixture/test.h"

#include "core/id.h"
#include "fixture/temp.h"
#include "os/file.h"
#include "service/rosterkeep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An owner who signs rosters of any sequence, a member who keeps them, and a chain that anchors
 * what the test says. */
static struct id *id;
static struct identity admin, member;
static const struct object_id dnet = {{7}};
static struct temp folder;
static struct netmap map;
static const struct netmap_input input;

struct made {
	uint8_t body[512], *file;
	size_t len, file_len;
	struct hash256 root;
};

static void make(struct made *m, uint32_t sequence, uint8_t salt, uint64_t expires)
{
	const uint8_t seed[ROSTERFILE_SEED_LEN] = {3};
	struct roster_header h = {
		.dnet = dnet, .sequence = sequence, .salt = {salt}, .expires = expires};
	struct writer w;

	writer_init(&w, m->body, sizeof(m->body));
	roster_write_header(&w, &h);
	for (int i = 0; i < ROSTER_LISTS; i++)
		roster_write_count(&w, (enum roster_list)i, 0);
	assert_false(w.failed);
	m->len = writer_len(&w);
	roster_root(m->body, m->len, &m->root);
	assert_int_equal(rosterfile_seal(id, &admin.secret, m->body, m->len, NULL, 0, seed,
					 &m->file, &m->file_len),
			 0);
}

static void anchor(const struct made *m, uint32_t sequence)
{
	map.has_roster = m != NULL;
	map.roster_sequence = sequence;
	if (m)
		map.roster_root = m->root;
}

static bool offer(struct rosterkeep *k, const struct made *m, uint64_t now_s)
{
	return rosterkeep_offer(k, &map, m->file, m->file_len, now_s);
}

/* As each reading of the chain does. */
static void apply(struct rosterkeep *k, uint64_t now_s)
{
	assert_int_equal(rosterkeep_apply(k, &map, &input, now_s), 0);
}

static const char *trouble(const struct rosterkeep *k, uint64_t now_s)
{
	static char text[ROSTERKEEP_TEXT_MAX];

	return rosterkeep_trouble(k, &map, "/r", "", now_s, text);
}

static uint32_t in_force(const struct rosterkeep *k)
{
	return k->have ? k->in_force.roster.header.sequence : 0;
}

static void begin(struct rosterkeep *k)
{
	rosterkeep_remove(folder.path, &dnet);
	map = (struct netmap){.id = dnet, .exists = true};
	id_xonly(&admin.key, map.admin_key);
	rosterkeep_init(k, folder.path, id, &member, &dnet);
	apply(k, 1);
}

static void end(struct rosterkeep *k)
{
	rosterkeep_done(k);
	free(map.nodes);
	free(map.rules);
	free(map.memberships);
	map = (struct netmap){0};
}

static void without_an_anchor_members_may_talk_and_with_one_nobody_until_it_comes(void **state)
{
	struct made one;
	struct rosterkeep k;

	make(&one, 1, 0, 0);
	begin(&k);
	assert_true(map.has_policy);
	assert_int_equal(map.rule_count, 0);
	assert_false(offer(&k, &one, 1)); /* early */
	assert_int_equal(k.counts[ROSTER_EARLY], 1);
	assert_non_null(strstr(trouble(&k, 1), "waits for its ROSTER record"));
	anchor(&one, 1);
	/* it is here already: in force with the record, without another look */
	apply(&k, 1);
	assert_int_equal(in_force(&k), 1);
	assert_string_equal(trouble(&k, 1), "");
	end(&k);
	begin(&k);
	anchor(&one, 1);
	apply(&k, 1);
	assert_int_equal(map.rule_count, 1); /* nobody */
	assert_true(rosterkeep_is_wanting(&k, &map));
	assert_non_null(strstr(trouble(&k, 1), "members may not talk"));
	end(&k);
	free(one.file);
}

static void replay_fork_and_a_chain_that_goes_back_move_nothing(void **state)
{
	struct made one, two, other, three;
	struct rosterkeep k;

	make(&one, 1, 0, 0);
	make(&two, 2, 0, 0);
	make(&other, 2, 1, 0);
	make(&three, 3, 0, 0);
	begin(&k);
	anchor(&two, 2);
	assert_true(offer(&k, &two, 1));
	assert_false(offer(&k, &one, 1));
	assert_int_equal(k.counts[ROSTER_REPLAY], 1);
	assert_non_null(strstr(trouble(&k, 1), "below the one"));
	assert_false(offer(&k, &other, 1));
	assert_int_equal(k.counts[ROSTER_FORK], 1);
	assert_int_equal(in_force(&k), 2);
	/* another branch, where the first is the last */
	anchor(&one, 1);
	apply(&k, 1);
	assert_false(offer(&k, &one, 1));
	assert_int_equal(in_force(&k), 2);
	assert_non_null(strstr(trouble(&k, 1), "gone back"));
	anchor(NULL, 0);
	apply(&k, 1);
	assert_int_equal(in_force(&k), 2);
	/* and where the owner wrote another second one: the chain says which is right */
	anchor(&other, 2);
	assert_true(rosterkeep_is_wanting(&k, &map));
	assert_true(offer(&k, &other, 1));
	assert_memory_equal(&k.in_force.root, &other.root, sizeof(other.root));
	anchor(&three, 3);
	assert_true(offer(&k, &three, 1));
	assert_int_equal(in_force(&k), 3);
	end(&k);
	free(one.file);
	free(two.file);
	free(other.file);
	free(three.file);
}

static void what_expires_stays_where_it_is_and_is_not_taken_anew(void **state)
{
	struct made one;
	struct rosterkeep k;

	make(&one, 1, 0, 100);
	begin(&k);
	anchor(&one, 1);
	assert_false(offer(&k, &one, 100));
	assert_int_equal(k.counts[ROSTER_EXPIRED], 1);
	assert_non_null(strstr(trouble(&k, 100), "it has expired"));
	assert_true(offer(&k, &one, 99));
	assert_string_equal(trouble(&k, 99), "");
	assert_false(offer(&k, &one, 100));
	assert_int_equal(in_force(&k), 1);
	assert_non_null(strstr(trouble(&k, 100), "has expired and stays in force"));
	end(&k);
	free(one.file);
}

static void the_last_good_one_is_there_after_a_restart_also_under_another_admin_key(void **state)
{
	struct made one;
	struct rosterkeep k;

	make(&one, 1, 0, 0);
	begin(&k);
	anchor(&one, 1);
	assert_true(offer(&k, &one, 1));
	rosterkeep_done(&k);
	map.admin_key[0] ^= 1; /* rotated since */
	rosterkeep_init(&k, folder.path, id, &member, &dnet);
	apply(&k, 1);
	assert_int_equal(in_force(&k), 1);
	assert_string_equal(trouble(&k, 1), "");
	end(&k);
	free(one.file);
}

static void a_damaged_copy_is_not_used(void **state)
{
	char path[512], *bytes;
	struct made one;
	struct rosterkeep k;
	size_t len;

	make(&one, 1, 0, 0);
	begin(&k);
	anchor(&one, 1);
	assert_true(offer(&k, &one, 1));
	snprintf(path, sizeof(path), "%s/roster-0700000000000000000000000000000000000000.bin",
		 folder.path);
	assert_int_equal(file_read(path, 1 << 20, &bytes, &len), 0);
	for (size_t i = 0; i < len; i += 7) {
		rosterkeep_done(&k);
		bytes[i] ^= 4;
		assert_int_equal(file_replace(path, bytes, len, 0600), 0);
		bytes[i] ^= 4;
		rosterkeep_init(&k, folder.path, id, &member, &dnet);
		apply(&k, 1);
		assert_int_equal(in_force(&k), 0);
	}
	end(&k);
	free(bytes);
	free(one.file);
}

static int start(void **state)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};
	const struct secret a = {{1}}, b = {{2}};

	id = id_new(seed);
	temp_make(&folder);
	return id_from_secret(id, &a, &admin) || id_from_secret(id, &b, &member);
}

static int stop(void **state)
{
	id_free(id);
	temp_remove(&folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			without_an_anchor_members_may_talk_and_with_one_nobody_until_it_comes),
		cmocka_unit_test(replay_fork_and_a_chain_that_goes_back_move_nothing),
		cmocka_unit_test(what_expires_stays_where_it_is_and_is_not_taken_anew),
		cmocka_unit_test(
			the_last_good_one_is_there_after_a_restart_also_under_another_admin_key),
		cmocka_unit_test(a_damaged_copy_is_not_used),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
