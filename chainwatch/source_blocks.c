#include "chainwatch/source.h"

#include "chainwatch/blockindex.h"
#include "chainwatch/blockwalk.h"
#include "core/headers_rules.h"
#include "core/u256.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "wire/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The block files of a chain node on this machine (see blockwalk.h), read as they lie there: no
 * node has to run. First the 88 bytes at the begin of each record are read, for the index; then the
 * blocks of the best chain in their order. The files are the user's own node's: it has checked the
 * work and the rules, and is believed. Whole blocks are checked against their merkle root only
 * where they may be half there: at the end of a file that is written to.
 *
 * A node that prunes has no genesis in its files: then the height of the lowest block is taken from
 * its coinbase (BIP34). */

enum {
	STEP_MS = 150, /* of indexing in one call */
	GROWING = 3,   /* the last files, which a node may write to */
	FILES_OPEN = 4,
	ROOTS_MAX = 1000,	 /* looked at for their height, of a pruned node */
	FOLDER_MAX = 1 << 20,	 /* entries looked at */
	AHEAD_BYTES = 8 << 20,	 /* the kernel is told to fetch, beyond what is read */
	BEHIND_BYTES = 16 << 20, /* and to forget, so far behind it and further */
};

struct block_file {
	uint32_t number;
	uint64_t good; /* behind the last record that is indexed */
	uint64_t size; /* when it was indexed; 0: not yet */
	struct timespec changed;
	bool settled; /* indexed, with so many files behind it that nobody writes to it */
};

struct open_file {
	int fd; /* -1: none */
	uint32_t number;
	uint64_t used;
};

struct source_blocks {
	struct source source;		  /* first: the vtable */
	const struct chainparams *params; /* borrowed */
	const atomic_bool *stop;	  /* borrowed */
	char *folder;			  /* owned */
	struct timespec listed;		  /* when the folder had changed at the last listing */
	struct block_file *files;	  /* owned; by number */
	size_t files_count, files_size;
	size_t next;		  /* the first that is not settled */
	bool rooted;		  /* the height of a pruned node's lowest block was looked for */
	bool indexed;		  /* all files have been gone through once */
	struct blockindex *index; /* owned; NULL: none yet, or at rest */
	struct open_file open[FILES_OPEN];
	uint64_t opens;
	struct blockwalk walk;
	uint8_t *bytes; /* owned; of the block that is handed out */
	size_t bytes_size;
	uint64_t reads;
	uint32_t last_file; /* of the block that was read last… */
	uint64_t last_end;  /* and where it ended */
	uint64_t ahead_until;
	enum source_trouble trouble;
	char error[512];
	char doing[128];
};

_printf_(4, 5) static int fail(struct source_blocks *s, int result, enum source_trouble trouble,
			       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	s->trouble = trouble;
	return result;
}

static void begin(struct source_blocks *s)
{
	s->trouble = SOURCE_FINE;
	s->error[0] = '\0';
}

/* ------------------------------------------------------------------ files */

static int fail_access(struct source_blocks *s, const char *what, int error)
{
	if (error == EACCES || error == EPERM)
		return fail(s, -error, SOURCE_DENIED,
			    "cannot read %s: %s: uid %u, as which chainwatch runs, needs leave to "
			    "read the block files and to pass the folders above (a group of both, "
			    "and the chain node started with umask 027), or leave blocks: out of "
			    "source",
			    what, strerror(error), (unsigned)geteuid());
	if (error == ENOENT || error == ENOTDIR)
		return fail(s, -error, SOURCE_CONFIG,
			    "%s: %s: give the folder `blocks` in the data folder of the chain node",
			    what, strerror(error));
	return fail(s, -error, SOURCE_ERROR, "cannot read %s: %s", what, strerror(error));
}

static char *file_path(const struct source_blocks *s, uint32_t number)
{
	return xasprintf("%s/blk%05u.dat", s->folder, number);
}

static void close_files(struct source_blocks *s)
{
	for (size_t i = 0; i < FILES_OPEN; i++) {
		if (s->open[i].fd >= 0)
			close(s->open[i].fd);
		s->open[i].fd = -1;
	}
}

