#include "core/mesh_parts.h"

#include "core/error.h"
#include "core/icmp.h"
#include "wire/buf.h"
#include "wire/ip.h"
#include "wire/message.h"

#include <string.h>

/* The packet path. Out: whose is it, is it ours, is it allowed, then sealed into the box of its
 * peer and path, which goes out when it is full or the burst is over. In: is it the peer's, is it
 * for us, is it allowed, then joined with its neighbours towards the TUN. */

enum { IPV4_FRAGMENT_BITS = 0x3fff }; /* more fragments, and the offset */
enum { ICMP_BURST = 50, ICMP_PER_SECOND = 50 };

static bool via_equal(const struct via *a, const struct via *b)
{
	return a->lane == b->lane && endpoint_equal(&a->endpoint, &b->endpoint);
}

static void flush_box(struct mesh *mesh, struct mesh_box *b, uint64_t now)
{
	struct outbox *box = &b->box;
	size_t lanes = box->lane ? box->count * (size_t)LANE_HEADER_LEN : 0;

	if (box->count) {
		mesh->io.send(mesh->io.ctx, &b->via.endpoint, box->bytes, box->len, box->segment);
		peer_data_sent(b->peer->peer, box->count, box->len - lanes, now);
	}
	outbox_clear(box);
}

void data_flush_boxes(struct mesh *mesh, const struct mesh_peer *only, uint64_t now)
{
	for (unsigned i = 0; i < MESH_BOXES; i++) {
		struct mesh_box *b = &mesh->boxes[i];

		if (!b->peer || (only && b->peer != only))
			continue;
		flush_box(mesh, b, now);
		b->peer = NULL;
	}
}

void data_drop_boxes(struct mesh *mesh, const struct mesh_peer *peer)
{
	for (unsigned i = 0; i < MESH_BOXES; i++) {
		if (mesh->boxes[i].peer != peer)
			continue;
		outbox_clear(&mesh->boxes[i].box);
		mesh->boxes[i].peer = NULL;
	}
}

/* The peer's box if it has one, else a free one, else the one not used for longest. */
static struct mesh_box *box_for(struct mesh_peer *p, const struct via *via, uint64_t now)
{
	struct mesh *mesh = p->mesh;
	struct mesh_box *best = &mesh->boxes[0];

	for (unsigned i = 0; i < MESH_BOXES; i++) {
		struct mesh_box *b = &mesh->boxes[i];

		if (b->peer == p) {
			best = b;
			break;
		}
		if (best->peer && (!b->peer || b->used < best->used))
			best = b;
	}
	best->used = ++mesh->turn;
	if (best->peer == p && via_equal(&best->via, via))
		return best;
	if (best->peer)
		flush_box(mesh, best, now);
	outbox_clear(&best->box);
	best->peer = p;
	best->via = *via;
	best->box.lane = via->lane;
	return best;
}

static void say_icmp(struct mesh *mesh, enum icmp_problem problem, uint16_t mtu,
		     const struct packet *about, uint64_t now)
{
	uint8_t bytes[COALESCE_HEADROOM + ICMP_ERROR_MAX];
	struct packet packet = {.data = bytes + COALESCE_HEADROOM};
	uint64_t earned = (now - mesh->icmp_at) / (NS_PER_S / ICMP_PER_SECOND);

	if (earned) {
		mesh->icmp_tokens += earned > ICMP_BURST ? ICMP_BURST : earned;
		if (mesh->icmp_tokens > ICMP_BURST)
			mesh->icmp_tokens = ICMP_BURST;
		mesh->icmp_at = now;
	}
	if (!mesh->icmp_tokens) {
		mesh_count(mesh, MESH_icmp_limited);
		return;
	}
	packet.len = icmp_error(problem, mtu, about->data, about->len, packet.data);
	if (!packet.len)
		return;
	mesh->icmp_tokens--;
	mesh_count(mesh, MESH_icmp_sent);
	mesh->out.deliver(mesh->out.ctx, &packet);
}

enum verdict { VERDICT_ALLOWED, VERDICT_DENIED, VERDICT_FRAGMENT };

