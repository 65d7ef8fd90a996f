#include "node/nft_message.h"

#include "os/base.h"
#include "os/netlink_parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum {
	ANSWER_MAX = 65536,
	ANSWER_TIMEOUT_S = 10,
	SEND_MAX = 8 << 20,    /* of a transaction */
	MESSAGE_MAX = 1 << 15, /* of any message here */
	DUMP_ROUNDS_MAX = 16,
	TABLE_NAME_MAX = 5 + IF_NAMESIZE, /* "dnet_" */
	/* What nft(8) keeps beside objects: types of its own, and how it shows numbers. */
	USERDATA_COMMENT = 0,
	USERDATA_KEY_ORDER = 0,
	KEY_ORDER_NETWORK = 2,
	KEY_IPV4 = 7,
	KEY_IPV6 = 8,
};

struct nft_batch {
	struct nft *nft; /* borrowed */
	char table[TABLE_NAME_MAX];
	uint8_t *bytes; /* owned */
	size_t len, room;
	uint32_t first;		  /* sequence number of its beginning */
	struct nlmsghdr *message; /* the one that is being written, or the last one */
	struct nlattr *list;	  /* of its expressions or elements */
	struct nlattr *element, *data;
	uint32_t sets;
};

struct nft {
	struct mnl_socket *socket;
	uint32_t sequence;
	int result;
	char text[256];
	char answer[ANSWER_MAX];
	struct nft_batch batch;
};

/* ---- The socket ---- */

