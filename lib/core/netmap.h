#ifndef CORE_NETMAP_H
#define CORE_NETMAP_H

/* The network as wanted: one dnet as its records in force say (RECORDS 4.5, 5, 6), for members and
 * for helpers. Built whole from rows, compared with the one before. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/acl.h"
#include "wire/addr.h"
#include "wire/key.h"
#include "wire/record.h"

struct roster;

struct netmap_node {
	struct node_key key;
	char name[RECORD_NAME_MAX + 1]; /* "" when it has none, or when an earlier node holds it */
	struct address ipv6;		/* RECORDS 6.2 */
	struct address ipv4;		/* ADDR_NONE: none, or held by an earlier node */
	struct address extra_ipv6;	/* from NODE_PUT; ADDR_NONE as ipv4 */
	uint8_t flags;			/* of NODE_PUT */
	uint32_t from_height;
	const char *remark; /* why an address or a name is not given; NULL; static text */
	bool by_roster;	    /* no NODE_PUT: the roster alone makes it a member */
	uint8_t group_count;
	const uint16_t *groups; /* rising numbers; borrowed from the netmap */
};

enum { NETMAP_ENDPOINTS = 8 };

/* An OVC or OVR that is linked and granted. */
struct netmap_helper {
	uint8_t kind; /* OBJECT_OVC, OBJECT_OVR */
	struct object_id id;
	struct node_key key;
	char name[RECORD_NAME_MAX + 1];
	uint8_t priority, weight;
	struct record_endpoint endpoints[NETMAP_ENDPOINTS]; /* the earliest ones */
	size_t endpoint_count;
	uint32_t grant_expiry, rate_kbit, volume_mib; /* 0: none */
};

struct netmap {
	struct object_id id;
	bool exists; /* a DNET_CREATE is in force and it is not closed */
	char name[RECORD_NAME_MAX + 1];
	uint8_t admin_key[XONLY_LEN];
	struct prefix ipv6_prefix; /* RECORDS 6.1 */
	struct prefix ipv4_prefix; /* family ADDR_NONE: none */
	bool has_roster;
	uint32_t roster_sequence;
	struct hash256 roster_root;
	uint32_t height;	   /* of the tip it was built at */
	struct netmap_node *nodes; /* sorted by key */
	size_t node_count;
	struct netmap_helper *helpers; /* sorted by kind, priority, id */
	size_t helper_count;
	/* What a roster adds (netmap_add_roster()). */
	bool has_policy; /* rules are what the owner says, none of them included */
	struct acl_rule *rules;
	size_t rule_count;
	uint16_t *memberships;	    /* what groups of nodes point into */
	struct epoch epoch, before; /* of handshakes; number 0: none, or no more */
	bool rolls_over;	    /* both count: PROTOCOL 3.8 */
	uint64_t next_expiry; /* seconds since 1970, when an entry or the epoch before ends; 0: none
			       * does */
};

/* A revocation that was seen (RECORDS 5.2). It hides what it matches of a lower sequence, and of
 * its own sequence what stands before `position`. */
struct netmap_revocation {
	struct object_id object; /* whose seal */
	uint8_t type; /* enum record_type of the revoking record; RECORD_CLOSE also for a lost seal
		       */
	uint8_t subject[RECORD_KEY_MAX]; /* record_key() of what it hides; empty for RECORD_CLOSE:
					    everything */
	size_t subject_len;
	uint32_t sequence;
	/* Rows of the same sequence are hidden when netmap_position() of them is lower; UINT32_MAX
	 * when another transaction was mined with this sequence. */
	uint32_t position;
	struct hash256
		txid; /* of the revoking transaction; says which one it is, not what it hides */
};

/* Where a record stands in its transaction, for `position` above. */
static inline uint32_t netmap_position(uint32_t out_index, uint32_t pos)
{
	return out_index * 64 + pos;
}

struct netmap_input {
	struct object_id id;
	/* Of the dnet and of its linked OVC and OVR, any order; those that ended have to_height set
	 * and are needed for `confirm` blocks more. */
	const struct record_row *rows;
	size_t row_count;
	const struct netmap_revocation *revocations;
	size_t revocation_count;
	uint32_t tip_height;
	uint32_t confirm; /* depth at which additions count, 1 or more */
};

/* "Earlier" in RECORDS 4.5 is by the order of RECORDS 3.5 of the NODE_PUTs in force; it goes for
 * IPv6 addresses too. 0 or -ENOMEM. The result is the caller's: netmap_free(). */
int netmap_build(const struct netmap_input *input, struct netmap **ret_netmap);
void netmap_free(struct netmap *netmap);
/* ROSTER 4: puts the roster beside the records that netmap was built from (input), as it is at
 * now_s (seconds since 1970). 0 or -ENOMEM: then nothing changed. */
int netmap_add_roster(struct netmap *netmap, const struct netmap_input *input,
		      const struct roster *roster, uint64_t now_s);
/* ROSTER 4: the owner has a policy, and it is not known: nobody may begin anything. 0 or -ENOMEM.
 */
int netmap_close_policy(struct netmap *netmap);
const struct netmap_node *netmap_find_node(const struct netmap *netmap, const struct node_key *key);
/* The same for one key after another in rising order: *at is 0 at first, then where the search goes
 * on. */
const struct netmap_node *netmap_next_node(const struct netmap *netmap, size_t *at,
					   const struct node_key *key);
const struct netmap_node *netmap_find_name(const struct netmap *netmap, const char *name);

enum netmap_step_kind {
	NODE_ADDED,
	NODE_CHANGED,
	NODE_REMOVED,
	HELPER_ADDED,
	HELPER_CHANGED,
	HELPER_REMOVED,
	DNET_CHANGED
};

/* old may be NULL: everything is added. Removals come first. Pointers are borrowed from the two
 * netmaps. */
struct netmap_step {
	enum netmap_step_kind kind;
	const struct netmap_node *node_old, *node_new;
	const struct netmap_helper *helper_old, *helper_new;
};
typedef void netmap_visit(void *ctx, const struct netmap_step *step);
void netmap_diff(const struct netmap *old, const struct netmap *new, netmap_visit *visit,
		 void *ctx);

#endif