static enum verdict judge(struct mesh *mesh, const struct mesh_member *src,
			  const struct mesh_member *dst, const uint8_t *bytes,
			  const struct ip_view *ip, uint64_t now)
{
	struct ip_flow flow;

	ip_flow_of(ip, &flow);
	if (ip->fragment == IP_FRAGMENT_LATER) {
		if (acl_allows_blindly(mesh->acl, src->index, dst->index, &flow) ||
		    flow_passes(mesh->flows, bytes, ip, now))
			return VERDICT_ALLOWED;
		return VERDICT_FRAGMENT;
	}
	/* Rules are looked at for what begins: what goes on, and what answers, is known. */
	if (flow_goes_on(mesh->flows, bytes, ip, now) || flow_passes(mesh->flows, bytes, ip, now))
		return VERDICT_ALLOWED;
	if (!acl_allows(mesh->acl, src->index, dst->index, &flow, NULL))
		return VERDICT_DENIED;
	flow_note(mesh->flows, bytes, ip, now);
	return VERDICT_ALLOWED;
}

static bool keep_flow(void *ctx, const struct ip_flow *flow)
{
	const struct mesh *mesh = ctx;
	const struct mesh_member *src = route_lookup(mesh->routes, flow->version, flow->src);
	const struct mesh_member *dst = route_lookup(mesh->routes, flow->version, flow->dst);

	return src && dst && acl_allows(mesh->acl, src->index, dst->index, flow, NULL);
}

void data_filter_flows(struct mesh *mesh)
{
	flow_filter(mesh->flows, keep_flow, mesh);
}

/* What the headers of a packet say without a look behind them. False: it cannot be a packet. */
static bool addresses_of(const uint8_t *bytes, size_t len, uint8_t *ret_version,
			 const uint8_t **ret_src, const uint8_t **ret_dst)
{
	*ret_version = len ? bytes[0] >> 4 : 0;
	if (*ret_version == 4 && len >= IPV4_HEADER_MIN) {
		*ret_src = bytes + 12;
		*ret_dst = bytes + 16;
		return true;
	}
	*ret_src = bytes + 8;
	*ret_dst = bytes + 24;
	return *ret_version == 6 && len >= IPV6_HEADER_LEN;
}

/* Options, extension headers, fragments and ICMP are looked at even where the policy allows all:
 * source routes, endless chains, fragments that hide a header, and errors about packets of others
 * are refused. */
static bool is_plain(const uint8_t *bytes)
{
	if (bytes[0] >> 4 == 4)
		return (bytes[0] & 15) == IPV4_HEADER_MIN / 4 && bytes[9] != IP_PROTO_ICMP &&
		       !(load_u16be(bytes + 6) & IPV4_FRAGMENT_BITS);
	return bytes[6] == IP_PROTO_TCP || bytes[6] == IP_PROTO_UDP;
}

/* What the kernel believes of an ICMP error (a smaller path MTU, nobody there) is about the packet
 * that it quotes: only who got that packet may say so. */
static bool icmp_is_right(struct mesh *mesh, const struct mesh_member *from,
			  const struct mesh_member *to, const uint8_t *bytes,
			  const struct ip_view *ip)
{
	struct ip_flow about;

	if (!flow_icmp_about(bytes, ip, &about))
		return true;
	return about.version && route_lookup(mesh->routes, about.version, about.src) == to &&
	       route_lookup(mesh->routes, about.version, about.dst) == from;
}

static size_t length_field(const uint8_t *bytes)
{
	return bytes[0] >> 4 == 4 ? load_u16be(bytes + 2)
				  : (size_t)load_u16be(bytes + 4) + IPV6_HEADER_LEN;
}

/* The largest packet that it becomes on the way. */
static size_t segment_len(const struct packet *packet)
{
	size_t at = packet->csum_start, header;

	if (packet->gso == GSO_NONE)
		return packet->len;
	if (packet->gso == GSO_UDP)
		header = at + UDP_HEADER_LEN;
	else
		header = at + 13 < packet->len ? at + (packet->data[at + 12] >> 4) * 4u : at;
	return header + packet->gso_size < packet->len ? header + packet->gso_size : packet->len;
}

/* False: there is no session or no path, nothing of it was sent. */
static bool seal(struct mesh_peer *p, const struct packet *packet, uint64_t now)
{
	struct session *session = peer_session(p->peer, now);
	const struct path *path = path_current(&p->paths);
	struct mesh_box *b;
	size_t offset = 0;
	int err;

	if (!session || !path)
		return false;
	b = box_for(p, &path->via, now);
	while (!session_seal_packet(session, packet, &offset, &b->box, &err))
		flush_box(p->mesh, b, now);
	if (err == -DNET_ENOSESSION)
		return false;
	if (err) {
		mesh_count(p->mesh, MESH_out_malformed);
		return true;
	}
	mesh_count(p->mesh, MESH_out_packets);
	p->mesh->counters[MESH_out_bytes] += packet->len;
	p->member->tx_packets++;
	p->member->tx_bytes += packet->len;
	return true;
}

