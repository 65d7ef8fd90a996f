#include "fixture/test.h"

#include "core/direct.h"
#include "wire/stun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Two members with a NAT each, a STUN server, and a network that takes 10 ms, in virtual time. A
 * NAT keeps a mapping for each destination or one for all, and lets in only addresses that were
 * sent to (RFC 4787: address-dependent filtering). */

enum { NODES = 2, QUEUE = 4096, MAPPINGS = 64, SERVER = NODES };

#define DELAY (10 * NS_PER_MS)

struct mapping {
	struct endpoint to;
	uint16_t port; /* outside */
};

struct member {
	struct direct *direct;
	struct node_key key;
	uint8_t secret[PROBE_KEY_LEN], public_key[PROBE_KEY_LEN];
	struct endpoint own;	/* inside */
	struct address outside; /* of its NAT; ADDR_NONE: none */
	bool dependent;		/* a mapping for each destination */
	bool deaf;		/* what it sends is lost on the way */
	uint16_t first_port;
	struct mapping mappings[MAPPINGS];
	size_t mapping_count;
	bool chosen;
	struct endpoint endpoint; /* chosen */
	unsigned choices, told;
	size_t sent, sent_bytes, received_bytes;
};

struct datagram {
	struct endpoint from, to;
	uint8_t bytes[64];
	size_t len;
	uint64_t at;
};

static struct member members[NODES];
static struct datagram queue[QUEUE];
static size_t queued;
static uint64_t now;
static uint32_t drawn;
static struct endpoint server;
static bool asked_ports[UINT16_MAX + 1];

static struct endpoint at(const char *text)
{
	struct endpoint e;

	assert_true(endpoint_parse(text, &e));
	return e;
}

/* Through the sender's NAT. */
static struct endpoint outside(struct member *m, const struct endpoint *to)
{
	struct endpoint e = {m->outside, 0};
	size_t i;

	if (m->outside.family == ADDR_NONE)
		return m->own;
	for (i = 0; i < m->mapping_count; i++) {
		if (endpoint_equal(&m->mappings[i].to, to))
			break;
	}
	if (i == m->mapping_count) {
		assert_true(i < MAPPINGS);
		m->mapping_count++;
		m->mappings[i].to = *to;
		m->mappings[i].port = (uint16_t)(m->first_port + (m->dependent ? i : 0));
	}
	e.port = m->mappings[i].port;
	return e;
}

static bool lets_in(const struct member *m, const struct datagram *d)
{
	if (m->outside.family == ADDR_NONE)
		return endpoint_equal(&d->to, &m->own);
	if (!address_equal(&d->to.addr, &m->outside))
		return false;
	for (size_t i = 0; i < m->mapping_count; i++) {
		if (m->mappings[i].port == d->to.port &&
		    address_equal(&m->mappings[i].to.addr, &d->from.addr))
			return true;
	}
	return false;
}

static void on_send(void *ctx, const struct endpoint *to, const void *bytes, size_t len)
{
	struct member *m = ctx;
	struct datagram d = {.to = *to, .len = len, .at = now + DELAY};

	assert_true(len <= sizeof(d.bytes));
	memcpy(d.bytes, bytes, len);
	d.from = outside(m, to);
	m->sent++;
	asked_ports[to->port] = true;
	m->sent_bytes += len;
	if (m->deaf)
		return;
	assert_true(queued < QUEUE);
	queue[queued++] = d;
}

static void on_choose(void *ctx, const struct node_key *key, const struct endpoint *endpoint)
{
	struct member *m = ctx;

	assert_false(node_key_equal(key, &m->key));
	m->choices++;
	m->chosen = endpoint != NULL;
	m->endpoint = endpoint ? *endpoint : (struct endpoint){0};
}

static void on_mapped(void *ctx)
{
	((struct member *)ctx)->told++;
}

static void on_random(void *ctx, void *dst, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)dst)[i] = (uint8_t)(++drawn * 2654435761u >> 24);
}

