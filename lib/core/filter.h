#ifndef CORE_FILTER_H
#define CORE_FILTER_H

/* The policy of a dnet as a list for a packet filter of the kernel, for an interface whose packets
 * do not pass our data path: which addresses are behind it, which are ours, and who may begin what.
 * Both directions, as PROTOCOL 5.4 has it. What is not in the list is refused. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/acl.h"
#include "wire/addr.h"

struct netmap_node;

enum {
	FILTER_SERVICES_MAX = 256,   /* ways to begin a flow, however many nodes may */
	FILTER_ELEMENTS_MAX = 65536, /* addresses in all sets */
};

enum filter_direction { FILTER_IN, FILTER_OUT };

/* Who may begin a flow, of one address family. What belongs to one node is in the set of the
 * service, so a further node is an element and no further service. */
struct filter_service {
	uint8_t direction; /* enum filter_direction */
	uint8_t family;	   /* ADDR_V4, ADDR_V6 */
	uint8_t nodes;	   /* 1: the peer's address has to be in the service's set */
	uint8_t zero;
	uint16_t protocol;	      /* upper protocol, ACL_ALL_PROTOCOLS: any */
	uint16_t port_low, port_high; /* of the destination; 0 to 65535: any, also without ports */
	struct prefix peer, own;      /* host bits zero; of bits 0: any */
	char label[ACL_LABEL_MAX + 1];
};

/* Numbers of sets; those of services follow. */
enum { FILTER_SET_PEERS, FILTER_SET_OURS, FILTER_SET_SERVICES };
enum { FILTER_SETS_MAX = FILTER_SET_SERVICES + FILTER_SERVICES_MAX };

struct filter_element {
	uint16_t set;
	struct address address;
	uint8_t removed; /* of a difference: it is to go */
};

struct filter {
	bool open; /* no policy: whoever is behind the interface may begin anything */
	struct filter_service *services; /* sorted, none twice */
	size_t service_count;
	struct filter_element *elements; /* sorted, none twice */
	size_t element_count;
};

/* What the filter refuses, each with a counter of its own. */
#define FILTER_COUNTERS(X)                                                                         \
	X(in_source_not_peers)                                                                     \
	X(in_not_for_us)                                                                           \
	X(in_icmp_foreign)                                                                         \
	X(in_fragment)                                                                             \
	X(in_no_flow)                                                                              \
	X(in_policy)                                                                               \
	X(out_source_not_ours)                                                                     \
	X(out_no_peer)                                                                             \
	X(out_icmp_foreign)                                                                        \
	X(out_fragment)                                                                            \
	X(out_no_flow)                                                                             \
	X(out_policy)

enum filter_counter {
#define X(name) FILTER_##name,
	FILTER_COUNTERS(X)
#undef X
		FILTER_COUNTER_COUNT
};
enum { FILTER_COUNTERS_OF_DIRECTION = FILTER_out_source_not_ours };

/* "in_policy", …; static. */
const char *filter_counter_name(enum filter_counter counter);

/* peers: the members behind the interface; self is none of them. ipv4: the interface has IPv4 too.
 * rule_count 0: members may talk to members. 0; -EINVAL as acl_new(); -E2BIG: more services or
 * elements than there is room for; -ENOMEM. The result is the caller's: filter_free(). */
int filter_new(const struct acl_rule *rules, size_t rule_count, const struct netmap_node *self,
	       const struct netmap_node *const *peers, size_t peer_count, bool ipv4,
	       struct filter **ret_filter);
void filter_free(struct filter *filter);

/* Whether one becomes the other by elements alone. */
bool filter_same_services(const struct filter *a, const struct filter *b);

bool filter_equal(const struct filter *a, const struct filter *b);

typedef void filter_visit(void *ctx, const struct filter_element *element);
/* The elements that differ, those that go first. */
void filter_diff(const struct filter *old, const struct filter *new, filter_visit *visit,
		 void *ctx);

#endif
