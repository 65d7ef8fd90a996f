#include "core/flow.h"

#include "wire/buf.h"
#include "wire/units.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* All entries stand in one array: in a hash chain, and in one ring ordered by when they were last
 * used (entry 0 is the ring's head and never a flow). */

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_QUENCH = 4,
	ICMP4_REDIRECT = 5,
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_PARAMETER = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_MLD_FIRST = 130,
	ICMP6_REDIRECT = 137,
	ICMP6_MLD2 = 143,
};

enum { RECENT = 16 };

struct entry {
	struct ip_flow key; /* zero[0] is 1: a fragmented datagram, its id in the ports */
	uint64_t expires;
	uint32_t chain;	       /* next in the bucket, 0: none */
	uint32_t newer, older; /* ring */
	bool replied, closing;
};

struct flow_table {
	uint8_t seed[FLOW_SEED_LEN];
	struct entry *entries;	    /* 1 to limit */
	uint32_t *buckets;	    /* first of each chain, 0: none */
	uint32_t limit, mask, free; /* free: a chain of unused ones */
	uint32_t count;
	uint32_t recent[RECENT]; /* found last, by recent_of(); 0: none */
	uint64_t evicted;
};

static_assert(FLOW_SEED_LEN == crypto_shorthash_KEYBYTES, "SipHash");

struct flow_table *flow_table_new(size_t limit, const uint8_t seed[static FLOW_SEED_LEN])
{
	struct flow_table *t = calloc(1, sizeof(*t));
	size_t buckets = 16;

	if (!t)
		return NULL;
	while (buckets < limit)
		buckets *= 2;
	t->entries = calloc(limit + 1, sizeof(*t->entries));
	t->buckets = calloc(buckets, sizeof(*t->buckets));
	if (!t->entries || !t->buckets) {
		flow_table_free(t);
		return NULL;
	}
	memcpy(t->seed, seed, FLOW_SEED_LEN);
	t->limit = (uint32_t)limit;
	t->mask = (uint32_t)(buckets - 1);
	for (uint32_t i = t->limit; i > 0; i--) {
		t->entries[i].chain = t->free;
		t->free = i;
	}
	return t;
}

void flow_table_free(struct flow_table *table)
{
	if (!table)
		return;
	free(table->entries);
	free(table->buckets);
	free(table);
}

static uint32_t *bucket_of(const struct flow_table *t, const struct ip_flow *key)
{
	uint8_t hash[crypto_shorthash_BYTES];

	crypto_shorthash(hash, (const uint8_t *)key, sizeof(*key), t->seed);
	return &t->buckets[load_u32(hash) & t->mask];
}

/* Packets of one flow come in rows: where the last ones were found is looked at before anything is
 * hashed. */
static uint32_t *recent_of(struct flow_table *t, const struct ip_flow *key)
{
	uint32_t mixed = load_u32(key->src) ^ 2 * load_u32(key->dst) ^
			 (uint32_t)key->src_port << 16 ^ 2u * key->dst_port;

	return &t->recent[mixed * 0x9e3779b1u >> 28];
}

static void ring_remove(struct flow_table *t, uint32_t i)
{
	struct entry *e = &t->entries[i];

	t->entries[e->newer].older = e->older;
	t->entries[e->older].newer = e->newer;
}

static void ring_add_newest(struct flow_table *t, uint32_t i)
{
	struct entry *head = &t->entries[0], *e = &t->entries[i];

	e->newer = 0;
	e->older = head->older;
	t->entries[head->older].newer = i;
	head->older = i;
}

static void entry_remove(struct flow_table *t, uint32_t i)
{
	uint32_t *link = bucket_of(t, &t->entries[i].key);
	uint32_t *recent = recent_of(t, &t->entries[i].key);

	if (*recent == i)
		*recent = 0;
	while (*link != i)
		link = &t->entries[*link].chain;
	*link = t->entries[i].chain;
	ring_remove(t, i);
	t->entries[i].chain = t->free;
	t->free = i;
	t->count--;
}

/* NULL when it is not there or its time is over. */
static struct entry *entry_find(struct flow_table *t, const struct ip_flow *key, uint64_t now)
{
	uint32_t *recent = recent_of(t, key), i = *recent;