static void add_member(size_t i, const char *own, const char *nat, bool dependent)
{
	static const uint8_t base[PROBE_KEY_LEN] = {9};
	struct member *m = &members[i];
	const struct direct_io io = {.ctx = m,
				     .send = on_send,
				     .choose = on_choose,
				     .mapped = on_mapped,
				     .random = on_random};
	struct probe_keys keys;

	*m = (struct member){.own = at(own), .dependent = dependent};
	m->key.bytes[0] = 2;
	m->key.bytes[1] = m->secret[1] = (uint8_t)(i + 1);
	m->first_port = (uint16_t)(30000 + 1000 * i);
	if (nat)
		assert_true(address_parse(nat, &m->outside));
	assert_true(probe_keys_make(&keys, m->secret, base));
	memcpy(m->public_key, keys.own, PROBE_KEY_LEN);
	m->direct = direct_new(&io, m->secret);
	assert_non_null(m->direct);
	direct_set_servers(m->direct, &server, 1, now);
}

/* What its offer would say: its own endpoint, and the mapped ones. */
static void tell(size_t from, size_t to)
{
	struct endpoint told[1 + DIRECT_MAPPED_MAX] = {members[from].own};
	size_t count = 1 + direct_mapped(members[from].direct, told + 1);

	assert_int_equal(direct_set_peer(members[to].direct, &members[from].key,
					 members[from].public_key, told, count, now),
			 0);
}

static void answer_stun(const struct datagram *d)
{
	struct datagram back = {.from = d->to, .to = d->from, .at = now + DELAY};
	uint8_t id[STUN_ID_LEN];
	struct writer w;

	if (!stun_request_parse(d->bytes, d->len, id))
		return;
	writer_init(&w, back.bytes, sizeof(back.bytes));
	stun_response_write(&w, id, &d->from);
	assert_false(w.failed);
	back.len = writer_len(&w);
	queue[queued++] = back;
}

static void deliver(const struct datagram *d)
{
	if (endpoint_equal(&d->to, &server)) {
		answer_stun(d);
		return;
	}
	for (size_t i = 0; i < NODES; i++) {
		struct member *m = &members[i];

		if (!m->direct || !lets_in(m, d))
			continue;
		m->received_bytes += d->len;
		direct_input(m->direct, &d->from, d->bytes, d->len, now);
	}
}

static void run(uint64_t seconds_tenth)
{
	uint64_t end = now + seconds_tenth * NS_PER_S / 10;

	for (; now < end; now += NS_PER_MS) {
		for (size_t i = 0; i < queued;) {
			struct datagram d = queue[i];

			if (d.at > now) {
				i++;
				continue;
			}
			memmove(&queue[i], &queue[i + 1], (--queued - i) * sizeof(d));
			deliver(&d);
		}
		for (size_t i = 0; i < NODES; i++) {
			if (members[i].direct && direct_deadline(members[i].direct) <= now)
				direct_tick(members[i].direct, now);
		}
	}
}

static int begin(void **state)
{
	memset(members, 0, sizeof(members));
	queued = 0;
	now = 1000 * NS_PER_S;
	server = at("192.0.2.9:4242");
	return 0;
}

static int end(void **state)
{
	for (size_t i = 0; i < NODES; i++)
		direct_free(members[i].direct);
	return 0;
}

static void meet(const char *nat_a, bool dependent_a, const char *nat_b, bool dependent_b)
{
	add_member(0, nat_a ? "10.0.0.2:51820" : "198.51.100.2:51820", nat_a, dependent_a);
	add_member(1, nat_b ? "10.0.1.2:51820" : "203.0.113.2:51820", nat_b, dependent_b);
	run(1);
	tell(0, 1);
	tell(1, 0);
	run(30);
}

static bool direct(size_t i)
{
	struct direct_status status;

	assert_true(direct_status(members[i].direct, &members[!i].key, &status));
	assert_int_equal(status.direct, members[i].chosen);
	if (status.direct)
		assert_true(endpoint_equal(&status.endpoint, &members[i].endpoint));
	return status.direct;
}

