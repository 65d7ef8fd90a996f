#ifndef WIRE_RECORD_H
#define WIRE_RECORD_H

/* What a dnet writes on the chain (doc/records.md): payloads and their records, the carriers that
 * hold them in a transaction, ids and addresses that follow from them. */

#include "wire/addr.h"
#include "wire/buf.h"
#include "wire/key.h"

struct tx_view;

enum {
	PAYLOAD_MAX = 80,
	PAYLOAD_HEADER_LEN = 3, /* magic, version */
	PAYLOAD_VERSION = 1,
	RECORD_HEADER_LEN = 2, /* type, len */
	RECORD_BODY_MAX = 75,
	RECORD_NAME_MAX = 32,
	RECORD_HOST_MAX = 64,
	RECORD_KEY_MAX = 68, /* longest record_key(): an endpoint's body */
	IPV6_LEN = 16,
};

enum record_type {
	RECORD_DNET_CREATE = 0x01,
	RECORD_OVC_CREATE = 0x02,
	RECORD_OVR_CREATE = 0x03,
	RECORD_NODE_PUT = 0x10,
	RECORD_NODE_DEL = 0x11,
	RECORD_LINK = 0x12,
	RECORD_UNLINK = 0x13,
	RECORD_ROSTER = 0x14,
	RECORD_ENDPOINT_PUT = 0x20,
	RECORD_ENDPOINT_DEL = 0x21,
	RECORD_GRANT = 0x22,
	RECORD_REVOKE = 0x23,
	RECORD_TRANSFER = 0x30,
	RECORD_CLOSE = 0x31,
};

/* Why a record or payload says nothing. The numbers are stored in chain.db: add at the end. Up to
 * RECORD_HOST they are found here, the rest is for who knows the objects (core/registry). */
#define RECORD_REASONS(X)                                                                          \
	X(RECORD_OK, 0, "well formed")                                                             \
	X(RECORD_NO_MAGIC, 1, "the payload does not begin with the magic")                         \
	X(RECORD_VERSION, 2, "a payload version that is not known")                                \
	X(RECORD_PAYLOAD_LENGTH, 3, "the payload is shorter than 3 or longer than 80 bytes")       \
	X(RECORD_TRUNCATED, 4, "the record runs past the payload")                                 \
	X(RECORD_UNKNOWN_TYPE, 5, "a record type that is not known")                               \
	X(RECORD_LENGTH, 6, "the body has the wrong length")                                       \
	X(RECORD_RESERVED, 7, "a reserved bit is set")                                             \
	X(RECORD_NAME, 8, "the name is not 1 to 32 of a-z 0-9 - with no - at an end")              \
	X(RECORD_PUBKEY, 9, "not a compressed public key")                                         \
	X(RECORD_PREFIX, 10, "the IPv4 prefix is not of 8 to 30 bits with host bits zero")         \
	X(RECORD_IPV6, 11, "the IPv6 address is not inside fd00::/8")                              \
	X(RECORD_KIND, 12, "the kind is neither OVC nor OVR")                                      \
	X(RECORD_TRANSPORT, 13, "an endpoint transport that is not known")                         \
	X(RECORD_PORT, 14, "the endpoint's port is 0")                                             \
	X(RECORD_FORM, 15, "an endpoint address form that is not known")                           \
	X(RECORD_HOST, 16, "the host name is not 1 to 64 of a-z 0-9 - .")                          \
	X(RECORD_NOT_OWNER, 32,                                                                    \
	  "the transaction spends no live seal and does not begin with a CREATE")                  \
	X(RECORD_NO_SEAL, 33, "the transaction has no output to be the new seal")                  \
	X(RECORD_CREATE_AGAIN, 34, "a CREATE in a transaction that updates an object")             \
	X(RECORD_WRONG_KIND, 35, "not a record for this kind of object")                           \
	X(RECORD_NOT_THERE, 36, "what it removes is not there")                                    \
	X(RECORD_OLD_SEQUENCE, 37, "the roster's sequence is not greater than the one in force")   \
	X(RECORD_CLOSED, 38, "the object is closed")                                               \
	X(RECORD_OTHER_OBJECT, 39, "it names another dnet than the one whose seal is spent")

