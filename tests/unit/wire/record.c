#include "fixture/test.h"

#include "fixture/vectors.h"
#include "wire/bech32.h"
#include "wire/hex.h"
#include "wire/record.h"
#include "wire/tx.h"

static const char *reason_name(enum record_reason reason)
{
	switch (reason) {
#define X(name, value, text)                                                                       \
	case name:                                                                                 \
		return #name;
		RECORD_REASONS(X)
#undef X
	}
	return "?";
}

/* Text of bytes; a few may stand in one line. */
static const char *hex(const void *data, size_t len)
{
	static char mem[4][256];
	static unsigned next;
	char *text = mem[next++ % 4];

	hex_format(data, len, text);
	return text;
}

static const char *ip_text(const struct address *a)
{
	static char mem[2][ADDRESS_TEXT_MAX];
	static unsigned next;

	return address_format(a, mem[next++ % 2]);
}

static void format_create(const struct record *r, char *text, size_t size)
{
	char prefix[PREFIX_TEXT_MAX] = "none";

	if (r->type != RECORD_DNET_CREATE) {
		snprintf(text, size, "key=%s name=%s",
			 hex(r->service_create.service_key.bytes, PUBKEY_LEN),
			 r->service_create.name);
		return;
	}
	if (r->dnet_create.ipv4.addr.family != ADDR_NONE)
		prefix_format(&r->dnet_create.ipv4, prefix);
	snprintf(text, size, "admin=%s ipv4=%s name=%s", hex(r->dnet_create.admin_key, XONLY_LEN),
		 prefix, r->dnet_create.name);
}

static void format_body(const struct record *r, char *text, size_t size)
{
	const char *id = hex(r->link.id.bytes, OBJECT_ID_LEN), *kind;

	*text = '\0';
	switch ((enum record_type)r->type) {
	case RECORD_DNET_CREATE:
	case RECORD_OVC_CREATE:
	case RECORD_OVR_CREATE:
		format_create(r, text, size);
		break;
	case RECORD_NODE_PUT:
		snprintf(text, size, "key=%s flags=%02x ipv4=%s ipv6=%s name=%s",
			 hex(r->node_put.key.bytes, PUBKEY_LEN), r->node_put.flags,
			 ip_text(&r->node_put.ipv4), ip_text(&r->node_put.ipv6), r->node_put.name);
		break;
	case RECORD_NODE_DEL:
		snprintf(text, size, "key=%s", hex(r->node_del.key.bytes, PUBKEY_LEN));
		break;
	case RECORD_LINK:
	case RECORD_UNLINK:
		kind = object_kind_name((enum object_kind)r->link.kind);
		if (r->type == RECORD_LINK)
			snprintf(text, size, "%s %s priority=%u weight=%u", kind, id,
				 r->link.priority, r->link.weight);
		else
			snprintf(text, size, "%s %s", kind, id);
		break;
	case RECORD_ROSTER:
		snprintf(text, size, "sequence=%u root=%s", r->roster.sequence,
			 hex(r->roster.root.bytes, HASH_LEN));
		break;
	case RECORD_ENDPOINT_PUT:
	case RECORD_ENDPOINT_DEL:
		snprintf(text, size, "%s %s %u", record_transport_name(r->endpoint.transport),
			 *r->endpoint.host ? r->endpoint.host : ip_text(&r->endpoint.address),
			 r->endpoint.port);
		break;
	case RECORD_GRANT:
	case RECORD_REVOKE:
		id = hex(r->grant.dnet.bytes, OBJECT_ID_LEN);
		if (r->type == RECORD_GRANT)
			snprintf(text, size, "%s expiry=%u rate=%u volume=%u", id, r->grant.expiry,
				 r->grant.rate_kbit, r->grant.volume_mib);
		else
			snprintf(text, size, "%s", id);
		break;
	case RECORD_TRANSFER:
		snprintf(text, size, "admin=%s",
			 r->transfer.has_admin_key ? hex(r->transfer.admin_key, XONLY_LEN)
						   : "none");
		break;
	case RECORD_CLOSE:
		break;
	}
}

/* The line that the vectors have for an item. */
static void format_item(const struct payload_item *item, char *text, size_t size)
{
	char body[512];

	if (item->reason != RECORD_OK) {
		snprintf(text, size, "refused %u %s", item->pos, reason_name(item->reason));
		return;
	}
	format_body(&item->record, body, sizeof(body));
	snprintf(text, size, "record %u %s%s%s", item->pos, record_type_name(item->type),
		 *body ? " " : "", body);
}