static void the_server_says_where_the_port_is_seen(void **state)
{
	struct endpoint mapped[DIRECT_MAPPED_MAX], want = at("198.51.100.1:30000");

	add_member(0, "10.0.0.2:51820", "198.51.100.1", false);
	run(1);
	assert_int_equal(members[0].told, 1);
	assert_int_equal(direct_mapped(members[0].direct, mapped), 1);
	assert_true(endpoint_equal(&mapped[0], &want));
	run(700);
	assert_int_equal(members[0].told, 1);
	assert_in_range(members[0].sent, 4, 5);
	/* The NAT was started anew: another port. */
	members[0].mapping_count = 0;
	members[0].first_port = 40000;
	run(210);
	assert_int_equal(members[0].told, 2);
	/* Nobody says so any more: it is not told to others any more either. */
	members[0].deaf = true;
	run(600);
	assert_int_equal(direct_mapped(members[0].direct, mapped), 0);
	assert_int_equal(members[0].told, 3);
}

static void without_nat_the_path_is_found(void **state)
{
	meet(NULL, false, NULL, false);
	assert_true(direct(0) && direct(1));
	assert_true(endpoint_equal(&members[0].endpoint, &members[1].own));
	assert_int_equal(members[0].choices, 1);
}

static void both_behind_nat_are_punched(void **state)
{
	struct endpoint want = at("203.0.113.1:31000");

	meet("198.51.100.1", false, "203.0.113.1", false);
	assert_true(direct(0) && direct(1));
	assert_true(endpoint_equal(&members[0].endpoint, &want));
}

static void a_mapping_for_each_destination_on_one_side_is_learned(void **state)
{
	struct endpoint told = at("198.51.100.1:30000");

	meet("198.51.100.1", true, "203.0.113.1", false);
	assert_true(direct(0) && direct(1));
	/* Not the endpoint that the server saw. */
	assert_false(endpoint_equal(&members[1].endpoint, &told));
	assert_true(address_equal(&members[1].endpoint.addr, &told.addr));
}

static void on_both_sides_there_is_no_path_and_few_questions(void **state)
{
	size_t sent;

	meet("198.51.100.1", true, "203.0.113.1", true);
	assert_false(direct(0) || direct(1));
	run(600);
	sent = members[0].sent;
	run(600);
	assert_false(direct(0) || direct(1));
	/* Two endpoints each 10 s, STUN each 20 s. */
	assert_in_range(members[0].sent - sent, 10, 16);
	assert_int_equal(members[0].choices, 0);
}

static void a_path_that_is_lost_is_left_within_seconds_and_found_again(void **state)
{
	meet(NULL, false, NULL, false);
	members[1].deaf = true;
	run(140);
	assert_false(direct(0));
	assert_false(direct(1));
	assert_int_equal(members[0].choices, 2);
	run(100);
	assert_int_equal(members[0].choices, 2);
	members[1].deaf = false;
	run(15);
	assert_true(direct(0) && direct(1));
	assert_int_equal(members[0].choices, 3);
}

static void a_doubt_finds_it_within_four_seconds(void **state)
{
	meet(NULL, false, NULL, false);
	members[1].deaf = true;
	direct_doubt(members[0].direct, &members[1].key, now);
	run(20);
	direct_doubt(members[0].direct, &members[1].key, now);
	assert_true(members[0].chosen);
	run(20);
	assert_false(direct(0));
}

/* Probes are lost, a firewall may know WireGuard by its form; but a handshake was had. */
static void a_handshake_keeps_the_path(void **state)
{
	meet(NULL, false, NULL, false);
	members[1].deaf = true;
	for (int i = 0; i < 30; i++) {
		struct endpoint e = members[0].endpoint;

		direct_observe(members[0].direct, &members[1].key, &e, now, now);
		run(10);
		assert_true(direct(0));
	}
}

