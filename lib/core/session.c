#include "core/session.h"

#include "core/error.h"
#include "core/replay.h"
#include "core/segment.h"
#include "wire/buf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* PROTOCOL 2: "data: d4 · flags 1 · zero 2 · receiver 4 · counter 8 · ciphertext · tag 16" and
 * "lane: d5 · zero 3 · lane 8 · one datagram" */
enum { TYPE_DATA = 0xd4, TYPE_LANE = 0xd5, LANE_LEN = 12 };
enum { FLAG_PARTIAL = 1, FLAGS_KNOWN = FLAG_PARTIAL };

struct session {
	struct aead_key *send;	  /* owned */
	struct aead_key *receive; /* owned */
	uint64_t next;		  /* counter of the next message */
	uint64_t created;
	uint32_t local_index, remote_index;
	bool initiator;
	struct replay replay;
};

struct session *session_new(enum aead_kind kind, const uint8_t send_key[static AEAD_KEY_LEN],
			    const uint8_t receive_key[static AEAD_KEY_LEN], uint32_t local_index,
			    uint32_t remote_index, bool initiator, uint64_t now)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->send = aead_key_new(kind, send_key);
	session->receive = aead_key_new(kind, receive_key);
	if (!session->send || !session->receive) {
		session_free(session);
		return NULL;
	}
	session->local_index = local_index;
	session->remote_index = remote_index;
	session->initiator = initiator;
	session->created = now;
	return session;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	aead_key_free(session->send);
	aead_key_free(session->receive);
	free(session);
}

uint32_t session_local_index(const struct session *session)
{
	return session->local_index;
}

bool session_is_initiator(const struct session *session)
{
	return session->initiator;
}

uint64_t session_created(const struct session *session)
{
	return session->created;
}

uint64_t session_sent(const struct session *session)
{
	return session->next;
}

const char *session_provider(const struct session *session)
{
	return aead_provider(session->send);
}

/* content may be where it goes to, out + SESSION_HEADER_LEN. */
static void seal(struct session *session, uint8_t flags, const uint8_t *content, size_t len,
		 uint8_t *out)
{
	assert(session->next < REPLAY_LIMIT);
	out[0] = TYPE_DATA;
	out[1] = flags;
	store_u16(out + 2, 0);
	store_u32(out + 4, session->remote_index);
	store_u64(out + 8, session->next);
	/* PROTOCOL 5.1: Associated data is the 16 bytes of the header */
	aead_seal(session->send, session->next, out, SESSION_HEADER_LEN, content, len,
		  out + SESSION_HEADER_LEN);
	session->next++;
}

size_t session_seal(struct session *session, uint8_t flags, const uint8_t *content, size_t len,
		    uint8_t *out, size_t room)
{
	if (room < SESSION_OVERHEAD || len > room - SESSION_OVERHEAD ||
	    session->next >= REPLAY_LIMIT)
		return 0;
	seal(session, flags, content, len, out);
	return len + SESSION_OVERHEAD;
}

int session_open(struct session *session, uint8_t *msg, size_t len, uint8_t **ret_content)
{
	uint64_t counter;

	if (len < SESSION_OVERHEAD || len > UINT16_MAX || msg[0] != TYPE_DATA ||
	    (msg[1] & ~FLAGS_KNOWN) || load_u16(msg + 2) ||
	    load_u32(msg + 4) != session->local_index)
		return -DNET_EFORMAT;
	counter = load_u64(msg + 8);
	if (counter >= REPLAY_LIMIT)
		return -DNET_EREPLAY;
	if (!aead_open(session->receive, counter, msg, SESSION_HEADER_LEN, msg + SESSION_HEADER_LEN,
		       len - SESSION_HEADER_LEN, msg + SESSION_HEADER_LEN))
		return -DNET_EAUTH;
	/* PROTOCOL 5.1: the receiver keeps a window of 8,192 and checks it after the tag */
	if (!replay_accept(&session->replay, counter))
		return -DNET_EREPLAY;
	*ret_content = msg + SESSION_HEADER_LEN;
	return (int)(len - SESSION_OVERHEAD);
}

void outbox_clear(struct outbox *box)
{
	box->len = 0;
	box->segment = 0;
	box->count = 0;
	box->closed = false;
}

/* The size of a datagram with size bytes of content. */
static size_t datagram_len(const struct outbox *box, size_t size)
{
	return (box->lane ? LANE_LEN : 0) + size + SESSION_OVERHEAD;
}

