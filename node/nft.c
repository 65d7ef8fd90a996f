#include "node/nft.h"

#include "node/nft_message.h"
#include "os/base.h"
#include "wire/ip.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

/* The table of an interface:
 *
 *   prerouting ── iif IF ─► in ─┬─ of the flow's first direction ─► begin_in  ─ a service: accept
 *                               └─ a reply ─────────────────────► begin_out ─ a service: accept
 *   postrouting ─ oif IF ─► out ── the same with begin_out and begin_in
 *
 * "in" and "out" refuse by address before anything else, so that who is no member any more is out
 * with its element. Policy judges what conntrack says of the flow, not the packet: replies are as
 * allowed as what they reply to, now and not when it began, so that another policy cuts flows.
 * Fragments were put together by conntrack before they come here; what it left is refused. */

enum {
	PRIORITY_IN = -150,	/* behind conntrack, before what rewrites destinations */
	PRIORITY_OUT = 300,	/* behind what rewrites sources */
	ELEMENTS_AT_ONCE = 512, /* of a message: below 64 KiB */
	IPV4_FRAGMENT_OFFSET = 6,
	ICMP_TYPE_OFFSET = 0,
	FRAGMENT_HEADER = 44,
};
/* Of the flow or the packet in conntrack, as NFT_CT_STATE has it. */
enum { STATE_INVALID = 1, STATE_RELATED = 4, STATE_UNTRACKED = 64 };

/* A set of addresses for each family; a service is of one family. */
static void set_name(uint16_t set, uint8_t family, char text[static NFT_NAME_MAX])
{
	int version = family == ADDR_V4 ? 4 : 6;
	if (set == FILTER_SET_PEERS)
		snprintf(text, NFT_NAME_MAX, "peers%d", version);
	else if (set == FILTER_SET_OURS)
		snprintf(text, NFT_NAME_MAX, "ours%d", version);
	else
		snprintf(text, NFT_NAME_MAX, "nodes%u", set - FILTER_SET_SERVICES);
}

/* ---- Parts of rules ---- */

static uint32_t address_offset(uint8_t family, bool source)
{
	if (family == ADDR_V4)
		return source ? 12 : 16;
	return source ? 8 : 24;
}

static uint32_t address_len(uint8_t family)
{
	return family == ADDR_V4 ? 4 : 16;
}

static void match_family(struct nft_batch *b, uint8_t family)
{
	uint8_t value = family == ADDR_V4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
	nft_put_meta(b, NFT_META_NFPROTO);
	nft_put_compare(b, NFT_CMP_EQ, &value, sizeof(value));
}

static void match_byte(struct nft_batch *b, enum nft_cmp_ops op, uint8_t value)
{
	nft_put_compare(b, op, &value, sizeof(value));
}

static void count_and_drop(struct nft_batch *b, unsigned counter)
{
	nft_put_counter(b, filter_counter_name((enum filter_counter)counter));
	nft_put_verdict(b, NF_DROP, NULL);
}

/* counter: of FILTER_IN; those of FILTER_OUT follow in the same order. */
static unsigned counter_of(uint8_t direction, enum filter_counter counter)
{
	return counter + (direction == FILTER_OUT ? FILTER_COUNTERS_OF_DIRECTION : 0);
}

/* The peer's address stands in what comes in as source. */
static void refuse_addresses(struct nft_batch *b, const char *chain, uint8_t direction,
			     uint8_t family)
{
	/* In the order of the counters: where the packet comes from, where it goes to. */
	const uint16_t sets[] = {direction == FILTER_IN ? FILTER_SET_PEERS : FILTER_SET_OURS,
				 direction == FILTER_IN ? FILTER_SET_OURS : FILTER_SET_PEERS};
	for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
		char set[NFT_NAME_MAX];
		set_name(sets[i], family, set);
		nft_begin_rule(b, chain, NULL);
		match_family(b, family);
		nft_put_payload(b, NFT_PAYLOAD_NETWORK_HEADER, address_offset(family, i == 0),
				address_len(family));
		nft_put_lookup(b, set, true);
		count_and_drop(b, counter_of(direction, FILTER_in_source_not_peers) + i);
		nft_end_rule(b);
	}
}