static void check_round_trip(const struct payload_item *item)
{
	uint8_t mem[PAYLOAD_MAX];
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	record_write(&w, &item->record);
	assert_false(w.failed);
	assert_int_equal(writer_len(&w), item->raw.len);
	assert_memory_equal(mem, item->raw.data, item->raw.len);
}

static void payloads_say_what_the_vectors_say(void **state)
{
	FILE *f = vectors_open("records.txt");
	char line[2048], got[1024];
	struct payload payload;
	struct payload_item item;
	uint8_t bytes[256];
	bool open = false;
	unsigned checked = 0;
	size_t len;

	while (vectors_line(f, line, sizeof(line))) {
		if (!strncmp(line, "payload ", 8)) {
			if (open)
				assert_false(payload_next(&payload, &item));
			assert_true(hex_parse_any(line + 8, bytes, sizeof(bytes), &len));
			payload_open(&payload, bytes, len);
			open = true;
		} else if (!strncmp(line, "record ", 7) || !strncmp(line, "refused ", 8)) {
			assert_true(open && payload_next(&payload, &item));
			format_item(&item, got, sizeof(got));
			assert_string_equal(got, line);
			if (item.reason == RECORD_OK)
				check_round_trip(&item);
			checked++;
		}
	}
	assert_false(payload_next(&payload, &item));
	assert_true(checked > 80);
}

static void format_carrier(const struct carrier *c, char *text, size_t size)
{
	static const char *const names[] = {"none", "a", "b", "node"};
	char seal[16] = "none";

	if (c->seal_index != CARRIER_NO_SEAL)
		snprintf(seal, sizeof(seal), "%u", c->seal_index);
	snprintf(text, size, "carrier %s %u %s %s%s%s", names[c->kind], c->out_index, seal,
		 hex(c->payload, c->len), c->kind == CARRIER_NODE ? " " : "",
		 c->kind == CARRIER_NODE ? hex(c->dnet.bytes, OBJECT_ID_LEN) : "");
}

static void carriers_hold_what_the_vectors_say(void **state)
{
	FILE *f = vectors_open("records.txt");
	char line[2048], got[1024], *op_node;
	struct carrier c;
	struct tx_view tx;
	uint8_t bytes[1024];
	unsigned checked = 0;
	bool more = false;
	size_t len;

	while (vectors_line(f, line, sizeof(line))) {
		if (!strncmp(line, "tx ", 3)) {
			assert_false(more);
			op_node = strchr(line + 3, ' ');
			*op_node++ = '\0';
			assert_true(hex_parse_any(line + 3, bytes, sizeof(bytes), &len));
			assert_int_equal(tx_parse(bytes, len, &tx), TX_OK);
			more = carrier_find(&tx, (uint8_t)strtoul(op_node, NULL, 16), &c);
		} else if (!strcmp(line, "carrier none")) {
			assert_false(more);
			assert_int_equal(c.kind, CARRIER_NONE);
			checked++;
		} else if (!strncmp(line, "carrier ", 8)) {
			assert_true(more);
			format_carrier(&c, got, sizeof(got));
			assert_string_equal(got, line);
			more = carrier_next(&tx, &c);
			checked++;
		}
	}
	assert_false(more);
	assert_true(checked > 35);
}

static void ids_and_addresses_are_those_of_the_vectors(void **state)
{
	FILE *f = vectors_open("ids.txt");
	char line[512], word[4][128], text[PREFIX_TEXT_MAX], id_text[OBJECT_ID_TEXT_SIZE];
	unsigned checked = 0;

	while (vectors_line(f, line, sizeof(line))) {
		struct object_id id, derived;
		struct outpoint first;
		struct node_key key;
		struct prefix prefix;
		struct address address;
		enum object_kind kind;

		if (sscanf(line, "id %127s %127s %127s", word[0], word[1], word[2]) == 3) {
			assert_true(hash_parse(word[0], &first.txid));
			first.vout = (uint32_t)strtoul(word[1], NULL, 10);
			assert_true(object_id_parse(word[2], &kind, &id));
			object_id_derive(kind, &first, &derived);
			assert_true(object_id_equal(&id, &derived));
			object_id_format(kind, &derived, id_text);
			assert_string_equal(id_text, word[2]);
		} else {
			assert_int_equal(sscanf(line, "node %127s %127s %127s %127s", word[0],
						word[1], word[2], word[3]),
					 4);
			assert_true(object_id_parse(word[0], &kind, &id));
			assert_true(hex_parse(word[1], key.bytes, PUBKEY_LEN));
			dnet_prefix_derive(&id, &prefix);
			assert_string_equal(prefix_format(&prefix, text), word[2]);
			node_address_derive(&id, &key, &address);
			assert_string_equal(address_format(&address, text), word[3]);
			assert_true(prefix_contains(&prefix, &address));
		}
		checked++;
	}
	assert_true(checked >= 20);
}

