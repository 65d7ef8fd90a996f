#include "wire/record.h"
#include "wire/tx.h"

#include <assert.h>
#include <string.h>

/* Direct push, OP_PUSHDATA1 or OP_PUSHDATA2; no other form. Moves *r on only when it is one. */
static bool take_push(struct reader *r, struct span *ret)
{
	struct reader at = *r;
	struct script_op op;

	if (!script_next(&at, &op) || op.opcode == OP_0 || op.opcode > OP_PUSHDATA2)
		return false;
	*ret = op.push;
	*r = at;
	return true;
}

static bool take_opcode(struct reader *r, uint8_t opcode)
{
	if (!reader_left(r) || *r->pos != opcode)
		return false;
	reader_u8(r);
	return true;
}

static bool op_return_payload(struct span script, struct span *ret)
{
	struct reader r;

	reader_init(&r, script.data, script.len);
	return take_opcode(&r, OP_RETURN) && take_push(&r, ret) && reader_done(&r) &&
	       payload_has_magic(ret->data, ret->len);
}

static void set_payload(struct carrier *c, struct span payload)
{
	c->len = payload.len > PAYLOAD_MAX ? PAYLOAD_MAX + 1 : payload.len;
	memcpy(c->payload, payload.data, c->len);
}

static bool find_op_return(const struct tx_view *tx, struct carrier *c)
{
	struct tx_iter it = tx_outputs(tx);
	struct tx_output out;
	struct span payload;

	tx_next_output(&it, &out);
	if (!op_return_payload(out.script, &payload))
		return false;
	c->kind = CARRIER_OP_RETURN;
	c->out_index = 0;
	c->seal_index = CARRIER_NO_SEAL;
	/* RECORDS 2.3: An output whose script begins with OP_RETURN is no seal: nobody can spend
	 * it. */
	if (tx_next_output(&it, &out) && script_classify(out.script, NULL) != SCRIPT_OP_RETURN)
		c->seal_index = 1;
	set_payload(c, payload);
	return true;
}

static void append_payload(struct carrier *c, struct span push)
{
	size_t room = sizeof(c->payload) - c->len, len = push.len < room ? push.len : room;

	if (len)
		memcpy(c->payload + c->len, push.data, len);
	c->len += len;
}

/* One or more `<push> OP_DROP` or `<push> <push> OP_2DROP`, as many as there are, and a script. */
static bool prefix_payload(struct span script, struct carrier *c)
{
	struct span first, second;
	struct reader r, at;

	c->len = 0;
	reader_init(&r, script.data, script.len);
	for (at = r; take_push(&at, &first); r = at) {
		if (take_opcode(&at, OP_DROP)) {
			append_payload(c, first);
		} else if (take_push(&at, &second) && take_opcode(&at, OP_2DROP)) {
			append_payload(c, first);
			append_payload(c, second);
		} else {
			break;
		}
	}
	return reader_left(&r) && payload_has_magic(c->payload, c->len);
}

/* The NODE_PUT that (b') stands for. Written without a look at the key and the address: the payload
 * is parsed by the same rules as any other. */
static void write_node_payload(struct carrier *c, struct span ip, struct span key)
{
	struct writer w;

	payload_begin(&w, c->payload);
	writer_u8(&w, RECORD_NODE_PUT);
	writer_u8(&w, (uint8_t)(PUBKEY_LEN + 1 + ip.len));
	writer_copy(&w, key.data, PUBKEY_LEN);
	writer_u8(&w, ip.len == 4 ? NODE_FLAG_IPV4 : NODE_FLAG_IPV6);
	writer_copy(&w, ip.data, ip.len);
	c->len = payload_finish(&w);
	assert(c->len);
}

static bool node_payload(struct span script, uint8_t op_node, struct carrier *c)
{
	struct span dnet, ip, key;
	struct reader r;

	reader_init(&r, script.data, script.len);
	if (!take_opcode(&r, op_node) || !take_push(&r, &dnet) || dnet.len != OBJECT_ID_LEN ||
	    !take_push(&r, &ip) || (ip.len != 4 && ip.len != IPV6_LEN) || !take_push(&r, &key) ||
	    key.len != PUBKEY_LEN || !take_opcode(&r, OP_2DROP) || !take_opcode(&r, OP_DROP) ||
	    !reader_left(&r))
		return false;
	memcpy(c->dnet.bytes, dnet.data, OBJECT_ID_LEN);
	write_node_payload(c, ip, key);
	return true;
}

static bool find_prefix(const struct tx_view *tx, uint8_t op_node, struct carrier *c)
{
	struct tx_iter it = tx_outputs(tx);
	struct tx_output out;

	for (uint32_t i = 0; tx_next_output(&it, &out); i++) {
		c->out_index = c->seal_index = i;
		if (prefix_payload(out.script, c)) {
			c->kind = CARRIER_PREFIX;
			return true;
		}
		if (op_node && node_payload(out.script, op_node, c)) {
			c->kind = CARRIER_NODE;
			return true;
		}
	}
	return false;
}

bool carrier_find(const struct tx_view *tx, uint8_t op_node, struct carrier *ret)
{
	memset(ret, 0, offsetof(struct carrier, payload));
	/* RECORDS 2.2: Carrier (b) is looked for only when `vout[0]` is not carrier (a) with our
	 * magic */
	if (find_op_return(tx, ret) || find_prefix(tx, op_node, ret))
		return true;
	ret->kind = CARRIER_NONE;
	return false;
}

bool carrier_next(const struct tx_view *tx, struct carrier *c)
{
	struct tx_iter it = tx_outputs(tx);
	struct tx_output out;
	struct span payload;

	if (c->kind != CARRIER_OP_RETURN)
		return false;
	for (uint32_t i = 0; tx_next_output(&it, &out); i++) {
		if (i <= c->out_index || !op_return_payload(out.script, &payload))
			continue;
		c->out_index = i;
		set_payload(c, payload);
		return true;
	}
	return false;
}

void carrier_op_return_script(struct writer *w, const void *payload, size_t len)
{
	assert(len && len <= PAYLOAD_MAX);
	writer_u8(w, OP_RETURN);
	script_write_push(w, payload, len);
}

void carrier_prefix_script(struct writer *w, const void *payload, size_t len, struct span owner)
{
	assert(len && len <= PAYLOAD_MAX && owner.len);
	script_write_push(w, payload, len);
	writer_u8(w, OP_DROP);
	writer_copy(w, owner.data, owner.len);
}

void carrier_node_script(struct writer *w, uint8_t op_node, const struct object_id *dnet,
			 const struct address *ip, const struct node_key *key, struct span owner)
{
	assert(op_node && address_bits(ip) && owner.len);
	writer_u8(w, op_node);
	script_write_push(w, dnet->bytes, OBJECT_ID_LEN);
	script_write_push(w, ip->bytes, address_bits(ip) / 8);
	script_write_push(w, key->bytes, PUBKEY_LEN);
	writer_u8(w, OP_2DROP);
	writer_u8(w, OP_DROP);
	writer_copy(w, owner.data, owner.len);
}
