#include "fuzz/fuzz.h"

#include "os/base.h"
#include "os/file.h"
#include "os/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Files of state folders, whatever is in them: node.json of dnetd, usage.json of ovrd. The first
 * byte says which. What is taken is written so that it reads and means the same; what is refused is
 * named and not written over. The files are played here. */

static int fake_read(const char *path, size_t max, char **ret_data, size_t *ret_len);
static int fake_replace(const char *path, const void *data, size_t len, mode_t mode);
static int fake_rename(const char *from, const char *to);

#define file_read    fake_read
#define file_replace fake_replace
#define rename	     fake_rename
#include "node/state.c"
#include "service/usage.c"

static char *content; /* owned; of the one file */
static size_t content_len;
static unsigned writes, renamed;

static int fake_read(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	bool key = strstr(path, "master.key");
	size_t len = key ? SECRET_LEN : content_len;

	if (len > max)
		return -EFBIG;
	/* one more, as file_read() does */
	*ret_data = xcalloc(len + 1, 1);
	if (!key)
		memcpy(*ret_data, content, len);
	*ret_len = len;
	return 0;
}

static int fake_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	free(content);
	content = xcalloc(len + 1, 1);
	memcpy(content, data, len);
	content_len = len;
	writes++;
	return 0;
}

static int fake_rename(const char *from, const char *to)
{
	FUZZ_CHECK(strcmp(from, to));
	renamed++;
	return 0;
}

/* ---- node.json ---- */

static void check_dnets(const struct state *s)
{
	FUZZ_CHECK(s->count <= STATE_DNETS_MAX);
	for (size_t i = 0; i < s->count; i++) {
		FUZZ_CHECK(s->dnets[i].number < STATE_DNETS_MAX);
		/* two of one number would be two of one interface */
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(s->dnets[i].number != s->dnets[j].number &&
				   !object_id_equal(&s->dnets[i].id, &s->dnets[j].id));
	}
}

static void check_same(const struct state *a, const struct state *b)
{
	FUZZ_CHECK(a->port == b->port && a->time_s == b->time_s && a->count == b->count);
	for (size_t i = 0; i < a->count; i++)
		FUZZ_CHECK(object_id_equal(&a->dnets[i].id, &b->dnets[i].id) &&
			   a->dnets[i].number == b->dnets[i].number &&
			   a->dnets[i].down == b->dnets[i].down);
}

static void check_node(void)
{
	static const struct object_id other = {{7}};
	char error[STATE_ERROR_MAX] = "";
	struct state *s, *again;
	size_t count;
	int r;

	if (state_open("/state", &s, error)) {
		FUZZ_CHECK(error[0] && !writes);
		return;
	}
	check_dnets(s);
	FUZZ_CHECK(!save_node(s));
	FUZZ_CHECK(!state_open("/state", &again, error));
	check_same(s, again);
	state_close(again);
	count = s->count;
	r = state_add(s, &other, "");
	FUZZ_CHECK(!r || r == -EEXIST || (r == -EUSERS && count == STATE_DNETS_MAX));
	check_dnets(s);
	state_close(s);
}

/* ---- usage.json ---- */

static uint64_t used;

static uint64_t get_used(void *arg, const struct object_id *dnet)
{
	return used;
}

static int set_used(void *arg, const struct object_id *dnet, uint64_t bytes)
{
	FUZZ_CHECK(bytes > 0 && bytes <= INT64_MAX);
	used = bytes;
	return 0;
}

static void check_usage(void)
{
	static const struct object_id dnet = {{7}};
	struct usage *usage = usage_open("/state", get_used, set_used, NULL);
	uint64_t before;

	FUZZ_CHECK(renamed <= 1 && !writes);
	used = 0;
	usage_load(usage, &dnet);
	before = used;
	usage_save(usage);
	used++;
	usage_save(usage);
	FUZZ_CHECK(writes || before == INT64_MAX);
	usage_close(usage);
	used = 0;
	usage = usage_open("/state", get_used, set_used, NULL);
	usage_load(usage, &dnet);
	/* no number of JSON is larger */
	FUZZ_CHECK(used == MIN(before + 1, (uint64_t)INT64_MAX));
	usage_close(usage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!len)
		return 0;
	log_set_hook(NULL, NULL);
	log_set_level(LOG_LEVEL_ERROR);
	content = xcalloc(len, 1);
	memcpy(content, data + 1, len - 1);
	content_len = len - 1;
	writes = renamed = 0;
	if (data[0] == 'u')
		check_usage();
	else
		check_node();
	free(content);
	content = NULL;
	return 0;
}
