#include "core/peerbook.h"

#include "wire/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	VERSION = 1,
	REST_S = 60,	  /* after a failure, doubling… */
	REST_SHIFTS = 10, /* up to 8 and a half hours */
};

static const uint8_t magic[4] = {'D', 'N', 'P', 'B'};

struct entry {
	struct endpoint endpoint;
	struct address source; /* who told of it */
	uint64_t services;
	uint64_t success_s; /* 0: never */
	uint64_t failure_s; /* since the last success; 0: none */
	uint32_t failures;
};

struct peerbook {
	bool any_address;
	size_t count, ban_count;
	struct entry entries[PEERBOOK_MAX];
	struct peerbook_ban bans[PEERBOOK_BANS_MAX];
};

struct peerbook *peerbook_new(bool any_address)
{
	struct peerbook *book = calloc(1, sizeof(*book));

	if (book)
		book->any_address = any_address;
	return book;
}

void peerbook_free(struct peerbook *book)
{
	free(book);
}

bool peerbook_same_group(const struct address *a, const struct address *b)
{
	return a->family == b->family &&
	       memcmp(a->bytes, b->bytes, a->family == ADDR_V4 ? 2 : 4) == 0;
}

/* Networks that no peer of a public chain has: RFC 6890, RFC 4193, RFC 4291. */
static bool is_public(const struct address *a)
{
	static const char *const not_public[] = {
		"0.0.0.0/8",	  "10.0.0.0/8",	   "100.64.0.0/10",   "127.0.0.0/8",
		"169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",
		"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/3",	  "::/8",	   "64:ff9b::/96",    "100::/64",
		"2001::/32",	  "2001:10::/28",  "2001:db8::/32",   "2002::/16",
		"fc00::/7",	  "fe80::/10",	   "ff00::/8",
	};
	struct prefix prefix;

	for (size_t i = 0; i < sizeof(not_public) / sizeof(not_public[0]); i++) {
		bool ok = prefix_parse(not_public[i], &prefix);

		assert(ok);
		(void)ok;
		if (prefix_contains(&prefix, a))
			return false;
	}
	return true;
}

static bool is_usable(const struct peerbook *book, const struct endpoint *e)
{
	if (e->port == 0 || (e->addr.family != ADDR_V4 && e->addr.family != ADDR_V6))
		return false;
	return book->any_address || is_public(&e->addr);
}

static struct entry *find(struct peerbook *book, const struct endpoint *endpoint)
{
	for (size_t i = 0; i < book->count; i++)
		if (endpoint_equal(&book->entries[i].endpoint, endpoint))
			return &book->entries[i];
	return NULL;
}

static void forget(struct peerbook *book, struct entry *entry)
{
	*entry = book->entries[--book->count];
}

/* Room for one more: an untried one goes, of all that failed if there are such. NULL: none may. */
static struct entry *victim(struct peerbook *book, uint64_t random)
{
	struct entry *worst = NULL;
	size_t start = random % PEERBOOK_MAX;

	for (size_t i = 0; i < book->count; i++) {
		struct entry *e = &book->entries[(start + i) % book->count];

		if (e->success_s == 0 && (!worst || e->failures > worst->failures))
			worst = e;
	}
	return worst;
}

static bool is_crowded(const struct peerbook *book, const struct address *addr,
		       const struct address *source)
{
	size_t group = 0, told = 0;

	for (size_t i = 0; i < book->count; i++) {
		const struct entry *e = &book->entries[i];

		if (e->success_s)
			continue;
		group += peerbook_same_group(&e->endpoint.addr, addr);
		told += peerbook_same_group(&e->source, source);
	}
	return group >= PEERBOOK_GROUP_MAX || told >= PEERBOOK_SOURCE_MAX;
}

enum peerbook_verdict peerbook_add(struct peerbook *book, const struct endpoint *endpoint,
				   uint64_t services, const struct address *source, uint64_t random)
{
	struct entry *entry = find(book, endpoint);

	if (entry) {
		/* its own word, when it was tried, is better than what others say */
		if (entry->success_s == 0)
			entry->services |= services;
		return PEERBOOK_KNOWN;
	}
	if (!is_usable(book, endpoint))
		return PEERBOOK_UNUSABLE;
	if (is_crowded(book, &endpoint->addr, source))
		return PEERBOOK_CROWDED;
	if (book->count == PEERBOOK_MAX) {
		entry = victim(book, random);
		if (!entry)
			return PEERBOOK_CROWDED;
		forget(book, entry);
	}
	book->entries[book->count++] =
		(struct entry){.endpoint = *endpoint, .source = *source, .services = services};
	return PEERBOOK_ADDED;
}

