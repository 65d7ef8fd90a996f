#include "service/lastgood.h"

#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "service/chain.h"
#include "service/inputcopy.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

/* Two files a dnet, of the same form: copy-HEX.json has rows and revocations, revoked-HEX.json
 * revocations alone, so that whichever of them is damaged or taken away, what was revoked is in the
 * other one. Each has a checksum inside: a flipped bit of a key would else be another key. */
#define COPY_PREFIX    "copy-"
#define REVOKED_PREFIX "revoked-"
#define SUFFIX	       ".json"

enum { FILE_MAX = 256 << 20, ID_DIGITS = 2 * OBJECT_ID_LEN };

void lastgood_init(struct lastgood *l, const struct object_id *id, const char *folder)
{
	*l = (struct lastgood){.id = *id, .folder = folder};
}

void lastgood_done(struct lastgood *l)
{
	input_free(&l->input);
	l->have = false;
}

/* ---- The files ---- */

static char *path_of(const char *folder, const char *prefix, const struct object_id *id)
{
	char hex[ID_DIGITS + 1];
	hex_format(id->bytes, OBJECT_ID_LEN, hex);
	return xasprintf("%s/%s%s" SUFFIX, folder, prefix, hex);
}

/* Of everything but the sum itself. */
static bool sum_of(const json_t *json, char ret_sum[static 2 * HASH_LEN + 1])
{
	_cleanup_(freep) char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	struct hash256 sum;
	if (!text)
		return false;
	hash_sha256(text, strlen(text), &sum);
	hex_format(sum.bytes, HASH_LEN, ret_sum);
	return true;
}

static int write_file(const char *folder, const char *prefix, const struct netmap_input *input)
{
	char sum[2 * HASH_LEN + 1];
	json_t *json = input_to_json(input);
	bool good = json && sum_of(json, sum) &&
		    json_object_set_new(json, "sum", json_string(sum)) == 0;
	_cleanup_(freep) char *text = good ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		return -ENOMEM;
	_cleanup_(freep) char *path = path_of(folder, prefix, &input->id);
	return file_replace(path, text, strlen(text), 0600);
}

/* Takes the sum out. */
static bool is_whole(json_t *json)
{
	const char *text = json_string_value(json_object_get(json, "sum"));
	char found[2 * HASH_LEN + 1], sum[2 * HASH_LEN + 1];
	if (!text || strlen(text) != sizeof(found) - 1)
		return false;
	memcpy(found, text, sizeof(found));
	json_object_del(json, "sum");
	return sum_of(json, sum) && strcmp(found, sum) == 0;
}

static int parse_file(const char *data, size_t len, const struct object_id *id,
		      struct netmap_input *ret_input)
{
	struct netmap_input input;
	json_t *json = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
	bool good = json && is_whole(json) && input_from_json(json, &input);
	json_decref(json);
	if (!good)
		return -EBADMSG;
	if (!object_id_equal(&input.id, id)) {
		input_free(&input);
		return -EBADMSG;
	}
	*ret_input = input;
	return 0;
}

static int read_file(const char *folder, const char *prefix, const struct object_id *id,
		     struct netmap_input *ret_input)
{
	_cleanup_(freep) char *path = path_of(folder, prefix, id);
	_cleanup_(freep) char *data = NULL;
	size_t len;
	int r = file_read(path, FILE_MAX, &data, &len);
	if (r == 0)
		r = parse_file(data, len, id, ret_input);
	else if (r == -EFBIG)
		r = -EBADMSG;
	if (r == -EBADMSG)
		log_warn("%s is damaged and not used", path);
	else if (r < 0 && r != -ENOENT)
		log_limited(LOG_LEVEL_WARN, 6, "cannot read %s: %s; it is tried again", path,
			    strerror(-r));
	return r;
}

void lastgood_remove_copy(const char *folder, const struct object_id *id)
{
	_cleanup_(freep) char *copy = path_of(folder, COPY_PREFIX, id);
	_cleanup_(freep) char *revoked = path_of(folder, REVOKED_PREFIX, id);
	(void)unlink(copy);
	(void)unlink(revoked);
}

static bool copy_name_parse(const char *name, struct object_id *ret_id)
{
	const size_t before = strlen(COPY_PREFIX);
	char hex[ID_DIGITS + 1] = "";
	if (strlen(name) != before + ID_DIGITS + strlen(SUFFIX) ||
	    strncmp(name, COPY_PREFIX, before) != 0 ||
	    strcmp(name + before + ID_DIGITS, SUFFIX) != 0)
		return false;
	memcpy(hex, name + before, ID_DIGITS);
	return hex_parse(hex, ret_id->bytes, OBJECT_ID_LEN);
}

int lastgood_list_copies(const char *folder, struct object_id **ret_ids, size_t *ret_count)
{
	DIR *dir = opendir(folder);
	if (!dir)
		return -errno;
	struct object_id *ids = NULL, id;
	size_t count = 0, room = 0;
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (!copy_name_parse(entry->d_name, &id))
			continue;
		if (count == room) {
			room = MAX(room * 2, 16u);
			ids = xrealloc(ids, room * sizeof(*ids));
		}
		ids[count++] = id;
	}
	closedir(dir);
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

/* ---- What was seen stays ---- */

