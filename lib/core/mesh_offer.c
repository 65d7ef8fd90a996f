#include "core/mesh_parts.h"

#include "wire/hash.h"
#include "wire/message.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Other backends than native (PROTOCOL 9): what members offer each other, the statements that bind
 * keys of backends to them, datagrams of backends through sessions, and the search for members whom
 * no packet waits for.
 *
 *	session up, offer changed → OFFER, again until OFFER_ACK
 *	OFFER of a whole → it counts, OFFER_ACK; ours too if the handshake was another one
 *	statement, from whomever → the book; refused: counted, and said who gave it */

/* PROTOCOL 9.4 */
#define OFFER_AGAIN	(1 * NS_PER_S)
#define OFFER_AGAIN_MAX (16 * NS_PER_S)
#define OFFER_MIN	(1 * NS_PER_S)	/* between two that are accepted */
#define OFFER_SAID	(10 * NS_PER_S) /* after a session came up */

#define REFUSED_AGAIN (60 * NS_PER_S) /* until the same is told again */

#define WANTED_FOR (10 * NS_PER_S)
#define SEEK_PACE  (NS_PER_S / 5) /* between two members; the OVC takes 10 a second */
#define SEEK_FIRST (5 * NS_PER_S)
#define SEEK_MAX   (300 * NS_PER_S)
#define SEEK_FOR   (10 * NS_PER_S)

enum { OFFER_TRIES = 6 };

/* Signatures of one OVC's statements that are looked at: 100 a second, burst 400. */
enum { STATEMENT_RATE = 100, STATEMENT_BURST = 400 };

static_assert((int)MESH_CARRY_MAX == FRAME_CARRY_MAX && (int)MESH_BACKENDS == FRAME_OFFERS &&
		      (int)MESH_BACKEND_ENDPOINTS == FRAME_CANDIDATES_MAX,
	      "PROTOCOL 5");

static const struct node_key *key_of(const struct mesh_peer *p)
{
	return peer_key(p->peer);
}

static void tell_offer(struct mesh *mesh, const struct node_key *key)
{
	if (mesh->out.offer_changed)
		mesh->out.offer_changed(mesh->out.ctx, key);
}

/* ---- Statements ---- */

static uint64_t wall_s(const struct mesh *mesh)
{
	const uint64_t label = (UINT64_C(1) << 62) + 10; /* TAI64, and TAI against UTC in 1970 */
	uint8_t stamp[TIMESTAMP_LEN];
	uint64_t seconds;

	mesh->io.timestamp(mesh->io.ctx, stamp);
	seconds = (uint64_t)load_u32be(stamp) << 32 | load_u32be(stamp + 4);
	return seconds > label ? seconds - label : 0;
}

/* Whose it is, if it counts at all. */
static enum book_verdict take_statement(struct mesh *mesh, const struct book_owner *owner,
					const struct span *bytes)
{
	const struct statement *taken;
	enum book_verdict verdict =
		book_take(mesh->book, owner, bytes->data, bytes->len, wall_s(mesh), &taken);

	if (verdict > BOOK_SAME)
		mesh_count(mesh, MESH_statement_refused);
	if (verdict == BOOK_NEW && mesh->out.statement)
		mesh->out.statement(mesh->out.ctx, taken);
	return verdict;
}

static struct book_owner owner_of(const struct mesh *mesh, const struct node_key *key)
{
	return (struct book_owner){OBJECT_DNET, mesh->dnet, *key};
}

/* False: it is the same as before. */
static bool take_own(struct mesh_peer *p, const struct span *bytes)
{
	struct mesh_member *m = p->member;
	struct book_owner owner = owner_of(p->mesh, key_of(p));
	enum book_verdict verdict = take_statement(p->mesh, &owner, bytes);
	char text[HELPER_REFUSED_MAX];

	if (verdict <= BOOK_SAME)
		return verdict == BOOK_NEW;
	if (m->refused == book_verdict_text(verdict))
		return false;
	m->refused = book_verdict_text(verdict);
	snprintf(text, sizeof(text), "gave a wrong key of its own: %s", m->refused);
	mesh_tell(p->mesh, key_of(p), text);
	return false;
}