	if (!i || memcmp(&t->entries[i].key, key, sizeof(*key)))
		for (i = *bucket_of(t, key); i; i = t->entries[i].chain)
			if (!memcmp(&t->entries[i].key, key, sizeof(*key)))
				break;
	if (i && t->entries[i].expires <= now) {
		entry_remove(t, i);
		i = 0;
	}
	if (!i)
		return NULL;
	*recent = i;
	return &t->entries[i];
}

/* The head's `newer` is the oldest of all. */
static struct entry *entry_add(struct flow_table *t, const struct ip_flow *key)
{
	uint32_t *bucket, i;

	if (!t->limit)
		return NULL;
	if (!t->free) {
		entry_remove(t, t->entries[0].newer);
		t->evicted++;
	}
	i = t->free;
	t->free = t->entries[i].chain;
	bucket = bucket_of(t, key);
	t->entries[i] = (struct entry){.key = *key, .chain = *bucket};
	*bucket = i;
	ring_add_newest(t, i);
	t->count++;
	return &t->entries[i];
}

static uint64_t timeout_of(const struct entry *e)
{
	if (e->key.zero[0])
		return 30 * NS_PER_S;
	switch (e->key.protocol) {
	case IP_PROTO_TCP:
		return e->closing || !e->replied ? 120 * NS_PER_S : 7200 * NS_PER_S;
	case IP_PROTO_UDP:
		return e->replied ? 180 * NS_PER_S : 30 * NS_PER_S;
	case IP_PROTO_ICMP:
	case IP_PROTO_ICMPV6:
		return 30 * NS_PER_S;
	}
	return 180 * NS_PER_S;
}

static void entry_touch(struct flow_table *t, struct entry *e, uint64_t now)
{
	uint32_t i = (uint32_t)(e - t->entries);

	e->expires = now + timeout_of(e);
	if (t->entries[0].older == i)
		return;
	ring_remove(t, i);
	ring_add_newest(t, i);
}

/* RFC 8200, 4; RFC 4302 counts in other units. 0: no extension header. */
static size_t extension_len(uint8_t protocol, const uint8_t *header)
{
	switch (protocol) {
	case IP_PROTO_HOPOPTS:
	case IP_PROTO_ROUTING:
	case IP_PROTO_DSTOPTS:
		return (header[1] + 1u) * 8;
	case IP_PROTO_FRAGMENT:
		return 8;
	case IP_PROTO_AH:
		return (header[1] + 2u) * 4;
	}
	return 0;
}

/* The chain up to the fragment header was checked by ip_parse(). */
static uint32_t fragment_id(const uint8_t *packet, const struct ip_view *ip)
{
	uint8_t next = packet[6];
	size_t at = IPV6_HEADER_LEN;

	if (ip->version == 4)
		return load_u16be(packet + 4);
	while (next != IP_PROTO_FRAGMENT && at + 8 <= ip->upper) {
		size_t len = extension_len(next, packet + at);

		if (!len)
			return 0;
		next = packet[at];
		at += len;
	}
	return at + 8 <= ip->upper ? load_u32be(packet + at + 4) : 0;
}

static void fragment_key(const uint8_t *packet, const struct ip_view *ip, struct ip_flow *ret)
{
	uint32_t id = fragment_id(packet, ip);

	ip_flow_of(ip, ret);
	ret->src_port = (uint16_t)(id >> 16);
	ret->dst_port = (uint16_t)id;
	ret->zero[0] = 1;
	/* Later fragments of IPv6 may name another header than the first one's upper one. */
	if (ip->version == 6)
		ret->protocol = IP_PROTO_FRAGMENT;
}

static void note_fragment(struct flow_table *t, const uint8_t *packet, const struct ip_view *ip,
			  uint64_t now)
{
	struct ip_flow key;
	struct entry *e;

	if (ip->fragment != IP_FRAGMENT_FIRST)
		return;
	fragment_key(packet, ip, &key);
	e = entry_find(t, &key, now);
	if (!e)
		e = entry_add(t, &key);
	if (e)
		entry_touch(t, e, now);
}

static bool begins_flow(const struct ip_view *ip)
{
	switch (ip->protocol) {
	case IP_PROTO_TCP:
		return !(ip->tcp_flags & TCP_RST);
	case IP_PROTO_ICMP:
		return ip->icmp_type == ICMP4_ECHO;
	case IP_PROTO_ICMPV6:
		return ip->icmp_type == ICMP6_ECHO;
	}
	return true;
}