void data_note_flow(struct mesh_peer *p, uint64_t now)
{
	bool flowed = path_flows(&p->paths, now);

	path_flow(&p->paths, now);
	if (!flowed)
		mesh_peer_schedule(p, now);
}

/* To its peer, or into its queue. */
static void send_or_stage(struct mesh_member *m, const struct packet *packet, uint64_t now)
{
	struct mesh_peer *p = mesh_member_activate(m, now);
	struct mesh *mesh = m->mesh;

	if (!p) {
		mesh_count(mesh, MESH_out_stage_full);
		return;
	}
	data_note_flow(p, now);
	if (p->up && p->mtu && segment_len(packet) > p->mtu) {
		mesh_count(mesh, MESH_out_too_big);
		say_icmp(mesh, ICMP_TOO_BIG,
			 p->mtu < IPV6_MTU_MIN && packet->data[0] >> 4 == 6 ? IPV6_MTU_MIN : p->mtu,
			 packet, now);
		return;
	}
	if (seal(p, packet, now))
		return;
	mesh->counters[MESH_out_stage_full] += stage_push(mesh->pool, &p->stage, packet);
	mesh_peer_want(p, now);
}

/* The member that it goes to; NULL: refused, counted, and its sender told. */
static struct mesh_member *check_out(struct mesh *mesh, const struct packet *packet, uint64_t now)
{
	const uint8_t *src, *dst;
	struct mesh_member *m;
	struct ip_view ip;
	uint8_t version;
	bool parse;

	if (!addresses_of(packet->data, packet->len, &version, &src, &dst) ||
	    (packet->gso == GSO_NONE && length_field(packet->data) != packet->len)) {
		mesh_count(mesh, MESH_out_malformed);
		return NULL;
	}
	m = route_lookup(mesh->routes, version, dst);
	if (!m || m == &mesh->self) {
		mesh_count(mesh, MESH_out_no_route);
		if (route_lookup(mesh->routes, version, src) == &mesh->self)
			say_icmp(mesh, ICMP_NO_ROUTE, 0, packet, now);
		return NULL;
	}
	if (route_lookup(mesh->routes, version, src) != &mesh->self) {
		mesh_count(mesh, MESH_out_source_not_ours);
		return NULL;
	}
	/* PROTOCOL 9.5: IP packets in the session of a pair that takes another backend than native
	 * are refused. */
	if (m->foreign) {
		mesh_count(mesh, MESH_out_other_backend);
		say_icmp(mesh, ICMP_UNREACHABLE, 0, packet, now);
		return NULL;
	}
	parse = !acl_allows_all(mesh->acl);
	if (!parse && is_plain(packet->data))
		return m;
	if (ip_parse(packet->data, packet->len, &ip) != IP_OK) {
		mesh_count(mesh, MESH_out_malformed);
		return NULL;
	}
	if (!icmp_is_right(mesh, &mesh->self, m, packet->data, &ip)) {
		mesh_count(mesh, MESH_out_icmp_foreign);
		return NULL;
	}
	switch (parse ? judge(mesh, &mesh->self, m, packet->data, &ip, now) : VERDICT_ALLOWED) {
	case VERDICT_ALLOWED:
		return m;
	case VERDICT_FRAGMENT:
		mesh_count(mesh, MESH_out_fragment_policy);
		return NULL;
	case VERDICT_DENIED:
		break;
	}
	mesh_count(mesh, MESH_out_policy);
	say_icmp(mesh, ICMP_PROHIBITED, 0, packet, now);
	return NULL;
}

void mesh_input_packet(struct mesh *mesh, struct packet *packet, uint64_t now)
{
	struct mesh_member *m = check_out(mesh, packet, now);

	if (m)
		send_or_stage(m, packet, now);
}

void data_unstage(struct mesh_peer *p, uint64_t now)
{
	struct mesh *mesh = p->mesh;

	/* The policy may be another one by now, so they are looked at again. */
	for (unsigned left = p->stage.packets; left; left--) {
		struct packet packet;
		struct mesh_member *to;

		if (!peer_session(p->peer, now) || !path_current(&p->paths) ||
		    !stage_pop(mesh->pool, &p->stage, mesh->unstaged, &packet))
			return;
		to = check_out(mesh, &packet, now);
		if (to)
			send_or_stage(to, &packet, now);
	}
}