static void name_of(const struct mesh *mesh, const struct node_key *key, char *text, size_t size)
{
	const struct netmap_node *node = netmap_find_node(mesh->netmap, key);

	if (node && node->name[0])
		snprintf(text, size, "%s", node->name);
	else
		snprintf(text, size, "node %02x%02x%02x%02x%02x…", key->bytes[0], key->bytes[1],
			 key->bytes[2], key->bytes[3], key->bytes[4]);
}

static void tell_refused(struct helper *h, const struct node_key *about, const char *reason,
			 uint64_t now)
{
	char text[HELPER_REFUSED_MAX], name[RECORD_NAME_MAX + 1] = "itself";

	if (!node_key_equal(about, &h->row.key))
		name_of(h->mesh, about, name, sizeof(name));
	snprintf(text, sizeof(text), "gave a wrong key for %s: %s", name, reason);
	if (!strcmp(h->refused, text) && now - h->refused_at < REFUSED_AGAIN)
		return;
	memcpy(h->refused, text, sizeof(text));
	h->refused_at = now;
	mesh_tell(h->mesh, &h->row.key, text);
}

/* The statement is not looked into but for its backend: it was taken, or is known. */
static void note_hub(struct helper *h, uint16_t port, const struct span *bytes, bool changed)
{
	uint8_t backend = bytes->data[1];

	changed |= h->hub_port != port || h->hub_backend != backend;
	h->hub_port = port;
	h->hub_backend = backend;
	if (changed)
		tell_offer(h->mesh, &h->row.key);
}

void offer_on_statement(struct helper *h, const struct node_key *key, uint16_t port,
			const struct span *bytes, uint64_t now)
{
	struct mesh *mesh = h->mesh;
	struct book_owner owner = owner_of(mesh, key);
	bool own = node_key_equal(key, &h->row.key);
	enum book_verdict verdict;

	if (own)
		owner = (struct book_owner){OBJECT_OVC, h->row.id, *key};
	else if (!mesh_member_find(mesh, key)) {
		mesh_count(mesh, MESH_frame_unexpected);
		return;
	}
	if (!ratelimit_take_one(&h->statements, STATEMENT_RATE, STATEMENT_BURST, now)) {
		mesh_count(mesh, MESH_frame_too_often);
		return;
	}
	verdict = take_statement(mesh, &owner, bytes);
	if (verdict > BOOK_SAME)
		tell_refused(h, key, book_verdict_text(verdict), now);
	else if (own)
		note_hub(h, port, bytes, verdict == BOOK_NEW);
	else if (verdict == BOOK_NEW)
		tell_offer(mesh, key);
}

bool mesh_load_statement(struct mesh *mesh, const struct statement *statement)
{
	struct book_owner owner = owner_of(mesh, &statement->signer);
	uint8_t bytes[STATEMENT_MAX];
	const struct helper *h;
	struct writer w;
	bool known = mesh_member_find(mesh, &statement->signer) != NULL;

	LIST_FOREACH(h, &mesh->helpers, entry)
	{
		if (statement->kind != h->row.kind ||
		    !node_key_equal(&h->row.key, &statement->signer))
			continue;
		owner = (struct book_owner){OBJECT_OVC, h->row.id, h->row.key};
		known = true;
	}
	writer_init(&w, bytes, sizeof(bytes));
	statement_write(&w, statement);
	return known && !w.failed &&
	       book_take(mesh->book, &owner, bytes, writer_len(&w), wall_s(mesh), NULL) <=
		       BOOK_SAME;
}

/* ---- Our offer ---- */

/* PROTOCOL 9.3: The digest is the first 8 bytes of SHA-256 over the SHA-256 of each frame from
 * `backend` on, in the order of index. */
static void digest_of(const struct hash256 *hashes, size_t count,
		      uint8_t ret_digest[static FRAME_DIGEST_LEN])
{
	struct sha256 h;
	struct hash256 all;

	sha256_init(&h);
	for (size_t i = 0; i < count; i++)
		sha256_update(&h, hashes[i].bytes, HASH_LEN);
	sha256_final(&h, &all);
	memcpy(ret_digest, all.bytes, FRAME_DIGEST_LEN);
}