static void see_tcp_flags(struct entry *e, const struct ip_view *ip)
{
	if (ip->protocol == IP_PROTO_TCP && ip->tcp_flags & (TCP_FIN | TCP_RST))
		e->closing = true;
	else if (ip->protocol == IP_PROTO_TCP && ip->tcp_flags & TCP_SYN)
		e->closing = false;
}

static void refresh(struct flow_table *table, struct entry *e, const uint8_t *packet,
		    const struct ip_view *ip, uint64_t now)
{
	see_tcp_flags(e, ip);
	entry_touch(table, e, now);
	note_fragment(table, packet, ip, now);
}

bool flow_goes_on(struct flow_table *table, const uint8_t *packet, const struct ip_view *ip,
		  uint64_t now)
{
	struct ip_flow key;
	struct entry *e;

	if (ip->fragment == IP_FRAGMENT_LATER)
		return false;
	ip_flow_of(ip, &key);
	e = entry_find(table, &key, now);
	if (e)
		refresh(table, e, packet, ip, now);
	return e;
}

void flow_note(struct flow_table *table, const uint8_t *packet, const struct ip_view *ip,
	       uint64_t now)
{
	struct ip_flow key;
	struct entry *e;

	if (ip->fragment == IP_FRAGMENT_LATER || flow_goes_on(table, packet, ip, now))
		return;
	ip_flow_of(ip, &key);
	e = begins_flow(ip) ? entry_add(table, &key) : NULL;
	if (e)
		refresh(table, e, packet, ip, now);
	else
		note_fragment(table, packet, ip, now);
}

/* RFC 4861 and 2710, 3810: neighbours, routers, redirects, groups. No dnet is a link. */
static bool is_icmp_of_link(const struct ip_view *ip)
{
	return ip->version == 6 && ip->protocol == IP_PROTO_ICMPV6 &&
	       ((ip->icmp_type >= ICMP6_MLD_FIRST && ip->icmp_type <= ICMP6_REDIRECT) ||
		ip->icmp_type == ICMP6_MLD2);
}

static bool is_icmp_error(const struct ip_view *ip)
{
	if (ip->protocol == IP_PROTO_ICMP)
		return ip->icmp_type == ICMP4_UNREACHABLE || ip->icmp_type == ICMP4_TIME_EXCEEDED ||
		       ip->icmp_type == ICMP4_PARAMETER;
	return ip->protocol == IP_PROTO_ICMPV6 && ip->icmp_type >= ICMP6_UNREACHABLE &&
	       ip->icmp_type <= ICMP6_PARAMETER;
}

/* Addresses and protocol of the quoted header; *ret_at is where its payload begins, 0: it cannot be
 * told. */
static bool quoted_header(const uint8_t *q, size_t len, struct ip_flow *ret, size_t *ret_at)
{
	*ret = (struct ip_flow){0};
	if (len >= IPV4_HEADER_MIN && q[0] >> 4 == 4) {
		ret->version = 4;
		memcpy(ret->src, q + 12, 4);
		memcpy(ret->dst, q + 16, 4);
		ret->protocol = q[9];
		*ret_at = (q[0] & 15u) * 4u;
		/* A later fragment has no ports. */
		return *ret_at >= IPV4_HEADER_MIN && !(load_u16be(q + 6) & 0x1fff);
	}
	if (len < IPV6_HEADER_LEN || q[0] >> 4 != 6)
		return false;
	ret->version = 6;
	memcpy(ret->src, q + 8, 16);
	memcpy(ret->dst, q + 24, 16);
	ret->protocol = q[6];
	*ret_at = IPV6_HEADER_LEN;
	for (unsigned i = 0; i < IPV6_EXTENSIONS_MAX && len - *ret_at >= 8; i++) {
		const uint8_t *h = q + *ret_at;
		size_t size = extension_len(ret->protocol, h);

		if (!size)
			break;
		if (ret->protocol == IP_PROTO_FRAGMENT && load_u16be(h + 2) & 0xfff8)
			return false;
		if (size > len - *ret_at)
			return false;
		ret->protocol = h[0];
		*ret_at += size;
	}
	return true;
}

