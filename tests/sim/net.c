#include "sim/net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS = 32, NATS = 32, MAPPINGS = 256, BLOCKS = 64 };

#define MAPPING_LASTS (120 * SIM_SECOND)

struct mapping {
	struct endpoint inside, outside; /* outside: only for NAT_SYMMETRIC */
	uint16_t port;
	uint64_t used;
	struct {
		struct endpoint remote;
		uint64_t used;
	} allowed[32];
};

struct sim_nat {
	struct sim_net *net;
	enum nat_kind kind;
	struct address address;
	unsigned number, hosts;
	uint16_t next_port;
	struct mapping mappings[MAPPINGS];
};

struct sim_host {
	struct sim_net *net;
	struct sim_nat *nat;
	struct endpoint at;
	bool off, every_port, claims;
	struct endpoint claimed;
	sim_receive *receive;
	void *ctx;
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
	struct sim_host hosts[HOSTS];
	unsigned host_count, addresses;
	struct sim_nat nats[NATS];
	unsigned nat_count;
	struct {
		const struct sim_host *a, *b;
	} blocks[BLOCKS];
	unsigned block_count;
	struct datagram *heap; /* by (at, order) */
	size_t count, size;
};

struct sim_net *sim_net_new(uint64_t seed)
{
	struct sim_net *net = calloc(1, sizeof(*net));

	assert(net);
	net->state = seed;
	net->now = 1000 * SIM_SECOND;
	net->delay = 10 * SIM_MS;
	return net;
}

void sim_net_free(struct sim_net *net)
{
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

	while (len--)
		*bytes++ = (uint8_t)sim_random(net);
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
	struct sim_nat *nat = &net->nats[net->nat_count++];

	assert(net->nat_count <= NATS);
	nat->net = net;
	nat->kind = kind;
	nat->number = net->nat_count;
	nat->address = (struct address){ADDR_V4, {198, 51, 100, (uint8_t)net->nat_count}};
	nat->next_port = 20000;
	return nat;
}

void sim_nat_reset(struct sim_nat *nat)
{
	memset(nat->mappings, 0, sizeof(nat->mappings));
	nat->next_port = (uint16_t)(nat->next_port + 1000);
}

static void place(struct sim_host *host, struct sim_nat *nat)
{
	struct sim_net *net = host->net;

	host->nat = nat;
	host->at.port = 7000;
	if (nat)
		host->at.addr = (struct address){
			ADDR_V4, {10, (uint8_t)nat->number, 0, (uint8_t)++nat->hosts}};
	else
		host->at.addr = (struct address){ADDR_V4, {203, 0, 113, (uint8_t)++net->addresses}};
}

struct sim_host *sim_add_host(struct sim_net *net, struct sim_nat *nat, sim_receive *receive,
			      void *ctx)
{
	struct sim_host *host = &net->hosts[net->host_count++];

	assert(net->host_count <= HOSTS);
	host->net = net;
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
	place(host, nat);
}

void sim_host_take_every_port(struct sim_host *host)
{
	host->every_port = true;
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

void sim_block_way(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool on)
{
	for (unsigned i = 0; i < net->block_count; i++)
		if (net->blocks[i].a == a && net->blocks[i].b == b)
			net->blocks[i--] = net->blocks[--net->block_count];
	assert(net->block_count < BLOCKS);
	if (on) {
		net->blocks[net->block_count].a = a;
		net->blocks[net->block_count++].b = b;
	}
}

void sim_block(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool on)
{
	sim_block_way(net, a, b, on);
	sim_block_way(net, b, a, on);
}

static bool is_blocked(const struct sim_net *net, const struct sim_host *a,
		       const struct sim_host *b)
{
	for (unsigned i = 0; i < net->block_count; i++)
		if (net->blocks[i].a == a && net->blocks[i].b == b)
			return true;
	return false;
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

static struct mapping *map_out(struct sim_nat *nat, const struct endpoint *inside,
			       const struct endpoint *outside)
{
	struct mapping *free_one = NULL;

	for (unsigned i = 0; i < MAPPINGS; i++) {
		struct mapping *m = &nat->mappings[i];

		if (!is_fresh(nat->net, m->used)) {
			free_one = free_one ? free_one : m;
			continue;
		}
		if (endpoint_equal(&m->inside, inside) &&
		    (nat->kind != NAT_SYMMETRIC || endpoint_equal(&m->outside, outside)))
			return m;
	}
	assert(free_one);
	*free_one =
		(struct mapping){.inside = *inside, .outside = *outside, .port = nat->next_port++};
	return free_one;
}

static void allow(const struct sim_net *net, struct mapping *m, const struct endpoint *remote)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < 32; i++) {
		if (endpoint_equal(&m->allowed[i].remote, remote)) {
			oldest = i;
			break;
		}
		if (m->allowed[i].used < m->allowed[oldest].used)
			oldest = i;
	}
	m->allowed[oldest].remote = *remote;
	m->allowed[oldest].used = net->now;
}