static void hash_part(const uint8_t *bytes, size_t len, struct hash256 *ret)
{
	struct span part = frame_offer_part(bytes, len);

	hash_sha256(part.data, part.len, ret);
}

static void write_frame(struct own_offer *own, size_t i, const struct mesh_backend *b)
{
	struct frame frame = {.type = FRAME_OFFER};
	uint8_t statement[STATEMENT_MAX];
	struct writer w;

	writer_init(&w, statement, sizeof(statement));
	if (b->statement)
		statement_write(&w, b->statement);
	assert(!w.failed && b->endpoint_count <= MESH_BACKEND_ENDPOINTS);
	memcpy(frame.offer.digest, own->digest, FRAME_DIGEST_LEN);
	frame.offer.index = (uint8_t)i;
	frame.offer.count = (uint8_t)own->count;
	frame.offer.backend = b->backend;
	frame.offer.port = b->port;
	frame.offer.endpoints.count = (uint8_t)b->endpoint_count;
	for (size_t k = 0; k < b->endpoint_count; k++)
		frame.offer.endpoints.list[k] = b->endpoints[k];
	frame.offer.statement = (struct span){statement, writer_len(&w)};
	writer_init(&w, own->frames[i].bytes, sizeof(own->frames[i].bytes));
	frame_write(&w, &frame);
	assert(!w.failed);
	own->frames[i].len = writer_len(&w);
	own->frames[i].statement =
		(struct span){own->frames[i].bytes + writer_len(&w) - frame.offer.statement.len,
			      frame.offer.statement.len};
}

static void begin_offer(struct mesh_peer *p, uint64_t now)
{
	p->offer_tries = 0;
	p->offer_at = p->mesh->own.count ? now : UINT64_MAX;
}

void mesh_set_offer(struct mesh *mesh, const struct mesh_offer *offer, uint64_t now)
{
	struct own_offer *own = &mesh->own;
	struct hash256 hashes[FRAME_OFFERS];
	uint8_t before[FRAME_DIGEST_LEN];
	size_t count_before = own->count;

	assert(offer->count <= FRAME_OFFERS);
	memcpy(before, own->digest, sizeof(before));
	own->count = offer->count;
	for (size_t i = 0; i < own->count; i++) {
		write_frame(own, i, &offer->list[i]);
		hash_part(own->frames[i].bytes, own->frames[i].len, &hashes[i]);
	}
	digest_of(hashes, own->count, own->digest);
	for (size_t i = 0; i < own->count; i++)
		memcpy(own->frames[i].bytes + 1, own->digest, FRAME_DIGEST_LEN);
	if (count_before == own->count && !memcmp(before, own->digest, sizeof(before)))
		return;
	helpers_publish(mesh, now);
	for (size_t i = 0; i < mesh->member_count; i++) {
		struct mesh_peer *p = mesh->members[i] ? mesh->members[i]->active : NULL;

		if (!p || !p->up)
			continue;
		begin_offer(p, now);
		mesh_peer_schedule(p, now);
	}
}

/* PROTOCOL 9.4: Each member sends its offer … again after 1 s, doubled up to 16 s, until OFFER_ACK
 * names it, six times at most */
static void send_offer(struct mesh_peer *p, uint64_t now)
{
	const struct own_offer *own = &p->mesh->own;
	const struct path *path = path_current(&p->paths);
	uint64_t wait = OFFER_AGAIN << p->offer_tries;
	struct peer_stats stats;

	if (!p->up || now < p->offer_at)
		return;
	for (size_t i = 0; path && i < own->count; i++)
		peer_send_frame(p->peer, &path->via, own->frames[i].bytes, own->frames[i].len, now);
	peer_get_stats(p->peer, &stats);
	p->offered_handshake = stats.last_handshake;
	p->offer_at = ++p->offer_tries >= OFFER_TRIES
			      ? UINT64_MAX
			      : now + (wait < OFFER_AGAIN_MAX ? wait : OFFER_AGAIN_MAX);
}

/* ---- Theirs ---- */

