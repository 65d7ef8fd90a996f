#include "wire/psbt.h"

#include <assert.h>
#include <string.h>

static const uint8_t magic[5] = {0x70, 0x73, 0x62, 0x74, 0xff};

enum {
	PUBKEY_LONG_LEN = 65, /* uncompressed */
	XPUB_LEN = 78,
};

enum map_kind { MAP_GLOBAL, MAP_INPUT, MAP_OUTPUT };

const char *psbt_reason_text(enum psbt_reason reason)
{
	static const char *const texts[] = {
#define X(name, text) [name] = text,
		PSBT_REASONS(X)
#undef X
	};

	return texts[reason];
}

size_t psbt_input(size_t index)
{
	return 1 + index;
}

size_t psbt_output(const struct psbt *psbt, size_t index)
{
	return 1 + psbt->input_count + index;
}

/* A pair, or false with r->failed set where it is cut off; false without at the 00 of the end. */
static bool read_pair(struct reader *r, struct psbt_pair *ret_pair)
{
	uint64_t key_len = reader_compact(r), value_len;

	if (r->failed || !key_len)
		return false;
	if (key_len > reader_left(r)) {
		r->failed = true;
		return false;
	}
	ret_pair->type = reader_u8(r);
	ret_pair->key.len = (size_t)key_len - 1;
	ret_pair->key.data = reader_bytes(r, ret_pair->key.len);
	value_len = reader_compact(r);
	if (value_len > reader_left(r))
		r->failed = true;
	ret_pair->value.len = r->failed ? 0 : (size_t)value_len;
	ret_pair->value.data = reader_bytes(r, ret_pair->value.len);
	return !r->failed;
}

bool psbt_next(struct reader *r, struct psbt_pair *ret_pair)
{
	return reader_left(r) && read_pair(r, ret_pair);
}

static bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len));
}

static bool same_key(const struct psbt_pair *a, const struct psbt_pair *b)
{
	return a->type == b->type && span_equal(a->key, b->key);
}

static bool find_in(struct span map, const struct psbt_pair *wanted, struct psbt_pair *ret_pair)
{
	struct reader r;

	reader_init(&r, map.data, map.len);
	while (psbt_next(&r, ret_pair)) {
		if (same_key(ret_pair, wanted))
			return true;
	}
	return false;
}

bool psbt_find(const struct psbt *psbt, size_t map, uint8_t type, const void *key, size_t key_len,
	       struct span *ret_value)
{
	struct psbt_pair wanted = {.type = type, .key = {key, key_len}}, pair;

	if (!find_in(psbt->maps[map], &wanted, &pair))
		return false;
	*ret_value = pair.value;
	return true;
}

static bool is_pubkey(struct span key)
{
	if (key.len == PUBKEY_LEN)
		return (key.data[0] | 1) == 3;
	return key.len == PUBKEY_LONG_LEN && key.data[0] == 4;
}

static enum psbt_reason check_global(const struct psbt_pair *pair)
{
	switch (pair->type) {
	case PSBT_GLOBAL_TX:
		return pair->key.len ? PSBT_KEY : PSBT_OK;
	case PSBT_GLOBAL_XPUB:
		return pair->key.len == XPUB_LEN ? PSBT_OK : PSBT_KEY;
	case PSBT_GLOBAL_VERSION:
		if (pair->key.len)
			return PSBT_KEY;
		if (pair->value.len != 4)
			return PSBT_VALUE;
		return pair->value.data[0] | pair->value.data[1] | pair->value.data[2] |
				       pair->value.data[3]
			       ? PSBT_VERSION
			       : PSBT_OK;
	}
	return PSBT_OK;
}

static enum psbt_reason check_input(const struct psbt_pair *pair)
{
	switch (pair->type) {
	case PSBT_IN_SIGNATURE:
	case PSBT_IN_KEY:
		if (!is_pubkey(pair->key))
			return PSBT_KEY;
		return pair->type == PSBT_IN_KEY && pair->value.len % 4 ? PSBT_VALUE : PSBT_OK;
	case PSBT_IN_SIGHASH:
		if (pair->value.len != 4)
			return pair->key.len ? PSBT_KEY : PSBT_VALUE;
		break;
	case PSBT_IN_TX:
	case PSBT_IN_OUTPUT:
	case PSBT_IN_REDEEM:
	case PSBT_IN_WITNESS:
	case PSBT_IN_FINAL_SCRIPT:
	case PSBT_IN_FINAL_WITNESS:
		break;
	default:
		return PSBT_OK;
	}
	return pair->key.len ? PSBT_KEY : PSBT_OK;
}

static enum psbt_reason check_output(const struct psbt_pair *pair)
{
	if (pair->type == PSBT_OUT_REDEEM || pair->type == PSBT_OUT_WITNESS)
		return pair->key.len ? PSBT_KEY : PSBT_OK;
	return pair->type == PSBT_OUT_KEY && !is_pubkey(pair->key) ? PSBT_KEY : PSBT_OK;
}

static enum psbt_reason check_pair(enum map_kind kind, const struct psbt_pair *pair)
{
	switch (kind) {
	case MAP_GLOBAL:
		return check_global(pair);
	case MAP_INPUT:
		return check_input(pair);
	case MAP_OUTPUT:
		break;
	}
	return check_output(pair);
}

