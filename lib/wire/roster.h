#ifndef WIRE_ROSTER_H
#define WIRE_ROSTER_H

/* The body of a roster (doc/roster.md 2): groups, nodes, routes, rules and names of a dnet in one
 * order and one encoding. Views into the caller's bytes; nothing is allocated. */

#include "wire/addr.h"
#include "wire/buf.h"
#include "wire/key.h"
#include "wire/record.h"

enum {
	ROSTER_BODY_MAX = 8 << 20,
	ROSTER_HEADER_MAX =
		OBJECT_ID_LEN + 4 + HASH_LEN + 8 + 8 + 4 + (8 + SECRET_LEN + 4 + SECRET_LEN) + 16,
	ROSTER_SALT_LEN = 16,
	ROSTER_GROUPS_MAX = 4096,
	ROSTER_NODES_MAX = 65536,
	ROSTER_ROUTES_MAX = 4096,
	ROSTER_RULES_MAX = 16384,
	ROSTER_NAMES_MAX = 16384,
	ROSTER_NODE_GROUPS_MAX = 64,
	ROSTER_ENTRY_MAX = 256, /* longest encoded entry of any list: a node's 225 */
	ROSTER_ANY_PROTOCOL = 256,
	ROSTER_FLAG_EXPIRES = 0x20, /* of a node, beside those of NODE_PUT */
};

/* The lists of a body, in this order. */
enum roster_list {
	ROSTER_GROUPS,
	ROSTER_NODES,
	ROSTER_ROUTES,
	ROSTER_RULES,
	ROSTER_NAMES,
	ROSTER_LISTS
};

struct roster_header {
	struct object_id dnet;
	uint32_t sequence;
	struct hash256 previous;
	uint64_t issued;  /* seconds since 1970 */
	uint64_t expires; /* 0: never */
	struct epoch epoch, before;
	uint64_t epoch_since; /* when the epoch began, seconds since 1970; 0: there is none */
	uint8_t salt[ROSTER_SALT_LEN];
};

/* A body that roster_parse() took. */
struct roster {
	struct roster_header header;
	struct span lists[ROSTER_LISTS]; /* the entries, one behind the other */
	uint32_t counts[ROSTER_LISTS];
};

struct roster_node {
	struct node_key key;
	uint8_t flags;
	struct address ipv4, ipv6; /* ADDR_NONE: none */
	uint64_t expires;	   /* 0: never */
	char name[RECORD_NAME_MAX + 1];
	uint8_t group_count;
	uint16_t groups[ROSTER_NODE_GROUPS_MAX]; /* rising */
};

struct roster_route {
	struct prefix prefix;
	uint16_t priority;
	struct node_key gateway;
};

enum roster_subject_kind {
	ROSTER_ALL = 0,
	ROSTER_NODE = 1,
	ROSTER_GROUP = 2,
	ROSTER_PREFIX = 3,
};

struct roster_subject {
	uint8_t kind; /* enum roster_subject_kind */
	struct node_key node;
	uint16_t group;
	struct prefix prefix;
};

struct roster_rule {
	char name[RECORD_NAME_MAX + 1];
	struct roster_subject src, dst;
	uint16_t protocol;	      /* ROSTER_ANY_PROTOCOL: any */
	uint16_t port_low, port_high; /* 0 to 65535: any */
};

enum { ROSTER_NAME_OF_NODE = 1, ROSTER_NAME_IPV4 = 4, ROSTER_NAME_IPV6 = 6 };

struct roster_name {
	char name[RECORD_NAME_MAX + 1];
	uint8_t form;
	struct node_key node;
	struct address address;
};

/* NULL, and *ret is a view of data; else what is wrong with it, static text. */
const char *roster_parse(const void *data, size_t len, struct roster *ret);

/* One entry after the other, from a reader over lists[…]: reader_init(&r, span.data, span.len).
 * False at the end. */
bool roster_next_group(struct reader *r, char ret_name[static RECORD_NAME_MAX + 1]);
bool roster_next_node(struct reader *r, struct roster_node *ret);
bool roster_next_route(struct reader *r, struct roster_route *ret);
bool roster_next_rule(struct reader *r, struct roster_rule *ret);
bool roster_next_name(struct reader *r, struct roster_name *ret);

/* An entry, or what stands before the lists. What roster_parse() would not take fails the writer,
 * but for the order, and the number of groups, which only the whole shows. */
void roster_write_header(struct writer *w, const struct roster_header *header);
void roster_write_group(struct writer *w, const char *name);
void roster_write_node(struct writer *w, const struct roster_node *node);
void roster_write_route(struct writer *w, const struct roster_route *route);
void roster_write_rule(struct writer *w, const struct roster_rule *rule);
void roster_write_name(struct writer *w, const struct roster_name *name);
/* The number of entries before a list. */
void roster_write_count(struct writer *w, enum roster_list list, size_t count);

/* TAGGED("dnet/roster/1", body): what a ROSTER record anchors, and what is signed. */
void roster_root(const void *body, size_t len, struct hash256 *ret);

#endif
