#include "os/rawudp.h"

#include "os/base.h"
#include "wire/probe.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	UDP_HEADER = 8,
	CHECKSUM_OFFSET = 6,
	STUN_SUCCESS = 0x0101,
	STUN_COOKIE = 0x2112a442,
	BUFFER = 256 << 10,
};

/* x has the offset of the UDP header. */
#define FILTER_FROM_UDP(port)                                                                      \
	BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), /* destination port */                              \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 7),                                   \
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, UDP_HEADER),                                    \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE_MAGIC, 4, 0),                            \
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, UDP_HEADER),                                    \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STUN_SUCCESS, 0, 3),                           \
		BPF_STMT(BPF_LD | BPF_W | BPF_IND, UDP_HEADER + 4),                                \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STUN_COOKIE, 0, 1),                            \
		BPF_STMT(BPF_RET | BPF_K, UINT16_MAX), BPF_STMT(BPF_RET | BPF_K, 0)

static int set_filter(int fd, uint8_t family, uint16_t port)
{
	struct sock_filter code[] = {
		/* of IPv4 the header comes along, and says how long it is */
		family == ADDR_V4 ? (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0)
				  : (struct sock_filter)BPF_STMT(BPF_LDX | BPF_W | BPF_IMM, 0),
		FILTER_FROM_UDP(port),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ||
	    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)))
		return -errno;
	return 0;
}

/* What came before the filter. */
static void drain(int fd)
{
	char byte;

	while (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0)
		continue;
}

int rawudp_open(uint8_t family, uint16_t port, int *ret_fd)
{
	_cleanup_(closep) int fd = -1;
	int offset = CHECKSUM_OFFSET, size = BUFFER, r;

	if ((family != ADDR_V4 && family != ADDR_V6) || port < RAWUDP_PORT_MIN)
		return -EINVAL;
	fd = socket(family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    IPPROTO_UDP);
	if (fd < 0)
		return -errno;
	r = set_filter(fd, family, port);
	if (r == 0 && family == ADDR_V6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &offset, sizeof(offset)))
		r = -errno;
	if (r < 0)
		return r;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	drain(fd);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int rawudp_init(struct rawudp *raw, uint16_t port, int fd4, int fd6)
{
	int asking = -1;

	if (fd4 >= 0) {
		asking = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (asking < 0) {
			int r = -errno;

			closep(&fd4);
			closep(&fd6);
			return r;
		}
	}
	*raw = (struct rawudp){.port = port, .fd4 = fd4, .fd6 = fd6, .asking_fd = asking};
	return 0;
}

void rawudp_close(struct rawudp *raw)
{
	closep(&raw->fd4);
	closep(&raw->fd6);
	closep(&raw->asking_fd);
	raw->fd4 = raw->fd6 = raw->asking_fd = -1;
}

/* ---- Sending ---- */

static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += load_u16be(bytes + i);
	if (len % 2)
		sum += (uint32_t)bytes[len - 1] << 8;
	return sum;
}

/* Over UDP header (with a checksum of zero) and payload. */
static uint16_t checksum4(const struct in_addr *from, const struct in_addr *to,
			  const uint8_t *datagram, size_t len)
{
	uint32_t sum = IPPROTO_UDP + (uint32_t)len;

	sum = sum_words(sum, (const uint8_t *)from, 4);
	sum = sum_words(sum, (const uint8_t *)to, 4);
	sum = sum_words(sum, datagram, len);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum ? (uint16_t)~sum : 0xffff;
}

/* The checksum is over the source address, too. */
static int ask_source(const struct rawudp *raw, const struct sockaddr_in *to,
		      struct in_addr *ret_source)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in from;
	socklen_t size = sizeof(from);

	(void)connect(raw->asking_fd, &none, sizeof(none));
	if (connect(raw->asking_fd, (const struct sockaddr *)to, sizeof(*to)) ||
	    getsockname(raw->asking_fd, (struct sockaddr *)&from, &size))
		return -errno;
	*ret_source = from.sin_addr;
	return 0;
}