/* All datagrams of one sendmsg are of one size, the last may be shorter. */
static bool outbox_takes(const struct outbox *box, size_t datagram)
{
	if (datagram > OUTBOX_MAX_BYTES - box->len)
		return false;
	return !box->count ||
	       (!box->closed && datagram <= box->segment && box->count < OUTBOX_MAX_SEGMENTS);
}

/* Whether a super-packet of so many datagrams, of this size but the last, has to wait for an empty
 * box: cut in two it would be two at the other side. One that fits into none begins anywhere. */
static bool wants_empty_box(const struct outbox *box, size_t datagram, size_t count)
{
	size_t bytes = datagram * count;

	return box->count && count <= OUTBOX_MAX_SEGMENTS && bytes <= OUTBOX_MAX_BYTES &&
	       (box->count + count > OUTBOX_MAX_SEGMENTS || box->len + bytes > OUTBOX_MAX_BYTES);
}

/* Where the content of the next datagram goes. */
static uint8_t *outbox_content(const struct outbox *box)
{
	return box->bytes + box->len + (box->lane ? LANE_LEN : 0) + SESSION_HEADER_LEN;
}

/* Seals what stands at content into the next datagram. */
static void outbox_seal(struct outbox *box, struct session *session, uint8_t flags,
			const uint8_t *content, size_t size)
{
	uint8_t *out = box->bytes + box->len;
	size_t datagram = datagram_len(box, size);

	if (box->lane) {
		store_u32(out, TYPE_LANE);
		store_u64(out + 4, box->lane);
		out += LANE_LEN;
	}
	seal(session, flags, content, size, out);
	if (!box->count)
		box->segment = datagram;
	box->closed = datagram < box->segment;
	box->len += datagram;
	box->count++;
}

/* Whether the other side can finish the checksum from what it sees of the packet. */
static bool finishable(const struct packet *packet)
{
	struct ip_view view;

	return segment_parse(packet->data, packet->len, &view) && view.has_ports &&
	       !view.fragment && packet->csum_start == view.upper &&
	       packet->csum_offset == transport_checksum_offset(view.protocol);
}

/* A packet that is not to be cut. */
static bool seal_whole(struct session *session, const struct packet *packet, struct outbox *box,
		       int *ret_error)
{
	const uint8_t *content = packet->data;
	uint8_t flags = 0, *copy;

	if (!outbox_takes(box, datagram_len(box, packet->len)))
		return false;
	if (packet->partial_checksum && finishable(packet)) {
		flags = FLAG_PARTIAL;
	} else if (packet->partial_checksum) {
		copy = outbox_content(box);
		memcpy(copy, content, packet->len);
		content = copy;
		if (!checksum_finish(copy, packet->len, packet->csum_start, packet->csum_offset)) {
			*ret_error = -DNET_EFORMAT;
			return true;
		}
	}
	outbox_seal(box, session, flags, content, packet->len);
	return true;
}

bool session_seal_packet(struct session *session, const struct packet *packet, size_t *offset,
			 struct outbox *box, int *ret_error)
{
	struct cutter cutter;
	size_t size = packet->len;

	*ret_error = -DNET_EFORMAT;
	if (packet->gso != GSO_NONE) {
		if (!cutter_init(&cutter, packet) || *offset >= cutter.payload_len)
			return true;
		size = cutter_size(&cutter, 0);
	}
	if (size > OUTBOX_MAX_BYTES || datagram_len(box, size) > OUTBOX_MAX_BYTES)
		return true;
	*ret_error = -DNET_ENOSESSION;
	if (session->next >= REPLAY_LIMIT)
		return true;
	*ret_error = 0;
	if (packet->gso == GSO_NONE)
		return seal_whole(session, packet, box, ret_error);
	if (*offset == 0 && wants_empty_box(box, datagram_len(box, size),
					    (cutter.payload_len + cutter.step - 1) / cutter.step))
		return false;
	for (; *offset < cutter.payload_len; *offset += cutter.step) {
		size = cutter_size(&cutter, *offset);
		if (!outbox_takes(box, datagram_len(box, size)))
			return false;
		if (session->next >= REPLAY_LIMIT) {
			*ret_error = -DNET_ENOSESSION;
			return true;
		}
		cutter_write(&cutter, *offset, outbox_content(box));
		outbox_seal(box, session, FLAG_PARTIAL, outbox_content(box), size);
	}
	return true;
}