static struct record sample_node(void)
{
	struct record r;

	memset(&r, 0, sizeof(r));
	r.type = RECORD_NODE_PUT;
	r.node_put.key.bytes[0] = 2;
	strncpy(r.node_put.name, "alice", RECORD_NAME_MAX);
	return r;
}

static void a_payload_is_filled_up_to_80_bytes_and_no_further(void **state)
{
	uint8_t mem[PAYLOAD_MAX];
	struct record node = sample_node(), close = {.type = RECORD_CLOSE};
	struct writer w;

	payload_begin(&w, mem);
	assert_int_equal(payload_finish(&w), 0); /* no record in it */
	memset(node.node_put.name, 'a', RECORD_NAME_MAX);
	record_write(&w, &node); /* 3 + 2 + 33 + 1 + 32 = 71 */
	for (unsigned i = 0; i < 4; i++)
		record_write(&w, &close);
	assert_int_equal(payload_finish(&w), 79);
	record_write(&w, &close);
	assert_int_equal(payload_finish(&w), 0);
}

static void what_a_reader_would_refuse_is_not_written(void **state)
{
	uint8_t mem[PAYLOAD_MAX];
	struct record r;
	struct writer w;

	r = sample_node();
	r.node_put.key.bytes[0] = 4;
	payload_begin(&w, mem);
	record_write(&w, &r);
	assert_int_equal(payload_finish(&w), 0);

	r = sample_node();
	r.node_put.name[0] = 'A';
	payload_begin(&w, mem);
	record_write(&w, &r);
	assert_int_equal(payload_finish(&w), 0);

	/* 33 + 1 + 4 + 16 + 21 = 75 is the longest body; one more char is too long */
	r = sample_node();
	r.node_put.ipv4.family = ADDR_V4;
	r.node_put.ipv6.family = ADDR_V6;
	r.node_put.ipv6.bytes[0] = 0xfd;
	memset(r.node_put.name, 'b', 21);
	payload_begin(&w, mem);
	record_write(&w, &r);
	assert_int_equal(payload_finish(&w), PAYLOAD_MAX);
	r.node_put.name[21] = 'b';
	payload_begin(&w, mem);
	record_write(&w, &r);
	assert_int_equal(payload_finish(&w), 0);
}

static void a_put_and_its_del_have_the_same_key(void **state)
{
	static const uint8_t types[][2] = {
		{RECORD_NODE_PUT, RECORD_NODE_DEL},
		{RECORD_LINK, RECORD_UNLINK},
		{RECORD_ENDPOINT_PUT, RECORD_ENDPOINT_DEL},
		{RECORD_GRANT, RECORD_REVOKE},
	};
	uint8_t a[RECORD_KEY_MAX], b[RECORD_KEY_MAX];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct record put, del;
		size_t len;

		memset(&put, 0, sizeof(put));
		if (types[i][0] == RECORD_ENDPOINT_PUT)
			memset(put.endpoint.host, 'h', RECORD_HOST_MAX);
		else if (types[i][0] != RECORD_NODE_PUT)
			put.link.weight = 9;
		else
			put.node_put.flags = NODE_FLAG_GATEWAY;
		del = put;
		put.type = types[i][0];
		del.type = types[i][1];
		len = record_key(&put, a);
		assert_true(len > 0);
		assert_int_equal(record_key(&del, b), len);
		assert_memory_equal(a, b, len);
		assert_false(record_is_revocation(put.type));
		assert_true(record_is_revocation(del.type));
	}
}

static void records_fit_the_kinds_of_section_4(void **state)
{
	struct record r;

	memset(&r, 0, sizeof(r));
	r.type = RECORD_NODE_PUT;
	assert_true(record_fits_kind(&r, OBJECT_DNET));
	assert_false(record_fits_kind(&r, OBJECT_OVC));
	r.type = RECORD_GRANT;
	assert_false(record_fits_kind(&r, OBJECT_DNET));
	assert_true(record_fits_kind(&r, OBJECT_OVC));
	assert_true(record_fits_kind(&r, OBJECT_OVR));
	memset(&r, 0, sizeof(r));
	r.type = RECORD_TRANSFER;
	assert_true(record_fits_kind(&r, OBJECT_OVR));
	r.transfer.has_admin_key = true;
	assert_false(record_fits_kind(&r, OBJECT_OVR));
	assert_true(record_fits_kind(&r, OBJECT_DNET));
	assert_int_equal(record_creates(RECORD_OVR_CREATE), OBJECT_OVR);
	assert_false(record_is_create(RECORD_NODE_PUT));
	assert_false(record_is_create(0));
}

