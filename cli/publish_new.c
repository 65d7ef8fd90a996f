#include "cli/publish.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct publish *publish_new_batch(struct cli *cli, size_t size)
{
	struct publish *publish = NULL;
	size_t records = sizeof(*publish) + size * sizeof(struct record);

	/* In one piece, so that free() is enough; records are aligned as strictly as the numbers
	 * behind them. */
	publish = calloc(1, records + size * (sizeof(uint32_t) + sizeof(bool)));
	if (!publish) {
		cli_error(cli, CLI_FAILED, NULL, "out of memory");
		return NULL;
	}
	publish->size = size;
	publish->lines = (uint32_t *)(void *)((char *)publish + records);
	publish->done = (bool *)(publish->lines + size);
	return publish;
}

struct publish *publish_new(struct cli *cli, const char *format, ...)
{
	struct publish *publish = publish_new_batch(cli, PUBLISH_RECORDS_MAX);
	va_list args;

	if (!publish)
		return NULL;
	va_start(args, format);
	vsnprintf(publish->what, sizeof(publish->what), format, args);
	va_end(args);
	return publish;
}

struct record *publish_add(struct publish *publish, enum record_type type)
{
	struct record *record;

	if (publish->count == publish->size)
		return NULL;
	record = &publish->records[publish->count++];
	record->type = (uint8_t)type;
	return record;
}
