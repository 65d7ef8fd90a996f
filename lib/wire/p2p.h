#ifndef WIRE_P2P_H
#define WIRE_P2P_H

/* Messages between nodes of Bitcoin's family, as far as a light client speaks: the frame, and a
 * parser and a writer for each payload. Views are borrowed from the caller's bytes; nothing is
 * allocated. A payload parser takes the whole payload and leaves ret untouched when false; the
 * writers write the payload, between p2p_begin() and p2p_end().
 *
 * Sources: the protocol pages of developer.bitcoin.org; BIP 31 (pong), 37 (relay), 130
 * (sendheaders), 144 (witness inventory), 155 (addrv2), 157 (filters).
 */

#include "wire/addr.h"
#include "wire/buf.h"
#include "wire/key.h"

enum {
	P2P_MAGIC_LEN = 4,
	P2P_COMMAND_LEN = 12,
	P2P_HEADER_LEN = 24,
	P2P_MESSAGE_MAX = 4000000, /* a block; also what other nodes refuse beyond */
	P2P_AGENT_MAX = 256,
	P2P_LOCATOR_MAX = 101,
	P2P_HEADERS_MAX = 2000,
	P2P_HEADERS_STRIDE = 81, /* a header and a count of transactions, which is 0 */
	P2P_INVS_MAX = 50000,
	P2P_INV_LEN = 36,
	P2P_ADDRS_MAX = 1000,
	P2P_ADDR_HOST_MAX = 512,
	P2P_CFHEADERS_MAX = 2000,
	P2P_CFILTERS_MAX = 1000,
	P2P_CFCHECKPT_EVERY = 1000,
	P2P_CFCHECKPT_MAX = 10000,
	P2P_PING_LEN = 8,
	/* BIP158: a block of 4,000,000 units has at most 111,111 outputs, and a code of an item
	 * takes 21.5 bits at the most on average: 299 kB. */
	P2P_FILTER_MAX = 524288,
};

/* name, command, longest payload */
#define P2P_TYPES(X)                                                                               \
	X(P2P_OTHER, "", P2P_MESSAGE_MAX) /* a command that is not one of ours: skip it */         \
	X(P2P_VERSION, "version", 1024)                                                            \
	X(P2P_VERACK, "verack", 0)                                                                 \
	X(P2P_PING, "ping", P2P_PING_LEN)                                                          \
	X(P2P_PONG, "pong", P2P_PING_LEN)                                                          \
	X(P2P_GETHEADERS, "getheaders", 4 + 1 + (P2P_LOCATOR_MAX + 1) * HASH_LEN)                  \
	X(P2P_HEADERS, "headers", 3 + P2P_HEADERS_MAX * P2P_HEADERS_STRIDE)                        \
	X(P2P_SENDHEADERS, "sendheaders", 0)                                                       \
	X(P2P_INV, "inv", 3 + P2P_INVS_MAX * P2P_INV_LEN)                                          \
	X(P2P_GETDATA, "getdata", 3 + P2P_INVS_MAX * P2P_INV_LEN)                                  \
	X(P2P_NOTFOUND, "notfound", 3 + P2P_INVS_MAX * P2P_INV_LEN)                                \
	X(P2P_BLOCK, "block", P2P_MESSAGE_MAX)                                                     \
	X(P2P_TX, "tx", P2P_MESSAGE_MAX)                                                           \
	X(P2P_GETADDR, "getaddr", 0)                                                               \
	X(P2P_ADDR, "addr", 3 + P2P_ADDRS_MAX * 30)                                                \
	X(P2P_SENDADDRV2, "sendaddrv2", 0)                                                         \
	X(P2P_ADDRV2, "addrv2", 3 + P2P_ADDRS_MAX * (4 + 9 + 1 + 3 + P2P_ADDR_HOST_MAX + 2))       \
	X(P2P_GETCFCHECKPT, "getcfcheckpt", 1 + HASH_LEN)                                          \
	X(P2P_CFCHECKPT, "cfcheckpt", 1 + HASH_LEN + 3 + P2P_CFCHECKPT_MAX * HASH_LEN)             \
	X(P2P_GETCFHEADERS, "getcfheaders", 1 + 4 + HASH_LEN)                                      \
	X(P2P_CFHEADERS, "cfheaders", 1 + 2 * HASH_LEN + 3 + P2P_CFHEADERS_MAX * HASH_LEN)         \
	X(P2P_GETCFILTERS, "getcfilters", 1 + 4 + HASH_LEN)                                        \
	X(P2P_CFILTER, "cfilter", 1 + HASH_LEN + 5 + P2P_FILTER_MAX)

enum p2p_type {
#define X(name, command, max) name,
	P2P_TYPES(X)
#undef X
};

