#ifndef NODE_TUN_H
#define NODE_TUN_H

/* A TUN device with virtio headers: super-packets (TSO, USO) and partial checksums cross it as they
 * are; or a bare one, where the kernel has no such headers. */

#include "core/packet.h"

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	TUN_HEADER_LEN = 10, /* struct virtio_net_hdr */
	TUN_PACKET_MAX = 65535,
	/* Room of tun_read()'s buffer. */
	TUN_BUFFER_SIZE = TUN_HEADER_LEN + TUN_PACKET_MAX,
};

/* What the kernel may leave to us, each level with those before it. */
enum tun_offload {
	TUN_OFFLOAD_BARE,     /* nothing, and no virtio headers: emulations of Linux have none */
	TUN_OFFLOAD_NONE,     /* nothing: checksums done, one packet a read */
	TUN_OFFLOAD_CHECKSUM, /* partial checksums */
	TUN_OFFLOAD_TSO,      /* and TCP super-packets */
	TUN_OFFLOAD_USO,      /* and UDP super-packets: Linux 6.2 */
};

const char *tun_offload_name(enum tun_offload offload);
bool tun_offload_parse(const char *text, enum tun_offload *ret_offload);
/* The super-packets that may be written: bit per enum gso_type. */
unsigned tun_offload_gso(enum tun_offload offload);

enum { TUN_ERROR_MAX = 256 };

/* Opens a new, not persistent TUN device of this name, non-blocking; it goes when the descriptor is
 * closed. Takes the best offload up to *offload that this kernel has and says which. Returns the
 * descriptor, or -errno and a text that names cause and next step. Needs CAP_NET_ADMIN. */
int tun_open(const char *name, enum tun_offload *offload, char error[static TUN_ERROR_MAX]);
/* The same for a program that takes one packet after the other: no virtio header, no offload, but
 * struct tun_pi before each, as wireguard-go has it. */
int tun_open_plain(const char *name, char error[static TUN_ERROR_MAX]);
/* Whether tun_open() could work at all here: 0, or -errno and the text. */
int tun_check(char error[static TUN_ERROR_MAX]);

enum tun_result {
	TUN_PACKET,    /* *ret_packet borrows the buffer */
	TUN_EMPTY,     /* nothing to read now */
	TUN_MALFORMED, /* header and packet do not fit together: dropped */
	TUN_BROKEN,    /* the device has gone; errno says why */
};

/* The largest super-packet of TCP that goes into one burst (core/session.h) whole, as a link wants
 * it to be said: larger ones are cut in two, and not joined again at the other side. */
uint32_t tun_gso_max(uint32_t mtu);

/* The next packet; bare: of a TUN_OFFLOAD_BARE device. buffer has TUN_BUFFER_SIZE bytes. */
enum tun_result tun_read(int fd, bool bare, uint8_t *buffer, struct packet *ret_packet);
/* Writes a packet that has TUN_HEADER_LEN writable bytes before its data, which it spoils; of a
 * bare device it finishes a partial checksum in the packet. 0 or -errno: -EIO is a link that is
 * down, -EAGAIN a full queue, -EINVAL an offload that this device has not. */
int tun_write(int fd, bool bare, const struct packet *packet);

/* The two conversions, for tests. False: they do not fit together. */
bool tun_header_parse(const uint8_t header[static TUN_HEADER_LEN], size_t len,
		      struct packet *ret_packet);
void tun_header_write(const struct packet *packet, uint8_t ret_header[static TUN_HEADER_LEN]);

#endif
