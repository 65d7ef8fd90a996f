#include "chainwatch/source.h"

#include "chainwatch/rest.h"
#include "os/base.h"
#include "os/rpc.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	HASHES_MAX = 500,	/* heights asked in one request */
	TRANSACTIONS_MAX = 100, /* in one request */
	BATCH_BYTES = 4 << 20,	/* of blocks wished in one answer, by the size of those before */
	BLOCKS_MAX = 64,
	PROBE_TIMEOUT_MS = 2000,
	/* By REST a request for each block costs more than its share of a batch, and its bytes
	 * less.
	 */
	REST_BLOCK_MIN = 1000,
};

struct source_rpc {
	struct source source; /* first: the vtable */
	struct rpc *rpc;      /* owned */
	struct rest rest;
	char error[512]; /* "": rpc_error() has it */
	uint8_t *bytes;	 /* owned; of the block or transaction that is handed out */
	size_t bytes_size;
	size_t block_len;    /* of the largest block lately */
	uint32_t timeout_ms; /* 0: rpc's own */
};

const char *source_trouble_name(enum source_trouble trouble)
{
	switch (trouble) {
	case SOURCE_FINE:
		return "none";
	case SOURCE_DOWN:
		return "down";
	case SOURCE_DENIED:
		return "denied";
	case SOURCE_GARBAGE:
		return "garbage";
	case SOURCE_WARMUP:
		return "starting";
	case SOURCE_ERROR:
		return "error";
	case SOURCE_CONFIG:
		return "configuration";
	}
	return "?";
}

static int garbage(struct source_rpc *s, const char *method, const char *what)
{
	snprintf(s->error, sizeof(s->error),
		 "the chain node answers %s with something else: %s: check rpc-url", method, what);
	return -EPROTO;
}

static int parse_hash(struct source_rpc *s, const char *method, const json_t *value,
		      struct hash256 *ret_hash)
{
	const char *text = json_string_value(value);

	if (!text || !hash_parse(text, ret_hash))
		return garbage(s, method, "not a hash");
	return 0;
}

static void parse_work(const json_t *object, uint8_t ret_work[HASH_LEN])
{
	const char *work = json_string_value(json_object_get(object, "chainwork"));

	if (!work || !hex_parse(work, ret_work, HASH_LEN))
		memset(ret_work, 0, HASH_LEN);
}

/* The node has no such block or transaction. */
static int or_missing(const struct source_rpc *s, int result)
{
	int code = rpc_error(s->rpc)->code;

	if (result == -EREMOTEIO &&
	    (code == RPC_CODE_NOT_FOUND || code == RPC_CODE_INVALID_PARAMETER))
		return -ENOENT;
	return result;
}

static int hash_at(struct source_rpc *s, uint32_t height, struct hash256 *ret_hash)
{
	_cleanup_(json_decrefp) json_t *value = NULL;
	int result = rpc_callf(s->rpc, &value, "getblockhash", "[I]", (json_int_t)height);

	if (result)
		return or_missing(s, result);
	return parse_hash(s, "getblockhash", value, ret_hash);
}

static int rpc_genesis(struct source *source, struct hash256 *ret_hash)
{
	struct source_rpc *s = (struct source_rpc *)source;

	int result;

	s->error[0] = '\0';
	result = hash_at(s, 0, ret_hash);
	/* asked after each failure: the node that answers now may be another one */
	if (!result)
		rest_probe(&s->rest, ret_hash, s->timeout_ms);
	return result;
}

static int rpc_tip(struct source *source, struct hash256 *ret_hash)
{
	struct source_rpc *s = (struct source_rpc *)source;
	_cleanup_(json_decrefp) json_t *value = NULL;
	int result;

	s->error[0] = '\0';
	result = rpc_call(s->rpc, "getbestblockhash", NULL, &value);
	return result ? result : parse_hash(s, "getbestblockhash", value, ret_hash);
}

