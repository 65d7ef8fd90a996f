#include "sim/net.h"

#include "sim/heap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define MAPPING_LASTS (120 * SIM_SECOND)

enum { SWEEP_FROM = 64, FIRST_PORT = 20000 };

/* Whom a mapping lets in. */
struct permission {
	uint64_t remote; /* pack(); port 0 for NAT_RESTRICTED */
	uint64_t used;
	UT_hash_handle hh;
};

struct mapping {
	uint64_t key[2]; /* inside; and outside for NAT_SYMMETRIC, else 0 */
	struct endpoint inside;
	uint16_t port;
	uint64_t used;
	struct permission *allowed; /* owned; by remote */
	size_t sweep_at;
	UT_hash_handle by_key, by_port;
};

struct sim_nat {
	struct sim_net *net;
	enum nat_kind kind;
	struct address address;
	uint64_t at; /* pack() of it */
	unsigned number;
	uint8_t hosts;
	uint16_t next_port;
	struct mapping *mappings; /* owned; by key */
	struct mapping *ports;	  /* the same, by port */
	size_t sweep_at;
	UT_hash_handle hh;
};

struct sim_host {
	struct sim_net *net;
	struct sim_nat *nat;
	struct endpoint at;
	uint64_t key; /* pack() of it; port 0: every port */
	uint32_t number;
	bool off, every_port, claims;
	struct endpoint claimed;
	sim_receive *receive;
	void *ctx;
	UT_hash_handle hh;
};

struct block {
	uint64_t pair; /* numbers of sender and receiver */
	UT_hash_handle hh;
};

struct datagram {
	uint64_t at, order;
	struct sim_host *from;
	struct endpoint src, dst;
	size_t len;
	uint8_t *bytes;
};

struct sim_net {
	uint64_t now, order, state;
	unsigned loss, doubled;
	uint64_t delay, jitter;
	struct sim_host *hosts; /* owned; by where they are */
	struct sim_nat *nats;	/* owned; by address */
	struct block *blocks;	/* owned */
	uint32_t host_count, addresses;
	struct datagram *heap; /* by (at, order) */
	size_t count, size;
	uint64_t delivered;
};

/* Everything here is IPv4. */
static uint64_t pack(const struct endpoint *e)
{
	const uint8_t *a = e->addr.bytes;

	return (uint64_t)a[0] << 40 | (uint64_t)a[1] << 32 | (uint64_t)a[2] << 24 |
	       (uint64_t)a[3] << 16 | e->port;
}

struct sim_net *sim_net_new(uint64_t seed)
{
	struct sim_net *net = calloc(1, sizeof(*net));

	assert(net);
	net->state = seed;
	net->now = 1000 * SIM_SECOND;
	net->delay = 10 * SIM_MS;
	return net;
}

static void drop_mapping(struct sim_nat *nat, struct mapping *m)
{
	struct permission *p, *next;

	HASH_ITER(hh, m->allowed, p, next)
	{
		HASH_DEL(m->allowed, p);
		free(p);
	}
	HASH_DELETE(by_key, nat->mappings, m);
	HASH_DELETE(by_port, nat->ports, m);
	free(m);
}

static void drop_mappings(struct sim_nat *nat)
{
	struct mapping *m, *next;

	HASH_ITER(by_key, nat->mappings, m, next)
	drop_mapping(nat, m);
}

void sim_net_free(struct sim_net *net)
{
	struct sim_host *host, *next_host;
	struct sim_nat *nat, *next_nat;
	struct block *block, *next_block;

	HASH_ITER(hh, net->hosts, host, next_host)
	{
		HASH_DEL(net->hosts, host);
		free(host);
	}
	HASH_ITER(hh, net->nats, nat, next_nat)
	{
		drop_mappings(nat);
		HASH_DEL(net->nats, nat);
		free(nat);
	}
	HASH_ITER(hh, net->blocks, block, next_block)
	{
		HASH_DEL(net->blocks, block);
		free(block);
	}
	for (size_t i = 0; i < net->count; i++)
		free(net->heap[i].bytes);
	free(net->heap);
	free(net);
}

uint64_t sim_now(const struct sim_net *net)
{
	return net->now;
}