static void refuse_icmp(struct nft_batch *b, const char *chain, uint8_t direction, uint8_t protocol,
			uint8_t type_low, uint8_t type_high, bool unless_related)
{
	uint32_t related = STATE_RELATED;
	nft_begin_rule(b, chain, NULL);
	nft_put_meta(b, NFT_META_L4PROTO);
	match_byte(b, NFT_CMP_EQ, protocol);
	nft_put_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, ICMP_TYPE_OFFSET, 1);
	match_byte(b, NFT_CMP_GTE, type_low);
	match_byte(b, NFT_CMP_LTE, type_high);
	if (unless_related) {
		nft_put_ct(b, NFT_CT_STATE, false);
		nft_put_compare(b, NFT_CMP_NEQ, &related, sizeof(related));
	}
	count_and_drop(b, counter_of(direction, FILTER_in_icmp_foreign));
	nft_end_rule(b);
}

/* Errors about packets of others, redirects, and what is about a link that this is not. */
static void refuse_icmp_foreign(struct nft_batch *b, const char *chain, uint8_t direction)
{
	refuse_icmp(b, chain, direction, IP_PROTO_ICMP, 5, 5, false);
	refuse_icmp(b, chain, direction, IP_PROTO_ICMP, 3, 4, true);
	refuse_icmp(b, chain, direction, IP_PROTO_ICMP, 11, 12, true);
	refuse_icmp(b, chain, direction, IP_PROTO_ICMPV6, 1, 4, true);
	refuse_icmp(b, chain, direction, IP_PROTO_ICMPV6, 130, 137, false);
	refuse_icmp(b, chain, direction, IP_PROTO_ICMPV6, 143, 143, false);
}

static void refuse_fragments(struct nft_batch *b, const char *chain, uint8_t direction)
{
	static const uint8_t offset_and_more[] = {0x3f, 0xff}, none[] = {0, 0};
	nft_begin_rule(b, chain, NULL);
	match_family(b, ADDR_V4);
	nft_put_payload(b, NFT_PAYLOAD_NETWORK_HEADER, IPV4_FRAGMENT_OFFSET, 2);
	nft_put_mask(b, offset_and_more, sizeof(offset_and_more));
	nft_put_compare(b, NFT_CMP_NEQ, none, sizeof(none));
	count_and_drop(b, counter_of(direction, FILTER_in_fragment));
	nft_end_rule(b);
	nft_begin_rule(b, chain, NULL);
	match_family(b, ADDR_V6);
	nft_put_extension(b, FRAGMENT_HEADER);
	match_byte(b, NFT_CMP_EQ, 1);
	count_and_drop(b, counter_of(direction, FILTER_in_fragment));
	nft_end_rule(b);
}

/* What belongs to no flow cannot be judged by it. */
static void refuse_by_policy(struct nft_batch *b, const char *chain, uint8_t direction)
{
	static const uint32_t strange = STATE_INVALID | STATE_UNTRACKED, none = 0;
	const char *first = direction == FILTER_IN ? "begin_in" : "begin_out";
	const char *reply = direction == FILTER_IN ? "begin_out" : "begin_in";
	nft_begin_rule(b, chain, NULL);
	nft_put_ct(b, NFT_CT_STATE, false);
	nft_put_mask(b, &strange, sizeof(strange));
	nft_put_compare(b, NFT_CMP_NEQ, &none, sizeof(none));
	count_and_drop(b, counter_of(direction, FILTER_in_no_flow));
	nft_end_rule(b);
	for (uint8_t is_reply = 0; is_reply < 2; is_reply++) {
		nft_begin_rule(b, chain, NULL);
		nft_put_ct(b, NFT_CT_DIRECTION, false);
		match_byte(b, NFT_CMP_EQ, is_reply);
		nft_put_verdict(b, NFT_JUMP, is_reply ? reply : first);
		nft_end_rule(b);
	}
	nft_begin_rule(b, chain, NULL);
	count_and_drop(b, counter_of(direction, FILTER_in_policy));
	nft_end_rule(b);
}

