#include "service/usage.h"

#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "wire/bech32.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 24, PATH_SIZE = 4096 };

struct usage {
	char path[PATH_SIZE];
	json_t *stored; /* owned: id → bytes, as in the file; NULL: it could not be read yet */
	json_t *served; /* owned: ids told of in this run */
	bool unwritten; /* stored has what the file has not */
	uint64_t (*get)(void *arg, const struct object_id *dnet);
	int (*set)(void *arg, const struct object_id *dnet, uint64_t bytes);
	void *arg;
};

static void put_aside(const char *path)
{
	char aside[PATH_SIZE + 8];

	snprintf(aside, sizeof(aside), "%s.bad", path);
	log_error("%s is damaged: it is kept as %s, and volumes are counted from 0", path, aside);
	if (rename(path, aside) < 0)
		log_error("cannot rename %s: %s", path, strerror(errno));
}

/* NULL: it is there, and cannot be read now, which is no damage. */
static json_t *read_file(const char *path)
{
	char *text;
	json_t *json;
	size_t len;
	int r = file_read(path, FILE_MAX, &text, &len);

	if (r == -ENOENT)
		return json_object();
	if (r < 0 && r != -EFBIG) {
		log_limited(LOG_LEVEL_ERROR, 6,
			    "cannot read %s: %s; it is tried again, and until then what was used "
			    "before does not count",
			    path, strerror(-r));
		return NULL;
	}
	json = r == 0 ? json_loadb(text, len, 0, NULL) : NULL;
	if (r == 0)
		free(text);
	if (json_is_object(json))
		return json;
	json_decref(json);
	put_aside(path);
	return json_object();
}

struct usage *usage_open(const char *folder,
			 uint64_t (*get)(void *arg, const struct object_id *dnet),
			 int (*set)(void *arg, const struct object_id *dnet, uint64_t bytes),
			 void *arg)
{
	struct usage *usage = xcalloc(1, sizeof(*usage));

	snprintf(usage->path, sizeof(usage->path), "%s/usage.json", folder);
	usage->stored = read_file(usage->path);
	usage->served = json_object();
	usage->get = get;
	usage->set = set;
	usage->arg = arg;
	return usage;
}

void usage_close(struct usage *usage)
{
	if (!usage)
		return;
	json_decref(usage->stored);
	json_decref(usage->served);
	free(usage);
}

/* What the file has for it, besides what was counted since. */
static void add_stored(struct usage *usage, const char *id, const struct object_id *dnet,
		       uint64_t since)
{
	json_int_t bytes = json_integer_value(json_object_get(usage->stored, id));

	if (bytes > 0 && usage->set(usage->arg, dnet, (uint64_t)bytes + since) < 0)
		log_error("out of memory: the volume of %s is counted from 0", id);
}

void usage_load(struct usage *usage, const struct object_id *dnet)
{
	char id[OBJECT_ID_TEXT_SIZE];

	object_id_format(OBJECT_DNET, dnet, id);
	if (json_object_get(usage->served, id))
		return;
	json_object_set_new(usage->served, id, json_true());
	if (usage->stored)
		add_stored(usage, id, dnet, 0);
}

/* It could not be read when it was opened. */
static bool read_again(struct usage *usage)
{
	struct object_id dnet;
	enum object_kind kind;
	const char *id;
	json_t *value;

	usage->stored = read_file(usage->path);
	if (!usage->stored)
		return false;
	json_object_foreach(usage->served, id, value)
	{
		if (object_id_parse(id, &kind, &dnet))
			add_stored(usage, id, &dnet, usage->get(usage->arg, &dnet));
	}
	return true;
}

void usage_save(struct usage *usage)
{
	struct object_id dnet;
	enum object_kind kind;
	const char *id;
	json_t *value;
	char *text;
	int r;

	if (!usage->stored && !read_again(usage))
		return;
	json_object_foreach(usage->served, id, value)
	{
		json_int_t bytes;

		if (!object_id_parse(id, &kind, &dnet))
			continue;
		bytes = (json_int_t)MIN(usage->get(usage->arg, &dnet), (uint64_t)INT64_MAX);
		if (bytes == json_integer_value(json_object_get(usage->stored, id)))
			continue;
		json_object_set_new(usage->stored, id, json_integer(bytes));
		usage->unwritten = true;
	}
	if (!usage->unwritten)
		return;
	text = json_dumps(usage->stored, JSON_INDENT(1) | JSON_SORT_KEYS);
	r = text ? file_replace(usage->path, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	usage->unwritten = r < 0;
	if (r < 0)
		log_limited(LOG_LEVEL_ERROR, 6, "cannot write %s: %s; it is tried again",
			    usage->path, strerror(-r));
}
