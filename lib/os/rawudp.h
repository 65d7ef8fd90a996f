#ifndef OS_RAWUDP_H
#define OS_RAWUDP_H

/* Probes and STUN from a UDP port that another program (or the kernel's WireGuard) is bound to, by
 * raw sockets. What comes in is a copy: the other program gets it too. A filter that cannot be
 * taken off lets in only what is for that port and begins as a probe (wire/probe.h) or as a STUN
 * Binding success response. */

#include "wire/addr.h"
#include "wire/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RAWUDP_PORT_MIN = 1024, RAWUDP_PAYLOAD_MAX = 1200 };

/* Needs CAP_NET_RAW. family: ADDR_V4 or ADDR_V6. 0 or -errno; -EINVAL: no such family, or a port
 * below RAWUDP_PORT_MIN. */
int rawudp_open(uint8_t family, uint16_t port, int *ret_fd);

struct rawudp {
	uint16_t port;
	int fd4, fd6;  /* -1: none. Watch them for LOOP_READ */
	int asking_fd; /* tells which address the machine would send from */
};

/* Takes over both descriptors, of rawudp_open(); -1: this family is not there. 0 or -errno, and
 * then both are closed. */
int rawudp_init(struct rawudp *raw, uint16_t port, int fd4, int fd6);
void rawudp_close(struct rawudp *raw);
/* 0 or -errno: -EMSGSIZE, -EAFNOSUPPORT (no such socket), and what the network says. */
int rawudp_send(struct rawudp *raw, const struct endpoint *to, const void *bytes, size_t len);
/* One datagram, without waiting: its length, -EAGAIN when there is none, -EBADMSG (one that is not
 * well formed; go on), or -errno of a broken socket. */
ssize_t rawudp_receive(struct rawudp *raw, int fd, struct endpoint *ret_source,
		       uint8_t bytes[static RAWUDP_PAYLOAD_MAX]);

/* What a raw socket gives: IPv4 with its header, IPv6 (whose source is another matter) from the UDP
 * header on. False: cut, for another port, or a length that is not so. */
bool rawudp_parse(uint8_t family, uint16_t port, const void *data, size_t len,
		  struct endpoint *ret_source, struct span *ret_payload);

#endif