static void roaming_of_the_backend_is_followed_and_confirmed(void **state)
{
	struct endpoint moved = at("203.0.113.77:51820");
	struct direct_status status;

	meet(NULL, false, NULL, false);
	members[1].own = moved;
	direct_observe(members[0].direct, &members[1].key, &moved, 0, now);
	run(5);
	assert_true(direct_status(members[0].direct, &members[1].key, &status));
	assert_true(status.direct && endpoint_equal(&status.endpoint, &moved));
	assert_true(status.rtt_ns > 0);
	assert_int_equal(members[0].choices, 1); /* nothing was set: it is there already */
	/* It went to an endpoint that does not answer. */
	moved = at("203.0.113.78:51820");
	direct_observe(members[0].direct, &members[1].key, &moved, 0, now);
	run(25);
	assert_int_equal(members[0].choices, 1);
	run(20);
	/* The bridge, then at once the one that answers. */
	assert_int_equal(members[0].choices, 3);
	assert_true(endpoint_equal(&members[0].endpoint, &members[1].own));
}

static void a_peer_that_uses_the_bridge_is_followed_and_asked(void **state)
{
	struct direct_status status;

	meet(NULL, false, NULL, false);
	direct_observe(members[0].direct, &members[1].key, NULL, 0, now);
	assert_true(direct_status(members[0].direct, &members[1].key, &status));
	assert_false(status.direct);
	run(2);
	assert_true(direct(0));
	assert_int_equal(members[0].choices, 2);
}

static void what_the_backend_says_of_the_time_before_is_nothing(void **state)
{
	meet(NULL, false, NULL, false);
	direct_network_changed(members[0].direct, now);
	members[1].deaf = true;
	run(45);
	assert_false(direct(0));
	members[1].deaf = false;
	while (!members[0].chosen)
		run(1);
	direct_observe(members[0].direct, &members[1].key, NULL, 0, now);
	assert_true(direct(0));
}

static void a_question_from_elsewhere_moves_nothing_by_itself(void **state)
{
	struct endpoint thief = at("192.0.2.66:1");
	uint8_t bytes[PROBE_LEN], nonce[PROBE_NONCE_LEN] = {1};
	struct probe_keys keys;
	struct writer w;
	size_t sent, received;

	meet(NULL, false, NULL, false);
	assert_true(probe_keys_make(&keys, members[1].secret, members[0].public_key));
	writer_init(&w, bytes, sizeof(bytes));
	probe_write(&w, &keys, PROBE_QUESTION, nonce);
	sent = members[0].sent_bytes;
	received = 0;
	/* One that was seen, repeated with a false source address. */
	for (int i = 0; i < 1000; i++) {
		assert_true(direct_input(members[0].direct, &thief, bytes, sizeof(bytes), now));
		received += sizeof(bytes);
		if (i % 10 == 0)
			run(1);
	}
	assert_true(direct(0));
	assert_true(endpoint_equal(&members[0].endpoint, &members[1].own));
	/* Answers are limited, and a few questions go there: less than what came. */
	assert_true(members[0].sent_bytes - sent < received / 2);
	assert_true(direct_counter(members[0].direct, DIRECT_limited) > 0);
}

static void answers_count_only_from_where_they_were_asked(void **state)
{
	struct endpoint other = at("203.0.113.3:51820");

	add_member(0, "198.51.100.2:51820", NULL, false);
	add_member(1, "203.0.113.2:51820", NULL, false);
	tell(1, 0);
	/* The answer comes from another address than the one that was asked. */
	run(1);
	tell(0, 1);
	for (int i = 0; i < 1500; i++) {
		for (size_t k = 0; k < queued; k++) {
			if (endpoint_equal(&queue[k].to, &members[0].own) &&
			    queue[k].bytes[4] == PROBE_ANSWER)
				queue[k].from = other;
		}
		now += NS_PER_MS;
		direct_tick(members[0].direct, now);
		for (size_t k = 0; k < queued;) {
			struct datagram d = queue[k];

			if (d.at > now) {
				k++;
				continue;
			}
			memmove(&queue[k], &queue[k + 1], (--queued - k) * sizeof(d));
			deliver(&d);
		}
	}
	assert_false(members[0].chosen);
	assert_true(direct_counter(members[0].direct, DIRECT_unexpected) > 0);
}

