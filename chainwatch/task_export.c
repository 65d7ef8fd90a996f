#include "chainwatch/source.h"
#include "chainwatch/task.h"
#include "os/base.h"
#include "os/chaindb_private.h"
#include "os/log.h"
#include "wire/hash.h"
#include "wire/hex.h"
#include "wire/statefile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	BLOCKS = 16, /* asked for at once */
};

/* A transaction that chain.db has a line of in record_log. */
struct wanted_tx {
	uint32_t height, index;
	struct hash256 txid;
};

struct export
{
	const struct task_world *world;
	struct statefile head;
	uint8_t *times;	       /* owned */
	struct wanted_tx *txs; /* owned; in order */
	size_t tx_count, tx_size;
	int fd;
	struct sha256 sum;
	uint64_t bytes;
	size_t written_txs;
	/* While blocks are read. */
	const uint32_t *heights; /* borrowed */
	const struct hash256 *hashes;
};

static bool put(struct export *x, const void *data, size_t len)
{
	const uint8_t *at = data;

	if (x->bytes + len > STATEFILE_BYTES_MAX) {
		log_error("the state is larger than a file of it can be (1 GiB)");
		return false;
	}
	sha256_update(&x->sum, data, len);
	x->bytes += len;
	while (len > 0) {
		ssize_t n = write(x->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			log_error("cannot write the file: %s; it is removed: make room, or use "
				  "another disk",
				  strerror(errno));
			return false;
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* ---- What chain.db has ---- */

static bool read_times(struct export *x, struct chaindb *db)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		chaindb_prepare(db, "SELECT time FROM block ORDER BY height");
	uint32_t count = 0, time;

	x->times = xmalloc(4 * (size_t)STATEFILE_TIMES_MAX);
	while (statement && count < STATEFILE_TIMES_MAX && sqlite3_step(statement) == SQLITE_ROW) {
		if (!chaindb_read_u32(statement, 0, &time))
			return false;
		store_u32(x->times + 4 * (size_t)count++, time);
	}
	x->head.times = x->times;
	x->head.time_count = count;
	return count > 0;
}

static bool read_txs(struct export *x, struct chaindb *db)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement =
		chaindb_prepare(db, "SELECT DISTINCT height, tx_index, txid FROM record_log"
				    " ORDER BY height, tx_index");
	int code = SQLITE_ERROR;

	while (statement && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct wanted_tx *tx;

		if (x->tx_count == x->tx_size) {
			x->tx_size = MAX(2 * x->tx_size, (size_t)1024);
			x->txs = xrealloc(x->txs, x->tx_size * sizeof(*x->txs));
		}
		tx = &x->txs[x->tx_count++];
		if (!chaindb_read_u32(statement, 0, &tx->height) ||
		    !chaindb_read_u32(statement, 1, &tx->index) ||
		    !chaindb_read_hash(statement, 2, &tx->txid))
			return false;
		if (x->tx_count == 1 || tx->height != tx[-1].height)
			x->head.block_count++;
	}
	return code == SQLITE_DONE;
}

static bool read_db(struct export *x)
{
	const struct task_world *world = x->world;
	struct chaindb_tip tip;
	struct chaindb *db;
	bool ok;

	if (!task_open_db(world, &db, &x->head.birth_height, NULL, NULL))
		return false;
	ok = chaindb_tip(db, &tip) == 0 && read_times(x, db) && read_txs(x, db);
	if (!ok)
		log_error("%s: cannot be read, or is damaged: see chainwatch --verify", world->db);
	chaindb_end(db);
	chaindb_close(db);
	snprintf(x->head.chain, sizeof(x->head.chain), "%s", world->params->name);
	x->head.genesis = world->params->genesis;
	x->head.op_node = world->params->op_node;
	if (ok) {
		x->head.height = tip.height;
		x->head.hash = tip.hash;
	}
	return ok;
}

/* ---- The proofs, from the source ---- */

static bool source_failed(const struct export *x)
{
	log_error("%s", x->world->source->ops->error(x->world->source));
	return false;
}

/* The transactions of a height begin here. */
static size_t first_of(const struct export *x, uint32_t height)
{
	size_t low = 0, high = x->tx_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (x->txs[middle].height < height)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool write_tx(struct export *x, const struct hash256 *txids, struct hash256 *scratch,
		     uint32_t count, uint32_t index, const struct tx_view *tx)
{
	_cleanup_(freep) uint8_t *mem = NULL;
	struct hash256 branch[STATEFILE_DEPTH_MAX];
	uint8_t depth;
	struct writer w;
	size_t size;

	memcpy(scratch, txids, count * sizeof(*scratch));
	depth = statefile_branch(scratch, count, index, branch);
	size = statefile_tx_size(depth, tx);
	mem = xmalloc(size);
	writer_init(&w, mem, size);
	statefile_write_tx(&w, index, branch, depth, tx);
	x->written_txs++;
	return put(x, mem, writer_len(&w));
}

/* The block's transactions that are wanted, the coinbase first. */
static int write_block(struct export *x, uint32_t height, const uint8_t *raw, size_t len)
{
	size_t first = first_of(x, height), past = first_of(x, height + 1), next = first;
	bool coinbase_too = x->txs[first].index != 0;
	_cleanup_(freep) struct hash256 *txids = NULL, *scratch = NULL;
	_cleanup_(freep) struct tx_view *views = NULL;
	uint8_t head[STATEFILE_BLOCK_LEN];
	struct block_view block;
	struct tx_view tx;
	struct writer w;
	uint32_t count = 0;

	if (block_open(&block, raw, len) != TX_OK)
		return -EBADMSG;
	txids = xmalloc(block.tx_count * sizeof(*txids));
	scratch = xmalloc(block.tx_count * sizeof(*scratch));
	views = xmalloc((past - first + 1) * sizeof(*views));
	while (block_next(&block, &tx)) {
		tx_txid(&tx, &txids[count]);
		if (count == 0)
			views[past - first] = tx;
		if (next < past && x->txs[next].index == count) {
			if (memcmp(&x->txs[next].txid, &txids[count], HASH_LEN) != 0)
				return -ESTALE;
			views[next++ - first] = tx;
		}
		count++;
	}
	if (block.reason != TX_OK || next != past)
		return block.reason != TX_OK ? -EBADMSG : -ESTALE;
	writer_init(&w, head, sizeof(head));
	statefile_write_block(&w, height, raw, (uint32_t)(past - first) + coinbase_too);
	if (!put(x, head, writer_len(&w)) ||
	    (coinbase_too && !write_tx(x, txids, scratch, count, 0, &views[past - first])))
		return -EIO;
	for (next = first; next < past; next++)
		if (!write_tx(x, txids, scratch, count, x->txs[next].index, &views[next - first]))
			return -EIO;
	return 0;
}

static int on_block(void *arg, size_t index, const uint8_t *raw, size_t len)
{
	struct export *x = arg;
	struct hash256 hash;
	int result;

	if (len < BLOCK_HEADER_LEN)
		return -EBADMSG;
	block_hash(raw, &hash);
	result = memcmp(&hash, &x->hashes[index], sizeof(hash)) != 0
			 ? -EBADMSG
			 : write_block(x, x->heights[index], raw, len);
	if (result == -EBADMSG)
		log_error("block %u of the chain node cannot be read", x->heights[index]);
	if (result == -ESTALE)
		log_error("block %u of the chain node has other transactions than chain.db says: "
			  "see chainwatch --verify",
			  x->heights[index]);
	return result ? -ECANCELED : 0; /* said already */
}

static bool write_blocks(struct export *x)
{
	struct source *source = x->world->source;
	struct hash256 hashes[BLOCKS];
	uint32_t heights[BLOCKS];
	size_t at = 0, count, got;
	int result = 0;

	x->heights = heights;
	x->hashes = hashes;
	while (!result && at < x->tx_count) {
		for (count = 0; at < x->tx_count && count < BLOCKS;
		     at = first_of(x, heights[count - 1] + 1))
			heights[count++] = x->txs[at].height;
		for (size_t i = 0; !result && i < count; i++) {
			result = source->ops->hashes(source, heights[i], 1, &hashes[i], &got);
			if (!result && got == 0)
				result = -ENODATA;
		}
		if (!result)
			result = source->ops->blocks(source, hashes, count, on_block, x);
		if (result && result != -ECANCELED)
			source_failed(x);
	}
	return !result;
}

static bool is_on_chain(const struct export *x)
{
	struct source *source = x->world->source;
	struct source_header header = {.active = false};
	struct hash256 best;
	int result = task_tip(x->world, &best);

	if (!result)
		result = source->ops->header(source, &x->head.hash, &header);
	if (result && result != -ENOENT)
		return source_failed(x);
	if (result || !header.active)
		log_error("block %u, where chain.db is, is not on the best chain of the chain "
			  "node: try again when chainwatch has followed it",
			  x->head.height);
	return !result && header.active;
}

static bool write_all(struct export *x)
{
	size_t size = STATEFILE_HEAD_MAX + 4 * (size_t)x->head.time_count;
	_cleanup_(freep) uint8_t *head = xmalloc(size);
	struct hash256 sum;
	struct writer w;

	sha256_init(&x->sum);
	writer_init(&w, head, size);
	statefile_write_head(&w, &x->head);
	/* The tip again at the end: while it is on the best chain, so is every block before it. */
	if (!is_on_chain(x) || !put(x, head, writer_len(&w)) || !write_blocks(x) || !is_on_chain(x))
		return false;
	sha256_final(&x->sum, &sum);
	sha256_init(&x->sum);
	if (!put(x, sum.bytes, HASH_LEN))
		return false;
	if (fsync(x->fd) == 0 || errno == EINVAL)
		return true;
	log_error("cannot write the file: %s; it is removed: make room, or use another disk",
		  strerror(errno));
	return false;
}

int task_export(const struct task_world *world, int fd)
{
	struct export x = {.world = world, .fd = fd};
	char hash[HASH_TEXT_SIZE];
	bool ok = task_check_network(world) && read_db(&x) && write_all(&x);

	if (ok) {
		hash_format(&x.head.hash, hash);
		printf("%s at height %u, block %s: %zu transactions of %u blocks, %llu bytes\n",
		       world->params->name, x.head.height, hash, x.tx_count, x.head.block_count,
		       (unsigned long long)x.bytes);
	}
	free(x.times);
	free(x.txs);
	return ok ? TASK_DONE : TASK_FAILED;
}
