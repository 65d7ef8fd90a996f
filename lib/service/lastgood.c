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

#define COPY_PREFIX "copy-"
#define COPY_SUFFIX ".json"

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

static char *copy_path(const char *folder, const struct object_id *id)
{
	char hex[ID_DIGITS + 1];
	hex_format(id->bytes, OBJECT_ID_LEN, hex);
	return xasprintf("%s/" COPY_PREFIX "%s" COPY_SUFFIX, folder, hex);
}

int lastgood_save_copy(const char *folder, const struct netmap_input *input)
{
	json_t *json = input_to_json(input);
	_cleanup_(freep) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		return -ENOMEM;
	_cleanup_(freep) char *path = copy_path(folder, &input->id);
	return file_replace(path, text, strlen(text), 0600);
}

int lastgood_load_copy(const char *folder, const struct object_id *id,
		       struct netmap_input *ret_input)
{
	_cleanup_(freep) char *path = copy_path(folder, id);
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

void lastgood_remove_copy(const char *folder, const struct object_id *id)
{
	_cleanup_(freep) char *path = copy_path(folder, id);
	(void)unlink(path);
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

static void load_copy(struct lastgood *l)
{
	struct netmap_input input;
	int r = lastgood_load_copy(l->folder, &l->id, &input);
	if (r == -EBADMSG)
		log_warn("the copy of the last known state is damaged and not used");
	else if (r < 0 && r != -ENOENT)
		log_warn("cannot read the copy of the last known state: %s", strerror(-r));
	if (r < 0)
		return;
	l->input = input;
	l->saved_revocations = input.revocation_count;
	l->have = l->from_copy = true;
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
	if (!l->have)
		load_copy(l);
	if (chain_read(chain, &l->id, &newer) == 0) {
		lastgood_take(l, &newer);
		save_copy(l, chain);
	}
	if (!l->have)
		return -ENOENT;
	return netmap_build(&l->input, ret_netmap);
}
