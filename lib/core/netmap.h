#ifndef CORE_NETMAP_H
#define CORE_NETMAP_H

/* The network as wanted: one dnet as its records in force say (RECORDS 4.5, 5, 6), for members and for helpers. Built
 * whole from rows, compared with the one before. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"
#include "wire/key.h"
#include "wire/record.h"

struct netmap_node {
	struct node_key key;
	char name[33];             /* "" when it has none, or when an earlier node holds it */
	struct address ipv6;       /* RECORDS 6.2 */
	struct address ipv4;       /* ADDR_NONE: none, or held by an earlier node */
	struct address extra_ipv6; /* from NODE_PUT */
	uint8_t flags;             /* of NODE_PUT */
	uint32_t from_height;
	const char *remark;        /* why an address or a name is not given; NULL; static text */
};

enum { NETMAP_ENDPOINTS = 8 };

/* An OVC or OVR that is linked and granted. */
struct netmap_helper {
	uint8_t kind; /* 2 OVC, 3 OVR */
	struct object_id id;
	struct node_key key;
	char name[33];
	uint8_t priority, weight;
	struct record_endpoint endpoints[NETMAP_ENDPOINTS];
	size_t endpoint_count;
	uint32_t grant_expiry, rate_kbit, volume_mib; /* 0: none */
};

struct netmap {
	struct object_id id;
	bool exists;               /* a DNET_CREATE is in force and it is not closed */
	char name[33];
	uint8_t admin_key[XONLY_LEN];
	struct prefix ipv6_prefix; /* RECORDS 6.1 */
	struct prefix ipv4_prefix; /* family ADDR_NONE: none */
	uint32_t height;           /* of the tip it was built at */
	struct netmap_node *nodes; /* sorted by key */
	size_t node_count;
	struct netmap_helper *helpers; /* sorted by kind, priority, id */
	size_t helper_count;
};

/* A revocation that was seen (RECORDS 5.2): hides rows of lower or equal sequence. */
struct netmap_revocation {
	struct object_id object; /* whose seal */
	uint8_t type;            /* enum record_type of the revoking record; CLOSE for a lost seal */
	uint8_t subject[PUBKEY_LEN + 64]; /* node key; kind and id; dnet id; endpoint body; empty for CLOSE */
	size_t subject_len;
	uint32_t sequence;
	uint32_t position; /* in its own transaction, for additions that follow it there */
};

struct netmap_input {
	struct object_id id;
	const struct record_row *rows; /* of the dnet and of its linked OVC and OVR; any order; to_height set when ended */
	size_t row_count;
	const struct netmap_revocation *revocations;
	size_t revocation_count;
	uint32_t tip_height;
	uint32_t confirm; /* depth at which additions count, 1 or more */
};

/* 0 or -ENOMEM. The result is the caller's: netmap_free(). */
int netmap_build(const struct netmap_input *input, struct netmap **ret_netmap);
void netmap_free(struct netmap *netmap);
const struct netmap_node *netmap_find_node(const struct netmap *netmap, const struct node_key *key);
const struct netmap_node *netmap_find_name(const struct netmap *netmap, const char *name);

enum netmap_step_kind { NODE_ADDED, NODE_CHANGED, NODE_REMOVED, HELPER_ADDED, HELPER_CHANGED, HELPER_REMOVED, DNET_CHANGED };

/* old may be NULL: everything is added. Removals come first. Pointers are borrowed from the two netmaps. */
struct netmap_step {
	enum netmap_step_kind kind;
	const struct netmap_node *node_old, *node_new;
	const struct netmap_helper *helper_old, *helper_new;
};
typedef void netmap_visit(void *ctx, const struct netmap_step *step);
void netmap_diff(const struct netmap *old, const struct netmap *new, netmap_visit *visit, void *ctx);

#endif