static void names_and_hosts_end_at_their_limit(void **state)
{
	char text[RECORD_HOST_MAX + 2];

	memset(text, 'a', sizeof(text));
	text[RECORD_NAME_MAX] = '\0';
	assert_true(record_name_ok(text));
	text[RECORD_NAME_MAX] = 'a';
	text[RECORD_NAME_MAX + 1] = '\0';
	assert_false(record_name_ok(text));
	assert_false(record_name_ok(""));
	assert_false(record_name_ok("-a"));
	memset(text, 'a', sizeof(text));
	text[RECORD_HOST_MAX] = '\0';
	assert_true(record_host_ok(text));
	text[RECORD_HOST_MAX] = 'a';
	text[RECORD_HOST_MAX + 1] = '\0';
	assert_false(record_host_ok(text));
	assert_false(record_host_ok(""));
	assert_false(record_host_ok("a_b"));
}

/* A transaction around scripts of ours is read back by carrier_find(). */
static void written_scripts_are_found_again(void **state)
{
	static const uint8_t owner[22] = {OP_0, 20};
	const struct span owner_span = {owner, sizeof(owner)};
	uint8_t payload[PAYLOAD_MAX], script[256], raw[512];
	struct record node = sample_node();
	struct address ip = {ADDR_V4, {10, 0, 0, 1}};
	struct object_id dnet = {{1, 2, 3}};

	for (int form = CARRIER_OP_RETURN; form <= CARRIER_NODE; form++) {
		struct writer p, s, t;
		struct tx_view tx;
		struct carrier c;

		memset(node.node_put.name, 'n', RECORD_NAME_MAX);
		payload_begin(&p, payload);
		record_write(&p, &node);
		writer_init(&s, script, sizeof(script));
		if (form == CARRIER_OP_RETURN)
			carrier_op_return_script(&s, payload, payload_finish(&p));
		else if (form == CARRIER_PREFIX)
			carrier_prefix_script(&s, payload, payload_finish(&p), owner_span);
		else
			carrier_node_script(&s, 0xb9, &dnet, &ip, &node.node_put.key, owner_span);
		writer_init(&t, raw, sizeof(raw));
		writer_u32(&t, 2);
		writer_u8(&t, 1);
		writer_zero(&t, OUTPOINT_LEN + 1 + 4);
		writer_u8(&t, 2);
		for (int i = 0; i < 2; i++) {
			writer_u64(&t, 1000);
			writer_compact(&t, i ? sizeof(owner) : writer_len(&s));
			writer_copy(&t, i ? owner : script, i ? sizeof(owner) : writer_len(&s));
		}
		writer_u32(&t, 0);
		assert_false(t.failed || s.failed);
		assert_int_equal(tx_parse(raw, writer_len(&t), &tx), TX_OK);
		assert_true(carrier_find(&tx, 0xb9, &c));
		assert_int_equal(c.kind, form);
		assert_int_equal(c.seal_index, form == CARRIER_OP_RETURN ? 1 : 0);
		if (form == CARRIER_NODE) {
			assert_true(object_id_equal(&c.dnet, &dnet));
		} else {
			assert_int_equal(c.len, payload_finish(&p));
			assert_memory_equal(c.payload, payload, c.len);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(payloads_say_what_the_vectors_say),
		cmocka_unit_test(carriers_hold_what_the_vectors_say),
		cmocka_unit_test(ids_and_addresses_are_those_of_the_vectors),
		cmocka_unit_test(a_payload_is_filled_up_to_80_bytes_and_no_further),
		cmocka_unit_test(what_a_reader_would_refuse_is_not_written),
		cmocka_unit_test(a_put_and_its_del_have_the_same_key),
		cmocka_unit_test(records_fit_the_kinds_of_section_4),
		cmocka_unit_test(names_and_hosts_end_at_their_limit),
		cmocka_unit_test(written_scripts_are_found_again),
	};

	return cmocka_run_group_tests_name("wire/record", tests, NULL, NULL);
}