static int send4(struct rawudp *raw, const struct endpoint *to, uint8_t *datagram, size_t len)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to->port)};
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control = {0};
	struct iovec part = {datagram, len};
	struct msghdr message = {.msg_name = &address,
				 .msg_namelen = sizeof(address),
				 .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	struct in_pktinfo info = {0};
	int r;

	memcpy(&address.sin_addr, to->addr.bytes, 4);
	r = ask_source(raw, &address, &info.ipi_spec_dst);
	if (r < 0)
		return r;
	store_u16be(datagram + CHECKSUM_OFFSET,
		    checksum4(&info.ipi_spec_dst, &address.sin_addr, datagram, len));
	/* No port: to a raw socket it is nothing, or the number of the protocol. */
	address.sin_port = 0;
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return sendmsg(raw->fd4, &message, MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int send6(struct rawudp *raw, const struct endpoint *to, const uint8_t *datagram, size_t len)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};

	memcpy(&address.sin6_addr, to->addr.bytes, 16);
	return sendto(raw->fd6, datagram, len, MSG_DONTWAIT, (struct sockaddr *)&address,
		      sizeof(address)) < 0
		       ? -errno
		       : 0;
}

int rawudp_send(struct rawudp *raw, const struct endpoint *to, const void *bytes, size_t len)
{
	uint8_t datagram[UDP_HEADER + RAWUDP_PAYLOAD_MAX] = {0};
	int fd = to->addr.family == ADDR_V4 ? raw->fd4 : raw->fd6;

	if (len > RAWUDP_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (fd < 0 || to->addr.family == ADDR_NONE)
		return -EAFNOSUPPORT;
	store_u16be(datagram, raw->port);
	store_u16be(datagram + 2, to->port);
	store_u16be(datagram + 4, (uint16_t)(UDP_HEADER + len));
	memcpy(datagram + UDP_HEADER, bytes, len);
	return fd == raw->fd4 ? send4(raw, to, datagram, UDP_HEADER + len)
			      : send6(raw, to, datagram, UDP_HEADER + len);
}

/* ---- Receiving ---- */

bool rawudp_parse(uint8_t family, uint16_t port, const void *data, size_t len,
		  struct endpoint *ret_source, struct span *ret_payload)
{
	const uint8_t *m = data;
	size_t at = 0, total;
	struct endpoint source = {0};

	if (family == ADDR_V4) {
		if (len < sizeof(struct iphdr) || m[0] >> 4 != 4)
			return false;
		at = (size_t)(m[0] & 15) * 4;
		if (at < sizeof(struct iphdr) || m[9] != IPPROTO_UDP)
			return false;
		source.addr.family = ADDR_V4;
		memcpy(source.addr.bytes, m + 12, 4);
	}
	if (len < at + UDP_HEADER)
		return false;
	total = load_u16be(m + at + 4);
	if (load_u16be(m + at + 2) != port || total < UDP_HEADER || total > len - at)
		return false;
	source.port = load_u16be(m + at);
	*ret_source = source;
	*ret_payload = (struct span){m + at + UDP_HEADER, total - UDP_HEADER};
	return true;
}

ssize_t rawudp_receive(struct rawudp *raw, int fd, struct endpoint *ret_source,
		       uint8_t bytes[static RAWUDP_PAYLOAD_MAX])
{
	uint8_t datagram[60 + UDP_HEADER + RAWUDP_PAYLOAD_MAX];
	uint8_t family = fd == raw->fd4 ? ADDR_V4 : ADDR_V6;
	struct sockaddr_in6 from = {0};
	socklen_t size = sizeof(from);
	struct span payload;
	ssize_t n = recvfrom(fd, datagram, sizeof(datagram), MSG_DONTWAIT | MSG_TRUNC,
			     (struct sockaddr *)&from, &size);

	if (n < 0)
		return -errno;
	if ((size_t)n > sizeof(datagram) ||
	    !rawudp_parse(family, raw->port, datagram, (size_t)n, ret_source, &payload) ||
	    payload.len > RAWUDP_PAYLOAD_MAX)
		return -EBADMSG;
	if (family == ADDR_V6) {
		ret_source->addr.family = ADDR_V6;
		memcpy(ret_source->addr.bytes, &from.sin6_addr, 16);
	}
	memcpy(bytes, payload.data, payload.len);
	return (ssize_t)payload.len;
}
