#include "service/statements.h"

#include "core/book.h"
#include "core/id.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "os/rand.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* {"format": 1, "dnet": HEX, "statements": [HEX, …]}, each as in PROTOCOL 9.1. */

enum {
	FORMAT = 1,
	FILE_MAX = 1 << 26,
	COUNT_MAX = 1 << 15, /* some four of each of 8,000 nodes */
	DAY_S = 86400,
	HEX_SIZE = 2 * STATEMENT_MAX + 1,
};

struct held {
	struct statement statement;
	bool stored; /* the file has it */
};

struct statements {
	char *path; /* owned */
	struct object_id dnet;
	struct held **list; /* owned, sorted by whose they are */
	size_t count, size;
	bool unwritten; /* the file does not have what the list has */
	bool unread;	/* it is there, and could not be read yet */
};

static char *path_of(const char *folder, const struct object_id *dnet)
{
	char id[2 * OBJECT_ID_LEN + 1];

	hex_format(dnet->bytes, OBJECT_ID_LEN, id);
	return xasprintf("%s/statements-%s.json", folder, id);
}

static int compare(const struct statement *a, const struct statement *b)
{
	int order = node_key_compare(&a->signer, &b->signer);

	order = order ? order : memcmp(&a->object, &b->object, sizeof(a->object));
	order = order ? order : a->kind - b->kind;
	return order ? order : a->backend - b->backend;
}

/* Where it stands, or would: the first that is not before it. */
static size_t place_of(const struct statements *s, const struct statement *like)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&s->list[middle]->statement, like) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct held *find(const struct statements *s, const struct statement *like)
{
	size_t i = place_of(s, like);

	return i < s->count && compare(&s->list[i]->statement, like) == 0 ? s->list[i] : NULL;
}

/* In the place of the one that is there. */
static void put(struct statements *s, const struct statement *statement, bool stored)
{
	struct held *here = find(s, statement);

	if (!here) {
		size_t i = place_of(s, statement);

		if (s->count == s->size) {
			s->size = s->size ? 2 * s->size : 16;
			s->list = xrealloc(s->list, s->size * sizeof(*s->list));
		}
		memmove(&s->list[i + 1], &s->list[i], (s->count++ - i) * sizeof(*s->list));
		here = s->list[i] = xcalloc(1, sizeof(*here));
	}
	*here = (struct held){*statement, stored};
}

static void clear(struct statements *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->list[i]);
	s->count = 0;
}

/* ---- The file ---- */

static bool take_text(struct statements *s, const char *text)
{
	uint8_t bytes[STATEMENT_MAX];
	struct statement one;
	size_t len;

	if (!text || !hex_parse_any(text, bytes, sizeof(bytes), &len) ||
	    !statement_parse(bytes, len, &one) || find(s, &one))
		return false;
	put(s, &one, true);
	return true;
}

static bool take_json(struct statements *s, const json_t *json)
{
	const json_t *list = json_object_get(json, "statements");
	const char *dnet = json_string_value(json_object_get(json, "dnet"));
	struct object_id id;
	bool good = json_integer_value(json_object_get(json, "format")) == FORMAT && dnet &&
		    hex_parse(dnet, id.bytes, OBJECT_ID_LEN) && object_id_equal(&id, &s->dnet) &&
		    json_is_array(list) && json_array_size(list) <= COUNT_MAX;

	for (size_t i = 0; good && i < json_array_size(list); i++)
		good = take_text(s, json_string_value(json_array_get(list, i)));
	return good;
}

/* 0, -ENOENT, -EBADMSG, or another -errno. */
static int load(struct statements *s)
{
	_cleanup_(freep) char *text = NULL;
	json_t *json;
	size_t len;
	bool good;
	int r = file_read(s->path, FILE_MAX, &text, &len);

	if (r == -EFBIG)
		return -EBADMSG;
	if (r < 0)
		return r;
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	good = json && take_json(s, json);
	json_decref(json);
	return good ? 0 : -EBADMSG;
}

static void put_aside(const struct statements *s)
{
	_cleanup_(freep) char *aside = xasprintf("%s.bad", s->path);

	log_error("%s is damaged: it is kept as %s, and the keys of backends are asked of the "
		  "members anew",
		  s->path, aside);
	if (rename(s->path, aside) < 0)
		log_error("cannot rename %s: %s", s->path, strerror(errno));
}

/* Into the empty list. What cannot be read now (an I/O error, no descriptors) is not damage, and is
 * not replaced: 0, or -errno. */
static int read_file(struct statements *s)
{
	int r = load(s);

	if (r < 0)
		clear(s);
	if (r == -EBADMSG)
		put_aside(s);
	s->unread = r < 0 && r != -ENOENT && r != -EBADMSG;
	if (!s->unread)
		return 0;
	log_limited(LOG_LEVEL_ERROR, 6, "cannot read %s: %s; it is tried again", s->path,
		    strerror(-r));
	return r;
}

struct statements *statements_open(const char *folder, const struct object_id *dnet)
{
	struct statements *s = xcalloc(1, sizeof(*s));

	s->path = path_of(folder, dnet);
	s->dnet = *dnet;
	(void)read_file(s);
	return s;
}

/* It could not be read when it was opened: what came since is added to it. */
static int read_again(struct statements *s)
{
	struct statements file = {.path = s->path, .dnet = s->dnet};
	struct statements since = *s;
	int r = read_file(&file);

	if (r == 0) {
		s->list = file.list;
		s->count = file.count;
		s->size = file.size;
		s->unread = false;
		for (size_t i = 0; i < since.count; i++)
			statements_put(s, &since.list[i]->statement);
		clear(&since);
		free(since.list);
	} else {
		free(file.list);
	}
	return r;
}