enum record_reason {
#define X(name, value, text) name = value,
	RECORD_REASONS(X)
#undef X
};

/* Static text, never NULL. */
const char *record_reason_text(enum record_reason reason);

enum node_flag {
	NODE_FLAG_GATEWAY = 0x01,
	NODE_FLAG_RELAY = 0x02,
	NODE_FLAG_EXPIRY = 0x0c, /* class: 0 never, 1 short, 2 medium, 3 long, shifted by 2 */
	NODE_FLAG_IPV4 = 0x40,
	NODE_FLAG_IPV6 = 0x80,
};

enum record_transport {
	TRANSPORT_UDP = 1,
	TRANSPORT_TCP = 2,
	TRANSPORT_TLS = 3,
	TRANSPORT_WS = 4,
	TRANSPORT_WSS = 5,
	TRANSPORT_QUIC = 6,
};

struct record_endpoint {
	uint8_t transport;	/* enum record_transport */
	uint16_t port;		/* host order, not 0 */
	struct address address; /* family ADDR_NONE: the host name instead */
	char host[RECORD_HOST_MAX + 1];
};

/* One record, all of it: nothing is borrowed, so it may be stored and copied. Names end in NUL and
 * fill up with zeros; so do unused bytes: equal records are equal bytes when both were zeroed or
 * parsed. */
struct record {
	uint8_t type; /* enum record_type: which body */
	union {
		struct {
			uint8_t admin_key[XONLY_LEN];
			struct prefix ipv4; /* addr.family ADDR_NONE: has none */
			char name[RECORD_NAME_MAX + 1];
		} dnet_create;
		struct {
			struct node_key service_key;
			char name[RECORD_NAME_MAX + 1];
		} service_create; /* OVC_CREATE, OVR_CREATE */
		struct {
			struct node_key key;
			uint8_t flags; /* enum node_flag; IPV4 and IPV6 follow the addresses'
					  families */
			struct address ipv4;
			struct address ipv6;
			char name[RECORD_NAME_MAX + 1]; /* "": none */
		} node_put;
		struct {
			struct node_key key;
		} node_del;
		struct {
			uint8_t kind; /* OBJECT_OVC or OBJECT_OVR */
			struct object_id id;
			uint8_t priority; /* lower first; LINK only */
			uint8_t weight;	  /* LINK only */
		} link;			  /* LINK, UNLINK */
		struct {
			uint32_t sequence;
			struct hash256 root;
		} roster;
		struct record_endpoint endpoint; /* ENDPOINT_PUT, ENDPOINT_DEL */
		struct {
			struct object_id dnet;
			uint32_t expiry;     /* height; 0: none; GRANT only */
			uint32_t rate_kbit;  /* kbit/s; 0: no limit; GRANT only */
			uint32_t volume_mib; /* MiB in all; 0: no limit; GRANT only */
		} grant;		     /* GRANT, REVOKE */
		struct {
			bool has_admin_key; /* only for a dnet */
			uint8_t admin_key[XONLY_LEN];
		} transfer;
	};
};

/* A record in force, or once in force, as readers of chain.db hand it on. */
struct record_row {
	struct record record;
	struct object_id object;
	uint8_t kind; /* enum object_kind of object */
	uint32_t from_height;
	uint32_t to_height; /* UINT32_MAX: not ended */
	uint32_t sequence;  /* of the object, RECORDS 3.5 */
	uint32_t tx_index;
	uint32_t out_index;
	uint32_t pos; /* in the payload: 0 is its first record */
};

/* "NODE_PUT"…; NULL for an unknown type. */
const char *record_type_name(uint8_t type);
/* DNET_CREATE, OVC_CREATE, OVR_CREATE */
bool record_is_create(uint8_t type);
/* What a CREATE record makes; 0 for others. */
enum object_kind record_creates(uint8_t type);
/* NODE_DEL, UNLINK, ENDPOINT_DEL, REVOKE, CLOSE (RECORDS 5.2) */
bool record_is_revocation(uint8_t type);
/* May stand in an update of an object of that kind (the column `kinds`; TRANSFER: body too). */
bool record_fits_kind(const struct record *record, enum object_kind kind);
/* What a later record of the same object replaces or removes it by (RECORDS 4.1, 4.2): node key;
 * kind and id; dnet id; endpoint body. A PUT and its DEL have the same. Empty for the others.
 * Returns the length. */