static void send_ack(struct mesh_peer *p, const uint8_t digest[static FRAME_DIGEST_LEN],
		     uint64_t now)
{
	struct frame frame = {.type = FRAME_OFFER_ACK};
	const struct path *path = path_current(&p->paths);
	uint8_t bytes[FRAME_MAX];
	struct writer w;

	memcpy(frame.offer_ack, digest, FRAME_DIGEST_LEN);
	writer_init(&w, bytes, sizeof(bytes));
	frame_write(&w, &frame);
	if (path && !w.failed)
		peer_send_frame(p->peer, &path->via, bytes, writer_len(&w), now);
}

/* It is there. Who was started anew knows nothing of ours. */
static void answer_offer(struct mesh_peer *p, uint64_t now)
{
	struct peer_stats stats;

	p->unsaid_at = UINT64_MAX;
	send_ack(p, p->member->theirs->digest, now);
	peer_get_stats(p->peer, &stats);
	if (stats.last_handshake == p->offered_handshake)
		return;
	begin_offer(p, now);
	send_offer(p, now);
}

/* Where its parts come together; NULL: it is refused, counted. */
static struct peer_offer *pending_offer(struct mesh_peer *p, const struct frame_offer *o,
					uint64_t now)
{
	struct peer_offer *in = p->pending;

	if (in && in->count == o->count && !memcmp(in->digest, o->digest, FRAME_DIGEST_LEN))
		return in;
	if (p->pending_at && now - p->pending_at < OFFER_MIN) {
		mesh_count(p->mesh, MESH_frame_too_often);
		return NULL;
	}
	if (!in)
		in = p->pending = malloc(sizeof(*in));
	if (!in)
		return NULL;
	memset(in, 0, sizeof(*in));
	memcpy(in->digest, o->digest, FRAME_DIGEST_LEN);
	in->count = o->count;
	p->pending_at = now;
	return in;
}

/* PROTOCOL 9.3: no backend stands twice */
static bool has_backend(const struct peer_offer *o, uint8_t backend)
{
	for (unsigned i = 0; i < o->count; i++)
		if (o->have & 1u << i && o->parts[i].backend == backend)
			return true;
	return false;
}

static void adopt(struct mesh_peer *p, uint64_t now)
{
	uint8_t digest[FRAME_DIGEST_LEN];
	struct peer_offer *in = p->pending;

	digest_of(in->hashes, in->count, digest);
	p->pending = NULL;
	if (memcmp(digest, in->digest, sizeof(digest)) != 0) {
		mesh_count(p->mesh, MESH_frame_malformed);
		free(in);
		return;
	}
	free(p->member->theirs);
	p->member->theirs = in;
	answer_offer(p, now);
	tell_offer(p->mesh, key_of(p));
}

static void take_offer(struct mesh_peer *p, const struct frame_offer *o, const uint8_t *bytes,
		       size_t len, uint64_t now)
{
	const struct peer_offer *theirs = p->member->theirs;
	struct peer_offer *in;

	if (theirs && !memcmp(theirs->digest, o->digest, FRAME_DIGEST_LEN)) {
		if (o->index + 1 == o->count)
			answer_offer(p, now);
		return;
	}
	in = pending_offer(p, o, now);
	if (!in || in->have & 1u << o->index)
		return;
	if (has_backend(in, o->backend)) {
		mesh_count(p->mesh, MESH_frame_malformed);
		return;
	}
	in->have |= (uint8_t)(1u << o->index);
	hash_part(bytes, len, &in->hashes[o->index]);
	in->parts[o->index].backend = o->backend;
	in->parts[o->index].port = o->port;
	in->parts[o->index].endpoints = o->endpoints;
	if (o->statement.len)
		take_own(p, &o->statement);
	if (in->have == (1u << in->count) - 1)
		adopt(p, now);
}

static void take_carry(struct mesh_peer *p, const struct frame_carry *c, uint64_t now)
{
	struct mesh *mesh = p->mesh;

	mesh_count(mesh, MESH_carry_in);
	data_note_flow(p, now);
	if (mesh->out.carried)
		mesh->out.carried(mesh->out.ctx, key_of(p), c->backend, c->datagram.data,
				  c->datagram.len);
}