/* The flow of the packet that an ICMP error is about, from at least 8 bytes of its payload. */
static bool quoted_flow(const uint8_t *q, size_t len, struct ip_flow *ret)
{
	size_t at;

	if (!quoted_header(q, len, ret, &at))
		return false;
	switch (ret->protocol) {
	case IP_PROTO_TCP:
	case IP_PROTO_UDP:
		if (at + 8 > len)
			return false;
		ret->src_port = load_u16be(q + at);
		ret->dst_port = load_u16be(q + at + 2);
		break;
	case IP_PROTO_ICMP:
	case IP_PROTO_ICMPV6:
		if (at + 8 > len)
			return false;
		if (q[at] == ICMP4_ECHO || q[at] == ICMP6_ECHO || q[at] == ICMP4_ECHO_REPLY ||
		    q[at] == ICMP6_ECHO_REPLY)
			ret->src_port = ret->dst_port = load_u16be(q + at + 4);
		break;
	}
	return true;
}

static bool passes_icmp_error(struct flow_table *t, const uint8_t *packet, const struct ip_view *ip,
			      uint64_t now)
{
	struct ip_flow quoted, reversed;

	if (ip->payload > ip->total_len ||
	    !quoted_flow(packet + ip->payload, ip->total_len - ip->payload, &quoted) ||
	    quoted.version != ip->version || memcmp(quoted.src, ip->dst, ip->addr_len))
		return false;
	ip_flow_reverse(&quoted, &reversed);
	return entry_find(t, &quoted, now) || entry_find(t, &reversed, now);
}

/* Of the same shape as what the flow was begun with, but not an answer to it. */
static bool begins_anew(const struct ip_view *ip)
{
	switch (ip->protocol) {
	case IP_PROTO_TCP:
		return (ip->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	case IP_PROTO_ICMP:
		return ip->icmp_type != ICMP4_ECHO_REPLY;
	case IP_PROTO_ICMPV6:
		return ip->icmp_type != ICMP6_ECHO_REPLY;
	}
	return false;
}

/* RFC 4443, 2.1: types below 128 are errors, also those that are not known yet. */
static bool is_about_another(const struct ip_view *ip)
{
	if (ip->version == 6)
		return ip->protocol == IP_PROTO_ICMPV6 && ip->icmp_type < ICMP6_ECHO;
	return ip->protocol == IP_PROTO_ICMP &&
	       (is_icmp_error(ip) || ip->icmp_type == ICMP4_QUENCH ||
		ip->icmp_type == ICMP4_REDIRECT);
}

bool flow_icmp_about(const uint8_t *packet, const struct ip_view *ip, struct ip_flow *ret)
{
	struct ip_flow quoted;
	size_t at;

	if (ip->fragment == IP_FRAGMENT_LATER || (!is_about_another(ip) && !is_icmp_of_link(ip)))
		return false;
	*ret = (struct ip_flow){0};
	if (is_about_another(ip) &&
	    quoted_header(packet + ip->payload, ip->total_len - ip->payload, &quoted, &at) &&
	    quoted.version == ip->version)
		*ret = quoted;
	return true;
}

bool flow_passes(struct flow_table *table, const uint8_t *packet, const struct ip_view *ip,
		 uint64_t now)
{
	struct ip_flow key, reversed;
	struct entry *e;

	if (ip->fragment == IP_FRAGMENT_LATER) {
		fragment_key(packet, ip, &key);
		return entry_find(table, &key, now);
	}
	if (is_icmp_error(ip)) {
		if (!passes_icmp_error(table, packet, ip, now))
			return false;
		note_fragment(table, packet, ip, now);
		return true;
	}
	if (begins_anew(ip))
		return false;
	ip_flow_of(ip, &key);
	ip_flow_reverse(&key, &reversed);
	e = entry_find(table, &reversed, now);
	if (!e)
		return false;
	e->replied = true;
	refresh(table, e, packet, ip, now);
	return true;
}

void flow_filter(struct flow_table *table, bool (*keep)(void *ctx, const struct ip_flow *flow),
		 void *ctx)
{
	uint32_t next;

	for (uint32_t i = table->entries[0].newer; i; i = next) {
		const struct entry *e = &table->entries[i];

		next = e->newer;
		if (e->key.zero[0] || !keep(ctx, &e->key))
			entry_remove(table, i);
	}
}

size_t flow_count(const struct flow_table *table)
{
	return table->count;
}

uint64_t flow_evicted(const struct flow_table *table)
{
	return table->evicted;
}
