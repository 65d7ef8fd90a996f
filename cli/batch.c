#include "cli/batch.h"

#include "cli/input.h"
#include "cli/members.h"
#include "cli/rebuild.h"
#include "cli/wallet.h"
#include "core/chainparams.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ERRORS_MAX = 20, /* that are printed */
	SETTLED_BLOCKS = 6,
	BATCH_ID_LEN = 16,
};

/* ---- reading */

void errors_at(struct errors *e, uint32_t line)
{
	struct cli *cli = e->cli;

	/* In JSON there is one error, the first. */
	cli->quiet = cli->json ? e->count > 0 : e->count >= ERRORS_MAX;
	snprintf(cli->where, sizeof(cli->where), "%.480s:%u: ", e->source, line);
}

void errors_count(struct errors *e, int code)
{
	e->cli->where[0] = '\0';
	e->cli->quiet = e->quiet;
	e->count += code != 0;
	if (!e->code)
		e->code = code;
}

int errors_end(struct errors *e)
{
	if (e->count > ERRORS_MAX)
		cli_note(e->cli, "and %zu more", e->count - ERRORS_MAX);
	if (e->count)
		cli_note(e->cli, "nothing was sent");
	return e->code;
}

static void complain(struct errors *e, uint32_t line, const char *text)
{
	errors_at(e, line);
	errors_count(e, cli_error(e->cli, CLI_USAGE, NULL, "%s", text));
}

static size_t count_lines(const char *text, size_t len)
{
	size_t lines = 1;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	return lines;
}

static int read_members(struct cli *cli, const char *text, size_t len, struct publish *publish)
{
	struct errors errors = {.cli = cli, .source = publish->source, .quiet = cli->quiet};
	enum members_reason reason;
	struct members members;
	struct record record;

	members_open(&members, text, len);
	while (members_next(&members, &record, &reason)) {
		if (reason != MEMBERS_OK) {
			complain(&errors, members.line, members_reason_text(reason));
			continue;
		}
		if (!id_key_valid(cli->id, &record.node_put.key)) {
			complain(&errors, members.line, "the key is no point of the curve");
			continue;
		}
		if (publish->count == publish->size)
			continue;
		publish->lines[publish->count] = members.line;
		publish->records[publish->count++] = record;
	}
	return errors_end(&errors);
}

struct publish *batch_read(struct cli *cli, const char *path)
{
	_cleanup_(freep) char *text = xmalloc(MEMBERS_FILE_MAX + 1);
	struct publish *publish = NULL;
	size_t len, size;

	if (cli_id(cli) || input_read(cli, path, "name a file of members, or - for standard input",
				      text, MEMBERS_FILE_MAX + 1, &len))
		return NULL;
	size = count_lines(text, len);
	if (size > PUBLISH_BATCH_MAX) {
		cli_error(cli, CLI_USAGE, "give it in several files", "%s has more than %d lines",
			  path, PUBLISH_BATCH_MAX);
		return NULL;
	}
	publish = publish_new_batch(cli, size);
	if (!publish)
		return NULL;
	publish->source = strcmp(path, "-") ? path : "standard input";
	if (read_members(cli, text, len, publish)) {
		free(publish);
		return NULL;
	}
	if (!publish->count) {
		cli_error(cli, CLI_USAGE,
			  "see dnet(1): a first line with the columns, then a "
			  "member a line",
			  "%s has no members", publish->source);
		free(publish);
		return NULL;
	}
	return publish;
}

/* ---- going on */

/* Which list for which object: the same again is the same batch. */
static void set_batch(struct cli *cli, struct publish *publish)
{
	struct hash256 hash;
	struct sha256 sha;

	tagged_hash_init(&sha, "dnet/batch/1");
	sha256_update(&sha, cli->params->name, strlen(cli->params->name));
	sha256_update(&sha, publish->object.id.bytes, OBJECT_ID_LEN);
	for (size_t i = 0; i < publish->count; i++) {
		uint8_t payload[PAYLOAD_MAX];
		struct writer w;
		size_t len;

		payload_begin(&w, payload);
		record_write(&w, &publish->records[i]);
		len = payload_finish(&w);
		sha256_update(&sha, payload, len);
	}
	sha256_final(&sha, &hash);
	hex_format(hash.bytes, BATCH_ID_LEN, publish->batch);
}

static void set_done(struct publish *publish, const struct outbox_item *item)
{
	for (uint32_t i = item->first; i < item->first + item->count && i < publish->count; i++)
		publish->done[i] = true;
}

static bool is_same_batch(const struct publish *publish, const struct outbox_item *item)
{
	return *publish->batch && !strcmp(item->batch, publish->batch) &&
	       item->of == publish->count;
}

static int resume_item(struct rebuild *rebuild, struct publish *publish, struct outbox_item *item,
		       bool dry)
{
	struct cli *cli = rebuild->cli;
	bool same = is_same_batch(publish, item);
	char why[128] = "";
	int depth, r;

	if (item->state == OUTBOX_GONE) {
		if (same && !strcmp(item->why, "confirmed"))
			set_done(publish, item);
		return 0;
	}
	if (item->state == OUTBOX_AGAIN)
		return dry || !object_id_equal(&item->id, &publish->object.id)
			       ? 0
			       : cli_error(cli, CLI_FAILED, "run dnet pending --resend first",
					   "\"%s\" is to be built again upon what replaced its "
					   "parent",
					   item->what);
	r = wallet_depth(cli, &item->txid, &depth);
	if (r)
		return r;
	if (depth >= SETTLED_BLOCKS && !dry)
		r = journal_mark(cli, &item->txid, OUTBOX_GONE, "confirmed");
	if (r || !same)
		return r;
	if (depth <= 0 && !dry) {
		r = rebuild_send(rebuild, item, why);
		if (!r && *why)
			r = journal_mark(cli, &item->txid, OUTBOX_GONE, "refused");
	}
	if (!r && !*why)
		set_done(publish, item);
	return r;
}

int batch_resume(struct cli *cli, struct publish *publish, bool dry)
{
	struct rebuild rebuild = {0};
	size_t done = 0;
	int r = 0;

	if (publish->source)
		set_batch(cli, publish);
	r = rebuild_open(cli, &rebuild);
	for (size_t i = 0; !r && i < rebuild.outbox.count; i++) {
		if (!strcmp(rebuild.outbox.items[i].chain, cli->params->name))
			r = resume_item(&rebuild, publish, &rebuild.outbox.items[i], dry);
	}
	rebuild_done(&rebuild);
	for (size_t i = 0; i < publish->count; i++)
		done += publish->done[i];
	if (!r && done)
		cli_note(cli, "%zu of %zu are on their way or in force already", done,
			 publish->count);
	return r;
}