static int rpc_header(struct source *source, const struct hash256 *hash,
		      struct source_header *ret_header)
{
	struct source_rpc *s = (struct source_rpc *)source;
	_cleanup_(json_decrefp) json_t *value = NULL;
	json_t *height, *confirmations;
	char text[HASH_TEXT_SIZE];
	int result;

	s->error[0] = '\0';
	hash_format(hash, text);
	result = rpc_callf(s->rpc, &value, "getblockheader", "[s]", text);
	if (result)
		return or_missing(s, result);
	height = json_object_get(value, "height");
	confirmations = json_object_get(value, "confirmations");
	if (!json_is_integer(height) || !json_is_integer(confirmations) ||
	    json_integer_value(height) < 0 || json_integer_value(height) > INT32_MAX)
		return garbage(s, "getblockheader", "no height or confirmations");
	ret_header->height = (uint32_t)json_integer_value(height);
	/* -1: a block that is known and not on the best chain */
	ret_header->active = json_integer_value(confirmations) >= 0;
	parse_work(value, ret_header->work);
	return 0;
}

static int rpc_probe(struct source *source, struct source_probe *ret_probe)
{
	struct source_rpc *s = (struct source_rpc *)source;
	_cleanup_(json_decrefp) json_t *value = NULL;
	json_t *height;
	int result;

	s->error[0] = '\0';
	rpc_set_timeout(s->rpc, MIN(PROBE_TIMEOUT_MS, s->timeout_ms));
	result = rpc_call(s->rpc, "getblockchaininfo", NULL, &value);
	rpc_set_timeout(s->rpc, s->timeout_ms);
	if (result)
		return result;
	height = json_object_get(value, "blocks");
	if (!json_is_integer(height) || json_integer_value(height) < 0 ||
	    json_integer_value(height) > INT32_MAX)
		return garbage(s, "getblockchaininfo", "no height");
	ret_probe->height = (uint32_t)json_integer_value(height);
	parse_work(value, ret_probe->work);
	ret_probe->syncing = json_is_true(json_object_get(value, "initialblockdownload"));
	ret_probe->pruned = json_is_true(json_object_get(value, "pruned"));
	return 0;
}

static int rpc_hashes(struct source *source, uint32_t height, size_t count,
		      struct hash256 *ret_hashes, size_t *ret_count)
{
	struct source_rpc *s = (struct source_rpc *)source;
	json_t *params[HASHES_MAX], *values[HASHES_MAX];
	size_t found = 0;
	int result;

	s->error[0] = '\0';
	result = rest_hashes(&s->rest, height, count, ret_hashes, ret_count);
	if (result)
		return MIN(result, 0);
	if (count > HASHES_MAX)
		count = HASHES_MAX;
	for (size_t i = 0; i < count; i++)
		params[i] = json_pack("[I]", (json_int_t)height + (json_int_t)i);
	result = rpc_batch(s->rpc, "getblockhash", params, count, values);
	if (result)
		return result;
	while (!result && found < count && values[found]) {
		result = parse_hash(s, "getblockhash", values[found], &ret_hashes[found]);
		found++;
	}
	for (size_t i = 0; i < count; i++)
		json_decref(values[i]);
	if (!result && found > 0)
		rest_note(&s->rest, height + (uint32_t)found - 1, &ret_hashes[found - 1]);
	*ret_count = found;
	return result;
}

/* The bytes of a hex string, in s->bytes. */
static int decode(struct source_rpc *s, const char *method, const json_t *value, size_t *ret_len)
{
	size_t len = json_string_length(value);
	uint8_t *grown;

	if (!json_is_string(value) || len % 2 != 0)
		return garbage(s, method, "not hexadecimal");
	len /= 2;
	if (len > s->bytes_size) {
		grown = realloc(s->bytes, len);
		if (!grown)
			return -ENOMEM;
		s->bytes = grown;
		s->bytes_size = len;
	}
	if (!hex_parse(json_string_value(value), s->bytes, len))
		return garbage(s, method, "not hexadecimal");
	*ret_len = len;
	return 0;
}

