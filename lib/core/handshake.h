#ifndef CORE_HANDSHAKE_H
#define CORE_HANDSHAKE_H

/* Handshake messages of the engine (PROTOCOL 3 and 4), both roles. Everything is worked out on the
 * stack; only an authentic message that leads to something changes a peer. */

#include <stddef.h>
#include <stdint.h>

struct engine;
struct peer;
struct via;

/* Each takes a datagram that message_classify() found to be of its type. */
void handshake_input_initiation(struct engine *engine, const struct via *via, const uint8_t *msg,
				size_t len);
void handshake_input_response(struct engine *engine, const struct via *via, const uint8_t *msg,
			      size_t len);
void handshake_input_cookie(struct engine *engine, const struct via *via, const uint8_t *msg,
			    size_t len);
/* Makes and sends an initiation to an active one. The owner is asked to transmit it, and may remove
 * the peer. */
void handshake_begin(struct peer *peer);

#endif
