/* How fast raw blocks are read: parsed, every input looked up among the live seals, every output
 * looked at for a carrier. Blocks are made to the measures of Bitcoin's mainnet; some transactions
 * are ours, or none. Beside it the speed of reading and of hashing the same bytes. */

#include "core/registry.h"
#include "wire/hash.h"
#include "wire/tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BLOCK_MAX = 4 << 20,
	BLOCKS = 32,
	TXS = 4000,
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

/* One transaction in ours_every is ours; 0: none. */
static size_t make_block(uint8_t *data, size_t ours_every)
{
	struct writer w;

	writer_init(&w, data, BLOCK_MAX);
	writer_zero(&w, BLOCK_HEADER_LEN);
	writer_compact(&w, TXS);
	for (uint32_t i = 0; i < TXS; i++)
		make_tx(&w, i == 0, ours_every && i % ours_every == 1);
	if (w.failed)
		abort();
	return writer_len(&w);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t events;

static int on_event(void *arg, const struct registry_place *place,
		    const struct registry_event *event)
{
	events++;
	return 0;
}

static struct registry *make_registry(size_t seals)
{
	static const uint8_t seed[16] = {0x9b, 0x3c, 0x5d, 0x71, 0xe4, 0x0f, 0xa2, 0x68};
	struct registry_seal seal = {.kind = OBJECT_DNET};
	struct registry *registry;
	struct writer w;

	if (registry_new(0, seed, &registry))
		abort();
	registry_prune(registry, 1); /* what is loaded is too old to be undone */
	for (size_t i = 0; i < seals; i++) {
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

static size_t rss_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (!f || fscanf(f, "%*u %lu", &pages) != 1)
		abort();
	fclose(f);
	return pages * 4;
}

/* What one reads and hashes the same blocks with, and does nothing else. */
static volatile uint64_t sink_value;

static void read_block(const uint8_t *data, size_t len)
{
	uint64_t sum = 0, word;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, data + i, 8);
		sum += word;
	}
	sink_value = sum;
}

static void hash_block(const uint8_t *data, size_t len)
{
	struct hash256 hash;

	hash_sha256(data, len, &hash);
	sink_value = hash.bytes[0];
}

static void scan_block(struct registry *registry, const uint8_t *data, size_t len)
{
	static const struct registry_sink sink = {.on_event = on_event};
	struct block_view block;

	block_open(&block, data, len);
	if (registry_apply_block(registry, 2, &block, &sink) || block.reason != TX_OK)
		abort();
}

enum what { SCAN, READ, HASH };

/* MB/s over all blocks again and again. */
static double measure(enum what what, struct registry *registry, const uint8_t *blocks,
		      const size_t *lens, double seconds)
{
	size_t bytes = 0, count = 0;
	double start = now(), took;

	do {
		size_t at = count++ % BLOCKS;
		const uint8_t *data = blocks + at * BLOCK_MAX;

		switch (what) {
		case SCAN:
			scan_block(registry, data, lens[at]);
			break;
		case READ:
			read_block(data, lens[at]);
			break;
		case HASH:
			hash_block(data, lens[at]);
			break;
		}
		bytes += lens[at];
		took = now() - start;
	} while (took < seconds);
	return (double)bytes / 1e6 / took;
}

int main(int argc, char **argv)
{
	static const struct {
		size_t seals, ours_every;
	} cases[] = {{10000, 1000}, {10000, 0}, {1000000, 0}};
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	double seconds = argc > 1 + json ? strtod(argv[1 + json], NULL) : SECONDS, read, hash, scan;
	uint8_t *blocks = malloc((size_t)BLOCKS * BLOCK_MAX);
	size_t lens[BLOCKS], before, used;

	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct registry *registry;

		for (size_t i = 0; i < BLOCKS; i++)
			lens[i] = make_block(blocks + i * BLOCK_MAX, cases[c].ours_every);
		events = 0;
		before = rss_kib();
		registry = make_registry(cases[c].seals);
		used = (rss_kib() - before) / 1024;
		read = measure(READ, NULL, blocks, lens, seconds / 2);
		hash = measure(HASH, NULL, blocks, lens, seconds / 2);
		scan = measure(SCAN, registry, blocks, lens, seconds);
		printf(json ? "{\"bench\": \"scan\", \"mb_s\": %.0f, \"seals\": %zu, "
			      "\"records\": %zu, \"registry_mib\": %zu, \"reading_mb_s\": %.0f, "
			      "\"of_reading\": %.2f, \"sha256_mb_s\": %.0f, \"of_sha256\": %.2f}\n"
			    : "scan %.0f MB/s with %zu live seals, %zu records met (registry: "
			      "%zu MiB); reading alone %.0f MB/s: %.2f of it; SHA-256 alone %.0f "
			      "MB/s: %.2f times that\n",
		       scan, cases[c].seals, events, used, read, scan / read, hash, scan / hash);
		fflush(stdout);
		registry_free(registry);
	}
	free(blocks);
	return 0;
}
