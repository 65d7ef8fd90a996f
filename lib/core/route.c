#include "core/route.h"

#include "wire/buf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* One open-addressed hash table for all prefixes of a family, looked up once for each prefix length
 * that occurs, longest first: a dnet has very few lengths (hosts, and some gateways' prefixes). Its
 * cells are numbers of entries, so that the room that hashing needs costs four bytes. */
struct entry {
	uint64_t high, low; /* masked address, IPv4 in the upper half of high */
	void *target;
	uint8_t bits;
};

struct family {
	struct entry *entries;
	uint32_t *cells; /* number of an entry, plus 1; 0: free */
	size_t count;
	size_t mask; /* number of cells - 1 */
	uint8_t lengths[129];
	unsigned length_count;
};

struct route_table {
	struct family v4, v6;
};

struct bits128 {
	uint64_t high, low;
};

static struct bits128 load_address(uint8_t version, const uint8_t *a)
{
	struct bits128 r = {(uint64_t)load_u32be(a) << 32, 0};

	if (version == ADDR_V4)
		return r;
	r.high |= load_u32be(a + 4);
	r.low = (uint64_t)load_u32be(a + 8) << 32 | load_u32be(a + 12);
	return r;
}

static struct bits128 keep_bits(struct bits128 a, unsigned bits)
{
	if (bits < 64)
		a.high &= bits ? UINT64_MAX << (64 - bits) : 0;
	if (bits < 128)
		a.low &= bits > 64 ? UINT64_MAX << (128 - bits) : 0;
	return a;
}

static size_t hash(struct bits128 a, unsigned bits)
{
	uint64_t h = (a.high ^ bits) * 0x9e3779b97f4a7c15;

	h = (h ^ h >> 32 ^ a.low) * 0xd6e8feb86659fd93;
	h = (h ^ h >> 32) * 0xd6e8feb86659fd93;
	return (size_t)(h ^ h >> 32);
}

/* The cell of this prefix, or the free one where it goes. */
static uint32_t *find(const struct family *f, struct bits128 a, unsigned bits)
{
	size_t i = hash(a, bits) & f->mask;

	for (; f->cells[i]; i = (i + 1) & f->mask) {
		const struct entry *e = &f->entries[f->cells[i] - 1];

		if (e->bits == bits && e->high == a.high && e->low == a.low)
			break;
	}
	return &f->cells[i];
}

static bool family_init(struct family *f, size_t count)
{
	size_t size = 8;

	while (size < count * 2 + 1)
		size *= 2;
	f->mask = size - 1;
	f->entries = calloc(count + 1, sizeof(*f->entries));
	f->cells = calloc(size, sizeof(*f->cells));
	return f->entries && f->cells;
}

static void family_add(struct family *f, const struct route *r, bool seen[static 129])
{
	unsigned bits = r->prefix.bits;
	struct bits128 a =
		keep_bits(load_address(r->prefix.addr.family, r->prefix.addr.bytes), bits);
	uint32_t *cell = find(f, a, bits);

	if (*cell)
		return;
	f->entries[f->count++] = (struct entry){a.high, a.low, r->target, (uint8_t)bits};
	*cell = (uint32_t)f->count;
	seen[bits] = true;
}

static void family_list_lengths(struct family *f, const bool seen[static 129])
{
	for (unsigned bits = 129; bits-- > 0;)
		if (seen[bits])
			f->lengths[f->length_count++] = (uint8_t)bits;
}

struct route_table *route_table_new(const struct route *routes, size_t count)
{
	struct route_table *t = calloc(1, sizeof(*t));
	bool seen4[129] = {false}, seen6[129] = {false};
	size_t count4 = 0;

	if (!t)
		return NULL;
	for (size_t i = 0; i < count; i++)
		count4 += routes[i].prefix.addr.family == ADDR_V4;
	if (!family_init(&t->v4, count4) || !family_init(&t->v6, count - count4)) {
		route_table_free(t);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (routes[i].prefix.addr.family == ADDR_V4)
			family_add(&t->v4, &routes[i], seen4);
		else
			family_add(&t->v6, &routes[i], seen6);
	}
	family_list_lengths(&t->v4, seen4);
	family_list_lengths(&t->v6, seen6);
	return t;
}

static void family_done(struct family *f)
{
	free(f->entries);
	free(f->cells);
}

void route_table_free(struct route_table *table)
{
	if (!table)
		return;
	family_done(&table->v4);
	family_done(&table->v6);
	free(table);
}

void *route_lookup(const struct route_table *table, uint8_t version, const uint8_t *address)
{
	const struct family *f = version == ADDR_V4 ? &table->v4 : &table->v6;
	struct bits128 a = load_address(version, address);

	for (unsigned i = 0; i < f->length_count; i++) {
		uint32_t number = *find(f, keep_bits(a, f->lengths[i]), f->lengths[i]);

		if (number)
			return f->entries[number - 1].target;
	}
	return NULL;
}