/* The position is left out: it follows from what else was mined. */
static int compare_revocations(const void *x, const void *y)
{
	const struct netmap_revocation *a = x, *b = y;
	int c = memcmp(&a->object, &b->object, sizeof(a->object));
	if (c == 0)
		c = memcmp(&a->txid, &b->txid, sizeof(a->txid));
	if (c == 0)
		c = (a->type > b->type) - (a->type < b->type);
	if (c == 0)
		c = (a->sequence > b->sequence) - (a->sequence < b->sequence);
	if (c == 0)
		c = (a->subject_len > b->subject_len) - (a->subject_len < b->subject_len);
	return c ? c : memcmp(a->subject, b->subject, a->subject_len);
}

/* RECORDS 5.2, what was revoked once stays revoked, whatever this chain.db has seen so far. What
 * `to` does not know was not mined there, so what was mined in its place with its sequence is by
 * another transaction and hidden too (RECORDS 5.3). */
static void add_revocations(struct netmap_input *to, const struct netmap_input *from)
{
	size_t known = to->revocation_count, count = known;
	if (from->revocation_count == 0)
		return;
	struct netmap_revocation *all = xcalloc(known + from->revocation_count, sizeof(*all));
	if (known)
		memcpy(all, to->revocations, known * sizeof(*all));
	qsort(all, known, sizeof(*all), compare_revocations);
	for (size_t i = 0; i < from->revocation_count; i++) {
		const struct netmap_revocation *r = &from->revocations[i];
		if (known && bsearch(r, all, known, sizeof(*all), compare_revocations))
			continue;
		all[count] = *r;
		all[count++].position = UINT32_MAX;
	}
	free((void *)to->revocations);
	to->revocations = all;
	to->revocation_count = count;
}

void lastgood_take(struct lastgood *l, struct netmap_input *newer)
{
	if (l->have && newer->tip_height < l->input.tip_height) {
		if (!l->behind)
			log_notice("chain.db is at height %u, behind %u that was seen: additions "
				   "wait, revocations count",
				   newer->tip_height, l->input.tip_height);
		l->behind = newer->tip_height;
		add_revocations(&l->input, newer);
		input_free(newer);
		return;
	}
	l->behind = 0;
	add_revocations(newer, &l->input);
	input_free(&l->input);
	l->input = *newer;
	*newer = (struct netmap_input){0};
	l->have = true;
	l->from_copy = false;
}

/* What is there but cannot be read now must not be replaced by less. */
static bool is_final(int result)
{
	return result == 0 || result == -ENOENT || result == -EBADMSG;
}

void lastgood_load(struct lastgood *l)
{
	struct netmap_input known = {0}, revoked = {0}, newer = l->input;
	bool had = l->have;
	int rows = read_file(l->folder, COPY_PREFIX, &l->id, &known);
	int revocations = read_file(l->folder, REVOKED_PREFIX, &l->id, &revoked);
	l->loaded = is_final(rows) && is_final(revocations);
	l->saved_revocations = revocations == 0 ? revoked.revocation_count : 0;
	l->rows_unsaved = rows < 0 || known.revocation_count < revoked.revocation_count;
	add_revocations(&known, &revoked);
	input_free(&revoked);
	l->input = known;
	l->have = l->from_copy = rows == 0;
	/* there is one when the files could not be read before */
	if (had)
		lastgood_take(l, &newer);
	else
		input_free(&newer);
}

static int save(struct lastgood *l)
{
	struct netmap_input revoked = l->input;
	int r;
	if (l->saved_revocations != l->input.revocation_count) {
		revoked.rows = NULL;
		revoked.row_count = 0;
		r = write_file(l->folder, REVOKED_PREFIX, &revoked);
		if (r < 0)
			return r;
		l->saved_revocations = l->input.revocation_count;
		l->rows_unsaved = true;
	}
	if (!l->rows_unsaved)
		return 0;
	r = write_file(l->folder, COPY_PREFIX, &l->input);
	if (r == 0)
		l->rows_unsaved = false;
	return r;
}

/* Something of the folder is to be read still, or to be written. */
static bool is_unfinished(const struct lastgood *l)
{
	bool any = l->input.row_count + l->input.revocation_count > 0;
	return !l->loaded ||
	       (l->have && any &&
		(l->rows_unsaved || l->saved_revocations != l->input.revocation_count));
}

void lastgood_save(struct lastgood *l)
{
	if (!l->loaded || !is_unfinished(l))
		return;
	int r = save(l);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, 6,
			    "cannot write the copy of the last known state in %s: %s; it is tried "
			    "again",
			    l->folder, strerror(-r));
}

static void take_reading(struct lastgood *l, struct chain *chain)
{
	struct netmap_input newer;
	if (chain_read(chain, &l->id, &newer) < 0)
		return;
	lastgood_take(l, &newer);
	if (!l->behind && l->change != chain_change(chain)) {
		l->change = chain_change(chain);
		l->rows_unsaved = true;
	}
}

int lastgood_build(struct lastgood *l, struct chain *chain, struct netmap **ret_netmap)
{
	if (!l->loaded)
		lastgood_load(l);
	take_reading(l, chain);
	lastgood_save(l);
	if (is_unfinished(l))
		chain_look_again(chain);
	if (!l->have)
		return -ENOENT;
	return netmap_build(&l->input, ret_netmap);
}
