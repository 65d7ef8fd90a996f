#include "cli/outbox.h"

#include "os/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const states[] = {
	[OUTBOX_SIGNED] = "signed",
	[OUTBOX_SENT] = "sent",
	[OUTBOX_AGAIN] = "again",
	[OUTBOX_GONE] = "gone",
};

const char *outbox_state_name(enum outbox_state state)
{
	return states[state];
}

void outbox_done(struct outbox *outbox)
{
	for (size_t i = 0; i < outbox->count; i++)
		free(outbox->items[i].raw);
	free(outbox->items);
	*outbox = (struct outbox){0};
}

struct outbox_item *outbox_find(const struct outbox *outbox, const struct hash256 *txid)
{
	for (size_t i = outbox->count; i > 0; i--) {
		if (!memcmp(&outbox->items[i - 1].txid, txid, HASH_LEN))
			return &outbox->items[i - 1];
	}
	return NULL;
}

static bool take_text(char *dst, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		return false;
	memcpy(dst, text, len + 1);
	return true;
}

static bool is_u32(json_int_t value)
{
	return value >= 0 && value <= UINT32_MAX;
}

static bool read_item(json_t *value, struct outbox_item *ret_item)
{
	const char *chain, *id, *label, *what, *raw, *txid, *batch;
	json_int_t fee, seal_value, sequence, height, first, count, of;
	struct outbox_item item = {0};
	int close, foreign;

	if (json_unpack(value,
			"{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:s, s:I, "
			"s:I, s:I}",
			"chain", &chain, "id", &id, "label", &label, "what", &what, "raw", &raw,
			"txid", &txid, "fee", &fee, "value", &seal_value, "sequence", &sequence,
			"height", &height, "close", &close, "foreign", &foreign, "batch", &batch,
			"first", &first, "count", &count, "of", &of))
		return false;
	if (!take_text(item.chain, sizeof(item.chain), chain) ||
	    !take_text(item.label, sizeof(item.label), label) ||
	    !take_text(item.what, sizeof(item.what), what) ||
	    !take_text(item.batch, sizeof(item.batch), batch) ||
	    !object_id_parse(id, &item.kind, &item.id) || !hash_parse(txid, &item.txid) ||
	    fee < 0 || seal_value < 0 || !is_u32(sequence) || !is_u32(height) || !is_u32(first) ||
	    !is_u32(count) || !is_u32(of) || first + count > of)
		return false;
	item.raw = strdup(raw);
	if (!item.raw)
		return false;
	item.fee = (uint64_t)fee;
	item.value = (uint64_t)seal_value;
	item.sequence = (uint32_t)sequence;
	item.height = (uint32_t)height;
	item.close = close;
	item.foreign = foreign;
	item.first = (uint32_t)first;
	item.count = (uint32_t)count;
	item.of = (uint32_t)of;
	*ret_item = item;
	return true;
}

static int add_item(struct outbox *outbox, const struct outbox_item *item)
{
	struct outbox_item *grown;

	if (outbox->count == outbox->size) {
		size_t size = outbox->size ? 2 * outbox->size : 32;

		grown = size > OUTBOX_ITEMS_MAX
				? NULL
				: realloc(outbox->items, size * sizeof(*outbox->items));
		if (!grown)
			return -ENOMEM;
		outbox->items = grown;
		outbox->size = size;
	}
	outbox->items[outbox->count++] = *item;
	return 0;
}

static bool read_mark(struct outbox *outbox, json_t *line)
{
	const char *txid, *state, *why;
	struct outbox_item *item;
	struct hash256 hash;

	if (json_unpack(line, "{s:s, s:s, s:s}", "mark", &txid, "state", &state, "why", &why) ||
	    !hash_parse(txid, &hash))
		return false;
	item = outbox_find(outbox, &hash);
	for (size_t i = 0; item && i < ARRAY_SIZE(states); i++) {
		if (!strcmp(states[i], state)) {
			item->state = (enum outbox_state)i;
			return take_text(item->why, sizeof(item->why), why);
		}
	}
	return false;
}

static int read_line(struct outbox *outbox, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *tx;
	struct outbox_item item;
	int r = -EBADMSG;

	tx = json_object_get(line, "tx");
	if (tx && read_item(tx, &item)) {
		r = add_item(outbox, &item);
		if (r)
			free(item.raw);
	} else if (!tx && read_mark(outbox, line)) {
		r = 0;
	}
	json_decref(line);
	return r;
}

int outbox_parse(const char *text, size_t len, struct outbox *ret_outbox, size_t *ret_used)
{
	struct outbox outbox = {0};
	size_t at = 0;
	int r = 0;

	while (!r && at < len) {
		const char *end = memchr(text + at, '\n', len - at);

		if (!end)
			break;
		r = read_line(&outbox, text + at, (size_t)(end - text) - at);
		if (!r)
			at = (size_t)(end - text) + 1;
	}
	*ret_used = at;
	if (r == -ENOMEM) {
		outbox_done(&outbox);
		return r;
	}
	*ret_outbox = outbox;
	return 0;
}

char *outbox_format(const struct outbox_item *item)
{
	char id[OBJECT_ID_TEXT_SIZE], txid[HASH_TEXT_SIZE], *text, *line = NULL;
	json_t *json;

	object_id_format(item->kind, &item->id, id);
	hash_format(&item->txid, txid);
	json = json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:s, "
			 "s:I, s:I, s:I}}",
			 "tx", "chain", item->chain, "id", id, "label", item->label, "what",
			 item->what, "raw", item->raw, "txid", txid, "fee", (json_int_t)item->fee,
			 "value", (json_int_t)item->value, "sequence", (json_int_t)item->sequence,
			 "height", (json_int_t)item->height, "close", (int)item->close, "foreign",
			 (int)item->foreign, "batch", item->batch, "first", (json_int_t)item->first,
			 "count", (json_int_t)item->count, "of", (json_int_t)item->of);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	return line;
}