static struct endpoint translate_out(struct sim_host *host, const struct endpoint *dst)
{
	struct sim_nat *nat = host->nat;
	struct mapping *m;

	/* Inside the same network nothing is translated. */
	if (!nat || (dst->addr.bytes[0] == 10 && dst->addr.bytes[1] == nat->number))
		return host->at;
	m = map_out(nat, &host->at, dst);
	m->used = host->net->now;
	allow(host->net, m, dst);
	return (struct endpoint){nat->address, m->port};
}

static bool lets_in(const struct sim_nat *nat, const struct mapping *m, const struct endpoint *src)
{
	if (nat->kind == NAT_FULL_CONE)
		return true;
	for (unsigned i = 0; i < 32; i++) {
		const struct endpoint *remote = &m->allowed[i].remote;

		if (is_fresh(nat->net, m->allowed[i].used) &&
		    address_equal(&remote->addr, &src->addr) &&
		    (nat->kind == NAT_RESTRICTED || remote->port == src->port))
			return true;
	}
	return false;
}

/* The endpoint inside; false: dropped. */
static bool translate_in(struct sim_nat *nat, const struct endpoint *src, struct endpoint *dst)
{
	for (unsigned i = 0; i < MAPPINGS; i++) {
		struct mapping *m = &nat->mappings[i];

		if (!is_fresh(nat->net, m->used) || m->port != dst->port)
			continue;
		if (!lets_in(nat, m, src))
			return false;
		m->used = nat->net->now;
		*dst = m->inside;
		return true;
	}
	return false;
}

static void send_copy(struct sim_host *host, const struct endpoint *src, const struct endpoint *dst,
		      const uint8_t *bytes, size_t len)
{
	struct sim_net *net = host->net;
	struct datagram d = {.from = host, .src = *src, .dst = *dst, .len = len};

	d.at = net->now + net->delay + (net->jitter ? sim_random(net) % net->jitter : 0);
	d.order = net->order++;
	d.bytes = malloc(len ? len : 1);
	assert(d.bytes);
	memcpy(d.bytes, bytes, len);
	heap_push(net, &d);
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

static struct sim_host *host_at(struct sim_net *net, const struct endpoint *e)
{
	for (unsigned i = 0; i < net->host_count; i++)
		if (endpoint_equal(&net->hosts[i].at, e) ||
		    (net->hosts[i].every_port && address_equal(&net->hosts[i].at.addr, &e->addr)))
			return &net->hosts[i];
	return NULL;
}

static void arrive(struct sim_net *net, struct datagram *d)
{
	struct endpoint dst = d->dst;
	struct sim_host *host;

	for (unsigned i = 0; i < net->nat_count; i++)
		if (address_equal(&net->nats[i].address, &dst.addr) &&
		    !translate_in(&net->nats[i], &d->src, &dst))
			return;
	host = host_at(net, &dst);
	if (!host || host->off || is_blocked(net, d->from, host))
		return;
	/* A private address is reached from its own network only. */
	if (host->nat && address_equal(&dst.addr, &d->dst.addr) && d->from->nat != host->nat)
		return;
	host->receive(host->ctx, &d->src, d->bytes, d->len);
}

void sim_deliver(struct sim_net *net)
{
	while (net->count && net->heap[0].at <= net->now) {
		struct datagram d = heap_pop(net);

		arrive(net, &d);
		free(d.bytes);
	}
}
