/* A roster of 10,000 members: sealed, opened and put into a netmap, and what that costs in memory:
 * what a member keeps is the body, the netmap and the compiled policy. */

#include "core/acl.h"
#include "core/id.h"
#include "core/netmap.h"
#include "core/rosterfile.h"

#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MEMBERS = 10000, GROUPS = 20, RULES = 40, RUNS = 10 };

static const struct object_id dnet = {{7}};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double heap_mb(void)
{
	struct mallinfo2 info = mallinfo2();

	return (double)(info.uordblks + info.hblkhd) / 1e6;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct node_key));
}

static struct node_key *make_keys(const struct id *id, struct identity *ret_first)
{
	struct node_key *keys = calloc(MEMBERS, sizeof(*keys));

	for (uint32_t i = 0; keys && i < MEMBERS; i++) {
		struct secret secret = {.bytes = {1}};
		struct identity identity;

		store_u32be(secret.bytes + 8, i);
		if (id_from_secret(id, &secret, &identity))
			abort();
		keys[i] = identity.key;
		if (!i)
			*ret_first = identity;
	}
	if (!keys)
		abort();
	qsort(keys, MEMBERS, sizeof(*keys), compare_keys);
	return keys;
}

static size_t make_body(const struct node_key *keys, uint8_t *body)
{
	struct roster_header header = {.dnet = dnet, .sequence = 1};
	struct writer w;

	writer_init(&w, body, ROSTER_BODY_MAX);
	roster_write_header(&w, &header);
	roster_write_count(&w, ROSTER_GROUPS, GROUPS);
	for (unsigned i = 0; i < GROUPS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "group-%02u", i);
		roster_write_group(&w, name);
	}
	roster_write_count(&w, ROSTER_NODES, MEMBERS);
	for (uint32_t i = 0; i < MEMBERS; i++) {
		struct roster_node node = {
			.key = keys[i], .flags = NODE_FLAG_IPV4, .group_count = 2};

		node.ipv4 = (struct address){.family = ADDR_V4, .bytes = {10}};
		store_u32be(node.ipv4.bytes, 0x0a000001 + i);
		snprintf(node.name, sizeof(node.name), "member-%u", i);
		node.groups[0] = (uint16_t)(i % (GROUPS - 1));
		node.groups[1] = GROUPS - 1;
		roster_write_node(&w, &node);
	}
	roster_write_count(&w, ROSTER_ROUTES, 0);
	roster_write_count(&w, ROSTER_RULES, RULES);
	for (uint16_t i = 0; i < RULES; i++) {
		struct roster_rule rule = {.protocol = 6};

		snprintf(rule.name, sizeof(rule.name), "rule-%02u", i);
		rule.src = (struct roster_subject){.kind = ROSTER_GROUP, .group = i % GROUPS};
		rule.dst = (struct roster_subject){.kind = ROSTER_GROUP, .group = (i + 1) % GROUPS};
		rule.port_low = rule.port_high = (uint16_t)(i + 1);
		roster_write_rule(&w, &rule);
	}
	roster_write_count(&w, ROSTER_NAMES, 0);
	if (w.failed)
		abort();
	return writer_len(&w);
}

/* The netmap as the records alone have it: the dnet, and nobody in it. */
static struct netmap *make_map(const struct netmap_input *input)
{
	struct netmap *map;

	if (netmap_build(input, &map))
		abort();
	return map;
}

static void load(const struct id *id, const struct identity *node, const uint8_t *admin,
		 const uint8_t *file, size_t len, const struct netmap_input *input,
		 const char *what)
{
	double best_open = 1e9, best_all = 1e9, before = heap_mb(), kept = 0;

	for (int i = 0; i < RUNS; i++) {
		struct rosterfile opened;
		struct netmap *map = make_map(input);
		struct acl *acl;
		const char *why;
		double start = now_ms(), at_open;

		if (rosterfile_open(id, node, &dnet, admin, file, len, &opened, &why) !=
		    ROSTER_GOOD)
			abort();
		at_open = now_ms() - start;
		if (netmap_add_roster(map, input, &opened.roster, 1000) ||
		    acl_new(map->rules, map->rule_count, map, &acl))
			abort();
		if (map->node_count != MEMBERS)
			abort();
		if (now_ms() - start < best_all)
			best_all = now_ms() - start;
		if (at_open < best_open)
			best_open = at_open;
		kept = heap_mb() - before;
		acl_free(acl);
		netmap_free(map);
		rosterfile_done(&opened);
	}
	printf("%-10s %8.0f KB file %8.1f ms opened and checked %8.1f ms in the netmap, compiled "
	       "%8.1f MB kept\n",
	       what, (double)len / 1e3, best_open, best_all, kept);
}

int main(void)
{
	const uint8_t seed[ID_SEED_LEN] = {1};
	struct record_row row = {.object = dnet,
				 .record = {.type = RECORD_DNET_CREATE},
				 .from_height = 1,
				 .to_height = UINT32_MAX};
	struct netmap_input input = {
		.id = dnet, .rows = &row, .row_count = 1, .tip_height = 10, .confirm = 1};
	struct id *id = id_new(seed);
	struct identity node;
	uint8_t *body = malloc(ROSTER_BODY_MAX), *file, admin[XONLY_LEN];
	struct node_key *keys;
	size_t len, file_len;

	if (sodium_init() < 0 || !id || !body)
		abort();
	strcpy(row.record.dnet_create.name, "bench");
	prefix_parse("10.0.0.0/8", &row.record.dnet_create.ipv4);
	keys = make_keys(id, &node);
	len = make_body(keys, body);
	id_xonly(&node.key, admin);
	printf("%d members, %d groups, %d rules; body %.0f KB\n", MEMBERS, GROUPS, RULES,
	       (double)len / 1e3);
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		double start = now_ms();

		if (rosterfile_seal(id, &node.secret, body, len, encrypted ? keys : NULL,
				    encrypted ? MEMBERS : 0, seed, &file, &file_len))
			abort();
		printf("%-10s %8.1f ms sealed\n", encrypted ? "encrypted" : "plain",
		       now_ms() - start);
		load(id, &node, admin, file, file_len, &input, encrypted ? "encrypted" : "plain");
		free(file);
	}
	free(keys);
	free(body);
	id_free(id);
	return 0;
}
