/* How fast raw blocks are read: parsed, every input looked up among the live seals, every output
 * looked at for a carrier. Blocks are made to the measures of Bitcoin's mainnet; some transactions
 * are ours. Prints one line: MB/s, blocks, transactions. */

#include "core/registry.h"
#include "wire/tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BLOCK_MAX = 4 << 20,
	BLOCKS = 32,
	TXS = 4000,
	OURS_EVERY = 1000, /* one transaction in so many is ours */
	SEALS = 10000,	   /* live ones, from before */
	WITNESS_LEN = 108, /* signature and key of P2WPKH */
	SECONDS = 2,
};

static uint64_t state = 88172645463325252;

static uint32_t rng(uint32_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % bound;
}

static void fill(struct writer *w, size_t len)
{
	while (len-- > 0)
		writer_u8(w, (uint8_t)rng(256));
}

static void make_tx(struct writer *w, bool coinbase, bool ours)
{
	uint32_t inputs = coinbase ? 1 : 1 + rng(3), outputs = 2;

	writer_u32(w, 2);
	writer_u8(w, 0);
	writer_u8(w, TX_FLAG_WITNESS);
	writer_compact(w, inputs);
	for (uint32_t i = 0; i < inputs; i++) {
		if (coinbase)
			writer_zero(w, HASH_LEN);
		else
			fill(w, HASH_LEN);
		writer_u32(w, coinbase ? UINT32_MAX : rng(4));
		writer_compact(w, coinbase ? 4 : 0);
		writer_zero(w, coinbase ? 4 : 0);
		writer_u32(w, 0xfffffffd);
	}
	writer_compact(w, outputs);
	for (uint32_t i = 0; i < outputs; i++) {
		struct record record = {.type = RECORD_NODE_PUT};
		uint8_t payload[PAYLOAD_MAX], script[100];
		struct writer p, s;

		writer_u64(w, 10000 + rng(100000));
		writer_init(&s, script, sizeof(script));
		if (ours && i == 0) {
			record.node_put.key.bytes[0] = 2;
			payload_begin(&p, payload);
			record_write(&p, &record);
			carrier_op_return_script(&s, payload, payload_finish(&p));
		} else {
			writer_u8(&s, 0);
			writer_u8(&s, 20);
			fill(&s, 20);
		}
		writer_compact(w, writer_len(&s));
		writer_copy(w, script, writer_len(&s));
	}
	for (uint32_t i = 0; i < inputs; i++) {
		writer_compact(w, 2);
		writer_compact(w, WITNESS_LEN - 34);
		fill(w, WITNESS_LEN - 34);
		writer_compact(w, 33);
		fill(w, 33);
	}
	writer_u32(w, 0);
}

static size_t make_block(uint8_t *data)
{
	struct writer w;

	writer_init(&w, data, BLOCK_MAX);
	writer_zero(&w, BLOCK_HEADER_LEN);
	writer_compact(&w, TXS);
	for (uint32_t i = 0; i < TXS; i++)
		make_tx(&w, i == 0, i % OURS_EVERY == 1);
	if (w.failed)
		abort();
	return writer_len(&w);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t events;

static int on_event(void *arg, const struct registry_place *place,
		    const struct registry_event *event)
{
	events++;
	return 0;
}

static struct registry *make_registry(void)
{
	static const uint8_t seed[16] = {1};
	struct registry_seal seal = {.kind = OBJECT_DNET};
	struct registry *registry;
	struct writer w;

	if (registry_new(0, seed, &registry))
		abort();
	for (uint32_t i = 0; i < SEALS; i++) {
		writer_init(&w, seal.object.bytes, sizeof(seal.object.bytes));
		fill(&w, sizeof(seal.object.bytes));
		writer_init(&w, seal.outpoint.txid.bytes, HASH_LEN);
		fill(&w, HASH_LEN);
		if (registry_load_object(registry, OBJECT_DNET, &seal.object, 1, REGISTRY_LIVE) ||
		    registry_load_seal(registry, &seal, 1, REGISTRY_LIVE))
			abort();
	}
	return registry;
}

int main(void)
{
	const struct registry_sink sink = {.on_event = on_event};
	struct registry *registry = make_registry();
	uint8_t *blocks = malloc((size_t)BLOCKS * BLOCK_MAX);
	size_t lens[BLOCKS], bytes = 0, count = 0, txs = 0;
	double start, took;
	struct block_view block;
	struct tx_view tx;

	for (size_t i = 0; i < BLOCKS; i++)
		lens[i] = make_block(blocks + i * BLOCK_MAX);
	start = now();
	do {
		size_t at = count++ % BLOCKS;

		block_open(&block, blocks + at * BLOCK_MAX, lens[at]);
		while (block_next(&block, &tx)) {
			if (registry_apply_tx(registry, 2, block.tx_index, &tx, &sink))
				abort();
			txs++;
		}
		if (block.reason != TX_OK)
			abort();
		bytes += lens[at];
		took = now() - start;
	} while (took < SECONDS);
	printf("%.0f MB/s: %zu blocks of %.2f MB with %d transactions each, %zu records, %d live "
	       "seals\n",
	       (double)bytes / 1e6 / took, count, (double)lens[0] / 1e6, TXS, events, SEALS);
	registry_free(registry);
	free(blocks);
	return 0;
}