void data_drop_staged(struct mesh_peer *p, uint64_t now)
{
	struct mesh *mesh = p->mesh;
	struct packet packet;

	while (stage_pop(mesh->pool, &p->stage, mesh->unstaged, &packet)) {
		mesh_count(mesh, MESH_out_unreachable);
		say_icmp(mesh, ICMP_UNREACHABLE, 0, &packet, now);
	}
}

static void deliver(void *ctx, struct packet *packet)
{
	struct mesh *mesh = ctx;

	mesh->out.deliver(mesh->out.ctx, packet);
}

void mesh_flush_in(struct mesh *mesh)
{
	coalesce_flush(&mesh->coalescer, deliver, mesh);
}

void mesh_flush(struct mesh *mesh, uint64_t now)
{
	data_flush_boxes(mesh, NULL, now);
	mesh_flush_in(mesh);
}

/* PROTOCOL 5.4: An IP packet is delivered only if its source address belongs to the key of the
 * session, its destination is ours (or a prefix we are gateway for) */
static bool addresses_are_right(struct mesh_peer *p, uint8_t version, const uint8_t *src,
				const uint8_t *dst)
{
	struct mesh *mesh = p->mesh;
	size_t len = version == 4 ? 8 : 32;

	/* Source and destination stand side by side in both families. */
	if (p->in_version == version && !memcmp(p->in_addresses, src, len))
		return true;
	if (route_lookup(mesh->routes, version, src) != p->member) {
		mesh_count(mesh, MESH_in_source_foreign);
		return false;
	}
	if (route_lookup(mesh->routes, version, dst) != &mesh->self) {
		mesh_count(mesh, MESH_in_destination_foreign);
		return false;
	}
	p->in_version = version;
	memcpy(p->in_addresses, src, len);
	return true;
}

static bool check_in(struct mesh_peer *p, const uint8_t *bytes, size_t len, uint64_t now)
{
	struct mesh *mesh = p->mesh;
	const uint8_t *src, *dst;
	struct ip_view ip;
	uint8_t version;
	bool parse = !acl_allows_all(mesh->acl);

	if (!addresses_of(bytes, len, &version, &src, &dst) || length_field(bytes) != len) {
		mesh_count(mesh, MESH_in_malformed);
		return false;
	}
	if (!addresses_are_right(p, version, src, dst))
		return false;
	if (p->member->foreign) {
		mesh_count(mesh, MESH_in_other_backend);
		return false;
	}
	if (!parse && is_plain(bytes))
		return true;
	if (ip_parse(bytes, len, &ip) != IP_OK) {
		mesh_count(mesh, MESH_in_malformed);
		return false;
	}
	if (!icmp_is_right(mesh, p->member, &mesh->self, bytes, &ip)) {
		mesh_count(mesh, MESH_in_icmp_foreign);
		return false;
	}
	switch (parse ? judge(mesh, p->member, &mesh->self, bytes, &ip, now) : VERDICT_ALLOWED) {
	case VERDICT_ALLOWED:
		return true;
	case VERDICT_FRAGMENT:
		mesh_count(mesh, MESH_in_fragment_policy);
		return false;
	case VERDICT_DENIED:
		break;
	}
	mesh_count(mesh, MESH_in_policy);
	return false;
}

void data_on_packet(void *ctx, struct peer *peer, const struct via *via, uint8_t flags,
		    uint8_t *bytes, size_t len)
{
	struct mesh_member *m = peer_ctx(peer);
	struct mesh_peer *p = m->active;
	struct mesh *mesh = m->mesh;
	uint64_t now = engine_now(mesh->engine);

	/* Without memory for one it was heard of in vain. */
	if (!p || !check_in(p, bytes, len, now))
		return;
	if (!coalesce_add(&mesh->coalescer, bytes, len, flags & DATA_FLAG_PARTIAL, mesh->gso_usable,
			  deliver, mesh)) {
		mesh_count(mesh, MESH_in_malformed);
		return;
	}
	data_note_flow(p, now);
	mesh_count(mesh, MESH_in_packets);
	mesh->counters[MESH_in_bytes] += len;
	m->rx_packets++;
	m->rx_bytes += len;
}