/* ---- Services ---- */

static void load_flow_address(struct nft_batch *b, uint8_t family, bool source)
{
	if (family == ADDR_V4)
		nft_put_ct(b, source ? NFT_CT_SRC_IP : NFT_CT_DST_IP, true);
	else
		nft_put_ct(b, source ? NFT_CT_SRC_IP6 : NFT_CT_DST_IP6, true);
}

static void match_prefix(struct nft_batch *b, const struct prefix *prefix, bool source)
{
	uint8_t mask[16] = {0};
	if (prefix->bits == 0)
		return;
	for (unsigned i = 0; i < prefix->bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	load_flow_address(b, prefix->addr.family, source);
	nft_put_mask(b, mask, address_len(prefix->addr.family));
	nft_put_compare(b, NFT_CMP_EQ, prefix->addr.bytes, address_len(prefix->addr.family));
}

static void match_ports(struct nft_batch *b, const struct filter_service *s)
{
	const uint8_t low[] = {(uint8_t)(s->port_low >> 8), (uint8_t)s->port_low};
	const uint8_t high[] = {(uint8_t)(s->port_high >> 8), (uint8_t)s->port_high};
	if (s->port_low == 0 && s->port_high == UINT16_MAX)
		return;
	nft_put_ct(b, NFT_CT_PROTO_DST, true);
	nft_put_compare(b, NFT_CMP_GTE, low, sizeof(low));
	nft_put_compare(b, NFT_CMP_LTE, high, sizeof(high));
}

static void allow_service(struct nft_batch *b, const struct filter_service *s, size_t number)
{
	bool in = s->direction == FILTER_IN;
	nft_begin_rule(b, in ? "begin_in" : "begin_out", s->label);
	match_family(b, s->family);
	if (s->protocol != ACL_ALL_PROTOCOLS) {
		nft_put_ct(b, NFT_CT_PROTOCOL, false);
		match_byte(b, NFT_CMP_EQ, (uint8_t)s->protocol);
	}
	match_ports(b, s);
	match_prefix(b, &s->own, !in);
	match_prefix(b, &s->peer, in);
	if (s->nodes) {
		char set[NFT_NAME_MAX];
		set_name((uint16_t)(FILTER_SET_SERVICES + number), s->family, set);
		load_flow_address(b, s->family, in);
		nft_put_lookup(b, set, false);
	}
	nft_put_verdict(b, NF_ACCEPT, NULL);
	nft_end_rule(b);
}

/* ---- The table ---- */

static void put_sets(struct nft_batch *b, const struct filter *f)
{
	static const uint8_t families[] = {ADDR_V4, ADDR_V6};
	char name[NFT_NAME_MAX];
	for (uint16_t set = 0; set < FILTER_SET_SERVICES; set++) {
		for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
			set_name(set, families[i], name);
			nft_add_set(b, name, families[i]);
		}
	}
	for (size_t i = 0; i < f->service_count; i++) {
		if (!f->services[i].nodes)
			continue;
		set_name((uint16_t)(FILTER_SET_SERVICES + i), f->services[i].family, name);
		nft_add_set(b, name, f->services[i].family);
	}
}

/* Runs of one set and one direction of change. */
static void put_elements(struct nft_batch *b, const struct filter_element *elements, size_t count)
{
	char name[NFT_NAME_MAX];
	for (size_t i = 0, n; i < count; i += n) {
		const struct filter_element *first = &elements[i];
		for (n = 1; i + n < count && n < ELEMENTS_AT_ONCE; n++) {
			if (first[n].set != first->set || first[n].removed != first->removed ||
			    first[n].address.family != first->address.family)
				break;
		}
		set_name(first->set, first->address.family, name);
		nft_begin_elements(b, name, first->removed);
		for (size_t j = 0; j < n; j++)
			nft_put_element(b, first[j].address.bytes,
					address_len(first[j].address.family));
		nft_end_elements(b);
	}
}