void offer_on_frame(struct mesh_peer *p, const struct frame *frame, const uint8_t *bytes,
		    size_t len, uint64_t now)
{
	switch (frame->type) {
	case FRAME_OFFER:
		take_offer(p, &frame->offer, bytes, len, now);
		mesh_peer_schedule(p, now);
		return;
	case FRAME_OFFER_ACK:
		if (!memcmp(frame->offer_ack, p->mesh->own.digest, FRAME_DIGEST_LEN))
			p->offer_at = UINT64_MAX;
		mesh_peer_schedule(p, now);
		return;
	case FRAME_CARRY:
		take_carry(p, &frame->carry, now);
		return;
	}
}

static void fill_backend(const struct mesh_member *m, unsigned i, struct mesh_backend *ret)
{
	const struct frame_endpoints *list = &m->theirs->parts[i].endpoints;

	ret->backend = m->theirs->parts[i].backend;
	ret->port = m->theirs->parts[i].port;
	ret->endpoint_count = list->count;
	for (unsigned k = 0; k < list->count; k++)
		ret->endpoints[k] = list->list[k];
	ret->statement = book_find(m->mesh->book, peer_key(m->peer), ret->backend);
}

bool mesh_peer_offer(const struct mesh *mesh, const struct node_key *key,
		     struct mesh_offer *ret_offer)
{
	const struct mesh_member *m = mesh_member_find(mesh, key);

	if (!m)
		return false;
	memset(ret_offer, 0, sizeof(*ret_offer));
	ret_offer->count = m->theirs ? m->theirs->count : 1;
	for (unsigned i = 0; m->theirs && i < ret_offer->count; i++)
		fill_backend(m, i, &ret_offer->list[i]);
	if (!m->theirs)
		ret_offer->list[0].backend = BACKEND_NATIVE;
	return true;
}

uint8_t mesh_choose_backend(const struct node_key *a, const struct mesh_offer *of_a,
			    const struct node_key *b, const struct mesh_offer *of_b)
{
	bool a_first = node_key_compare(a, b) < 0;
	const struct mesh_offer *first = a_first ? of_a : of_b, *second = a_first ? of_b : of_a;

	for (size_t i = 0; i < first->count; i++)
		for (size_t k = 0; k < second->count; k++)
			if (first->list[i].backend == second->list[k].backend)
				return first->list[i].backend;
	return 0;
}

/* ---- Datagrams of backends, and who carries packets ---- */

bool mesh_carry(struct mesh *mesh, const struct node_key *key, uint8_t backend, const void *bytes,
		size_t len, uint64_t now)
{
	struct frame frame = {.type = FRAME_CARRY, .carry = {backend, {bytes, len}}};
	uint8_t mem[FRAME_CARRY_HEADER_LEN + FRAME_CARRY_MAX];
	struct mesh_member *m = mesh_member_find(mesh, key);
	const struct path *path;
	struct mesh_peer *p;
	struct writer w;

	writer_init(&w, mem, sizeof(mem));
	frame_write(&w, &frame);
	p = m && !w.failed ? mesh_member_activate(m, now) : NULL;
	if (!p)
		return false;
	data_note_flow(p, now);
	path = path_current(&p->paths);
	if (path && !peer_send_frame(p->peer, &path->via, mem, writer_len(&w), now)) {
		mesh_count(mesh, MESH_carry_out);
		return true;
	}
	p->wanted_until = now + WANTED_FOR;
	mesh_peer_want(p, now);
	return false;
}

void mesh_set_carrier(struct mesh *mesh, const struct node_key *key, bool native)
{
	struct mesh_member *m = mesh_member_find(mesh, key);

	if (!m || m->foreign == !native)
		return;
	m->foreign = !native;
	if (m->foreign && m->active) {
		data_drop_boxes(mesh, m->active);
		stage_clear(mesh->pool, &m->active->stage);
	}
}

/* ---- Sessions without traffic ---- */

static void seek_at(struct mesh_member *m, uint64_t at)
{
	m->seek_at = at;
	if (at < m->mesh->seek_at)
		m->mesh->seek_at = at;
	if (m->mesh->persistent)
		mesh_wake(m->mesh, at);
}

void offer_seek_soon(struct mesh_member *m)
{
	m->seek_wait = 0;
	seek_at(m, 0);
}

