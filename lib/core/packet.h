#ifndef CORE_PACKET_H
#define CORE_PACKET_H

/* What the data path touches: IP packets, also super-packets of TSO and USO, with what a
 * virtio_net_hdr says about them; and the way by which a datagram comes or goes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"

enum gso_type { GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP }; /* GSO_UDP: UDP_L4 of either family */

/* A view; borrowed memory. Offsets count from the first byte of the IP header. */
struct packet {
	uint8_t *data;
	size_t len; /* up to 65,535 */
	enum gso_type gso;
	uint16_t gso_size;     /* payload bytes of each segment when gso is not GSO_NONE */
	bool partial_checksum; /* the transport checksum holds the pseudo header's sum only */
	uint16_t csum_start;   /* offset of the transport header, when partial_checksum */
	uint16_t csum_offset;  /* of the checksum field inside it */
};

/* How a datagram came or goes: straight, or by a lane of the OVR at this endpoint. */
struct via {
	struct endpoint endpoint;
	uint64_t lane; /* 0: direct */
};

#endif