void statements_close(struct statements *s)
{
	if (!s)
		return;
	clear(s);
	free(s->list);
	free(s->path);
	free(s);
}

void statements_remove(const char *folder, const struct object_id *dnet)
{
	_cleanup_(freep) char *path = path_of(folder, dnet);

	if (unlink(path) < 0 && errno != ENOENT)
		log_error("cannot remove %s: %s", path, strerror(errno));
}

static json_t *to_json(const struct statements *s)
{
	json_t *list = json_array();
	char dnet[2 * OBJECT_ID_LEN + 1], hex[HEX_SIZE];

	for (size_t i = 0; i < s->count; i++) {
		uint8_t bytes[STATEMENT_MAX];
		struct writer w;

		writer_init(&w, bytes, sizeof(bytes));
		statement_write(&w, &s->list[i]->statement);
		assert(!w.failed);
		hex_format(bytes, writer_len(&w), hex);
		json_array_append_new(list, json_string(hex));
	}
	hex_format(s->dnet.bytes, OBJECT_ID_LEN, dnet);
	return json_pack("{s:i, s:s, s:o}", "format", FORMAT, "dnet", dnet, "statements", list);
}

int statements_save(struct statements *s)
{
	_cleanup_(freep) char *text = NULL;
	json_t *json;
	int r = s->unread ? read_again(s) : 0;

	if (r < 0 || !s->unwritten)
		return r;
	json = to_json(s);
	text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	r = text ? file_replace(s->path, text, strlen(text), 0600) : -ENOMEM;
	s->unwritten = r < 0;
	for (size_t i = 0; i < s->count && r == 0; i++)
		s->list[i]->stored = true;
	if (r < 0)
		log_limited(LOG_LEVEL_ERROR, 6, "cannot write %s: %s; it is tried again", s->path,
			    strerror(-r));
	return r;
}

/* ---- What is in it ---- */

void statements_put(struct statements *s, const struct statement *statement)
{
	struct held *here = find(s, statement);

	if (here && here->statement.date >= statement->date)
		return;
	if (!here && s->count == COUNT_MAX) {
		log_limited(LOG_LEVEL_ERROR, 6, "%s is full", s->path);
		return;
	}
	put(s, statement, false);
	s->unwritten = true;
}

bool statements_is_stored(const struct statements *s, const struct statement *statement)
{
	const struct held *here = find(s, statement);

	return here && here->stored && here->statement.date == statement->date &&
	       here->statement.key_len == statement->key_len &&
	       !memcmp(here->statement.key, statement->key, statement->key_len);
}

static bool is_known(const struct netmap *netmap, const struct statement *s)
{
	if (s->kind == OBJECT_DNET)
		return netmap_find_node(netmap, &s->signer) != NULL;
	for (size_t i = 0; i < netmap->helper_count; i++) {
		const struct netmap_helper *h = &netmap->helpers[i];

		if (h->kind == s->kind && object_id_equal(&h->id, &s->object) &&
		    node_key_equal(&h->key, &s->signer))
			return true;
	}
	return false;
}

void statements_prune(struct statements *s, const struct netmap *netmap)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (is_known(netmap, &s->list[i]->statement))
			s->list[kept++] = s->list[i];
		else
			free(s->list[i]);
	}
	s->unwritten |= kept != s->count;
	s->count = kept;
}

/* PROTOCOL 9.2: A node keeps the date of its own last statement, and dates the next one later. A
 * date that everybody would refuse for being too far ahead was made with a wrong clock. */
static uint64_t next_date(const struct statement *last, uint64_t wall_s)
{
	if (!last || last->date < wall_s || last->date - wall_s > DAY_S)
		return wall_s;
	return last->date + 1;
}

int statements_own(struct statements *s, const struct id *curve, const struct identity *identity,
		   uint8_t backend, const void *key, size_t key_len, uint64_t wall_s,
		   struct statement *ret_statement)
{
	struct statement own = {.backend = backend,
				.kind = OBJECT_DNET,
				.object = s->dnet,
				.signer = identity->key,
				.key_len = (uint16_t)key_len};
	const struct statement *last;
	struct held *held;
	uint8_t aux[32];
	int r = s->unread ? read_again(s) : 0;

	assert(key_len && key_len <= STATEMENT_KEY_MAX);
	if (r < 0)
		return r;
	held = find(s, &own);
	last = held ? &held->statement : NULL;
	memcpy(own.key, key, key_len);
	if (last && last->key_len == key_len && !memcmp(last->key, key, key_len) &&
	    book_is_signed(curve, last) && (last->date <= wall_s || last->date - wall_s <= DAY_S)) {
		r = statements_save(s);
		if (r == 0)
			*ret_statement = *last;
		return r;
	}
	own.date = next_date(last, wall_s);
	rand_bytes(aux, sizeof(aux));
	book_sign(curve, identity, aux, &own);
	put(s, &own, false);
	s->unwritten = true;
	r = statements_save(s);
	if (r == 0)
		*ret_statement = own;
	return r;
}

size_t statements_count(const struct statements *s)
{
	return s->count;
}

const struct statement *statements_at(const struct statements *s, size_t i)
{
	assert(i < s->count);
	return &s->list[i]->statement;
}