#define P2P_REASONS(X)                                                                             \
	X(P2P_OK, "well formed")                                                                   \
	X(P2P_SHORT, "ends before its last byte")                                                  \
	X(P2P_BAD_MAGIC, "of another network: its first four bytes are not this chain's magic")    \
	X(P2P_BAD_COMMAND, "a command that is not text padded with zeros")                         \
	X(P2P_BAD_LENGTH, "longer than messages of its kind are")                                  \
	X(P2P_BAD_CHECKSUM, "a checksum that is not of its payload")

enum p2p_reason {
#define X(name, text) name,
	P2P_REASONS(X)
#undef X
};

const char *p2p_reason_text(enum p2p_reason reason);
/* "" for P2P_OTHER. */
const char *p2p_type_command(enum p2p_type type);
/* Longest payload of a message of that type. */
uint32_t p2p_type_max(enum p2p_type type);

struct p2p_header {
	enum p2p_type type;
	char command[P2P_COMMAND_LEN + 1]; /* printable, ends with NUL; of P2P_OTHER too */
	uint32_t len;			   /* of the payload; at most p2p_type_max() */
	uint8_t checksum[4];
};

struct p2p_message {
	enum p2p_type type;
	struct span payload; /* borrowed */
	size_t size;	     /* header and payload */
};

/* The first P2P_HEADER_LEN bytes of a message. With it a stream can skip P2P_OTHER without
 * keeping it. ret is untouched unless P2P_OK. */
enum p2p_reason p2p_header_parse(const uint8_t magic[P2P_MAGIC_LEN],
				 const uint8_t raw[P2P_HEADER_LEN], struct p2p_header *ret);
/* The message at the start of a stream. P2P_SHORT: call again with at least *ret_need bytes, which
 * is set then only. The checksum is checked. */
enum p2p_reason p2p_open(const uint8_t magic[P2P_MAGIC_LEN], const void *data, size_t len,
			 struct p2p_message *ret, size_t *ret_need);
/* Header with its length and checksum left open; what is written until p2p_end() is the payload.
 * type is not P2P_OTHER. Returns the mark for p2p_end(), which fails w when the payload is longer
 * than the type allows. */
size_t p2p_begin(struct writer *w, const uint8_t magic[P2P_MAGIC_LEN], enum p2p_type type);
void p2p_end(struct writer *w, size_t mark);
/* A whole message around a payload: verack, sendheaders, sendaddrv2, getaddr (all empty), tx. */
void p2p_write(struct writer *w, const uint8_t magic[P2P_MAGIC_LEN], enum p2p_type type,
	       const void *payload, size_t len);

enum p2p_service {
	P2P_NODE_NETWORK = 1 << 0,	    /* the whole chain */
	P2P_NODE_WITNESS = 1 << 3,	    /* BIP144 */
	P2P_NODE_COMPACT_FILTERS = 1 << 6,  /* BIP157 */
	P2P_NODE_NETWORK_LIMITED = 1 << 10, /* BIP159: the last 288 blocks */
};

/* An address inside version: IPv4 as IPv6-mapped on the wire, ADDR_V4 here. */
struct p2p_node {
	uint64_t services; /* bits of enum p2p_service, and others */
	struct endpoint endpoint;
};

struct p2p_version {
	uint32_t version; /* of the protocol: 70016 */
	uint64_t services;
	int64_t time; /* the peer's clock, seconds since 1970 */
	struct p2p_node receiver;
	struct p2p_node sender;
	uint64_t nonce;	   /* finds connections to oneself */
	struct span agent; /* at most P2P_AGENT_MAX; any bytes: not for a log as they are */
	int32_t height;	   /* the peer's claim */
	bool relay;	   /* BIP37: send transactions unasked; true where the field is missing */
};

/* Bytes behind the last known field are ignored: this message has grown before. */
bool p2p_version_parse(const void *data, size_t len, struct p2p_version *ret);
void p2p_version_write(struct writer *w, const struct p2p_version *m);

/* ping and pong. */
bool p2p_ping_parse(const void *data, size_t len, uint64_t *ret_nonce);
void p2p_ping_write(struct writer *w, uint64_t nonce);

struct p2p_getheaders {
	uint32_t version;
	const struct hash256 *locator; /* newest first; borrowed */
	uint32_t count;		       /* at most P2P_LOCATOR_MAX */
	struct hash256 stop;	       /* zeros: as many as there are */
};

bool p2p_getheaders_parse(const void *data, size_t len, struct p2p_getheaders *ret);
void p2p_getheaders_write(struct writer *w, const struct p2p_getheaders *m);

struct p2p_headers {
	const uint8_t *items; /* P2P_HEADERS_STRIDE each: p2p_headers_at() */
	uint32_t count;	      /* 0 to P2P_HEADERS_MAX */
};

bool p2p_headers_parse(const void *data, size_t len, struct p2p_headers *ret);
/* The 80 bytes of a header. index is below count. */
const uint8_t *p2p_headers_at(const struct p2p_headers *m, uint32_t index);
/* raw: count headers of 80 bytes, one behind the other. */
void p2p_headers_write(struct writer *w, const uint8_t *raw, uint32_t count);