static void keep(struct mesh_peer *p, bool on)
{
	path_keep(&p->paths, on);
	peer_set_persistent(p->peer, on && p->up);
}

void mesh_set_control_persistent(struct mesh *mesh, bool on, uint64_t now)
{
	if (mesh->persistent == on)
		return;
	mesh->persistent = on;
	for (size_t i = 0; i < mesh->member_count; i++) {
		struct mesh_member *m = mesh->members[i];

		if (!m)
			continue;
		offer_seek_soon(m);
		if (!m->active)
			continue;
		keep(m->active, on);
		mesh_peer_schedule(m->active, now);
	}
}

static void seek(struct mesh_member *m, uint64_t now)
{
	struct mesh_peer *p = mesh_member_activate(m, now);
	bool known = false;

	m->seek_wait = !m->seek_wait		     ? SEEK_FIRST
		       : m->seek_wait < SEEK_MAX / 2 ? 2 * m->seek_wait
						     : SEEK_MAX;
	m->seek_at = now + m->seek_wait;
	if (!p)
		return;
	for (int i = 0; i < PATH_ENTRIES; i++)
		known |= p->paths.list[i].used;
	p->seek_until = now + SEEK_FOR;
	helpers_ask(p->mesh, key_of(p), now);
	if (known)
		peer_connect(p->peer, now);
	mesh_peer_schedule(p, now);
}

void offer_seek(struct mesh *mesh, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	if (!mesh->persistent || mesh->seek_at == UINT64_MAX)
		return;
	if (mesh->seek_at < mesh->sought_at + SEEK_PACE)
		mesh->seek_at = mesh->sought_at + SEEK_PACE;
	for (size_t i = 0; now >= mesh->seek_at && i < mesh->member_count; i++) {
		struct mesh_member *m = mesh->members[(mesh->seek_next + i) % mesh->member_count];

		if (!m || (m->active && m->active->up))
			continue;
		if (m->seek_at <= now) {
			mesh->seek_next = (mesh->seek_next + i + 1) % mesh->member_count;
			mesh->sought_at = now;
			seek(m, now);
			next = now + SEEK_PACE;
			break;
		}
		if (m->seek_at < next)
			next = m->seek_at;
	}
	if (now >= mesh->seek_at)
		mesh->seek_at = next;
	mesh_wake(mesh, mesh->seek_at);
}

/* ---- A peer's own time ---- */

void offer_on_session(struct mesh_peer *p, bool up, uint64_t now)
{
	struct mesh_member *m = p->member;

	p->wanted_until = p->seek_until = 0;
	keep(p, p->mesh->persistent);
	if (!up) {
		p->offer_at = p->unsaid_at = UINT64_MAX;
		if (!m->seek_at || m->seek_at < now)
			seek_at(m, now + SEEK_FIRST);
		return;
	}
	m->seek_wait = m->seek_at = 0;
	p->unsaid_at = m->theirs ? now + OFFER_SAID : UINT64_MAX;
	begin_offer(p, now);
	send_offer(p, now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t offer_deadline(const struct mesh_peer *p)
{
	uint64_t deadline = earlier(p->offer_at, p->unsaid_at);

	if (p->wanted_until)
		deadline = earlier(deadline, p->wanted_until);
	if (p->seek_until)
		deadline = earlier(deadline, p->seek_until);
	return deadline;
}

void offer_tick(struct mesh_peer *p, uint64_t now)
{
	if (p->wanted_until <= now)
		p->wanted_until = 0;
	if (p->seek_until <= now)
		p->seek_until = 0;
	if (p->offer_at <= now)
		send_offer(p, now);
	if (p->unsaid_at > now)
		return;
	/* PROTOCOL 9.4: A member that has said no offer 10 s after a session came up (an older
	 * version) offers native alone. */
	p->unsaid_at = UINT64_MAX;
	free(p->member->theirs);
	p->member->theirs = NULL;
	tell_offer(p->mesh, key_of(p));
}

void offer_forget(struct mesh_member *m)
{
	book_remove(m->mesh->book, peer_key(m->peer));
	free(m->theirs);
	m->theirs = NULL;
}
