/* How fast chainwatch fills chain.db from block files: a chain of blocks of mainnet's size without
 * records, and one full of records. The files are made first, and taken out of the page cache; the
 * same bytes are then read alone, for comparison. Usage: blocksync [--json] [GB [RECORDS [DNETS]]];
 * each of DNETS records makes a dnet, so that its seal stays. */

#include "chainwatch/chain.h"
#include "chainwatch/store.h"
#include "fixture/temp.h"
#include "os/base.h"
#include "os/log.h"
#include "wire/tx.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

enum {
	FILE_MAX = 128 << 20, /* as Bitcoin Core */
	BLOCK_MAX = 2 << 20,
	TEMPLATES = 16,
	BULK_TXS = 4000,
	RECORD_TXS = 2000,
	NODES = 100000, /* keys go round: what is there is replaced */
	BITS = 0x207fffff,
};

struct files {
	struct temp folder;
	const struct chainparams *params;
	FILE *file;
	unsigned number;
	size_t in_file, total;
	struct hash256 tip;
	uint32_t height;
};

static uint64_t state = 88172645463325252;

static void fill(uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(data + i, &state, MIN(len - i, sizeof(state)));
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *file_name(const struct files *f, unsigned number, char path[static 256])
{
	char name[32];

	snprintf(name, sizeof(name), "blk%05u.dat", number);
	return temp_file(&f->folder, name, path);
}

static void close_file(struct files *f)
{
	if (!f->file)
		return;
	if (fflush(f->file) || fdatasync(fileno(f->file)))
		abort();
	posix_fadvise(fileno(f->file), 0, 0, POSIX_FADV_DONTNEED);
	fclose(f->file);
	f->file = NULL;
}

static void put_raw(struct files *f, const uint8_t *raw, size_t len)
{
	uint8_t head[8];
	char path[256];

	if (f->file && f->in_file + len + sizeof(head) > FILE_MAX)
		close_file(f);
	if (!f->file) {
		f->file = fopen(file_name(f, f->number++, path), "w");
		f->in_file = 0;
		if (!f->file)
			abort();
	}
	memcpy(head, f->params->magic, 4);
	store_u32(head + 4, (uint32_t)len);
	if (fwrite(head, 1, sizeof(head), f->file) != sizeof(head) ||
	    fwrite(raw, 1, len, f->file) != len)
		abort();
	f->in_file += len + sizeof(head);
	f->total += len + sizeof(head);
	f->height++;
}

/* A block whose header lacks prev and root; its merkle root is given. */
static void put_block(struct files *f, uint8_t *raw, size_t len, const struct hash256 *root)
{
	struct block_header header = {.version = 4,
				      .prev = f->tip,
				      .merkle_root = *root,
				      .time = 1700000000 + f->height,
				      .bits = BITS,
				      .nonce = f->height};

	block_header_write(&header, raw);
	block_hash(raw, &f->tip);
	put_raw(f, raw, len);
}

static void put_script(struct writer *w, uint64_t value, const void *script, size_t len)
{
	writer_u64(w, value);
	writer_compact(w, len);
	writer_copy(w, script, len);
}

static void put_coinbase(struct writer *w)
{
	static const uint8_t script[22] = {0, 20}, start[4];

	writer_u32(w, 2);
	writer_compact(w, 1);
	writer_zero(w, HASH_LEN);
	writer_u32(w, UINT32_MAX);
	writer_compact(w, sizeof(start));
	writer_copy(w, start, sizeof(start));
	writer_u32(w, UINT32_MAX);
	writer_compact(w, 1);
	put_script(w, 5000000000, script, sizeof(script));
	writer_u32(w, 0);
}

/* P2WPKH, one or two inputs, two outputs. */
static void put_payment(struct writer *w)
{
	uint8_t random[600];
	uint32_t inputs;

	fill(random, sizeof(random));
	inputs = 1 + random[0] % 2;
	writer_u32(w, 2);
	writer_u8(w, 0);
	writer_u8(w, TX_FLAG_WITNESS);
	writer_compact(w, inputs);
	for (uint32_t i = 0; i < inputs; i++) {
		writer_copy(w, random + 40 * i, HASH_LEN);
		writer_u32(w, 1);
		writer_compact(w, 0);
		writer_u32(w, 0xfffffffd);
	}
	writer_compact(w, 2);
	for (uint32_t i = 0; i < 2; i++) {
		uint8_t script[22] = {0, 20};

		memcpy(script + 2, random + 100 + 20 * i, 20);
		put_script(w, 10000, script, sizeof(script));
	}
	for (uint32_t i = 0; i < inputs; i++) {
		writer_compact(w, 2);
		writer_compact(w, 71);
		writer_copy(w, random + 150 + 110 * i, 71);
		writer_compact(w, 33);
		writer_copy(w, random + 230 + 110 * i, 33);
	}
	writer_u32(w, 0);
}

static void root_of(const uint8_t *raw, size_t len, struct hash256 *ret)
{
	struct block_view block;
	struct hash256 txid;
	struct merkle merkle;
	struct tx_view tx;

	block_open(&block, raw, len);
	merkle_init(&merkle);
	while (block_next(&block, &tx)) {
		tx_txid(&tx, &txid);
		merkle_add(&merkle, &txid);
	}
	if (block.reason != TX_OK)
		abort();
	merkle_root(&merkle, ret);
}

static void make_bulk(struct files *f, size_t bytes)
{
	uint8_t *raw[TEMPLATES];
	struct hash256 roots[TEMPLATES];
	size_t lens[TEMPLATES];

	for (size_t i = 0; i < TEMPLATES; i++) {
		struct writer w;

		raw[i] = malloc(BLOCK_MAX);
		writer_init(&w, raw[i], BLOCK_MAX);
		writer_zero(&w, BLOCK_HEADER_LEN);
		writer_compact(&w, BULK_TXS);
		put_coinbase(&w);
		for (size_t n = 1; n < BULK_TXS; n++)
			put_payment(&w);
		if (w.failed)
			abort();
		lens[i] = writer_len(&w);
		root_of(raw[i], lens[i], &roots[i]);
	}
	for (size_t i = 0; f->total < bytes; i++)
		put_block(f, raw[i % TEMPLATES], lens[i % TEMPLATES], &roots[i % TEMPLATES]);
	for (size_t i = 0; i < TEMPLATES; i++)
		free(raw[i]);
	close_file(f);
}

/* Spends the seal, if there is one, and makes the next. */
static void put_record(struct writer *w, const struct record *record, struct outpoint *seal)
{
	uint8_t payload[PAYLOAD_MAX], script[100], witness[34] = {0, 32};
	struct writer p, s;
	struct tx_view tx;
	uint8_t *start = w->pos;

	writer_u32(w, 2);
	writer_compact(w, 1);
	writer_copy(w, seal->txid.bytes, HASH_LEN);
	writer_u32(w, seal->vout);
	writer_compact(w, 0);
	writer_u32(w, 0xfffffffd);
	writer_compact(w, 2);
	payload_begin(&p, payload);
	record_write(&p, record);
	writer_init(&s, script, sizeof(script));
	carrier_op_return_script(&s, payload, payload_finish(&p));
	put_script(w, 0, script, writer_len(&s));
	put_script(w, 10000, witness, sizeof(witness));
	writer_u32(w, 0);
	if (w->failed || tx_parse(start, (size_t)(w->pos - start), &tx) != TX_OK)
		abort();
	tx_txid(&tx, &seal->txid);
	seal->vout = 1;
}

/* each_new: every record makes a dnet; else one dnet has members that come and go. */
static void make_records(struct files *f, size_t records, bool each_new)
{
	uint8_t *raw = malloc(BLOCK_MAX);
	struct outpoint seal = {.vout = 0};
	struct hash256 root;
	struct writer w;

	fill(seal.txid.bytes, HASH_LEN);
	for (size_t done = 0; done < records;) {
		size_t count = MIN(records - done, (size_t)RECORD_TXS);

		writer_init(&w, raw, BLOCK_MAX);
		writer_zero(&w, BLOCK_HEADER_LEN);
		writer_compact(&w, 1 + count);
		put_coinbase(&w);
		for (; count > 0; count--, done++) {
			struct record record = {.type = RECORD_DNET_CREATE};

			strcpy(record.dnet_create.name, "bench");
			if (each_new)
				fill(seal.txid.bytes, HASH_LEN);
			else if (done > 0) {
				record = (struct record){.type = RECORD_NODE_PUT};
				record.node_put.key.bytes[0] = 2;
				store_u32(record.node_put.key.bytes + 1, done % NODES);
				snprintf(record.node_put.name, sizeof(record.node_put.name), "n%zu",
					 done % NODES);
			}
			put_record(&w, &record, &seal);
		}
		root_of(raw, writer_len(&w), &root);
		put_block(f, raw, writer_len(&w), &root);
	}
	free(raw);
	close_file(f);
}

/* All files, one after the other, and nothing else. */
static double read_alone(const struct files *f)
{
	uint8_t *buffer = malloc(1 << 20);
	double start = now();
	char path[256];

	for (unsigned i = 0; i < f->number; i++) {
		int fd = open(file_name(f, i, path), O_RDONLY | O_CLOEXEC);

		while (read(fd, buffer, 1 << 20) > 0)
			;
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
	free(buffer);
	return now() - start;
}

static size_t size_of(const struct files *f, const char *name)
{
	char path[256];
	struct stat st;

	return stat(temp_file(&f->folder, name, path), &st) ? 0 : (size_t)st.st_size;
}

/* At most, so far. */
static size_t rss_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (size_t)usage.ru_maxrss;
}

static size_t rss_now_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (!file || fscanf(file, "%*u %lu", &pages) != 1)
		abort();
	fclose(file);
	return pages * 4;
}

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct chain_report report;