/* Calls back with each value that is there. */
static int hand_out(struct source_rpc *s, const char *method, json_t **values, size_t count,
		    size_t first, bool all, source_bytes_cb cb, void *arg)
{
	size_t len = 0;
	int result = 0;

	for (size_t i = 0; !result && i < count; i++) {
		if (!values[i] && all) {
			snprintf(s->error, sizeof(s->error),
				 "the chain node does not give a block of its own chain: is it "
				 "pruned? It must keep all blocks from birth-height on");
			result = -ENODATA;
		}
		if (!values[i])
			continue;
		result = decode(s, method, values[i], &len);
		json_decref(values[i]);
		values[i] = NULL;
		if (!result)
			result = cb(arg, first + i, s->bytes, len);
		if (len > s->block_len && all)
			s->block_len = len;
	}
	for (size_t i = 0; i < count; i++)
		json_decref(values[i]);
	return result;
}

/* So many of count as one answer holds. */
static size_t batch_size(const struct source_rpc *s, size_t count)
{
	size_t batch = BATCH_BYTES / (2 * s->block_len + 1);

	return MIN(MAX(batch, 1), MIN(count, BLOCKS_MAX));
}

static int get_blocks(struct source_rpc *s, const struct hash256 *hashes, size_t first,
		      size_t count, source_bytes_cb cb, void *arg)
{
	json_t *params[BLOCKS_MAX], *values[BLOCKS_MAX];
	char text[HASH_TEXT_SIZE];
	int result;

	s->block_len -= s->block_len / 4; /* forgets old large blocks slowly */
	for (size_t i = 0; i < count; i++) {
		hash_format(&hashes[first + i], text);
		params[i] = json_pack("[si]", text, 0);
	}
	result = rpc_batch(s->rpc, "getblock", params, count, values);
	if (!result)
		result = hand_out(s, "getblock", values, count, first, true, cb, arg);
	return result;
}

static int rpc_blocks(struct source *source, const struct hash256 *hashes, size_t count,
		      source_bytes_cb cb, void *arg)
{
	struct source_rpc *s = (struct source_rpc *)source;
	size_t batch, done, len;
	const uint8_t *raw;
	int result = 0;

	s->error[0] = '\0';
	for (done = 0; !result && done < count; done += batch) {
		batch = 1;
		if (s->block_len >= REST_BLOCK_MIN)
			result = rest_block(&s->rest, &hashes[done], &raw, &len);
		if (result < 0)
			return result;
		if (result) {
			s->block_len = MAX(len, s->block_len - s->block_len / 4);
			result = cb(arg, done, raw, len);
			continue;
		}
		batch = batch_size(s, count - done);
		result = get_blocks(s, hashes, done, batch, cb, arg);
	}
	return result;
}

static int rpc_mempool(struct source *source, struct hash256 **ret_txids, size_t *ret_count)
{
	struct source_rpc *s = (struct source_rpc *)source;
	_cleanup_(json_decrefp) json_t *value = NULL;
	_cleanup_(freep) struct hash256 *txids = NULL;
	size_t count, i;
	json_t *item;
	int result;

	s->error[0] = '\0';
	result = rpc_call(s->rpc, "getrawmempool", NULL, &value);
	if (result)
		return result;
	if (!json_is_array(value))
		return garbage(s, "getrawmempool", "not an array");
	count = json_array_size(value);
	txids = malloc((count + 1) * sizeof(*txids));
	if (!txids)
		return -ENOMEM;
	json_array_foreach(value, i, item)
	{
		result = parse_hash(s, "getrawmempool", item, &txids[i]);
		if (result)
			return result;
	}
	*ret_txids = steal(txids);
	*ret_count = count;
	return 0;
}

