#include "os/udp.h"

#include "os/base.h"
#include "os/log.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h, since 4.18 */
#endif
#ifndef UDP_GRO
#define UDP_GRO 104 /* since 5.0 */
#endif

enum { SEGMENTS_OLD_MAX = 64 /* UDP_MAX_SEGMENTS before Linux 6.9 */ };

union sockaddr_any {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Room for UDP_GRO and one of the pktinfo messages. */
union receive_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static socklen_t to_sockaddr(const struct endpoint *e, union sockaddr_any *ret)
{
	if (e->addr.family == ADDR_V4) {
		ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(e->port)};
		memcpy(&ret->v4.sin_addr, e->addr.bytes, 4);
		return sizeof(ret->v4);
	}
	ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
	memcpy(&ret->v6.sin6_addr, e->addr.bytes, 16);
	return sizeof(ret->v6);
}

static void from_sockaddr(const union sockaddr_any *any, struct endpoint *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (any->any.sa_family == AF_INET) {
		ret->addr.family = ADDR_V4;
		memcpy(ret->addr.bytes, &any->v4.sin_addr, 4);
		ret->port = ntohs(any->v4.sin_port);
	} else if (any->any.sa_family == AF_INET6) {
		ret->addr.family = ADDR_V6;
		memcpy(ret->addr.bytes, &any->v6.sin6_addr, 16);
		ret->port = ntohs(any->v6.sin6_port);
	}
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

/* With CAP_NET_ADMIN past the limit of the machine, else up to it. */
static void set_buffer(int fd, int force, int plain, size_t size)
{
	int value = (int)MIN(size ? size : UDP_BUFFER_DEFAULT, (size_t)1 << 30);

	if (set_int(fd, SOL_SOCKET, force, value))
		set_int(fd, SOL_SOCKET, plain, value);
}

/* Names in DNET_UDP, separated by commas. */
static bool forced_off(const char *name)
{
	const char *list = getenv("DNET_UDP");
	size_t len = strlen(name);

	while (list && *list) {
		size_t part = strcspn(list, ",");

		if (part == len && !memcmp(list, name, len))
			return true;
		list += part + (list[part] == ',');
	}
	return false;
}

static int set_path_options(struct udp_socket *s, const struct udp_options *o)
{
	bool v6 = s->family == ADDR_V6;
	int result = 0;

	if (o->want_local)
		result = v6 ? set_int(s->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
			    : set_int(s->fd, IPPROTO_IP, IP_PKTINFO, 1);
	if (!result && o->dont_fragment)
		result = v6 ? set_int(s->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
			    : set_int(s->fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	if (!result && o->mark)
		result = set_int(s->fd, SOL_SOCKET, SO_MARK, (int)o->mark);
	s->want_local = o->want_local;
	return result;
}

static const char off_configured[] = "configured";
static const char off_missing[] = "the kernel has none";
static const char off_refused[] = "an interface on the way out has no checksum offload";

bool udp_lacks(const char *off)
{
	return off && off != off_configured;
}

/* Fills what depends on kernel and options; fd and family are set. */
static int configure(struct udp_socket *s, const struct udp_options *options)
{
	static const struct udp_options defaults;
	const struct udp_options *o = options ? options : &defaults;
	int unused;
	socklen_t size = sizeof(unused);

	set_buffer(s->fd, SO_RCVBUFFORCE, SO_RCVBUF, o->receive_buffer);
	set_buffer(s->fd, SO_SNDBUFFORCE, SO_SNDBUF, o->send_buffer);
	s->segments_max = UDP_SEGMENTS_MAX;
	s->recvmmsg = !o->no_recvmmsg && !forced_off("norecvmmsg");
	/* A kernel that does not know UDP_SEGMENT would send one huge datagram: ask first. */
	s->gso_off = o->no_gso || forced_off("nogso")			       ? off_configured
		     : getsockopt(s->fd, SOL_UDP, UDP_SEGMENT, &unused, &size) ? off_missing
									       : NULL;
	s->gro_off = o->no_gro || forced_off("nogro")	   ? off_configured
		     : set_int(s->fd, SOL_UDP, UDP_GRO, 1) ? off_missing
							   : NULL;
	s->gso = !s->gso_off;
	s->gro = !s->gro_off;
	return set_path_options(s, o);
}

static int open_and_bind(struct udp_socket *s, const struct endpoint *bind_to,
			 const struct udp_options *options)
{
	bool v6 = bind_to->addr.family == ADDR_V6;
	union sockaddr_any any;
	socklen_t len = to_sockaddr(bind_to, &any);
	int result;

	s->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	if (v6) {
		result = set_int(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (result)
			return result;
	}
	result = configure(s, options);
	if (result)
		return result;
	return bind(s->fd, &any.any, len) ? -errno : 0;
}

static int try_open(const struct endpoint *bind_to, const struct udp_options *options,
		    struct udp_socket *ret_socket)
{
	struct udp_socket s = {.fd = -1, .family = bind_to->addr.family};
	int result;

	assert(bind_to->addr.family != ADDR_NONE);
	result = open_and_bind(&s, bind_to, options);
	if (result)
		udp_close(&s);
	else
		*ret_socket = s;
	return result;
}

static const char *advice(int result)
{
	switch (-result) {
	case EADDRINUSE:
		return "; another program has the port: choose another one, or stop that program "
		       "(ss -ulpn shows it)";
	case EADDRNOTAVAIL:
		return "; no interface has this address: ip address shows them";
	case EACCES:
		return "; ports below 1024 need CAP_NET_BIND_SERVICE";
	case EPERM:
		return "; a mark needs CAP_NET_ADMIN";
	}
	return "";
}

static int complain(const struct endpoint *bind_to, int result)
{
	char text[ENDPOINT_TEXT_MAX];

	log_error("cannot open UDP %s: %s%s", endpoint_format(bind_to, text), strerror(-result),
		  advice(result));
	return result;
}

int udp_open(const struct endpoint *bind_to, const struct udp_options *options,
	     struct udp_socket *ret_socket)
{
	int result = try_open(bind_to, options, ret_socket);

	return result ? complain(bind_to, result) : 0;
}

static bool family_missing(int result)
{
	return result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL;
}

int udp_open_pair(uint16_t port, const struct udp_options *options, struct udp_socket *ret_v4,
		  struct udp_socket *ret_v6)
{
	struct endpoint any4 = {{.family = ADDR_V4}, port}, any6 = {{.family = ADDR_V6}, port};
	struct udp_socket v4 = {.fd = -1}, v6 = {.fd = -1};
	struct endpoint *failed = &any4;
	int result = 0;

	/* With port 0, what the kernel gives for one family may be taken in the other. */
	for (int attempt = 0; attempt < (port ? 1 : 16); attempt++) {
		failed = &any4;
		result = try_open(&any4, options, &v4);
		if (result && !family_missing(result))
			break;
		if (!result && !port) {
			struct endpoint local;

			result = udp_local_endpoint(&v4, &local);
			if (result)
				break;
			any6.port = local.port;
		}
		failed = &any6;
		result = try_open(&any6, options, &v6);
		if (family_missing(result) && v4.fd >= 0)
			result = 0;
		if (!result)
			break;
		udp_close(&v4);
	}
	if (result) {
		udp_close(&v4);
		return complain(failed, result);
	}
	*ret_v4 = v4;
	*ret_v6 = v6;
	return 0;
}

int udp_adopt(int fd, const struct udp_options *options, struct udp_socket *ret_socket)
{
	struct udp_socket s = {.fd = fd};
	struct endpoint local;
	int type, result;
	socklen_t size = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
		return -errno;
	result = udp_local_endpoint(&s, &local);
	if (result)
		return result;
	if (type != SOCK_DGRAM || local.addr.family == ADDR_NONE)
		return -EPROTOTYPE;
	s.family = local.addr.family;
	result = configure(&s, options);
	if (!result)
		*ret_socket = s;
	return result;
}

void udp_close(struct udp_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int udp_local_endpoint(const struct udp_socket *s, struct endpoint *ret_endpoint)
{
	union sockaddr_any any = {0};
	socklen_t len = sizeof(any);

	if (getsockname(s->fd, &any.any, &len))
		return -errno;
	from_sockaddr(&any, ret_endpoint);
	return 0;
}

uint16_t udp_path_mtu(const struct endpoint *destination)
{
	bool v6 = destination->addr.family == ADDR_V6;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mtu = 0;
	union sockaddr_any any;
	socklen_t len = to_sockaddr(destination, &any), size = sizeof(mtu);

	if (fd < 0)
		return 0;
	/* Only a connected socket has a path; nothing is sent for it. */
	if (connect(fd, &any.any, len) ||
	    getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &size))
		mtu = 0;
	close(fd);
	return (uint16_t)MIN(mtu, UINT16_MAX);
}

static void read_control(struct msghdr *header, struct udp_message *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			if (size > 0 && (size_t)size < m->len)
				m->segment_size = (uint16_t)size;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			m->local.family = ADDR_V4;
			memcpy(m->local.bytes, &info.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			m->local.family = ADDR_V6;
			memcpy(m->local.bytes, &info.ipi6_addr, 16);
		}
	}
}

static void finish_message(struct udp_socket *s, struct msghdr *header, size_t len,
			   struct udp_message *m)
{
	m->len = len;
	m->segment_size = (uint16_t)len;
	m->local.family = ADDR_NONE;
	from_sockaddr(header->msg_name, &m->source);
	read_control(header, m);
	if (header->msg_flags & MSG_TRUNC) {
		s->truncated++;
		m->len = m->segment_size = 0;
		return;
	}
	s->received_bytes += len;
	s->received_datagrams +=
		m->segment_size ? (len + m->segment_size - 1) / m->segment_size : 1;
}

struct receive_slot {
	struct iovec iov;
	union sockaddr_any source;
	union receive_control control;
};

static void prepare_slot(const struct udp_socket *s, struct receive_slot *slot,
			 struct msghdr *header, const struct udp_message *m)
{
	bool control = s->gro || s->want_local;

	slot->iov = (struct iovec){m->data, m->size};
	*header = (struct msghdr){
		.msg_name = &slot->source,
		.msg_namelen = sizeof(slot->source),
		.msg_iov = &slot->iov,
		.msg_iovlen = 1,
		.msg_control = control ? &slot->control : NULL,
		.msg_controllen = control ? sizeof(slot->control) : 0,
	};
}

/* What an earlier send stirred up (ICMP errors) is not an error of receiving: look again, a few
 * times. */
static bool passing_error(struct udp_socket *s, int error, int *attempts)
{
	if (error == EINTR)
		return true;
	if (error == EAGAIN || error == EBADF || error == ENOTSOCK || error == EFAULT)
		return false;
	s->receive_errors++;
	return ++*attempts < 4;
}

static int receive_many(struct udp_socket *s, struct udp_message *messages, unsigned count)
{
	struct receive_slot slots[UDP_BATCH_MAX];
	struct mmsghdr headers[UDP_BATCH_MAX];
	int n, attempts = 0;

	do {
		for (unsigned i = 0; i < count; i++)
			prepare_slot(s, &slots[i], &headers[i].msg_hdr, &messages[i]);
		n = recvmmsg(s->fd, headers, count, MSG_DONTWAIT, NULL);
	} while (n < 0 && passing_error(s, errno, &attempts));
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (int i = 0; i < n; i++)
		finish_message(s, &headers[i].msg_hdr, headers[i].msg_len, &messages[i]);
	return n;
}

static int receive_one(struct udp_socket *s, struct udp_message *message)
{
	struct receive_slot slot;
	struct msghdr header;
	int attempts = 0;
	ssize_t n;

	do {
		prepare_slot(s, &slot, &header, message);
		n = recvmsg(s->fd, &header, MSG_DONTWAIT);
	} while (n < 0 && passing_error(s, errno, &attempts));
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	finish_message(s, &header, (size_t)n, message);
	return 1;
}

int udp_receive_batch(struct udp_socket *s, struct udp_message *messages, unsigned count)
{
	unsigned done = 0;
	int n;

	count = MIN(count, (unsigned)UDP_BATCH_MAX);
	if (s->recvmmsg)
		return count ? receive_many(s, messages, count) : 0;
	while (done < count) {
		n = receive_one(s, &messages[done]);
		if (n <= 0)
			return done ? (int)done : n;
		done++;
	}
	return (int)done;
}

/* What is left to send. No datagram lies in two parts. */
struct send_call {
	union sockaddr_any to;
	socklen_t to_len;
	const struct iovec *parts;
	size_t at; /* bytes of the first part that are gone */
	size_t len;
	size_t segment_size;
};

static size_t datagrams_in(size_t len, size_t segment_size)
{
	return segment_size ? (len + segment_size - 1) / segment_size : 1;
}

/* What the first part has from here on, up to len bytes. */
static struct iovec next_bytes(const struct send_call *call, size_t len)
{
	return (struct iovec){(uint8_t *)call->parts->iov_base + call->at,
			      MIN(len, call->parts->iov_len - call->at)};
}

static void skip_bytes(struct send_call *call, size_t len)
{
	call->len -= len;
	call->at += len;
	while (call->len && call->at >= call->parts->iov_len) {
		call->at -= call->parts->iov_len;
		call->parts++;
	}
}

/* One sendmsg of len bytes; with UDP_SEGMENT when they are more than one segment. */
static int send_super(struct udp_socket *s, const struct send_call *call, size_t len)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = {0};
	struct iovec iovs[UDP_PARTS_MAX];
	struct msghdr header = {
		.msg_name = (void *)&call->to, .msg_namelen = call->to_len, .msg_iov = iovs};
	uint16_t segment = (uint16_t)call->segment_size;
	struct send_call left = *call;
	struct cmsghdr *c;
	int attempts = 0;

	for (size_t queued = 0; queued < len; queued += iovs[header.msg_iovlen++].iov_len) {
		iovs[header.msg_iovlen] = next_bytes(&left, len - queued);
		skip_bytes(&left, iovs[header.msg_iovlen].iov_len);
	}
	if (len > call->segment_size) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&header);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(segment));
		memcpy(CMSG_DATA(c), &segment, sizeof(segment));
	}
	while (sendmsg(s->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		/* ECONNREFUSED is the answer to an earlier datagram. */
		if (errno != EINTR && (errno != ECONNREFUSED || ++attempts > 1))
			return -errno;
	}
	return 0;
}

/* Up to UDP_BATCH_MAX datagrams of one segment each. Returns the bytes taken, or -errno for none.
 */
static ssize_t send_singles(struct udp_socket *s, const struct send_call *call)
{
	struct mmsghdr headers[UDP_BATCH_MAX];
	struct iovec iovs[UDP_BATCH_MAX];
	struct send_call left = *call;
	unsigned count = 0;
	size_t sent = 0;
	int n, attempts = 0;

	while (left.len && count < UDP_BATCH_MAX) {
		iovs[count] = next_bytes(&left, call->segment_size);
		headers[count] = (struct mmsghdr){{.msg_name = (void *)&call->to,
						   .msg_namelen = call->to_len,
						   .msg_iov = &iovs[count],
						   .msg_iovlen = 1}};
		skip_bytes(&left, iovs[count].iov_len);
		count++;
	}
	do
		n = sendmmsg(s->fd, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && (errno == EINTR || (errno == ECONNREFUSED && ++attempts < 2)));
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		sent += iovs[i].iov_len;
	return (ssize_t)sent;
}

/* Learns from what the kernel said to a super-datagram of that many segments; true: send it again
 * in smaller pieces. */
static bool adapt(struct udp_socket *s, size_t segments, int result, bool *singles)
{
	switch (-result) {
	case EIO:
		/* No checksum offload on the way out (udp(7)): it will stay so. */
		s->gso = false;
		s->gso_off = off_refused;
		log_notice("UDP segmentation offload is off: %s; sending one by one", off_refused);
		return true;
	case EINVAL:
		if (segments > SEGMENTS_OLD_MAX && s->segments_max > SEGMENTS_OLD_MAX) {
			s->segments_max = SEGMENTS_OLD_MAX;
			return true;
		}
		*singles = true;
		return true;
	case EMSGSIZE:
		/* A segment is longer than the path takes: alone, each may be fragmented. */
		*singles = true;
		return true;
	}
	return false;
}

/* The next piece: as much as one call takes. Returns its bytes or -errno. */
static ssize_t send_piece(struct udp_socket *s, const struct send_call *call, bool *singles)
{
	for (;;) {
		size_t limit, len;
		int result;

		if (call->len > call->segment_size && (!s->gso || *singles))
			return send_singles(s, call);
		limit = MIN((size_t)s->segments_max, UDP_DATAGRAM_MAX / call->segment_size);
		len = MIN(call->len, MAX(limit, (size_t)1) * call->segment_size);
		result = send_super(s, call, len);
		if (!result)
			return (ssize_t)len;
		if (len <= call->segment_size ||
		    !adapt(s, datagrams_in(len, call->segment_size), result, singles))
			return result;
	}
}

ssize_t udp_send_parts(struct udp_socket *s, const struct endpoint *destination,
		       const struct iovec *parts, unsigned count, size_t segment_size)
{
	struct send_call call = {.parts = parts, .segment_size = segment_size};
	bool singles = false;
	size_t len;
	ssize_t n;

	assert(segment_size && segment_size <= UDP_RECEIVE_SIZE);
	assert(count && count <= UDP_PARTS_MAX);
	for (unsigned i = 0; i < count; i++) {
		assert(i + 1 == count || parts[i].iov_len % segment_size == 0);
		call.len += parts[i].iov_len;
	}
	len = call.len;
	call.to_len = to_sockaddr(destination, &call.to);
	do {
		n = send_piece(s, &call, &singles);
		if (n < 0)
			break;
		s->sent_bytes += (size_t)n;
		s->sent_datagrams += datagrams_in((size_t)n, segment_size);
		skip_bytes(&call, (size_t)n);
	} while (call.len);
	if (n < 0 && n != -EAGAIN)
		s->send_errors++;
	return call.len < len || n >= 0 ? (ssize_t)(len - call.len) : n;
}

ssize_t udp_send_segments(struct udp_socket *s, const struct endpoint *destination,
			  const void *data, size_t len, size_t segment_size)
{
	const struct iovec part = {(void *)data, len};

	return udp_send_parts(s, destination, &part, 1, segment_size);
}

int udp_send(struct udp_socket *s, const struct endpoint *destination, const void *data, size_t len)
{
	ssize_t n = udp_send_segments(s, destination, data, len, MAX(len, (size_t)1));

	return n < 0 ? (int)n : 0;
}