/* Until it has come to the tip. */
static void follow(const struct files *f, struct chain_config *config, struct chain **ret_chain,
		   size_t *ret_wal)
{
	char path[256], error[STORE_ERROR_MAX] = "";
	const struct store_config store_config = {.path = temp_file(&f->folder, "chain.db", path),
						  .chain = f->params->name,
						  .genesis = f->params->genesis,
						  .birth_height = 1,
						  .keep = 1000};

	*ret_wal = 0;
	if (source_blocks_new(f->folder.path, f->params, config->stop, &config->source) ||
	    store_open(&store_config, &config->store, error) || chain_new(config, ret_chain, error))
		abort();
	do {
		chain_step(*ret_chain, 200, &report);
		*ret_wal = MAX(*ret_wal, size_of(f, "chain.db-wal"));
		if (report.error[0]) {
			fprintf(stderr, "%s\n", report.error);
			exit(1);
		}
	} while (report.state != CHAIN_FOLLOWING || report.tip.height + 1 < f->height);
}

static void end(struct chain_config *config, struct chain *chain)
{
	chain_free(chain);
	store_close(config->store);
	config->source->ops->free(config->source);
}

static void sync_files(const struct files *f, bool json, const char *what)
{
	static const atomic_bool stop;
	struct chain_config config = {
		.params = *f->params, .stop = &stop, .birth_height = 1, .keep = 1000, .seed = {7}};
	double alone = read_alone(f), start = now(), busy = cpu(), took;
	struct chain *chain;
	size_t wal;

	follow(f, &config, &chain, &wal);
	took = now() - start;
	busy = cpu() - busy;
	printf(json ? "{\"bench\": \"%s\", \"mb_s\": %.0f, \"cpu_mb_s\": %.0f, \"reading_mb_s\": "
		      "%.0f, \"of_reading\": %.2f, \"records_s\": %.0f, \"cpu_records_s\": %.0f, "
		      "\"blocks\": %" PRIu64
		      ", \"rss_mib\": %zu, \"wal_mib\": %zu, \"db_mib\": %zu}\n"
		    : "%s: %.0f MB/s (%.0f by CPU time); the files alone are read at %.0f MB/s: "
		      "%.2f of it; %.0f records/s (%.0f by CPU time); %" PRIu64
		      " blocks; at most %zu MiB resident, WAL %zu MiB, chain.db %zu MiB\n",
	       what, (double)f->total / took / 1e6, (double)f->total / busy / 1e6,
	       (double)f->total / alone / 1e6, alone / took, (double)report.counts.records / took,
	       (double)report.counts.records / busy, report.blocks_read, rss_kib() / 1024,
	       wal >> 20, size_of(f, "chain.db") >> 20);
	end(&config, chain);
	malloc_trim(0);
	follow(f, &config, &chain, &wal);
	printf(json ? "{\"bench\": \"%s, started again\", \"seals\": %zu, \"rows\": %zu, "
		      "\"rss_mib\": %zu}\n"
		    : "%s, started again: %zu live seals, %zu rows: %zu MiB resident\n",
	       what, report.live.seals, report.live.rows, rss_now_kib() / 1024);
	fflush(stdout);
	end(&config, chain);
}