static void put_direction(struct nft_batch *b, uint8_t direction, uint32_t index, bool open)
{
	const char *chain = direction == FILTER_IN ? "in" : "out";
	refuse_addresses(b, chain, direction, ADDR_V4);
	refuse_addresses(b, chain, direction, ADDR_V6);
	refuse_fragments(b, chain, direction);
	refuse_icmp_foreign(b, chain, direction);
	if (!open)
		refuse_by_policy(b, chain, direction);
	nft_begin_rule(b, direction == FILTER_IN ? "prerouting" : "postrouting", NULL);
	nft_put_meta(b, direction == FILTER_IN ? NFT_META_IIF : NFT_META_OIF);
	nft_put_compare(b, NFT_CMP_EQ, &index, sizeof(index));
	nft_put_verdict(b, NFT_GOTO, chain);
	nft_end_rule(b);
}

static void put_table(struct nft_batch *b, uint32_t index, const struct filter *f,
		      const struct nft_count counts[FILTER_COUNTER_COUNT])
{
	static const char *const chains[] = {"in", "out", "begin_in", "begin_out"};
	nft_add_table(b);
	for (unsigned i = 0; i < FILTER_COUNTER_COUNT; i++)
		nft_add_counter(b, filter_counter_name((enum filter_counter)i), &counts[i]);
	put_sets(b, f);
	put_elements(b, f->elements, f->element_count);
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++)
		nft_add_chain(b, chains[i], -1, 0);
	nft_add_chain(b, "prerouting", NF_INET_PRE_ROUTING, PRIORITY_IN);
	nft_add_chain(b, "postrouting", NF_INET_POST_ROUTING, PRIORITY_OUT);
	for (size_t i = 0; i < f->service_count; i++)
		allow_service(b, &f->services[i], i);
	put_direction(b, FILTER_IN, index, f->open);
	put_direction(b, FILTER_OUT, index, f->open);
}

static int count_number(const char *name)
{
	for (int i = 0; i < FILTER_COUNTER_COUNT; i++) {
		if (strcmp(filter_counter_name((enum filter_counter)i), name) == 0)
			return i;
	}
	return -1;
}

static void on_count(void *arg, const char *name, const struct nft_count *count)
{
	struct nft_count *counts = arg;
	int number = count_number(name);
	if (number >= 0)
		counts[number] = *count;
}

int nft_replace(struct nft *nft, const char *name, uint32_t index, const struct filter *filter)
{
	struct nft_count counts[FILTER_COUNTER_COUNT] = {0};
	int r = nft_find_table(nft, name);
	bool there = r == 0;
	if (there)
		r = nft_list_counters(nft, name, on_count, counts);
	if (r < 0 && r != -ENOENT)
		return r;
	struct nft_batch *b = nft_begin(nft, name);
	if (there)
		nft_delete_table(b);
	put_table(b, index, filter, counts);
	return nft_commit(b);
}

int nft_change(struct nft *nft, const char *name, const struct filter_element *elements,
	       size_t count)
{
	int r = nft_find_table(nft, name);
	if (r < 0)
		return r;
	struct nft_batch *b = nft_begin(nft, name);
	put_elements(b, elements, count);
	return nft_commit(b);
}

int nft_counters(struct nft *nft, const char *name, uint64_t ret_packets[FILTER_COUNTER_COUNT])
{
	struct nft_count counts[FILTER_COUNTER_COUNT] = {0};
	int r = nft_find_table(nft, name);
	if (r == 0)
		r = nft_list_counters(nft, name, on_count, counts);
	for (size_t i = 0; i < FILTER_COUNTER_COUNT && r == 0; i++)
		ret_packets[i] = counts[i].packets;
	return r;
}

int nft_delete(struct nft *nft, const char *name)
{
	int r = nft_find_table(nft, name);
	if (r < 0)
		return r;
	struct nft_batch *b = nft_begin(nft, name);
	nft_delete_table(b);
	return nft_commit(b);
}