static int rpc_transactions(struct source *source, const struct hash256 *txids, size_t count,
			    source_bytes_cb cb, void *arg)
{
	struct source_rpc *s = (struct source_rpc *)source;
	json_t *params[TRANSACTIONS_MAX], *values[TRANSACTIONS_MAX];
	char text[HASH_TEXT_SIZE];
	size_t batch;
	int result = 0;

	s->error[0] = '\0';
	for (size_t done = 0; !result && done < count; done += batch) {
		batch = count - done > TRANSACTIONS_MAX ? TRANSACTIONS_MAX : count - done;
		for (size_t i = 0; i < batch; i++) {
			hash_format(&txids[done + i], text);
			params[i] = json_pack("[s]", text);
		}
		result = rpc_batch(s->rpc, "getrawtransaction", params, batch, values);
		if (!result)
			result = hand_out(s, "getrawtransaction", values, batch, done, false, cb,
					  arg);
	}
	return result;
}

static int rpc_submit(struct source *source, const uint8_t *raw, size_t len,
		      struct hash256 *ret_txid)
{
	struct source_rpc *s = (struct source_rpc *)source;
	_cleanup_(json_decrefp) json_t *value = NULL;
	_cleanup_(freep) char *hex = malloc(2 * len + 1);
	int result;

	s->error[0] = '\0';
	if (!hex)
		return -ENOMEM;
	hex_format(raw, len, hex);
	result = rpc_callf(s->rpc, &value, "sendrawtransaction", "[s]", hex);
	return result ? result : parse_hash(s, "sendrawtransaction", value, ret_txid);
}

static enum source_trouble rpc_trouble(const struct source *source)
{
	const struct source_rpc *s = (const struct source_rpc *)source;

	if (s->error[0])
		return SOURCE_GARBAGE;
	switch (rpc_error(s->rpc)->kind) {
	case RPC_OK:
		return SOURCE_FINE;
	case RPC_DOWN:
	case RPC_TIMEOUT:
	case RPC_CANCELLED:
		return SOURCE_DOWN;
	case RPC_AUTH:
		return SOURCE_DENIED;
	case RPC_GARBAGE:
		return SOURCE_GARBAGE;
	case RPC_WARMUP:
		return SOURCE_WARMUP;
	case RPC_NODE:
		return SOURCE_ERROR;
	case RPC_CONFIG:
		return SOURCE_CONFIG;
	}
	return SOURCE_ERROR;
}

static const char *rpc_error_text(const struct source *source)
{
	const struct source_rpc *s = (const struct source_rpc *)source;

	return s->error[0] ? s->error : rpc_error(s->rpc)->text;
}

static const char *rpc_how(const struct source *source)
{
	return rest_how(&((const struct source_rpc *)source)->rest);
}

static uint64_t rpc_requests(const struct source *source)
{
	return rpc_calls(((const struct source_rpc *)source)->rpc);
}

static void rpc_source_free(struct source *source)
{
	struct source_rpc *s = (struct source_rpc *)source;

	rpc_free(s->rpc);
	free(s->bytes);
	free(s);
}

static const struct source_ops rpc_ops = {
	.name = "rpc",
	.genesis = rpc_genesis,
	.tip = rpc_tip,
	.header = rpc_header,
	.hashes = rpc_hashes,
	.blocks = rpc_blocks,
	.mempool = rpc_mempool,
	.transactions = rpc_transactions,
	.submit = rpc_submit,
	.trouble = rpc_trouble,
	.error = rpc_error_text,
	.how = rpc_how,
	.requests = rpc_requests,
	.free = rpc_source_free,
	.probe = rpc_probe,
};

int source_rpc_new(const struct rpc_config *config, struct source **ret_source)
{
	struct source_rpc *s = calloc(1, sizeof(*s));
	int result;

	if (!s)
		return -ENOMEM;
	s->source.ops = &rpc_ops;
	s->timeout_ms = config->timeout_ms ? config->timeout_ms : RPC_TIMEOUT_MS;
	result = rpc_new(config, &s->rpc);
	if (result) {
		free(s);
		return result;
	}
	s->rest.rpc = s->rpc;
	*ret_source = &s->source;
	return 0;
}