static enum psbt_reason read_map(struct reader *r, enum map_kind kind, struct span *ret_map)
{
	const uint8_t *start = r->pos;
	struct psbt_pair pair, other;
	enum psbt_reason reason;
	size_t count = 0;

	for (;;) {
		const uint8_t *at = r->pos;
		struct span before = {start, (size_t)(at - start)};

		if (!read_pair(r, &pair)) {
			*ret_map = before;
			return r->failed ? PSBT_TRUNCATED : PSBT_OK;
		}
		if (++count > PSBT_PAIRS_MAX)
			return PSBT_LARGE;
		if (find_in(before, &pair, &other))
			return PSBT_DUPLICATE;
		reason = check_pair(kind, &pair);
		if (reason != PSBT_OK)
			return reason;
	}
}

static enum psbt_reason read_tx(struct psbt *psbt)
{
	struct tx_input input;
	struct tx_iter it;
	struct span tx;

	if (!psbt_find(psbt, 0, PSBT_GLOBAL_TX, NULL, 0, &tx))
		return PSBT_NO_TX;
	if (tx_parse(tx.data, tx.len, &psbt->tx) != TX_OK)
		return PSBT_TX;
	if (psbt->tx.flags)
		return PSBT_SIGNED;
	for (it = tx_inputs(&psbt->tx); tx_next_input(&it, &input);) {
		if (input.script.len)
			return PSBT_SIGNED;
	}
	psbt->input_count = psbt->tx.input_count;
	psbt->output_count = psbt->tx.output_count;
	return psbt->input_count > PSBT_INPUTS_MAX || psbt->output_count > PSBT_OUTPUTS_MAX
		       ? PSBT_LARGE
		       : PSBT_OK;
}

enum psbt_reason psbt_parse(const void *data, size_t len, struct psbt *ret_psbt)
{
	enum psbt_reason reason;
	const uint8_t *head;
	struct reader r;

	if (len > PSBT_SIZE_MAX)
		return PSBT_LARGE;
	memset(ret_psbt, 0, sizeof(*ret_psbt));
	ret_psbt->raw = (struct span){data, len};
	reader_init(&r, data, len);
	head = reader_bytes(&r, sizeof(magic));
	if (!head || memcmp(head, magic, sizeof(magic)) != 0)
		return PSBT_MAGIC;
	reason = read_map(&r, MAP_GLOBAL, &ret_psbt->maps[0]);
	if (reason == PSBT_OK)
		reason = read_tx(ret_psbt);
	for (size_t i = 0; reason == PSBT_OK && i < ret_psbt->input_count + ret_psbt->output_count;
	     i++)
		reason = read_map(&r, i < ret_psbt->input_count ? MAP_INPUT : MAP_OUTPUT,
				  &ret_psbt->maps[1 + i]);
	if (reason == PSBT_OK && !reader_done(&r))
		reason = PSBT_TRAILING;
	return reason;
}

bool psbt_same(const struct psbt *a, const struct psbt *b)
{
	return span_equal(a->tx.raw, b->tx.raw);
}

static size_t map_count(const struct psbt *psbt)
{
	return 1 + psbt->input_count + psbt->output_count;
}

static void write_pair(struct writer *w, uint8_t type, struct span key, struct span value)
{
	writer_compact(w, key.len + 1);
	writer_u8(w, type);
	writer_copy(w, key.data, key.len);
	writer_compact(w, value.len);
	writer_copy(w, value.data, value.len);
}

void psbt_create(struct writer *w, const void *tx, size_t tx_len, size_t inputs, size_t outputs)
{
	writer_copy(w, magic, sizeof(magic));
	write_pair(w, PSBT_GLOBAL_TX, (struct span){NULL, 0}, (struct span){tx, tx_len});
	for (size_t i = 0; i < 1 + inputs + outputs; i++)
		writer_u8(w, 0);
}

void psbt_put(struct writer *w, const struct psbt *psbt, size_t map, uint8_t type, const void *key,
	      size_t key_len, const void *value, size_t value_len)
{
	struct psbt_pair wanted = {.type = type, .key = {key, key_len}}, pair;
	struct span put = {value, value_len};

	writer_copy(w, magic, sizeof(magic));
	for (size_t i = 0; i < map_count(psbt); i++) {
		bool done = i != map;
		struct reader r;

		reader_init(&r, psbt->maps[i].data, psbt->maps[i].len);
		while (psbt_next(&r, &pair)) {
			bool same = i == map && same_key(&pair, &wanted);

			write_pair(w, pair.type, pair.key, same ? put : pair.value);
			done |= same;
		}
		if (!done)
			write_pair(w, type, wanted.key, put);
		writer_u8(w, 0);
	}
}

void psbt_combine(struct writer *w, const struct psbt *a, const struct psbt *b)
{
	struct psbt_pair pair, other;

	assert(psbt_same(a, b));
	writer_copy(w, magic, sizeof(magic));
	for (size_t i = 0; i < map_count(a); i++) {
		struct reader r;

		writer_copy(w, a->maps[i].data, a->maps[i].len);
		reader_init(&r, b->maps[i].data, b->maps[i].len);
		while (psbt_next(&r, &pair)) {
			if (!find_in(a->maps[i], &pair, &other))
				write_pair(w, pair.type, pair.key, pair.value);
		}
		writer_u8(w, 0);
	}
}
