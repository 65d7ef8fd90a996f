#ifndef CORE_ACL_H
#define CORE_ACL_H

/* The policy of a dnet, compiled: one-way rules that allow, everything else denied. Nodes are
 * meant by their index in the netmap that it was compiled against. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"
#include "wire/ip.h"
#include "wire/key.h"

struct netmap;
struct netmap_node;

enum acl_subject_kind {
	ACL_ANY,    /* every member and everything behind it */
	ACL_NODE,   /* what belongs to that key; matches nothing while it is no member */
	ACL_PREFIX, /* addresses in the prefix, whoever they belong to */
	ACL_GROUP,  /* what belongs to the nodes of that group of the netmap */
};

struct acl_subject {
	enum acl_subject_kind kind;
	struct node_key node;
	struct prefix prefix;
	uint16_t group;
};

enum { ACL_ALL_PROTOCOLS = 256, ACL_LABEL_MAX = 63 };

/* src may begin flows to dst. Replies are the flow table's (core/flow.h). */
struct acl_rule {
	struct acl_subject src, dst;
	uint16_t protocol;	       /* upper protocol, ACL_ALL_PROTOCOLS: any */
	uint16_t port_low, port_high;  /* of dst, inclusive; 0 to 65535: any, also without ports */
	char label[ACL_LABEL_MAX + 1]; /* what the owner calls it; may be empty */
};

struct acl;

enum { ACL_NO_NODE = UINT32_MAX };

/* 0, -EINVAL (protocol above ACL_ALL_PROTOCOLS, low port above high port), -ENOMEM. rules are
 * copied; count 0: members may talk to members. */
int acl_new(const struct acl_rule *rules, size_t count, const struct netmap *netmap,
	    struct acl **ret_acl);
void acl_free(struct acl *acl);

/* The rules without groups, as one node and its peers need them: in place of a group each of the
 * nodes of it, where the other end is self or no group. self and peers are of one netmap. The
 * result is the caller's (free()), never NULL when there are rules: one that matches nothing stands
 * for all that do not concern self. 0 or -ENOMEM. */
int acl_without_groups(const struct acl_rule *rules, size_t count, const struct netmap_node *self,
		       const struct netmap_node *const *peers, size_t peer_count,
		       struct acl_rule **ret_rules, size_t *ret_count);

/* The default policy: nothing needs to be looked at. */
bool acl_allows_all(const struct acl *acl);

struct acl_verdict {
	bool allowed;
	size_t rule;		 /* its number as given; SIZE_MAX: no rule */
	const char *explanation; /* the rule's label, or static text; borrowed from the acl */
};

/* The first packet of a flow. src_node, dst_node: indices of the netmap, or ACL_NO_NODE. Among
 * several rules that allow it the first given is named. ret_verdict may be NULL. */
bool acl_allows(const struct acl *acl, uint32_t src_node, uint32_t dst_node,
		const struct ip_flow *flow, struct acl_verdict *ret_verdict);
/* A packet whose protocol and ports are not known (a later fragment): only a rule for all of them
 * counts. */
bool acl_allows_blindly(const struct acl *acl, uint32_t src_node, uint32_t dst_node,
			const struct ip_flow *flow);

#endif