static void endpoints_that_nobody_could_have_are_not_asked(void **state)
{
	static const char *const wrong[] = {
		"127.0.0.1:1", "0.0.0.0:1",   "224.0.0.1:1", "169.254.1.1:1",	  "10.0.0.1:0",
		"[::1]:1",     "[fe80::1]:1", "[ff02::1]:1", "255.255.255.255:1", "[::]:1"};
	struct endpoint list[10];

	add_member(0, "198.51.100.2:51820", NULL, false);
	add_member(1, "203.0.113.2:51820", NULL, false);
	direct_set_servers(members[0].direct, NULL, 0, now);
	for (size_t i = 0; i < 10; i++)
		list[i] = at(wrong[i]);
	assert_int_equal(direct_set_peer(members[0].direct, &members[1].key, members[1].public_key,
					 list, 10, now),
			 0);
	run(50);
	assert_int_equal(members[0].sent, 0);
}

static void a_thousand_peers_share_the_rate(void **state)
{
	enum { PEERS = 1000 };
	struct endpoint e = at("203.0.113.2:51820");
	struct node_key key = {.bytes = {2}};
	struct probe_keys keys;
	uint8_t secret[PROBE_KEY_LEN] = {7};

	add_member(0, "198.51.100.2:51820", NULL, false);
	direct_set_servers(members[0].direct, NULL, 0, now);
	members[0].deaf = true;
	memset(asked_ports, 0, sizeof(asked_ports));
	for (int i = 0; i < PEERS; i++) {
		static const uint8_t base[PROBE_KEY_LEN] = {9};

		secret[1] = (uint8_t)i;
		secret[2] = (uint8_t)(i >> 8);
		memcpy(key.bytes + 1, secret, 3);
		assert_true(probe_keys_make(&keys, secret, base));
		e.port = (uint16_t)(1000 + i);
		assert_int_equal(direct_set_peer(members[0].direct, &key, keys.own, &e, 1, now), 0);
	}
	run(10);
	assert_in_range(members[0].sent, DIRECT_RATE, 2 * DIRECT_RATE + 10);
	run(200);
	assert_in_range(members[0].sent, 20 * DIRECT_RATE, 22 * DIRECT_RATE + 10);
	/* Every one had its turn: no port was left out. */
	for (int i = 0; i < PEERS; i++)
		assert_true(asked_ports[1000 + i]);
}

static void a_key_that_is_none_is_refused_and_another_one_begins_anew(void **state)
{
	static const uint8_t zero[PROBE_KEY_LEN];
	struct direct_status status;
	struct endpoint e = at("203.0.113.2:51820");

	meet(NULL, false, NULL, false);
	assert_int_equal(direct_set_peer(members[0].direct, &members[1].key, members[0].public_key,
					 &e, 1, now),
			 0);
	assert_true(direct_status(members[0].direct, &members[1].key, &status));
	assert_false(status.direct);
	assert_int_equal(direct_set_peer(members[0].direct, &members[1].key, zero, &e, 1, now),
			 -EINVAL);
	assert_false(direct_status(members[0].direct, &members[1].key, &status));
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		T(the_server_says_where_the_port_is_seen),
		T(without_nat_the_path_is_found),
		T(both_behind_nat_are_punched),
		T(a_mapping_for_each_destination_on_one_side_is_learned),
		T(on_both_sides_there_is_no_path_and_few_questions),
		T(a_path_that_is_lost_is_left_within_seconds_and_found_again),
		T(a_doubt_finds_it_within_four_seconds),
		T(a_handshake_keeps_the_path),
		T(roaming_of_the_backend_is_followed_and_confirmed),
		T(a_peer_that_uses_the_bridge_is_followed_and_asked),
		T(what_the_backend_says_of_the_time_before_is_nothing),
		T(a_question_from_elsewhere_moves_nothing_by_itself),
		T(answers_count_only_from_where_they_were_asked),
		T(endpoints_that_nobody_could_have_are_not_asked),
		T(a_thousand_peers_share_the_rate),
		T(a_key_that_is_none_is_refused_and_another_one_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
