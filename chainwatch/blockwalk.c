#include "chainwatch/blockwalk.h"

#include <errno.h>
#include <string.h>

enum {
	RECORD_HEAD = BLOCKWALK_HEAD_LEN + BLOCK_HEADER_LEN,
	NEAR = 16 << 10,   /* records so close together are read with one window… */
	FAR_WINDOW = 4096, /* others one by one */
};

void blockwalk_xor(const uint8_t key[BLOCKWALK_KEY_LEN], uint64_t pos, uint8_t *data, size_t len)
{
	static const uint8_t none[BLOCKWALK_KEY_LEN];
	uint8_t turned[BLOCKWALK_KEY_LEN];
	uint64_t mask, word;
	size_t i;

	if (memcmp(key, none, sizeof(none)) == 0)
		return;
	for (i = 0; i < sizeof(turned); i++)
		turned[i] = key[(pos + i) % BLOCKWALK_KEY_LEN];
	memcpy(&mask, turned, sizeof(mask));
	for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, data + i, sizeof(word));
		word ^= mask;
		memcpy(data + i, &word, sizeof(word));
	}
	for (; i < len; i++)
		data[i] ^= turned[i % BLOCKWALK_KEY_LEN];
}

void blockwalk_forget(struct blockwalk *walk)
{
	walk->window_len = 0;
}

/* Plain bytes from pos on, at least want of them (RECORD_HEAD at most) unless the file ends; NULL
 * and *ret_len < 0: read failed. */
static const uint8_t *look(struct blockwalk *w, size_t want, ssize_t *ret_len)
{
	uint64_t end = w->window_pos + w->window_len;

	if (w->pos < w->window_pos || w->pos + want > end) {
		ssize_t got = w->read(w->arg, w->window,
				      w->window_want ? w->window_want : BLOCKWALK_WINDOW, w->pos);

		w->window_len = 0;
		if (got < 0) {
			*ret_len = got;
			return NULL;
		}
		w->window_pos = w->pos;
		w->window_len = (size_t)got;
		blockwalk_xor(w->key, w->pos, w->window, w->window_len);
		end = w->window_pos + w->window_len;
	}
	*ret_len = (ssize_t)(end - w->pos);
	return w->window + (w->pos - w->window_pos);
}

static bool is_head(const struct blockwalk *w, const uint8_t *data, uint32_t *ret_len)
{
	uint32_t len = load_u32(data + 4);

	*ret_len = len;
	return memcmp(data, w->magic, 4) == 0 && len > BLOCK_HEADER_LEN &&
	       len <= BLOCKWALK_BLOCK_MAX;
}

/* What the node has allocated ahead and not written: the XOR key is not on it. */
static bool is_unwritten(const struct blockwalk *w, const uint8_t *data)
{
	uint8_t raw[BLOCKWALK_HEAD_LEN];
	static const uint8_t zeros[BLOCKWALK_HEAD_LEN];

	memcpy(raw, data, sizeof(raw));
	blockwalk_xor(w->key, w->pos, raw, sizeof(raw));
	return memcmp(raw, zeros, sizeof(zeros)) == 0;
}

/* The last byte of the record is in the file. 1, 0 or -errno. */
static int is_whole(struct blockwalk *w, uint64_t end)
{
	uint8_t byte;
	ssize_t got;

	if (end <= w->window_pos + w->window_len)
		return 1;
	got = w->read(w->arg, &byte, 1, end - 1);
	return got < 0 ? (int)got : got == 1;
}

/* Moves on by what cannot be the begin of a record, at least one byte. */
static void skip(struct blockwalk *w, const uint8_t *data, size_t len)
{
	const uint8_t *found = memchr(data + 1, w->magic[0], len - 1);
	size_t step = found ? (size_t)(found - data) : len;

	w->pos += step;
	w->skipped += step;
	w->window_want = BLOCKWALK_WINDOW;
}

int blockwalk_next(struct blockwalk *w, struct blockwalk_record *ret)
{
	const uint8_t *data;
	uint32_t len;
	ssize_t got;
	int whole;

	for (;;) {
		data = look(w, RECORD_HEAD, &got);
		if (!data)
			return (int)got;
		if (got < RECORD_HEAD || (w->grows && w->pos == w->good && is_unwritten(w, data)))
			break;
		if (is_head(w, data, &len) &&
		    (w->pos == w->good || w->plausible(w->arg, data + BLOCKWALK_HEAD_LEN))) {
			memcpy(ret->header, data + BLOCKWALK_HEAD_LEN, BLOCK_HEADER_LEN);
			ret->offset = w->pos + BLOCKWALK_HEAD_LEN;
			ret->len = len;
			whole = is_whole(w, ret->offset + len);
			if (whole < 0)
				return whole;
			if (whole) {
				w->pos = w->good = ret->offset + len;
				w->window_want = len < NEAR ? BLOCKWALK_WINDOW : FAR_WINDOW;
				return 1;
			}
			if (w->grows)
				break;
		}
		skip(w, data, (size_t)got);
	}
	/* a record that comes later stands behind the last one */
	w->pos = w->good;
	return 0;
}
