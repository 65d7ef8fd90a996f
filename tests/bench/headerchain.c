/* How fast header chains are checked: 900,000 headers by the path that headers of peers take,
 * 2,000 a message, beside a plain loop of sha256d over the same bytes. The headers are made here,
 * with the least work that there is; their rules are Bitcoin's but for the changes of difficulty,
 * whose cost is measured by itself. Then the same headers from the file that a restart reads.
 * Prints a line each. */

#include "chainwatch/headerfile.h"
#include "core/headers.h"
#include "core/headers_rules.h"
#include "wire/buf.h"
#include "wire/hash.h"
#include "wire/tx.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	RAW = BLOCK_HEADER_LEN,
	COUNT = 900000,
	MESSAGE = 2000,
	SPACING = 600,
	RETARGETS = 446, /* in as many blocks of the main chain */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Resident memory in MB. */
static double resident(void)
{
	char text[256] = "";
	unsigned long pages = 0;
	int fd = open("/proc/self/statm", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || sscanf(text, "%*u %lu", &pages) != 1)
		abort();
	close(fd);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static struct chainparams make_params(void)
{
	struct chainparams params = *chainparams_find("bitcoin-regtest");

	params.min_difficulty = false;
	params.timespan = 2016 * SPACING;
	return params;
}

static uint8_t *make_chain(const struct chainparams *params)
{
	uint8_t *raw = malloc((size_t)COUNT * RAW), *at = raw;
	const uint8_t *prev = params->genesis_header;
	struct hash256 hash;

	for (uint32_t i = 0; i < COUNT; i++, prev = at, at += RAW) {
		struct block_header header = {.version = 0x20000000,
					      .time = load_u32(prev + 68) + SPACING,
					      .bits = 0x207fffff};

		block_hash(prev, &header.prev);
		store_u32(header.merkle_root.bytes, i);
		block_header_write(&header, at);
		do {
			store_u32(at + 76, load_u32(at + 76) + 1);
			block_hash(at, &hash);
		} while (hash.bytes[31] & 0x80);
	}
	return raw;
}

static struct headers *start(const struct chainparams *params)
{
	struct headers_config config = {.params = params};
	struct headers *h;

	if (headers_new(&config, &h) < 0)
		abort();
	return h;
}

static double hash_all(const uint8_t *raw)
{
	struct hash256 hash;
	double began = now();
	uint8_t sum = 0;

	for (size_t i = 0; i < COUNT; i++) {
		hash_sha256d(raw + i * RAW, RAW, &hash);
		sum ^= hash.bytes[0];
	}
	if (sum == 1 && now() < 0)
		abort();
	return now() - began;
}

static double check_all(const struct chainparams *params, const uint8_t *raw, double *ret_memory)
{
	uint32_t clock = load_u32(raw + (size_t)(COUNT - 1) * RAW + 68);
	double before = resident(), began = now(), took;
	struct headers *h = start(params);
	struct headers_added added;

	for (size_t i = 0; i < COUNT; i += MESSAGE) {
		if (headers_add(h, raw + i * RAW, RAW, MESSAGE, clock, &added) < 0 ||
		    added.reason != HEADER_OK || added.accepted != MESSAGE)
			abort();
	}
	took = now() - began;
	*ret_memory = resident() - before;
	headers_free(h);
	return took;
}

static double retarget_all(void)
{
	static struct header_entry line[2016];
	const struct header_line at = {line, NULL, 2015, 2015};
	double began = now();
	uint32_t sum = 0;

	for (size_t i = 0; i < 2016; i++)
		line[i] =
			(struct header_entry){.time = (uint32_t)(i * SPACING), .bits = 0x1d00ffff};
	began = now();
	for (uint32_t i = 0; i < RETARGETS; i++) {
		line[2015].time = 2015 * SPACING + i * 1000;
		sum ^= header_next_bits(chainparams_find("bitcoin"), &at, line[2015].time);
	}
	if (!sum)
		abort();
	return now() - began;
}

static int restore(void *arg, const uint8_t *raw, size_t count)
{
	struct headers_added added;

	return headers_restore(arg, raw, RAW, count, &added);
}

static double restore_all(const struct chainparams *params, const uint8_t *raw)
{
	char folder[] = "/tmp/dnet-bench-XXXXXX", path[64];
	struct headers *h = start(params);
	struct headerfile *f = NULL;
	uint64_t cut;
	double began;

	if (!mkdtemp(folder))
		abort();
	snprintf(path, sizeof(path), "%s/headers", folder);
	if (headerfile_open(path, &params->genesis, restore, h, &f, &cut) < 0 ||
	    headerfile_append(f, raw, RAW, COUNT) < 0)
		abort();
	headerfile_close(f);
	began = now();
	if (headerfile_open(path, &params->genesis, restore, h, &f, &cut) < 0 ||
	    headers_height(h) != COUNT)
		abort();
	began = now() - began;
	headerfile_close(f);
	headers_free(h);
	unlink(path);
	rmdir(folder);
	return began;
}

int main(void)
{
	struct chainparams params = make_params();
	uint8_t *raw = make_chain(&params);
	double hash, check, memory;

	hash = hash_all(raw);
	check = check_all(&params, raw, &memory);
	printf("%d headers checked in %.2f s: %.0f headers/s, %.1f MB resident (%.0f bytes each)\n",
	       COUNT, check, COUNT / check, memory, memory * 1e6 / COUNT);
	printf("sha256d of the same bytes alone: %.2f s; checking takes %.2f times as long\n", hash,
	       check / hash);
	printf("%d changes of difficulty: %.4f s\n", RETARGETS, retarget_all());
	printf("the same headers from the file of a restart: %.2f s\n", restore_all(&params, raw));
	free(raw);
	return 0;
}