size_t record_key(const struct record *record, uint8_t ret[RECORD_KEY_MAX]);
/* a-z 0-9 -, 1 to 32, no - at an end. */
bool record_name_ok(const char *name);
bool record_host_ok(const char *host);
const char *record_transport_name(uint8_t transport); /* "udp"…; NULL */

/* One body, without type and length. ret is untouched unless RECORD_OK. */
enum record_reason record_parse(uint8_t type, const void *body, size_t len, struct record *ret);
/* Type, length, body. A record that record_parse() would refuse sets w->failed, as does one that
 * is longer than 75 bytes. */
void record_write(struct writer *w, const struct record *record);

/* Walks a payload:
 *
 *	payload_open(&payload, data, len);
 *	while (payload_next(&payload, &item))
 *		if (item.reason == RECORD_OK) ...item.record
 *
 * A payload that says nothing (RECORDS 1.2) gives one item with the reason and all of its bytes. */
struct payload {
	struct span raw;
	struct reader reader;
	uint32_t pos;		   /* of the next record */
	enum record_reason reason; /* of the payload as a whole */
};

struct payload_item {
	enum record_reason reason;
	uint8_t type;	      /* as written; 0 when the payload says nothing */
	uint32_t pos;	      /* 0: the first of the payload */
	struct span raw;      /* type, length, body; borrowed */
	struct record record; /* set when reason is RECORD_OK */
};

bool payload_has_magic(const void *data, size_t len);
void payload_open(struct payload *ret, const void *data, size_t len);
bool payload_next(struct payload *payload, struct payload_item *ret);

/* Writing: begin, record_write() for each, finish. mem holds PAYLOAD_MAX bytes. */
void payload_begin(struct writer *w, uint8_t mem[PAYLOAD_MAX]);
/* Length of the payload; 0 when it did not fit, a record was malformed, or there is none. */
size_t payload_finish(const struct writer *w);

enum carrier_kind {
	CARRIER_NONE = 0,
	CARRIER_OP_RETURN, /* (a) */
	CARRIER_PREFIX,	   /* (b) */
	CARRIER_NODE,	   /* (b') */
};

enum {
	CARRIER_NO_SEAL = UINT32_MAX,
};

/* Where a transaction's first payload is, and its new seal. */
struct carrier {
	enum carrier_kind kind;
	uint32_t out_index; /* of the output that holds the payload */
	uint32_t
		seal_index; /* of the output that is the new seal; CARRIER_NO_SEAL: there is none */
	size_t len;	    /* of payload; PAYLOAD_MAX + 1: longer than a payload may be */
	uint8_t payload[PAYLOAD_MAX + 1];
	struct object_id dnet; /* (b') only: the dnet_id that it names */
};

/* False when the transaction has no carrier with our magic. op_node: the opcode byte of (b'), 0
 * when the chain has none. */
bool carrier_find(const struct tx_view *tx, uint8_t op_node, struct carrier *ret);
/* Further payloads of carrier (a), in order of the outputs (RECORDS 2.1): moves *c on to the next
 * one and leaves seal_index. False: no more. */
bool carrier_next(const struct tx_view *tx, struct carrier *c);
/* Script of carrier (a). */
void carrier_op_return_script(struct writer *w, const void *payload, size_t len);
/* Script of carrier (b): payload pushed and dropped, then the owner's script. */
void carrier_prefix_script(struct writer *w, const void *payload, size_t len, struct span owner);
/* Script of carrier (b'). ip: IPv4 or IPv6. */
void carrier_node_script(struct writer *w, uint8_t op_node, const struct object_id *dnet,
			 const struct address *ip, const struct node_key *key, struct span owner);

/* RECORDS 3.1; first: the outpoint that vin[0] of the creating transaction spends. */
void object_id_derive(enum object_kind kind, const struct outpoint *first, struct object_id *ret);
/* RECORDS 6.1: a /64 */
void dnet_prefix_derive(const struct object_id *dnet, struct prefix *ret);
/* RECORDS 6.2 */
void node_address_derive(const struct object_id *dnet, const struct node_key *key,
			 struct address *ret);

#endif