enum p2p_inv_type {
	P2P_INV_TX = 1,
	P2P_INV_BLOCK = 2,
	P2P_INV_WITNESS_TX = 0x40000001,
	P2P_INV_WITNESS_BLOCK = 0x40000002,
};

struct p2p_inv {
	uint32_t type; /* enum p2p_inv_type, and others */
	struct hash256 hash;
};

/* inv, getdata, notfound. */
struct p2p_invs {
	const uint8_t *items; /* P2P_INV_LEN each: p2p_invs_at() */
	uint32_t count;	      /* 0 to P2P_INVS_MAX */
};

bool p2p_invs_parse(const void *data, size_t len, struct p2p_invs *ret);
struct p2p_inv p2p_invs_at(const struct p2p_invs *m, uint32_t index);
void p2p_invs_write(struct writer *w, const struct p2p_inv *items, uint32_t count);

/* BIP155's numbers. Others may come and are to be ignored. */
enum p2p_network {
	P2P_NET_IPV4 = 1,
	P2P_NET_IPV6 = 2,
	P2P_NET_TORV2 = 3, /* no longer in use */
	P2P_NET_TORV3 = 4,
	P2P_NET_I2P = 5,
	P2P_NET_CJDNS = 6,
};

struct p2p_addr {
	uint32_t time; /* last seen, seconds since 1970, as somebody claims */
	uint64_t services;
	uint8_t network;  /* enum p2p_network, and others in addrv2 */
	struct span host; /* borrowed; 4 or 16 bytes for IP, 32 for Tor v3; at most 512 */
	uint16_t port;
};

/* addr or addrv2, checked when it was parsed: no failure in p2p_addr_next(). */
struct p2p_addrs {
	const uint8_t *pos;
	const uint8_t *end;
	uint32_t left;
	bool v2;
};

/* type: P2P_ADDR or P2P_ADDRV2. False also where a known network has another length than it has
 * (BIP155). */
bool p2p_addrs_parse(enum p2p_type type, const void *data, size_t len, struct p2p_addrs *ret);
/* False after the last. */
bool p2p_addr_next(struct p2p_addrs *it, struct p2p_addr *ret);
/* P2P_ADDR takes IPv4, IPv6 and Tor v2 only; w fails otherwise. */
void p2p_addrs_write(struct writer *w, enum p2p_type type, const struct p2p_addr *items,
		     uint32_t count);
/* IPv4 or IPv6 with a port; false for other networks, and for an IPv6 address that stands for an
 * address of another network (IPv4-mapped, OnionCat), which BIP155 says to ignore. */
bool p2p_addr_endpoint(const struct p2p_addr *a, struct endpoint *ret);

enum { P2P_FILTER_BASIC = 0 };

/* getcfheaders, getcfilters. */
struct p2p_filter_range {
	uint8_t type;
	uint32_t start; /* height of the first */
	struct hash256 stop;
};

bool p2p_filter_range_parse(const void *data, size_t len, struct p2p_filter_range *ret);
void p2p_filter_range_write(struct writer *w, const struct p2p_filter_range *m);

struct p2p_getcfcheckpt {
	uint8_t type;
	struct hash256 stop;
};

bool p2p_getcfcheckpt_parse(const void *data, size_t len, struct p2p_getcfcheckpt *ret);
void p2p_getcfcheckpt_write(struct writer *w, const struct p2p_getcfcheckpt *m);

struct p2p_cfcheckpt {
	uint8_t type;
	struct hash256 stop;
	const struct hash256 *headers; /* filter headers at heights 1000, 2000, …; borrowed */
	uint32_t count;		       /* 0 to P2P_CFCHECKPT_MAX */
};

bool p2p_cfcheckpt_parse(const void *data, size_t len, struct p2p_cfcheckpt *ret);
void p2p_cfcheckpt_write(struct writer *w, const struct p2p_cfcheckpt *m);

struct p2p_cfheaders {
	uint8_t type;
	struct hash256 stop;	      /* the block of the last filter hash */
	struct hash256 prev;	      /* filter header before the first */
	const struct hash256 *hashes; /* of the filters; borrowed */
	uint32_t count;		      /* 0 to P2P_CFHEADERS_MAX */
};

bool p2p_cfheaders_parse(const void *data, size_t len, struct p2p_cfheaders *ret);
void p2p_cfheaders_write(struct writer *w, const struct p2p_cfheaders *m);

struct p2p_cfilter {
	uint8_t type;
	struct hash256 block;
	struct span filter; /* BIP158: count and codes; at most P2P_FILTER_MAX; borrowed */
};

bool p2p_cfilter_parse(const void *data, size_t len, struct p2p_cfilter *ret);
void p2p_cfilter_write(struct writer *w, const struct p2p_cfilter *m);

#endif
