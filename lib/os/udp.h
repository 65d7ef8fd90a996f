#ifndef OS_UDP_H
#define OS_UDP_H

/* UDP sockets for the data path: batches in (recvmmsg, UDP_GRO), super-datagrams out (UDP_SEGMENT).
 * What the kernel lacks is done without, and said once in the log. Nothing here allocates. */

#include "wire/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	UDP_BATCH_MAX = 64,	  /* datagrams in one udp_receive_batch() */
	UDP_PARTS_MAX = 64,	  /* in one udp_send_parts() */
	UDP_DATAGRAM_MAX = 65507, /* largest payload over IPv4; also of one super-datagram */
	UDP_RECEIVE_SIZE = 65536, /* buffer that holds whatever UDP_GRO joins */
	UDP_SEGMENTS_MAX = 128,	  /* in one send; 64 where the kernel allows no more */
};

/* DNET_UDP=nogso,nogro,norecvmmsg in the environment forces the same; for tests. */
struct udp_options {
	size_t receive_buffer; /* bytes; 0: UDP_BUFFER_DEFAULT */
	size_t send_buffer;
	bool no_gso;
	bool no_gro;
	bool no_recvmmsg;
	bool want_local;    /* report the local address of each datagram (pktinfo) */
	bool dont_fragment; /* DF set, -EMSGSIZE when a datagram is too long: for path probes */
	uint32_t mark;	    /* SO_MARK, 0: none; needs CAP_NET_ADMIN */
};

enum { UDP_BUFFER_DEFAULT = 2 << 20 };

struct udp_socket {
	int fd; /* -1: closed. Watch it for LOOP_READ, and LOOP_WRITE after -EAGAIN */
	uint8_t family;
	bool gso, gro, recvmmsg, want_local;
	const char *gso_off, *gro_off; /* why it is off; static; NULL: it is on */
	uint8_t segments_max;
	uint64_t received_datagrams; /* as the network had them: segments count */
	uint64_t received_bytes;
	uint64_t sent_datagrams;
	uint64_t sent_bytes;
	uint64_t receive_errors;
	uint64_t truncated; /* did not fit the caller's buffer, dropped */
	uint64_t send_errors;
};

struct udp_message {
	uint8_t *data; /* the caller's */
	size_t size;   /* of data; UDP_RECEIVE_SIZE when GRO is on, or datagrams get lost */
	size_t len;
	uint16_t segment_size; /* every segment has this many bytes, the last may have fewer; = len
				  when it is one datagram */
	struct endpoint source;
	struct address local; /* ADDR_NONE unless want_local */
};

/* Opens and binds; port 0 takes a free one. IPv6 sockets are IPv6 only. Options may be NULL.
 * Returns 0 or -errno (and says in the log what failed and what to do). */
int udp_open(const struct endpoint *bind_to, const struct udp_options *options,
	     struct udp_socket *ret_socket);
/* One IPv4 and one IPv6 socket on all addresses and the same port (0: a free one). A machine
 * without one of the families gets the other, with fd -1 for what is missing. */
int udp_open_pair(uint16_t port, const struct udp_options *options, struct udp_socket *ret_v4,
		  struct udp_socket *ret_v6);
/* Takes a bound UDP socket that another process opened and handed over. */
int udp_adopt(int fd, const struct udp_options *options, struct udp_socket *ret_socket);
/* Of gso_off and gro_off: it was wanted, and cannot be. */
bool udp_lacks(const char *off);
void udp_close(struct udp_socket *socket);
/* The longest IP packet that goes there in one piece, as far as the kernel has learned; 0: it has
 * no route. */
uint16_t udp_path_mtu(const struct endpoint *destination);
/* Where it is bound. */
int udp_local_endpoint(const struct udp_socket *socket, struct endpoint *ret_endpoint);

/* Fills up to count messages (at most UDP_BATCH_MAX at a time) without waiting. Returns how many,
 * 0 when there is nothing, or -errno of a broken socket. A message that was too long for its buffer
 * has len 0. */
int udp_receive_batch(struct udp_socket *socket, struct udp_message *messages, unsigned count);

/* Sends len bytes as datagrams of segment_size (the last may be shorter) in as few calls as the
 * kernel lets. Returns the bytes it took (whole segments: fewer than len when the socket is full
 * meanwhile), or when it took none -EAGAIN (wait for LOOP_WRITE), -EMSGSIZE (a segment is too long
 * for the path), -ENETUNREACH, -EPERM (a firewall), … The counter send_errors has all but EAGAIN.
 */
ssize_t udp_send_segments(struct udp_socket *socket, const struct endpoint *destination,
			  const void *data, size_t len, size_t segment_size);
/* The same from parts that lie apart: each but the last has whole segments, and bytes. */
ssize_t udp_send_parts(struct udp_socket *socket, const struct endpoint *destination,
		       const struct iovec *parts, unsigned count, size_t segment_size);
/* One datagram: 0 or -errno as above. */
int udp_send(struct udp_socket *socket, const struct endpoint *destination, const void *data,
	     size_t len);

#endif