/* splitmix64 */
uint64_t sim_random(struct sim_net *net)
{
	uint64_t z = (net->state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

void sim_random_bytes(struct sim_net *net, void *dst, size_t len)
{
	uint8_t *bytes = dst;

	while (len) {
		uint64_t z = sim_random(net);
		size_t n = len < sizeof(z) ? len : sizeof(z);

		memcpy(bytes, &z, n);
		bytes += n;
		len -= n;
	}
}

void sim_set_faults(struct sim_net *net, unsigned loss, unsigned doubled, uint64_t delay,
		    uint64_t jitter)
{
	net->loss = loss;
	net->doubled = doubled;
	net->delay = delay;
	net->jitter = jitter;
}

struct sim_nat *sim_add_nat(struct sim_net *net, enum nat_kind kind)
{
	struct sim_nat *nat = calloc(1, sizeof(*nat));
	unsigned n = HASH_COUNT(net->nats) + 1;
	unsigned place = (100 << 8) + n;

	assert(nat && n < 1 << 15);
	nat->net = net;
	nat->kind = kind;
	nat->number = n;
	nat->address = (struct address){ADDR_V4, {198, 51, (uint8_t)(place >> 8), (uint8_t)place}};
	nat->at = pack(&(struct endpoint){nat->address, 0});
	nat->next_port = FIRST_PORT;
	nat->sweep_at = SWEEP_FROM;
	HASH_ADD(hh, net->nats, at, sizeof(nat->at), nat);
	return nat;
}

void sim_nat_reset(struct sim_nat *nat)
{
	drop_mappings(nat);
	nat->next_port = (uint16_t)(nat->next_port + 1000);
}

static struct sim_host *host_at(const struct sim_net *net, const struct endpoint *e)
{
	uint64_t key = pack(e), any = key & ~0xffffull;
	struct sim_host *host;

	HASH_FIND(hh, net->hosts, &key, sizeof(key), host);
	if (!host)
		HASH_FIND(hh, net->hosts, &any, sizeof(any), host);
	return host;
}

static struct address next_address(struct sim_net *net, struct sim_nat *nat)
{
	uint32_t n;

	if (nat) {
		nat->hosts = (uint8_t)(nat->hosts % 254 + 1);
		return (struct address){
			ADDR_V4,
			{10, (uint8_t)(nat->number >> 8), (uint8_t)nat->number, nat->hosts}};
	}
	n = (113 << 8) + ++net->addresses;
	return (struct address){ADDR_V4, {203, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
}

/* An address that nobody has now; it may have been somebody's. */
static void place(struct sim_host *host, struct sim_nat *nat)
{
	struct sim_net *net = host->net;

	host->nat = nat;
	host->at.port = 7000;
	do
		host->at.addr = next_address(net, nat);
	while (host_at(net, &host->at));
	host->key = pack(&host->at);
	if (host->every_port)
		host->key &= ~0xffffull;
	HASH_ADD(hh, net->hosts, key, sizeof(host->key), host);
}

struct sim_host *sim_add_host(struct sim_net *net, struct sim_nat *nat, sim_receive *receive,
			      void *ctx)
{
	struct sim_host *host = calloc(1, sizeof(*host));

	assert(host);
	host->net = net;
	host->number = net->host_count++;
	host->receive = receive;
	host->ctx = ctx;
	place(host, nat);
	return host;
}

struct endpoint sim_host_endpoint(const struct sim_host *host)
{
	return host->at;
}

void sim_move_host(struct sim_host *host, struct sim_nat *nat)
{
	HASH_DEL(host->net->hosts, host);
	place(host, nat);
}

void sim_host_take_every_port(struct sim_host *host)
{
	HASH_DEL(host->net->hosts, host);
	host->every_port = true;
	host->key &= ~0xffffull;
	HASH_ADD(hh, host->net->hosts, key, sizeof(host->key), host);
}

void sim_host_claim(struct sim_host *host, const struct endpoint *source)
{
	host->claims = source;
	if (source)
		host->claimed = *source;
}

void sim_set_host_off(struct sim_host *host, bool off)
{
	host->off = off;
}

bool sim_host_is_off(const struct sim_host *host)
{
	return host->off;
}

static struct block *find_block(const struct sim_net *net, const struct sim_host *a,
				const struct sim_host *b)
{
	uint64_t pair = (uint64_t)a->number << 32 | b->number;
	struct block *block;

	HASH_FIND(hh, net->blocks, &pair, sizeof(pair), block);
	return block;
}

void sim_block_way(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool on)
{
	struct block *block = find_block(net, a, b);

	if (block && !on) {
		HASH_DEL(net->blocks, block);
		free(block);
	}
	if (block || !on)
		return;
	block = calloc(1, sizeof(*block));
	assert(block);
	block->pair = (uint64_t)a->number << 32 | b->number;
	HASH_ADD(hh, net->blocks, pair, sizeof(block->pair), block);
}

void sim_block(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool on)
{
	sim_block_way(net, a, b, on);
	sim_block_way(net, b, a, on);
}

static bool before(const struct datagram *a, const struct datagram *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_push(struct sim_net *net, const struct datagram *d)
{
	size_t i = net->count++;

	if (net->count > net->size) {
		net->size = net->size ? 2 * net->size : 256;
		net->heap = realloc(net->heap, net->size * sizeof(*net->heap));
		assert(net->heap);
	}
	for (; i && before(d, &net->heap[(i - 1) / 2]); i = (i - 1) / 2)
		net->heap[i] = net->heap[(i - 1) / 2];
	net->heap[i] = *d;
}

static struct datagram heap_pop(struct sim_net *net)
{
	struct datagram first = net->heap[0], last = net->heap[--net->count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < net->count) {
		if (child + 1 < net->count && before(&net->heap[child + 1], &net->heap[child]))
			child++;
		if (!before(&net->heap[child], &last))
			break;
		net->heap[i] = net->heap[child];
		i = child;
	}
	net->heap[i] = last;
	return first;
}

static bool is_fresh(const struct sim_net *net, uint64_t used)
{
	return used && net->now - used < MAPPING_LASTS;
}

static void sweep(struct sim_nat *nat)
{
	struct mapping *m, *next;

	if (HASH_CNT(by_key, nat->mappings) < nat->sweep_at)
		return;
	HASH_ITER(by_key, nat->mappings, m, next)
	if (!is_fresh(nat->net, m->used))
		drop_mapping(nat, m);
	nat->sweep_at = SWEEP_FROM + 2 * (size_t)HASH_CNT(by_key, nat->mappings);
}

static struct mapping *find_port(const struct sim_nat *nat, uint16_t port)
{
	struct mapping *m;

	HASH_FIND(by_port, nat->ports, &port, sizeof(port), m);
	return m;
}

static uint16_t free_port(struct sim_nat *nat)
{
	uint16_t port;

	do {
		port = nat->next_port++;
		if (nat->next_port < FIRST_PORT)
			nat->next_port = FIRST_PORT;
	} while (find_port(nat, port));
	return port;
}

static struct mapping *map_out(struct sim_nat *nat, const struct endpoint *inside,
			       const struct endpoint *outside)
{
	uint64_t key[2] = {pack(inside), nat->kind == NAT_SYMMETRIC ? pack(outside) : 0};
	struct mapping *m;

	HASH_FIND(by_key, nat->mappings, key, sizeof(key), m);
	if (m && is_fresh(nat->net, m->used))
		return m;
	if (m)
		drop_mapping(nat, m);
	sweep(nat);
	m = calloc(1, sizeof(*m));
	assert(m);
	memcpy(m->key, key, sizeof(key));
	m->inside = *inside;
	m->port = free_port(nat);
	m->sweep_at = SWEEP_FROM;
	HASH_ADD(by_key, nat->mappings, key, sizeof(m->key), m);
	HASH_ADD(by_port, nat->ports, port, sizeof(m->port), m);
	return m;
}

static uint64_t permission_of(const struct sim_nat *nat, const struct endpoint *remote)
{
	uint64_t key = pack(remote);

	return nat->kind == NAT_RESTRICTED ? key & ~0xffffull : key;
}

static void sweep_permissions(const struct sim_net *net, struct mapping *m)
{
	struct permission *p, *next;

	if (HASH_COUNT(m->allowed) < m->sweep_at)
		return;
	HASH_ITER(hh, m->allowed, p, next)
	{
		if (is_fresh(net, p->used))
			continue;
		HASH_DEL(m->allowed, p);
		free(p);
	}
	m->sweep_at = SWEEP_FROM + 2 * (size_t)HASH_COUNT(m->allowed);
}

static void allow(const struct sim_nat *nat, struct mapping *m, const struct endpoint *remote)
{
	uint64_t key = permission_of(nat, remote);
	struct permission *p;

	HASH_FIND(hh, m->allowed, &key, sizeof(key), p);
	if (!p) {
		sweep_permissions(nat->net, m);
		p = calloc(1, sizeof(*p));
		assert(p);
		p->remote = key;
		HASH_ADD(hh, m->allowed, remote, sizeof(p->remote), p);
	}
	p->used = nat->net->now;
}

/* 10.x.y.z with the number of the NAT in x and y. */
static bool is_inside(const struct sim_nat *nat, const struct address *a)
{
	return a->bytes[0] == 10 && (a->bytes[1] << 8 | a->bytes[2]) == (int)nat->number;
}

static struct endpoint translate_out(struct sim_host *host, const struct endpoint *dst)
{
	struct sim_nat *nat = host->nat;
	struct heap_account *before;
	struct mapping *m;

	/* Inside the same network nothing is translated. */
	if (!nat || is_inside(nat, &dst->addr))
		return host->at;
	before = heap_charge(NULL);
	m = map_out(nat, &host->at, dst);
	m->used = host->net->now;
	allow(nat, m, dst);
	heap_charge(before);
	return (struct endpoint){nat->address, m->port};
}

static bool lets_in(const struct sim_nat *nat, const struct mapping *m, const struct endpoint *src)
{
	uint64_t key = permission_of(nat, src);
	struct permission *p;

	if (nat->kind == NAT_FULL_CONE)
		return true;
	HASH_FIND(hh, m->allowed, &key, sizeof(key), p);
	return p && is_fresh(nat->net, p->used);
}

/* The endpoint inside; false: dropped. */
static bool translate_in(struct sim_nat *nat, const struct endpoint *src, struct endpoint *dst)
{
	struct mapping *m = find_port(nat, dst->port);

	if (!m || !is_fresh(nat->net, m->used) || !lets_in(nat, m, src))
		return false;
	m->used = nat->net->now;
	*dst = m->inside;
	return true;
}

static void send_copy(struct sim_host *host, const struct endpoint *src, const struct endpoint *dst,
		      const uint8_t *bytes, size_t len)
{
	struct sim_net *net = host->net;
	struct datagram d = {.from = host, .src = *src, .dst = *dst, .len = len};
	struct heap_account *before = heap_charge(NULL);

	d.at = net->now + net->delay + (net->jitter ? sim_random(net) % net->jitter : 0);
	d.order = net->order++;
	d.bytes = malloc(len ? len : 1);
	assert(d.bytes);
	memcpy(d.bytes, bytes, len);
	heap_push(net, &d);
	heap_charge(before);
}

void sim_send(struct sim_host *host, const struct endpoint *dst, const uint8_t *bytes, size_t len)
{
	struct sim_net *net = host->net;
	struct endpoint src;

	if (host->off || dst->addr.family != ADDR_V4)
		return;
	src = host->claims ? host->claimed : translate_out(host, dst);
	if (sim_random(net) % 1000 < net->loss)
		return;
	send_copy(host, &src, dst, bytes, len);
	if (sim_random(net) % 1000 < net->doubled)
		send_copy(host, &src, dst, bytes, len);
}

void sim_send_as(struct sim_host *host, const struct endpoint *src, const struct endpoint *dst,
		 const uint8_t *bytes, size_t len)
{
	if (!host->off)
		send_copy(host, src, dst, bytes, len);
}

uint64_t sim_next(const struct sim_net *net)
{
	return net->count ? net->heap[0].at : UINT64_MAX;
}

void sim_advance(struct sim_net *net, uint64_t now)
{
	assert(now >= net->now && now <= sim_next(net));
	net->now = now;
}

static void arrive(struct sim_net *net, struct datagram *d)
{
	struct endpoint dst = d->dst;
	uint64_t at = pack(&(struct endpoint){dst.addr, 0});
	struct sim_host *host;
	struct sim_nat *nat;

	HASH_FIND(hh, net->nats, &at, sizeof(at), nat);
	if (nat && !translate_in(nat, &d->src, &dst))
		return;
	host = host_at(net, &dst);
	if (!host || host->off || find_block(net, d->from, host))
		return;
	/* A private address is reached from its own network only. */
	if (host->nat && !nat && d->from->nat != host->nat)
		return;
	net->delivered++;
	host->receive(host->ctx, &d->src, d->bytes, d->len);
}

uint64_t sim_delivered(const struct sim_net *net)
{
	return net->delivered;
}

void sim_deliver(struct sim_net *net)
{
	while (net->count && net->heap[0].at <= net->now) {
		struct datagram d = heap_pop(net);

		arrive(net, &d);
		free(d.bytes);
	}
}
