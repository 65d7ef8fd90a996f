#include "chainwatch/rest.h"

#include "os/base.h"
#include "os/rpc.h"
#include "wire/hex.h"
#include "wire/tx.h"

#include <stdio.h>
#include <string.h>

enum { PATH_SIZE = 40 + HASH_TEXT_SIZE };

/* Of a failure: the node is there and does not give this, which JSON-RPC may, or say why not. */
static bool was_answered(const struct rest *r)
{
	return rpc_error(r->rpc)->http_status || rpc_error(r->rpc)->kind == RPC_GARBAGE;
}

static int by_rpc(struct rest *r)
{
	rpc_forget_error(r->rpc);
	return 0;
}

static int turn_off(struct rest *r, const char *what)
{
	long status = rpc_error(r->rpc)->http_status;

	r->on = false;
	if (status)
		snprintf(r->how, sizeof(r->how), "JSON-RPC: %s (HTTP %ld)", what, status);
	else
		snprintf(r->how, sizeof(r->how), "JSON-RPC: %s", what);
	return by_rpc(r);
}

static int get_headers(struct rest *r, const struct hash256 *from, size_t count,
		       const uint8_t **ret_raw, size_t *ret_len)
{
	char path[PATH_SIZE], text[HASH_TEXT_SIZE];

	hash_format(from, text);
	snprintf(path, sizeof(path), "/rest/headers/%zu/%s.bin", count, text);
	return rpc_get(r->rpc, path, ret_raw, ret_len);
}

static bool is_header_of(const uint8_t *raw, size_t len, const struct hash256 *hash)
{
	struct hash256 found;

	if (len < BLOCK_HEADER_LEN)
		return false;
	block_hash(raw, &found);
	return memcmp(&found, hash, sizeof(found)) == 0;
}

void rest_probe(struct rest *r, const struct hash256 *genesis, uint32_t timeout_ms)
{
	const uint8_t *raw;
	size_t len;
	int result;

	r->on = r->has_last = false;
	rpc_set_timeout(r->rpc, MIN((uint32_t)REST_PROBE_MS, timeout_ms));
	result = get_headers(r, genesis, 1, &raw, &len);
	rpc_set_timeout(r->rpc, timeout_ms);
	if (result || !is_header_of(raw, len, genesis)) {
		turn_off(r, "the node does not answer REST, which its -rest=1 turns on");
		return;
	}
	r->on = true;
	snprintf(r->how, sizeof(r->how), "REST");
}

const char *rest_how(const struct rest *r)
{
	return r->how[0] ? r->how : "JSON-RPC";
}

void rest_note(struct rest *r, uint32_t height, const struct hash256 *hash)
{
	r->last = *hash;
	r->last_height = height;
	r->has_last = true;
}

/* Their hashes; false: one is not the child of the one before. */
static bool read_hashes(const uint8_t *raw, size_t count, struct hash256 parent,
			struct hash256 *ret_hashes)
{
	struct block_header header;

	for (size_t i = 0; i < count; i++, raw += BLOCK_HEADER_LEN) {
		block_header_parse(raw, &header);
		if (memcmp(&header.prev, &parent, sizeof(parent)) != 0)
			return false;
		block_hash(raw, &ret_hashes[i]);
		parent = ret_hashes[i];
	}
	return true;
}

int rest_hashes(struct rest *r, uint32_t height, size_t count, struct hash256 *ret_hashes,
		size_t *ret_count)
{
	const uint8_t *raw;
	size_t len;
	int result;

	if (!r->on || !r->has_last || r->last_height + 1 != height)
		return 0;
	count = MIN(count, (size_t)REST_HEADERS_MAX);
	result = get_headers(r, &r->last, count + 1, &raw, &len);
	if (result)
		return was_answered(r) ? by_rpc(r) : result;
	/* nothing: it has left the best chain */
	if (!is_header_of(raw, len, &r->last))
		return 0;
	count = MIN(len / BLOCK_HEADER_LEN - 1, count);
	if (!read_hashes(raw + BLOCK_HEADER_LEN, count, r->last, ret_hashes))
		return turn_off(r, "by REST the node gave headers that are no chain");
	if (count > 0)
		rest_note(r, height + (uint32_t)count - 1, &ret_hashes[count - 1]);
	*ret_count = count;
	return 1;
}

int rest_block(struct rest *r, const struct hash256 *hash, const uint8_t **ret_raw, size_t *ret_len)
{
	char path[PATH_SIZE], text[HASH_TEXT_SIZE];
	int result;

	if (!r->on)
		return 0;
	hash_format(hash, text);
	snprintf(path, sizeof(path), "/rest/block/%s.bin", text);
	result = rpc_get(r->rpc, path, ret_raw, ret_len);
	if (result && !was_answered(r))
		return result;
	if (result || !is_header_of(*ret_raw, *ret_len, hash))
		return turn_off(r, "by REST the node did not give a block of its own chain");
	return 1;
}
