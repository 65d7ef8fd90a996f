#include "service/lastgood.h"

#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "service/chain.h"
#include "service/inputcopy.h"
#include "wire/hex.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#define COPY_PREFIX    "copy-"
#define REVOKED_PREFIX "revoked-"
#define COPY_SUFFIX    ".json"

enum { COPY_FILE_MAX = 64 << 20, ID_DIGITS = 2 * OBJECT_ID_LEN };

void lastgood_init(struct lastgood *l, const struct object_id *id, const char *folder)
{
	*l = (struct lastgood){.id = *id, .folder = folder};
}

void lastgood_done(struct lastgood *l)
{
	input_free(&l->input);
	l->have = false;
}

/* ---- The copy ---- */

static char *path_of(const char *folder, const char *prefix, const struct object_id *id)
{
	char hex[ID_DIGITS + 1];
	hex_format(id->bytes, OBJECT_ID_LEN, hex);
	return xasprintf("%s/%s%s" COPY_SUFFIX, folder, prefix, hex);
}

static int write_input(const char *folder, const char *prefix, const struct netmap_input *input)
{
	json_t *json = input_to_json(input);
	_cleanup_(freep) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		return -ENOMEM;
	_cleanup_(freep) char *path = path_of(folder, prefix, &input->id);
	return file_replace(path, text, strlen(text), 0600);
}

static int read_input(const char *folder, const char *prefix, const struct object_id *id,
		      struct netmap_input *ret_input)
{
	_cleanup_(freep) char *path = path_of(folder, prefix, id);
	_cleanup_(freep) char *data = NULL;
	size_t len;
	int r = file_read(path, COPY_FILE_MAX, &data, &len);
	if (r < 0)
		return r;
	json_error_t where;
	json_t *json = json_loadb(data, len, JSON_REJECT_DUPLICATES, &where);
	struct netmap_input input;
	bool good = json && input_from_json(json, &input);
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

/* Revocations first: they count as soon as they are known, whatever becomes of the rest. */
int lastgood_save_copy(const char *folder, const struct netmap_input *input)
{
	struct netmap_input revoked = *input;
	revoked.rows = NULL;
	revoked.row_count = 0;
	int r = write_input(folder, REVOKED_PREFIX, &revoked);
	return r < 0 ? r : write_input(folder, COPY_PREFIX, input);
}

int lastgood_load_copy(const char *folder, const struct object_id *id,
		       struct netmap_input *ret_input)
{
	return read_input(folder, COPY_PREFIX, id, ret_input);
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
	if (strlen(name) != before + ID_DIGITS + strlen(COPY_SUFFIX) ||
	    strncmp(name, COPY_PREFIX, before) != 0 ||
	    strcmp(name + before + ID_DIGITS, COPY_SUFFIX) != 0)
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

static int read_and_say(const struct lastgood *l, const char *prefix,
			struct netmap_input *ret_input)
{
	int r = read_input(l->folder, prefix, &l->id, ret_input);
	if (r == -EBADMSG)
		log_warn("a copy of the last known state (%s…) is damaged and not used", prefix);
	else if (r < 0 && r != -ENOENT)
		log_warn("cannot read a copy of the last known state (%s…): %s", prefix,
			 strerror(-r));
	return r;
}

void lastgood_load(struct lastgood *l)
{
	struct netmap_input copy, revoked;
	int r = read_and_say(l, COPY_PREFIX, &copy);
	int second = read_and_say(l, REVOKED_PREFIX, &revoked);
	l->loaded = true;
	if (r == 0) {
		l->input = copy;
		l->have = l->from_copy = true;
	}
	if (second == 0 && r == 0) {
		add_revocations(&l->input, &revoked);
		input_free(&revoked);
	} else if (second == 0) {
		l->input = revoked; /* not enough to build from, but nothing is forgotten */
	}
	/* What was not whole is written again. */
	l->saved_revocations = r == 0 && second == 0 ? l->input.revocation_count : SIZE_MAX;
}

static void save_copy(struct lastgood *l, const struct chain *chain)
{
	const struct netmap_input *in = &l->input;
	bool rows_moved = !l->behind && l->saved_change != chain_change(chain);
	if (in->row_count + in->revocation_count == 0 ||
	    (!rows_moved && l->saved_revocations == in->revocation_count))
		return;
	int r = lastgood_save_copy(l->folder, in);
	if (r < 0) {
		log_warn("cannot write the copy of the last known state: %s", strerror(-r));
		return;
	}
	l->saved_revocations = in->revocation_count;
	if (!l->behind)
		l->saved_change = chain_change(chain);
}

int lastgood_build(struct lastgood *l, struct chain *chain, struct netmap **ret_netmap)
{
	struct netmap_input newer;
	if (!l->loaded)
		lastgood_load(l);
	if (chain_read(chain, &l->id, &newer) == 0) {
		lastgood_take(l, &newer);
		save_copy(l, chain);
	}
	if (!l->have)
		return -ENOENT;
	return netmap_build(&l->input, ret_netmap);
}
