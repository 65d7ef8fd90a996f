#ifndef CORE_SESSION_H
#define CORE_SESSION_H

/* One pair of data keys: counters, replay window, and the batch path: a super-packet in, sealed
 * segments in one buffer out, and back (PROTOCOL 5). No I/O, no allocation after session_new(). */

#include "core/aead.h"
#include "core/packet.h"

struct session;

enum { SESSION_HEADER_LEN = 16, SESSION_OVERHEAD = SESSION_HEADER_LEN + AEAD_TAG_LEN };

/* remote_index: what the other side wants to find in `receiver`. initiator: we began it. */
struct session *session_new(enum aead_kind kind, const uint8_t send_key[static AEAD_KEY_LEN],
			    const uint8_t receive_key[static AEAD_KEY_LEN], uint32_t local_index,
			    uint32_t remote_index, bool initiator, uint64_t now);
void session_free(struct session *session); /* wipes */

uint32_t session_local_index(const struct session *session);
bool session_is_initiator(const struct session *session);
uint64_t session_created(const struct session *session);
uint64_t session_sent(const struct session *session); /* messages sealed */
const char *session_provider(const struct session *session);

/* Seals one content (frame, packet, or nothing) into out: header, ciphertext, tag. Returns the
 * length, 0 when room is too small or the counter is used up. */
size_t session_seal(struct session *session, uint8_t flags, const uint8_t *content, size_t len,
		    uint8_t *out, size_t room);
/* Opens one data message in place (header included). Returns the content's length and sets
 * *ret_content into msg; -DNET_EAUTH, -DNET_EREPLAY, -DNET_EFORMAT. */
int session_open(struct session *session, uint8_t *msg, size_t len, uint8_t **ret_content);

/* Sealed datagrams of one destination on their way to one sendmsg. */
struct outbox {
	uint8_t *bytes; /* room for OUTBOX_SIZE, the owner's */
	size_t len;
	size_t segment; /* size of each datagram but the last, lane header included; 0: empty */
	unsigned count;
	bool closed;   /* a shorter one stands at the end: nothing may follow */
	uint64_t lane; /* its header is pushed before each datagram when not 0 */
};
/* Empty, for the next burst; bytes and lane stay. */
void outbox_clear(struct outbox *box);

enum { OUTBOX_SIZE = 65000 + 2048, OUTBOX_MAX_BYTES = 65000, OUTBOX_MAX_SEGMENTS = 64 };

/* Cuts packet (GSO or not) and seals each segment into box as far as they fit and are of one size.
 * *offset says where in the packet's payload to go on (0 at first); returns true when the packet is
 * all in, false: flush the box and call again. A packet that cannot be cut (malformed against its
 * own GSO fields, or too large) is refused: *ret_error is -DNET_EFORMAT and true is returned;
 * likewise -DNET_ENOSESSION when the counter is used up; else *ret_error is 0. A partial checksum
 * that the other side could not finish (fragments, tunnels) is finished here. */
bool session_seal_packet(struct session *session, const struct packet *packet, size_t *offset,
			 struct outbox *box, int *ret_error);

#endif