/* Borrowed; the one that was not used for longest makes room. */
static int open_file(struct source_blocks *s, uint32_t number, int *ret_fd)
{
	struct open_file *oldest = &s->open[0];
	_cleanup_(freep) char *path = NULL;

	for (size_t i = 0; i < FILES_OPEN; i++) {
		struct open_file *o = &s->open[i];

		if (o->fd >= 0 && o->number == number) {
			o->used = ++s->opens;
			*ret_fd = o->fd;
			return 0;
		}
		if (o->fd < 0 || o->used < oldest->used)
			oldest = o;
	}
	if (oldest->fd >= 0)
		close(oldest->fd);
	path = file_path(s, number);
	oldest->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (oldest->fd < 0 && errno == ELOOP) /* a file that was moved to another disk */
		oldest->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (oldest->fd < 0)
		return fail_access(s, path, errno);
	oldest->number = number;
	oldest->used = ++s->opens;
	*ret_fd = oldest->fd;
	return 0;
}

static ssize_t read_at(int fd, void *buffer, size_t len, uint64_t pos)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = pread(fd, (uint8_t *)buffer + done, len - done, (off_t)(pos + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int compare_files(const void *a, const void *b)
{
	const struct block_file *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int add_file(struct source_blocks *s, uint32_t number)
{
	struct block_file wanted = {.number = number}, *grown;

	/* sorted: those that were there when the listing began */
	if (s->files_count == s->files_size) {
		grown = realloc(s->files, (s->files_size + 256) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->files = grown;
		s->files_size += 256;
	}
	s->files[s->files_count++] = wanted;
	return 0;
}

/* 0 and the number, or -ENOENT: the name is not that of a block file. */
static int parse_name(const char *name, uint32_t *ret_number)
{
	unsigned number;
	int end = 0;

	if (sscanf(name, "blk%8u.dat%n", &number, &end) != 1 || !end || name[end])
		return -ENOENT;
	*ret_number = number;
	return 0;
}

/* Looks for files that are new since the last time. */
static int list_folder(struct source_blocks *s)
{
	size_t known = s->files_count, seen = 0;
	struct dirent *item;
	struct stat st;
	int result = 0;
	DIR *folder;

	if (stat(s->folder, &st))
		return fail_access(s, s->folder, errno);
	if (s->files_count > 0 && st.st_mtim.tv_sec == s->listed.tv_sec &&
	    st.st_mtim.tv_nsec == s->listed.tv_nsec)
		return 0;
	folder = opendir(s->folder);
	if (!folder)
		return fail_access(s, s->folder, errno);
	while (!result && (item = readdir(folder)) && seen++ < FOLDER_MAX) {
		struct block_file wanted;

		if (parse_name(item->d_name, &wanted.number) == 0 &&
		    !(known && bsearch(&wanted, s->files, known, sizeof(wanted), compare_files)))
			result = add_file(s, wanted.number);
	}
	closedir(folder);
	if (result)
		return fail(s, result, SOURCE_ERROR, "out of memory");
	if (s->files_count == 0)
		return fail(s, -ENOENT, SOURCE_CONFIG,
			    "no blkNNNNN.dat in %s: give the folder `blocks` in the data folder of "
			    "the chain node (of its network: as …/regtest/blocks)",
			    s->folder);
	s->listed = st.st_mtim;
	qsort(s->files, s->files_count, sizeof(*s->files), compare_files);
	/* one that came before others that are settled */
	for (s->next = 0; s->next < s->files_count && s->files[s->next].settled;)
		s->next++;
	return 0;
}

/* Bitcoin Core 28 and newer; 8 bytes, zeros when the files are plain. */
static int read_key(struct source_blocks *s)
{
	_cleanup_(freep) char *path = xasprintf("%s/xor.dat", s->folder), *key = NULL;
	size_t len;
	int result = file_read(path, BLOCKWALK_KEY_LEN, &key, &len);

	memset(s->walk.key, 0, sizeof(s->walk.key));
	if (result == -ENOENT)
		return 0;
	if (result == -EFBIG || (!result && len != BLOCKWALK_KEY_LEN))
		return fail(s, -EPROTO, SOURCE_GARBAGE, "%s does not have %d bytes", path,
			    BLOCKWALK_KEY_LEN);
	if (result)
		return fail_access(s, path, -result);
	memcpy(s->walk.key, key, BLOCKWALK_KEY_LEN);
	return 0;
}

/* ------------------------------------------------------------------ the index */

struct walked {
	struct source_blocks *source;
	int fd;
};

static ssize_t walk_read(void *arg, void *buffer, size_t len, uint64_t pos)
{
	struct walked *walked = arg;

	walked->source->reads++;
	return read_at(walked->fd, buffer, len, pos);
}

/* What lies in garbage and claims more work than was done for it does not become a branch. */
static bool walk_plausible(void *arg, const uint8_t header[BLOCK_HEADER_LEN])
{
	const struct walked *walked = arg;
	struct block_header parsed;
	struct hash256 hash, work;
	struct u256 target, number;

	block_header_parse(header, &parsed);
	block_hash(header, &hash);
	if (!u256_from_compact(parsed.bits, &target) ||
	    header_pow_hash(walked->source->params->pow, header, &hash, &work))
		return false;
	number = u256_from_hash(&work);
	return u256_compare(&number, &target) <= 0;
}

/* 0, -EINPROGRESS when the time is over, or a failure. */
static int index_file(struct source_blocks *s, struct block_file *file, bool grows,
		      uint64_t until_ns)
{
	struct walked walked = {.source = s};
	struct blockwalk_record record;
	struct blockwalk *walk = &s->walk;
	struct stat st;
	int result = open_file(s, file->number, &walked.fd);

	if (result == -ENOENT) { /* the node prunes */
		file->settled = true;
		begin(s);
		return 0;
	}
	if (result)
		return result;
	if (fstat(walked.fd, &st))
		return fail(s, -errno, SOURCE_ERROR, "blk%05u.dat: %s", file->number,
			    strerror(errno));
	/* nothing new; one more look is due when it can no longer be half written */
	if (grows && file->size && file->size == (uint64_t)st.st_size &&
	    file->changed.tv_sec == st.st_mtim.tv_sec &&
	    file->changed.tv_nsec == st.st_mtim.tv_nsec)
		return 0;
	memcpy(walk->magic, s->params->magic, sizeof(walk->magic));
	walk->read = walk_read;
	walk->plausible = walk_plausible;
	walk->arg = &walked;
	walk->pos = walk->good = file->good;
	walk->grows = grows;
	walk->window_want = 0;
	blockwalk_forget(walk);
	while ((result = blockwalk_next(walk, &record)) == 1) {
		if (record.offset > UINT32_MAX)
			break;
		result = blockindex_add(s->index, record.header, file->number,
					(uint32_t)record.offset, record.len);
		if (result < 0)
			return fail(s, result, SOURCE_ERROR, "out of memory");
		file->good = walk->good;
		if (clock_monotonic_ns() >= until_ns || atomic_load(s->stop))
			return -EINPROGRESS;
	}
	if (result < 0)
		return fail(s, result, SOURCE_ERROR, "cannot read blk%05u.dat at %llu: %s",
			    file->number, (unsigned long long)walk->pos, strerror(-result));
	if (walk->skipped)
		log_debug("blocks: blk%05u.dat: %llu bytes that are no block", file->number,
			  (unsigned long long)walk->skipped);
	walk->skipped = 0;
	file->size = (uint64_t)st.st_size;
	file->changed = st.st_mtim;
	file->settled = !grows;
	return 0;
}

/* While blocks come in the order in which they lie, the disk works beside us, and what was read
 * does not fill all memory: others have use for it. */
static void fetch_ahead(struct source_blocks *s, const struct blockindex_entry *entry, int fd)
{
	bool in_order = entry->file == s->last_file && entry->offset >= s->last_end &&
			entry->offset - s->last_end < AHEAD_BYTES;

	if (entry->file != s->last_file)
		s->ahead_until = 0;
	s->last_file = entry->file;
	s->last_end = entry->offset + (uint64_t)entry->len;
	if (!in_order || s->last_end + AHEAD_BYTES / 2 < s->ahead_until)
		return;
	posix_fadvise(fd, (off_t)s->last_end, AHEAD_BYTES, POSIX_FADV_WILLNEED);
	if (s->last_end > BEHIND_BYTES)
		posix_fadvise(fd, 0, (off_t)(s->last_end - BEHIND_BYTES), POSIX_FADV_DONTNEED);
	s->ahead_until = s->last_end + AHEAD_BYTES;
}

/* Plain bytes of a block, in s->bytes. */
static int read_block(struct source_blocks *s, const struct blockindex_entry *entry)
{
	uint8_t *grown;
	ssize_t got;
	int fd, result;

	if (entry->len > s->bytes_size) {
		grown = realloc(s->bytes, entry->len + entry->len / 4);
		if (!grown)
			return fail(s, -ENOMEM, SOURCE_ERROR, "out of memory");
		s->bytes = grown;
		s->bytes_size = entry->len + entry->len / 4;
	}
	result = open_file(s, entry->file, &fd);
	if (result == -ENOENT)
		return fail(
			s, -ENODATA, SOURCE_ERROR,
			"blk%05u.dat, which has a block that is wanted, is gone: the chain node "
			"has pruned it",
			entry->file);
	if (result)
		return result;
	s->reads++;
	fetch_ahead(s, entry, fd);
	got = read_at(fd, s->bytes, entry->len, entry->offset);
	if (got < 0)
		return fail(s, (int)got, SOURCE_ERROR, "cannot read blk%05u.dat at %u: %s",
			    entry->file, entry->offset, strerror((int)-got));
	if ((size_t)got < entry->len)
		return fail(s, -EPROTO, SOURCE_GARBAGE, "blk%05u.dat has become shorter",
			    entry->file);
	blockwalk_xor(s->walk.key, entry->offset, s->bytes, entry->len);
	return 0;
}

/* BIP34: the coinbase's script begins with a push of the height. False: it does not. */
static bool coinbase_height(const uint8_t *raw, size_t len, uint32_t *ret_height)
{
	struct block_view block;
	struct tx_input input;
	struct script_op op;
	struct tx_iter it;
	struct tx_view tx;
	struct reader r;
	uint32_t height = 0;

	if (block_open(&block, raw, len) != TX_OK || !block_next(&block, &tx))
		return false;
	it = tx_inputs(&tx);
	tx_next_input(&it, &input);
	reader_init(&r, input.script.data, input.script.len);
	if (!script_next(&r, &op))
		return false;
	if (!op.is_push && op.opcode >= OP_1 && op.opcode <= OP_16) {
		*ret_height = op.opcode - OP_1 + 1U;
		return true;
	}
	if (!op.is_push || op.push.len == 0 || op.push.len > 4)
		return false;
	for (size_t i = 0; i < op.push.len; i++)
		height |= (uint32_t)op.push.data[i] << (8 * i);
	*ret_height = height;
	return height < INT32_MAX;
}

/* A pruned node: nothing leads to the genesis. */
static int find_roots(struct source_blocks *s)
{
	const struct blockindex_entry *root;
	uint32_t number = 0, height;
	int result;

	for (size_t i = 0; i < ROOTS_MAX; i++) {
		root = blockindex_next_root(s->index, &number);
		if (!root)
			break;
		result = read_block(s, root);
		if (result)
			return result;
		if (coinbase_height(s->bytes, root->len, &height))
			blockindex_anchor(s->index, &root->hash, height);
	}
	result = blockindex_link(s->index);
	return result ? fail(s, result, SOURCE_ERROR, "out of memory") : 0;
}

static int start_index(struct source_blocks *s)
{
	int result = read_key(s);

	if (!result && blockindex_new(&s->params->genesis, &s->index))
		result = fail(s, -ENOMEM, SOURCE_ERROR, "out of memory");
	return result;
}

/* The index as the files are now; -EINPROGRESS: call again. */
static int refresh(struct source_blocks *s)
{
	uint64_t until_ns = clock_monotonic_ns() + STEP_MS * NS_PER_MS;
	int result = s->index ? 0 : start_index(s);

	if (!result)
		result = list_folder(s);
	for (size_t i = s->next; !result && i < s->files_count; i++) {
		struct block_file *file = &s->files[i];

		snprintf(s->doing, sizeof(s->doing), "indexing block files: %zu of %zu, %u blocks",
			 i, s->files_count, blockindex_count(s->index));
		if (!file->settled)
			result = index_file(s, file, i + GROWING >= s->files_count, until_ns);
		if (!result && s->files[i].settled && i == s->next)
			s->next++;
		if (!result && !s->indexed && clock_monotonic_ns() >= until_ns)
			result = i + 1 < s->files_count ? -EINPROGRESS : 0;
	}
	if (result)
		return result;
	result = blockindex_link(s->index);
	if (result)
		return fail(s, result, SOURCE_ERROR, "out of memory");
	if (!blockindex_tip(s->index) && !s->rooted)
		result = find_roots(s);
	s->rooted = true;
	if (!result && !s->indexed)
		log_info("blocks: %u blocks in %zu files, best height %u",
			 blockindex_count(s->index), s->files_count,
			 blockindex_tip(s->index) ? blockindex_tip(s->index)->height : 0);
	s->indexed |= result == 0;
	s->doing[0] = '\0';
	return result;
}

/* ------------------------------------------------------------------ the vtable */

static int blocks_genesis(struct source *source, struct hash256 *ret_hash)
{
	struct source_blocks *s = (struct source_blocks *)source;

	begin(s);
	/* the magic was right; pruned files have no genesis to compare */
	*ret_hash = s->params->genesis;
	return 0;
}

static int blocks_tip(struct source *source, struct hash256 *ret_hash)
{
	struct source_blocks *s = (struct source_blocks *)source;
	const struct blockindex_entry *tip;
	int result;

	begin(s);
	result = refresh(s);
	if (result)
		return result;
	tip = blockindex_tip(s->index);
	if (!tip)
		return fail(s, -ENODATA, SOURCE_GARBAGE,
			    "the %zu block files in %s hold no chain of %s: is it the folder of "
			    "another network?",
			    s->files_count, s->folder, s->params->name);
	*ret_hash = tip->hash;
	return 0;
}

static int blocks_header(struct source *source, const struct hash256 *hash,
			 struct source_header *ret_header)
{
	struct source_blocks *s = (struct source_blocks *)source;
	const struct blockindex_entry *entry = s->index ? blockindex_find(s->index, hash) : NULL;

	begin(s);
	if (!entry || entry->height == BLOCKINDEX_NONE)
		return -ENOENT;
	ret_header->height = entry->height;
	ret_header->active = blockindex_is_best(s->index, entry);
	return 0;
}

static int blocks_hashes(struct source *source, uint32_t height, size_t count,
			 struct hash256 *ret_hashes, size_t *ret_count)
{
	struct source_blocks *s = (struct source_blocks *)source;
	const struct blockindex_entry *tip = s->index ? blockindex_tip(s->index) : NULL, *entry;
	size_t found = 0;

	begin(s);
	while (found < count && s->index &&
	       (entry = blockindex_at(s->index, height + (uint32_t)found)))
		ret_hashes[found++] = entry->hash;
	*ret_count = found;
	if (!found && tip && tip->height >= height)
		return fail(s, -ENODATA, SOURCE_ERROR,
			    "the block files do not have block %u any more: the chain node has "
			    "pruned it",
			    height);
	return 0;
}

/* The last record of a file that is written to: a node writes one after the other, and what is
 * behind another one's begin is whole. */
static bool may_be_half_there(const struct source_blocks *s, const struct blockindex_entry *entry)
{
	const struct block_file wanted = {.number = entry->file}, *file;

	file = bsearch(&wanted, s->files, s->files_count, sizeof(wanted), compare_files);
	return !file || (!file->settled && entry->offset + (uint64_t)entry->len == file->good);
}

static int blocks_blocks(struct source *source, const struct hash256 *hashes, size_t count,
			 source_bytes_cb cb, void *arg)
{
	struct source_blocks *s = (struct source_blocks *)source;
	const struct blockindex_entry *entry;
	char text[HASH_TEXT_SIZE];
	int result = 0;

	begin(s);
	for (size_t i = 0; !result && i < count; i++) {
		entry = s->index ? blockindex_find(s->index, &hashes[i]) : NULL;
		hash_format(&hashes[i], text);
		if (!entry)
			return fail(s, -ENODATA, SOURCE_ERROR, "block %s is not in the block files",
				    text);
		result = read_block(s, entry);
		if (!result && may_be_half_there(s, entry) &&
		    !block_merkle_ok(s->bytes, entry->len))
			result = fail(s, -EPROTO, SOURCE_GARBAGE,
				      "block %s at %u of blk%05u.dat is not whole: the chain node "
				      "has not written all of it yet, or it is damaged",
				      text, entry->offset, entry->file);
		if (!result)
			result = cb(arg, i, s->bytes, entry->len);
	}
	return result;
}

static int blocks_mempool(struct source *source, struct hash256 **ret_txids, size_t *ret_count)
{
	begin((struct source_blocks *)source);
	*ret_txids = NULL;
	*ret_count = 0;
	return 0;
}

static int blocks_transactions(struct source *source, const struct hash256 *txids, size_t count,
			       source_bytes_cb cb, void *arg)
{
	begin((struct source_blocks *)source);
	return 0;
}

static int blocks_submit(struct source *source, const uint8_t *raw, size_t len,
			 struct hash256 *ret_txid)
{
	return fail((struct source_blocks *)source, -ENOTSUP, SOURCE_ERROR,
		    "block files send nothing: add an rpc:// to source");
}

static enum source_trouble blocks_trouble(const struct source *source)
{
	return ((const struct source_blocks *)source)->trouble;
}

static const char *blocks_error(const struct source *source)
{
	return ((const struct source_blocks *)source)->error;
}

static const char *blocks_doing(const struct source *source)
{
	return ((const struct source_blocks *)source)->doing;
}

static uint64_t blocks_requests(const struct source *source)
{
	return ((const struct source_blocks *)source)->reads;
}

/* The next call indexes anew. */
static void blocks_rest(struct source *source)
{
	struct source_blocks *s = (struct source_blocks *)source;

	close_files(s);
	blockindex_free(s->index);
	free(s->files);
	free(s->bytes);
	s->index = NULL;
	s->files = NULL;
	s->bytes = NULL;
	s->files_count = s->files_size = s->next = s->bytes_size = 0;
	s->rooted = s->indexed = false;
	s->doing[0] = '\0';
}

static void blocks_free(struct source *source)
{
	struct source_blocks *s = (struct source_blocks *)source;

	blocks_rest(source);
	free(s->folder);
	free(s);
}

static const struct source_ops blocks_ops = {
	.name = "blocks",
	.bulk = true,
	.genesis = blocks_genesis,
	.tip = blocks_tip,
	.header = blocks_header,
	.hashes = blocks_hashes,
	.blocks = blocks_blocks,
	.mempool = blocks_mempool,
	.transactions = blocks_transactions,
	.submit = blocks_submit,
	.trouble = blocks_trouble,
	.error = blocks_error,
	.doing = blocks_doing,
	.requests = blocks_requests,
	.rest = blocks_rest,
	.free = blocks_free,
};

int source_blocks_new(const char *folder, const struct chainparams *params, const atomic_bool *stop,
		      struct source **ret_source)
{
	struct source_blocks *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->source.ops = &blocks_ops;
	s->params = params;
	s->stop = stop;
	s->folder = strdup(folder);
	for (size_t i = 0; i < FILES_OPEN; i++)
		s->open[i].fd = -1;
	if (!s->folder) {
		blocks_free(&s->source);
		return -ENOMEM;
	}
	*ret_source = &s->source;
	return 0;
}