static bool is_rested(const struct entry *e, uint64_t now_s)
{
	uint32_t shift = e->failures < REST_SHIFTS ? e->failures : REST_SHIFTS;

	/* a clock that went back does not lock anybody out */
	return e->failures == 0 || now_s < e->failure_s ||
	       now_s - e->failure_s >= (uint64_t)REST_S << shift >> 1;
}

static bool in_use(const struct entry *e, const struct endpoint *used, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (peerbook_same_group(&e->endpoint.addr, &used[i].addr))
			return true;
	return false;
}

static bool is_candidate(const struct peerbook *book, const struct entry *e,
			 const struct endpoint *used, size_t count, uint64_t now_s)
{
	char name[ENDPOINT_TEXT_MAX];

	return is_rested(e, now_s) && !in_use(e, used, count) &&
	       !peerbook_is_banned(book, endpoint_format(&e->endpoint, name), now_s);
}

bool peerbook_pick(const struct peerbook *book, const struct endpoint *used, size_t count,
		   uint64_t services, uint64_t now_s, uint64_t random,
		   struct endpoint *ret_endpoint)
{
	size_t start = book->count ? (random >> 8) % book->count : 0;
	const struct entry *best = NULL;
	int best_score = -1;

	for (size_t i = 0; i < book->count; i++) {
		const struct entry *e = &book->entries[(start + i) % book->count];
		/* what it must have comes first, then whether it answered, as the coin says */
		int score = 2 * ((e->services & services) == services) +
			    ((e->success_s != 0) == (random & 1));

		if (score > best_score && is_candidate(book, e, used, count, now_s)) {
			best = e;
			best_score = score;
		}
	}
	if (best)
		*ret_endpoint = best->endpoint;
	return best;
}

void peerbook_on_success(struct peerbook *book, const struct endpoint *endpoint, uint64_t services,
			 uint64_t now_s)
{
	struct entry *e = find(book, endpoint);

	if (!e) {
		if (!is_usable(book, endpoint))
			return;
		if (book->count == PEERBOOK_MAX) {
			e = victim(book, 0);
			forget(book, e ? e : &book->entries[0]);
		}
		e = &book->entries[book->count++];
		*e = (struct entry){.endpoint = *endpoint, .source = endpoint->addr};
	}
	e->services = services;
	e->success_s = now_s ? now_s : 1;
	e->failures = 0;
	e->failure_s = 0;
}

void peerbook_on_failure(struct peerbook *book, const struct endpoint *endpoint, uint64_t now_s)
{
	struct entry *e = find(book, endpoint);

	if (!e)
		return;
	e->failures += e->failures < UINT32_MAX;
	e->failure_s = now_s;
	if (e->success_s == 0 && e->failures >= PEERBOOK_FAILURES_MAX)
		forget(book, e);
}

static void copy_text(char *dst, size_t size, const char *src)
{
	size_t len = strnlen(src, size - 1);

	memset(dst, 0, size);
	memcpy(dst, src, len);
}

void peerbook_ban(struct peerbook *book, const char *name, const char *reason, uint64_t now_s,
		  uint64_t until_s)
{
	struct peerbook_ban *ban = NULL, *first = &book->bans[0];

	for (size_t i = 0; i < book->ban_count; i++) {
		if (strncmp(book->bans[i].name, name, PEERBOOK_NAME_SIZE - 1) == 0)
			ban = &book->bans[i];
		if (book->bans[i].until_s < first->until_s)
			first = &book->bans[i];
	}
	if (!ban)
		ban = book->ban_count < PEERBOOK_BANS_MAX ? &book->bans[book->ban_count++] : first;
	copy_text(ban->name, sizeof(ban->name), name);
	copy_text(ban->reason, sizeof(ban->reason), reason);
	ban->since_s = now_s;
	ban->until_s = until_s;
}

const char *peerbook_is_banned(const struct peerbook *book, const char *name, uint64_t now_s)
{
	for (size_t i = 0; i < book->ban_count; i++)
		if (book->bans[i].until_s > now_s &&
		    strncmp(book->bans[i].name, name, PEERBOOK_NAME_SIZE - 1) == 0)
			return book->bans[i].reason;
	return NULL;
}

const struct peerbook_ban *peerbook_ban_at(const struct peerbook *book, size_t index)
{
	return index < book->ban_count ? &book->bans[index] : NULL;
}

