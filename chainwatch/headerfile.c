#include "chainwatch/headerfile.h"

#include "wire/buf.h"
#include "wire/hash.h"
#include "wire/tx.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAGIC_LEN = 8,
	CHECKSUM_LEN = 8,
	HEAD_LEN = MAGIC_LEN + HASH_LEN + CHECKSUM_LEN,
	COUNT_LEN = 4,
	GROUP_SIZE_MAX = COUNT_LEN + HEADERFILE_GROUP_MAX * BLOCK_HEADER_LEN + CHECKSUM_LEN,
};

static const uint8_t magic[MAGIC_LEN] = {'d', 'n', 'e', 't', 'h', 'd', 'r', '1'};

struct headerfile {
	uint64_t size; /* of what fits its checksum */
	int fd;
	bool torn;     /* there may be more in the file than that */
	uint8_t *late; /* owned; headers that wait */
	size_t late_count;
	bool ended; /* more would have had to wait than may */
	uint8_t last[CHECKSUM_LEN];
	uint8_t group[GROUP_SIZE_MAX];
};

static void checksum(const uint8_t before[CHECKSUM_LEN], const uint8_t *data, size_t len,
		     uint8_t ret[CHECKSUM_LEN])
{
	struct hash256 hash;
	struct sha256 h;

	sha256_init(&h);
	if (before)
		sha256_update(&h, before, CHECKSUM_LEN);
	sha256_update(&h, data, len);
	sha256_final(&h, &hash);
	memcpy(ret, hash.bytes, CHECKSUM_LEN);
}

