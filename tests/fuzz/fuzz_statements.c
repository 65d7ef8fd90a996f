#include "fuzz/fuzz.h"

#include "fixture/signed_text.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The key statements of a dnet in a state folder, whatever is in the file: what is taken is written
 * so that it reads the same, what is refused is put aside and not written over, and an older
 * statement replaces none. `%0` to `%9` are right statements. The file is played here. */

static int fake_read(const char *path, size_t max, char **ret_data, size_t *ret_len);
static int fake_replace(const char *path, const void *data, size_t len, mode_t mode);
static int fake_rename(const char *from, const char *to);

#define file_read    fake_read
#define file_replace fake_replace
#define rename	     fake_rename
#include "service/statements.c"

static const struct object_id here = {{7}};
static char *content; /* owned; of the one file; NULL: it is not there */
static unsigned writes, renamed;

static int fake_read(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	size_t len = content ? strlen(content) : 0;

	if (!content)
		return -ENOENT;
	if (len > max)
		return -EFBIG;
	*ret_data = xstrdup(content);
	*ret_len = len;
	return 0;
}

static int fake_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	free(content);
	content = xcalloc(len + 1, 1);
	memcpy(content, data, len);
	writes++;
	return 0;
}

static int fake_rename(const char *from, const char *to)
{
	FUZZ_CHECK(strcmp(from, to));
	free(steal(content));
	renamed++;
	return 0;
}

static void check_list(const struct statements *s)
{
	FUZZ_CHECK(s->count <= COUNT_MAX);
	for (size_t i = 0; i < s->count; i++) {
		FUZZ_CHECK(statements_is_stored(s, statements_at(s, i)));
		FUZZ_CHECK(i == 0 || compare(statements_at(s, i - 1), statements_at(s, i)) < 0);
	}
}

static void check_same(const struct statements *a, const struct statements *b)
{
	FUZZ_CHECK(a->count == b->count);
	for (size_t i = 0; i < a->count; i++)
		FUZZ_CHECK(!memcmp(statements_at(a, i), statements_at(b, i),
				   sizeof(struct statement)));
}

/* One that comes in: it counts if it is later, and is stored before it is used. */
static void check_newer(struct statements *s)
{
	struct statement one = {
		.backend = BACKEND_TINC, .kind = OBJECT_DNET, .object = here, .key_len = 32};
	const struct held *held;
	uint64_t before;

	signed_make(5, &one);
	held = find(s, &one);
	before = held ? held->statement.date : 0;
	statements_put(s, &one);
	held = find(s, &one);
	FUZZ_CHECK(held || s->count == COUNT_MAX);
	if (!held)
		return;
	FUZZ_CHECK(held->statement.date == MAX(before, one.date));
	FUZZ_CHECK(!statements_is_stored(s, &one) || before >= one.date);
	FUZZ_CHECK(statements_save(s) == 0);
	FUZZ_CHECK(statements_is_stored(s, &held->statement));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct statement like = {
		.backend = BACKEND_TINC, .kind = OBJECT_DNET, .object = here, .key_len = 32};
	struct statements *s, *again;

	log_set_level(LOG_LEVEL_ERROR);
	content = signed_text(data, len, &like);
	writes = renamed = 0;
	s = statements_open("/state", &here);
	FUZZ_CHECK(!writes && renamed <= 1 && (renamed == 0 || s->count == 0));
	check_list(s);
	s->unwritten = true;
	FUZZ_CHECK(statements_save(s) == 0 && writes == 1);
	again = statements_open("/state", &here);
	FUZZ_CHECK(renamed <= 1);
	check_same(s, again);
	statements_close(again);
	check_newer(s);
	check_list(s);
	statements_close(s);
	free(steal(content));
	return 0;
}