void peerbook_count(const struct peerbook *book, struct peerbook_counts *ret_counts)
{
	*ret_counts = (struct peerbook_counts){.bans = book->ban_count};
	for (size_t i = 0; i < book->count; i++) {
		ret_counts->tried += book->entries[i].success_s != 0;
		ret_counts->fresh += book->entries[i].success_s == 0;
	}
}

static void write_address(struct writer *w, const struct address *a)
{
	writer_u8(w, a->family);
	writer_copy(w, a->bytes, sizeof(a->bytes));
}

static void write_text(struct writer *w, const char *text)
{
	writer_u8(w, (uint8_t)strlen(text));
	writer_copy(w, text, strlen(text));
}

void peerbook_write(const struct peerbook *book, struct writer *w)
{
	struct hash256 sum;
	uint8_t *start = w->pos;

	writer_copy(w, magic, sizeof(magic));
	writer_u8(w, VERSION);
	writer_u16(w, (uint16_t)book->count);
	writer_u16(w, (uint16_t)book->ban_count);
	for (size_t i = 0; i < book->count; i++) {
		const struct entry *e = &book->entries[i];

		write_address(w, &e->endpoint.addr);
		writer_u16(w, e->endpoint.port);
		write_address(w, &e->source);
		writer_u64(w, e->services);
		writer_u64(w, e->success_s);
		writer_u32(w, e->failures);
		writer_u64(w, e->failure_s);
	}
	for (size_t i = 0; i < book->ban_count; i++) {
		write_text(w, book->bans[i].name);
		write_text(w, book->bans[i].reason);
		writer_u64(w, book->bans[i].since_s);
		writer_u64(w, book->bans[i].until_s);
	}
	if (w->failed)
		return;
	hash_sha256d(start, (size_t)(w->pos - start), &sum);
	writer_copy(w, sum.bytes, sizeof(sum.bytes));
}

static void read_address(struct reader *r, struct address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->family = reader_u8(r);
	reader_copy(r, ret->bytes, sizeof(ret->bytes));
	if (ret->family != ADDR_V4 && ret->family != ADDR_V6 && ret->family != ADDR_NONE)
		r->failed = true;
}

static void read_text(struct reader *r, char *dst, size_t size)
{
	size_t len = reader_u8(r);
	const uint8_t *bytes = len < size ? reader_bytes(r, len) : NULL;

	memset(dst, 0, size);
	/* it is shown to people */
	for (size_t i = 0; bytes && i < len; i++)
		if (bytes[i] < 0x20 || bytes[i] == 0x7f)
			r->failed = true;
	if (bytes && !r->failed)
		memcpy(dst, bytes, len);
	else
		r->failed = true;
}

static bool read_all(struct peerbook *book, struct reader *r)
{
	size_t count, ban_count;

	if (memcmp(reader_bytes(r, sizeof(magic)), magic, sizeof(magic)) != 0 ||
	    reader_u8(r) != VERSION)
		return false;
	count = reader_u16(r);
	ban_count = reader_u16(r);
	if (count > PEERBOOK_MAX || ban_count > PEERBOOK_BANS_MAX)
		return false;
	for (size_t i = 0; i < count && !r->failed; i++) {
		struct entry *e = &book->entries[i];

		read_address(r, &e->endpoint.addr);
		e->endpoint.port = reader_u16(r);
		read_address(r, &e->source);
		e->services = reader_u64(r);
		e->success_s = reader_u64(r);
		e->failures = reader_u32(r);
		e->failure_s = reader_u64(r);
		if (!is_usable(book, &e->endpoint))
			return false;
	}
	for (size_t i = 0; i < ban_count && !r->failed; i++) {
		struct peerbook_ban *ban = &book->bans[i];

		read_text(r, ban->name, sizeof(ban->name));
		read_text(r, ban->reason, sizeof(ban->reason));
		ban->since_s = reader_u64(r);
		ban->until_s = reader_u64(r);
	}
	book->count = count;
	book->ban_count = ban_count;
	return reader_done(r);
}

bool peerbook_read(struct peerbook *book, const void *data, size_t len)
{
	struct hash256 sum;
	struct reader r;

	assert(book->count == 0 && book->ban_count == 0);
	if (len < sizeof(magic) + HASH_LEN || len > PEERBOOK_FILE_MAX)
		return false;
	len -= HASH_LEN;
	hash_sha256d(data, len, &sum);
	if (memcmp(sum.bytes, (const uint8_t *)data + len, HASH_LEN) != 0)
		return false;
	reader_init(&r, data, len);
	if (read_all(book, &r))
		return true;
	book->count = book->ban_count = 0;
	return false;
}