/* As many of len bytes as the file has there, or -errno. */
static ssize_t read_at(int fd, uint64_t at, void *data, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, (uint8_t *)data + got, len - got, (off_t)(at + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int write_at(int fd, uint64_t at, const void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n =
			pwrite(fd, (const uint8_t *)data + done, len - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* Writes len bytes behind what is good; what does not get there whole is taken back. */
static int put(struct headerfile *f, const uint8_t *data, size_t len)
{
	int r;

	if (f->torn && ftruncate(f->fd, (off_t)f->size) < 0)
		return -errno;
	f->torn = true;
	r = write_at(f->fd, f->size, data, len);
	if (r < 0) {
		f->torn = ftruncate(f->fd, (off_t)f->size) < 0;
		return r;
	}
	f->torn = false;
	f->size += len;
	memcpy(f->last, data + len - CHECKSUM_LEN, CHECKSUM_LEN);
	return 0;
}

/* The head is there, or is made in a file that has less than a head: one that was just begun. */
static int open_head(struct headerfile *f, const struct hash256 *genesis)
{
	uint8_t want[HEAD_LEN], have[HEAD_LEN];
	ssize_t n = read_at(f->fd, 0, have, HEAD_LEN);

	memcpy(want, magic, MAGIC_LEN);
	memcpy(want + MAGIC_LEN, genesis->bytes, HASH_LEN);
	checksum(NULL, want, HEAD_LEN - CHECKSUM_LEN, want + HEAD_LEN - CHECKSUM_LEN);
	if (n < 0)
		return (int)n;
	if (memcmp(have, want, (size_t)n) != 0)
		return -EBADMSG;
	if (n == HEAD_LEN) {
		f->size = HEAD_LEN;
		memcpy(f->last, want + HEAD_LEN - CHECKSUM_LEN, CHECKSUM_LEN);
		return 0;
	}
	return put(f, want, HEAD_LEN);
}

/* The group at f->size: 1 when it is good, 0 when there is none or it is broken, or -errno. */
static int read_group(struct headerfile *f, size_t *ret_count)
{
	uint8_t sum[CHECKSUM_LEN];
	size_t body, rest;
	ssize_t n = read_at(f->fd, f->size, f->group, COUNT_LEN);

	if (n < COUNT_LEN)
		return n < 0 ? (int)n : 0;
	*ret_count = load_u32(f->group);
	if (!*ret_count || *ret_count > HEADERFILE_GROUP_MAX)
		return 0;
	rest = *ret_count * BLOCK_HEADER_LEN + CHECKSUM_LEN;
	body = COUNT_LEN + rest - CHECKSUM_LEN;
	n = read_at(f->fd, f->size + COUNT_LEN, f->group + COUNT_LEN, rest);
	if (n < (ssize_t)rest)
		return n < 0 ? (int)n : 0;
	checksum(f->last, f->group, body, sum);
	if (memcmp(sum, f->group + body, CHECKSUM_LEN) != 0)
		return 0;
	memcpy(f->last, sum, CHECKSUM_LEN);
	f->size += COUNT_LEN + rest;
	return 1;
}

static int load(struct headerfile *f, const struct hash256 *genesis, headerfile_cb cb, void *arg,
		uint64_t *ret_cut)
{
	struct stat st;
	size_t count = 0;
	int r;

	if (flock(f->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	r = open_head(f, genesis);
	while (r == 0 && (r = read_group(f, &count)) == 1)
		r = cb(arg, f->group + COUNT_LEN, count);
	if (r < 0)
		return r;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*ret_cut = (uint64_t)st.st_size - f->size;
	return *ret_cut && ftruncate(f->fd, (off_t)f->size) < 0 ? -errno : 0;
}

int headerfile_open(const char *path, const struct hash256 *genesis, headerfile_cb cb, void *arg,
		    struct headerfile **ret, uint64_t *ret_cut)
{
	struct headerfile *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	r = f->fd < 0 ? -errno : load(f, genesis, cb, arg, ret_cut);
	if (r < 0) {
		headerfile_close(f);
		return r;
	}
	*ret = f;
	return 0;
}

static int append_group(struct headerfile *f, const uint8_t *raw, size_t stride, size_t count)
{
	size_t body = COUNT_LEN + count * BLOCK_HEADER_LEN;

	store_u32(f->group, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		memcpy(f->group + COUNT_LEN + i * BLOCK_HEADER_LEN, raw + i * stride,
		       BLOCK_HEADER_LEN);
	checksum(f->last, f->group, body, f->group + body);
	return put(f, f->group, body + CHECKSUM_LEN);
}

int headerfile_append(struct headerfile *f, const uint8_t *raw, size_t stride, size_t count)
{
	uint8_t last[CHECKSUM_LEN];
	uint64_t size = f->size;
	int r = 0;

	assert(stride >= BLOCK_HEADER_LEN);
	memcpy(last, f->last, CHECKSUM_LEN);
	while (count && r == 0) {
		size_t part = count < HEADERFILE_GROUP_MAX ? count : HEADERFILE_GROUP_MAX;

		r = append_group(f, raw, stride, part);
		raw += part * stride;
		count -= part;
	}
	if (r < 0 && f->size != size) {
		f->size = size;
		f->torn = true;
		memcpy(f->last, last, CHECKSUM_LEN);
	}
	return r;
}

/* Behind those that wait already. */
static int put_late(struct headerfile *f, const uint8_t *raw, size_t stride, size_t count)
{
	uint8_t *grown = NULL;

	if (count <= HEADERFILE_LATE_MAX - f->late_count)
		grown = reallocarray(f->late, f->late_count + count, BLOCK_HEADER_LEN);
	if (!grown) {
		free(f->late);
		f->late = NULL;
		f->late_count = 0;
		f->ended = true;
		return -ENOSPC;
	}
	f->late = grown;
	for (size_t i = 0; i < count; i++)
		memcpy(f->late + f->late_count++ * BLOCK_HEADER_LEN, raw + i * stride,
		       BLOCK_HEADER_LEN);
	return 0;
}

int headerfile_keep(struct headerfile *f, const uint8_t *raw, size_t stride, size_t count)
{
	int r = 0;

	if (f->ended)
		return -ENOSPC;
	if (f->late_count > 0)
		r = headerfile_append(f, f->late, BLOCK_HEADER_LEN, f->late_count);
	if (r == 0) {
		f->late_count = 0;
		r = headerfile_append(f, raw, stride, count);
	}
	if (r < 0 && put_late(f, raw, stride, count) < 0)
		return -ENOSPC;
	return r;
}

int headerfile_sync(struct headerfile *f)
{
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

void headerfile_close(struct headerfile *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	free(f->late);
	free(f);
}