int nft_open(struct nft **ret_nft)
{
	struct nft *nft = xcalloc(1, sizeof(*nft));
	struct timeval wait = {.tv_sec = ANSWER_TIMEOUT_S};
	int on = 1, size = SEND_MAX, r = 0;
	nft->sequence = (uint32_t)time(NULL);
	nft->batch.nft = nft;
	nft->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nft->socket || mnl_socket_bind(nft->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		r = -errno;
	if (r < 0) {
		nft_free(nft);
		return r;
	}
	int fd = mnl_socket_get_fd(nft->socket);
	mnl_socket_setsockopt(nft->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nft->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret_nft = nft;
	return 0;
}

void nft_free(struct nft *nft)
{
	if (!nft)
		return;
	if (nft->socket)
		mnl_socket_close(nft->socket);
	free(nft->batch.bytes);
	free(nft);
}

const char *nft_error_text(const struct nft *nft)
{
	if (nft->text[0])
		return nft->text;
	if (nft->result == -EEXIST)
		return "another program has an nftables table of that name: remove it";
	if (nft->result == -EOPNOTSUPP || nft->result == -EPROTONOSUPPORT)
		return "this kernel has no nftables with tables of an owner: Linux 5.12 has them, "
		       "or set backend = native";
	return strerror(-nft->result);
}

static int done(struct nft *nft, int result)
{
	nft->result = result;
	return result;
}

/* ---- Messages ---- */

static uint8_t *make_room(struct nft_batch *b)
{
	if (b->room - b->len < MESSAGE_MAX) {
		b->room = MAX(2 * b->room, (size_t)2 * MESSAGE_MAX);
		b->bytes = xrealloc(b->bytes, b->room);
	}
	memset(b->bytes + b->len, 0, MESSAGE_MAX);
	return b->bytes + b->len;
}

static void put_header(struct nft_batch *b, uint16_t type, uint16_t flags, uint8_t family,
		       uint16_t resource)
{
	struct nfgenmsg *g;
	b->message = mnl_nlmsg_put_header(make_room(b));
	b->message->nlmsg_type = type;
	b->message->nlmsg_flags = NLM_F_REQUEST | flags;
	b->message->nlmsg_seq = ++b->nft->sequence;
	g = mnl_nlmsg_put_extra_header(b->message, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(resource);
}

static void put(struct nft_batch *b, uint16_t type, uint16_t flags)
{
	put_header(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET, 0);
}

static void end(struct nft_batch *b)
{
	b->len += MNL_ALIGN(b->message->nlmsg_len);
}

static void put_text(struct nft_batch *b, uint16_t type, const char *text)
{
	mnl_attr_put_strz(b->message, type, text);
}

static void put_number(struct nft_batch *b, uint16_t type, uint32_t number)
{
	mnl_attr_put_u32(b->message, type, htonl(number));
}

static void put_data(struct nft_batch *b, uint16_t type, const void *value, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(b->message, type);
	mnl_attr_put(b->message, NFTA_DATA_VALUE, len, value);
	mnl_attr_nest_end(b->message, nest);
}

/* Type, length, value: shown by nft(8). */
static void put_userdata(struct nft_batch *b, uint16_t type, uint8_t kind, const void *value,
			 size_t len)
{
	uint8_t bytes[2 + NFT_USERDATA_MAXLEN] = {kind, (uint8_t)len};
	if (len > NFT_USERDATA_MAXLEN - 2)
		return;
	memcpy(bytes + 2, value, len);
	mnl_attr_put(b->message, type, len + 2, bytes);
}

/* ---- Questions ---- */

struct question {
	struct nft *nft;
	nft_on_count *visit;
	void *arg;
	const char *table;
	uint32_t owner;
	bool owned;
};

static int on_answer_error(const struct nlmsghdr *h, void *data)
{
	struct question *q = data;
	int result;
	if (!netlink_parse_error(h, &result, q->nft->text, sizeof(q->nft->text))) {
		errno = EBADMSG;
		return MNL_CB_ERROR;
	}
	errno = -result;
	return result ? MNL_CB_ERROR : MNL_CB_STOP;
}

static int ask(struct nft *nft, mnl_cb_t cb, struct question *q)
{
	mnl_cb_t control[NLMSG_ERROR + 1] = {[NLMSG_ERROR] = on_answer_error};
	struct nlmsghdr *h = nft->batch.message;
	int run = MNL_CB_OK;
	q->nft = nft;
	nft->text[0] = '\0';
	if (mnl_socket_sendto(nft->socket, h, h->nlmsg_len) < 0)
		return done(nft, -errno);
	uint32_t sequence = h->nlmsg_seq;
	while (run > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(nft->socket, nft->answer, sizeof(nft->answer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done(nft, errno == EAGAIN ? -ETIMEDOUT : -errno);
		if (!netlink_datagram_ok(nft->answer, (size_t)n))
			return done(nft, -EBADMSG);
		run = mnl_cb_run2(nft->answer, (size_t)n, sequence,
				  mnl_socket_get_portid(nft->socket), cb, q, control,
				  ARRAY_SIZE(control));
		if (run < 0 && errno == EPROTO)
			run = MNL_CB_OK; /* the late answer of what was given up */
	}
	return done(nft, run < 0 ? -errno : 0);
}

static void begin_question(struct nft *nft, const char *interface, uint16_t type, uint16_t flags)
{
	struct nft_batch *b = &nft->batch;
	b->len = 0;
	snprintf(b->table, sizeof(b->table), "dnet_%s", interface);
	put(b, type, flags);
}

static int on_table(const struct nlmsghdr *h, void *data)
{
	struct question *q = data;
	const struct nlattr *a;
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) != NFTA_TABLE_OWNER ||
		    mnl_attr_validate(a, MNL_TYPE_U32) < 0)
			continue;
		q->owner = ntohl(mnl_attr_get_u32(a));
		q->owned = true;
	}
	return MNL_CB_OK;
}

int nft_find_table(struct nft *nft, const char *name)
{
	struct question q = {0};
	begin_question(nft, name, NFT_MSG_GETTABLE, NLM_F_ACK);
	put_text(&nft->batch, NFTA_TABLE_NAME, nft->batch.table);
	int r = ask(nft, on_table, &q);
	if (r == 0 && (!q.owned || q.owner != mnl_socket_get_portid(nft->socket)))
		return done(nft, -EEXIST);
	return r;
}

static int take_attribute(const struct nlattr *a, void *data)
{
	const struct nlattr **found = data;
	if (mnl_attr_get_type(a) <= NFTA_OBJ_MAX)
		found[mnl_attr_get_type(a)] = a;
	return MNL_CB_OK;
}

static uint64_t big64(const struct nlattr *a)
{
	uint64_t n = mnl_attr_get_u64(a);
	return (uint64_t)ntohl((uint32_t)n) << 32 | ntohl((uint32_t)(n >> 32));
}

static int on_object(const struct nlmsghdr *h, void *data)
{
	const struct nlattr *found[NFTA_OBJ_MAX + 1] = {0}, *a;
	struct question *q = data;
	struct nft_count count = {0};
	if (mnl_attr_parse(h, sizeof(struct nfgenmsg), take_attribute, found) < 0 ||
	    !found[NFTA_OBJ_TABLE] || !found[NFTA_OBJ_NAME] || !found[NFTA_OBJ_DATA] ||
	    mnl_attr_validate(found[NFTA_OBJ_TABLE], MNL_TYPE_NUL_STRING) < 0 ||
	    mnl_attr_validate(found[NFTA_OBJ_NAME], MNL_TYPE_NUL_STRING) < 0 ||
	    strcmp(mnl_attr_get_str(found[NFTA_OBJ_TABLE]), q->table) != 0)
		return MNL_CB_OK;
	mnl_attr_for_each_nested(a, found[NFTA_OBJ_DATA])
	{
		if (mnl_attr_validate(a, MNL_TYPE_U64) < 0)
			continue;
		if (mnl_attr_get_type(a) == NFTA_COUNTER_PACKETS)
			count.packets = big64(a);
		if (mnl_attr_get_type(a) == NFTA_COUNTER_BYTES)
			count.bytes = big64(a);
	}
	q->visit(q->arg, mnl_attr_get_str(found[NFTA_OBJ_NAME]), &count);
	return MNL_CB_OK;
}

int nft_list_counters(struct nft *nft, const char *name, nft_on_count *visit, void *arg)
{
	struct question q = {.visit = visit, .arg = arg, .table = nft->batch.table};
	int r = -EINTR;
	for (int round = 0; r == -EINTR && round < DUMP_ROUNDS_MAX; round++) {
		begin_question(nft, name, NFT_MSG_GETOBJ, NLM_F_DUMP);
		put_text(&nft->batch, NFTA_OBJ_TABLE, nft->batch.table);
		put_number(&nft->batch, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
		r = ask(nft, on_object, &q);
	}
	return r;
}

/* ---- Transactions ---- */

struct nft_batch *nft_begin(struct nft *nft, const char *name)
{
	struct nft_batch *b = &nft->batch;
	b->len = 0;
	b->sets = 0;
	snprintf(b->table, sizeof(b->table), "dnet_%s", name);
	put_header(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	b->first = b->message->nlmsg_seq;
	end(b);
	return b;
}

/* What the kernel says of the messages from the first to the last: the first refusal counts. An
 * answer to the beginning is about all of them, and the last one. */
static int read_answers(struct nft *nft, uint32_t first, uint32_t last)
{
	int result = 0, one;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nft->socket, nft->answer, sizeof(nft->answer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return result ? result : errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (!netlink_datagram_ok(nft->answer, (size_t)n))
			return -EBADMSG;
		const struct nlmsghdr *h = (const struct nlmsghdr *)nft->answer;
		int left = (int)n;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			char text[sizeof(nft->text)] = "";
			if (h->nlmsg_seq - first > last - first || h->nlmsg_type != NLMSG_ERROR ||
			    !netlink_parse_error(h, &one, text, sizeof(text)))
				continue;
			if (one < 0 && result == 0) {
				result = one;
				memcpy(nft->text, text, sizeof(text));
			}
			if (h->nlmsg_seq == last || (one < 0 && h->nlmsg_seq == first))
				return result;
		}
	}
}

int nft_commit(struct nft_batch *b)
{
	struct nft *nft = b->nft;
	uint32_t last = b->message->nlmsg_seq;
	nft->text[0] = '\0';
	b->message->nlmsg_flags |= NLM_F_ACK;
	put_header(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end(b);
	int r = mnl_socket_sendto(nft->socket, b->bytes, b->len) < 0
			? -errno
			: read_answers(nft, b->first, last);
	free(b->bytes);
	b->bytes = NULL;
	b->message = NULL;
	b->len = b->room = 0;
	return done(nft, r);
}

void nft_add_table(struct nft_batch *b)
{
	static const char comment[] = "dnet: what may pass this interface";
	put(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_text(b, NFTA_TABLE_NAME, b->table);
	put_number(b, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
	put_userdata(b, NFTA_TABLE_USERDATA, USERDATA_COMMENT, comment, sizeof(comment));
	end(b);
}

void nft_delete_table(struct nft_batch *b)
{
	put(b, NFT_MSG_DELTABLE, 0);
	put_text(b, NFTA_TABLE_NAME, b->table);
	end(b);
}

static void put_big64(struct nft_batch *b, uint16_t type, uint64_t n)
{
	mnl_attr_put_u64(b->message, type,
			 (uint64_t)htonl((uint32_t)n) << 32 | htonl((uint32_t)(n >> 32)));
}

void nft_add_counter(struct nft_batch *b, const char *name, const struct nft_count *count)
{
	put(b, NFT_MSG_NEWOBJ, NLM_F_CREATE | NLM_F_EXCL);
	put_text(b, NFTA_OBJ_TABLE, b->table);
	put_text(b, NFTA_OBJ_NAME, name);
	put_number(b, NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
	struct nlattr *data = mnl_attr_nest_start(b->message, NFTA_OBJ_DATA);
	put_big64(b, NFTA_COUNTER_PACKETS, count->packets);
	put_big64(b, NFTA_COUNTER_BYTES, count->bytes);
	mnl_attr_nest_end(b->message, data);
	end(b);
}

void nft_add_set(struct nft_batch *b, const char *name, uint8_t family)
{
	static const uint32_t order = KEY_ORDER_NETWORK;
	put(b, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
	put_text(b, NFTA_SET_TABLE, b->table);
	put_text(b, NFTA_SET_NAME, name);
	put_number(b, NFTA_SET_FLAGS, 0);
	put_number(b, NFTA_SET_KEY_TYPE, family == ADDR_V4 ? KEY_IPV4 : KEY_IPV6);
	put_number(b, NFTA_SET_KEY_LEN, family == ADDR_V4 ? 4 : 16);
	put_number(b, NFTA_SET_ID, ++b->sets);
	put_userdata(b, NFTA_SET_USERDATA, USERDATA_KEY_ORDER, &order, sizeof(order));
	end(b);
}

void nft_add_chain(struct nft_batch *b, const char *name, int hook, int priority)
{
	put(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
	put_text(b, NFTA_CHAIN_TABLE, b->table);
	put_text(b, NFTA_CHAIN_NAME, name);
	if (hook >= 0) {
		struct nlattr *nest = mnl_attr_nest_start(b->message, NFTA_CHAIN_HOOK);
		put_number(b, NFTA_HOOK_HOOKNUM, (uint32_t)hook);
		put_number(b, NFTA_HOOK_PRIORITY, (uint32_t)priority);
		mnl_attr_nest_end(b->message, nest);
		put_number(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
		put_text(b, NFTA_CHAIN_TYPE, "filter");
	}
	end(b);
}

void nft_begin_elements(struct nft_batch *b, const char *set, bool removed)
{
	put(b, removed ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
	    removed ? 0 : NLM_F_CREATE | NLM_F_EXCL);
	put_text(b, NFTA_SET_ELEM_LIST_TABLE, b->table);
	put_text(b, NFTA_SET_ELEM_LIST_SET, set);
	b->list = mnl_attr_nest_start(b->message, NFTA_SET_ELEM_LIST_ELEMENTS);
}

void nft_put_element(struct nft_batch *b, const void *key, size_t len)
{
	struct nlattr *element = mnl_attr_nest_start(b->message, NFTA_LIST_ELEM);
	put_data(b, NFTA_SET_ELEM_KEY, key, len);
	mnl_attr_nest_end(b->message, element);
}

void nft_end_elements(struct nft_batch *b)
{
	mnl_attr_nest_end(b->message, b->list);
	end(b);
}

/* ---- Rules ---- */

void nft_begin_rule(struct nft_batch *b, const char *chain, const char *comment)
{
	put(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	put_text(b, NFTA_RULE_TABLE, b->table);
	put_text(b, NFTA_RULE_CHAIN, chain);
	if (comment && *comment)
		put_userdata(b, NFTA_RULE_USERDATA, USERDATA_COMMENT, comment, strlen(comment) + 1);
	b->list = mnl_attr_nest_start(b->message, NFTA_RULE_EXPRESSIONS);
}

void nft_end_rule(struct nft_batch *b)
{
	mnl_attr_nest_end(b->message, b->list);
	end(b);
}

static void begin_expression(struct nft_batch *b, const char *name)
{
	b->element = mnl_attr_nest_start(b->message, NFTA_LIST_ELEM);
	put_text(b, NFTA_EXPR_NAME, name);
	b->data = mnl_attr_nest_start(b->message, NFTA_EXPR_DATA);
}

static void end_expression(struct nft_batch *b)
{
	mnl_attr_nest_end(b->message, b->data);
	mnl_attr_nest_end(b->message, b->element);
}

void nft_put_meta(struct nft_batch *b, uint32_t key)
{
	begin_expression(b, "meta");
	put_number(b, NFTA_META_DREG, NFT_REG_1);
	put_number(b, NFTA_META_KEY, key);
	end_expression(b);
}

void nft_put_payload(struct nft_batch *b, uint32_t base, uint32_t offset, uint32_t len)
{
	begin_expression(b, "payload");
	put_number(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_number(b, NFTA_PAYLOAD_BASE, base);
	put_number(b, NFTA_PAYLOAD_OFFSET, offset);
	put_number(b, NFTA_PAYLOAD_LEN, len);
	end_expression(b);
}

void nft_put_extension(struct nft_batch *b, uint8_t type)
{
	begin_expression(b, "exthdr");
	put_number(b, NFTA_EXTHDR_DREG, NFT_REG_1);
	mnl_attr_put_u8(b->message, NFTA_EXTHDR_TYPE, type);
	put_number(b, NFTA_EXTHDR_OFFSET, 0);
	put_number(b, NFTA_EXTHDR_LEN, 1);
	put_number(b, NFTA_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
	end_expression(b);
}

void nft_put_ct(struct nft_batch *b, uint32_t key, bool original)
{
	begin_expression(b, "ct");
	put_number(b, NFTA_CT_DREG, NFT_REG_1);
	put_number(b, NFTA_CT_KEY, key);
	if (original)
		mnl_attr_put_u8(b->message, NFTA_CT_DIRECTION, 0);
	end_expression(b);
}

void nft_put_mask(struct nft_batch *b, const void *mask, size_t len)
{
	static const uint8_t zeros[16];
	begin_expression(b, "bitwise");
	put_number(b, NFTA_BITWISE_SREG, NFT_REG_1);
	put_number(b, NFTA_BITWISE_DREG, NFT_REG_1);
	put_number(b, NFTA_BITWISE_LEN, (uint32_t)len);
	put_data(b, NFTA_BITWISE_MASK, mask, len);
	put_data(b, NFTA_BITWISE_XOR, zeros, len);
	end_expression(b);
}

void nft_put_compare(struct nft_batch *b, uint32_t op, const void *value, size_t len)
{
	begin_expression(b, "cmp");
	put_number(b, NFTA_CMP_SREG, NFT_REG_1);
	put_number(b, NFTA_CMP_OP, op);
	put_data(b, NFTA_CMP_DATA, value, len);
	end_expression(b);
}

void nft_put_lookup(struct nft_batch *b, const char *set, bool inverted)
{
	begin_expression(b, "lookup");
	put_text(b, NFTA_LOOKUP_SET, set);
	put_number(b, NFTA_LOOKUP_SREG, NFT_REG_1);
	if (inverted)
		put_number(b, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	end_expression(b);
}

void nft_put_counter(struct nft_batch *b, const char *name)
{
	begin_expression(b, "objref");
	put_number(b, NFTA_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
	put_text(b, NFTA_OBJREF_IMM_NAME, name);
	end_expression(b);
}

void nft_put_verdict(struct nft_batch *b, int verdict, const char *chain)
{
	begin_expression(b, "immediate");
	put_number(b, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	struct nlattr *data = mnl_attr_nest_start(b->message, NFTA_IMMEDIATE_DATA);
	struct nlattr *nest = mnl_attr_nest_start(b->message, NFTA_DATA_VERDICT);
	put_number(b, NFTA_VERDICT_CODE, (uint32_t)verdict);
	if (chain)
		put_text(b, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(b->message, nest);
	mnl_attr_nest_end(b->message, data);
	end_expression(b);
}