/* One child each: its memory is its own. */
static int run(bool json, size_t bytes, size_t records, bool each_new)
{
	struct files f = {.params = chainparams_find("bitcoin-regtest")};
	uint8_t genesis[BLOCK_HEADER_LEN + 1];
	struct statvfs disk;

	f.tip = f.params->genesis;
	temp_make(&f.folder);
	if (statvfs(f.folder.path, &disk) || (uint64_t)disk.f_bavail * disk.f_frsize / 2 < bytes) {
		fprintf(stderr, "there is too little room in /tmp for block files of %zu bytes\n",
			bytes);
		temp_remove(&f.folder);
		return 1;
	}
	memcpy(genesis, f.params->genesis_header, BLOCK_HEADER_LEN);
	put_raw(&f, genesis, sizeof(genesis));
	if (bytes)
		make_bulk(&f, bytes);
	else
		make_records(&f, records, each_new);
	sync_files(&f, json, bytes ? "initial sync" : each_new ? "dnets" : "records");
	temp_remove(&f.folder);
	return 0;
}

int main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	double gb = argc > 1 + json ? strtod(argv[1 + json], NULL) : 1;
	size_t records = argc > 2 + json ? strtoul(argv[2 + json], NULL, 10) : 1000000;
	size_t dnets = argc > 3 + json ? strtoul(argv[3 + json], NULL, 10) : 0;
	int status = gb > 0 ? run(json, (size_t)(gb * 1e9), 0, false) : 0;

	if (!status && records)
		status = run(json, 0, records, false);
	return status || !dnets ? status : run(json, 0, dnets, true);
}
