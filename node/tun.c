#include "node/tun.h"

#include "core/segment.h"
#include "core/session.h"
#include "os/base.h"
#include "wire/buf.h"
#include "wire/ip.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* headers before Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

static_assert(sizeof(struct virtio_net_hdr) == TUN_HEADER_LEN, "virtio 1.0, 5.1.6");

static const char device[] = "/dev/net/tun";

static const struct {
	const char *name;
	unsigned flags;
	unsigned gso;
} levels[] = {
	[TUN_OFFLOAD_BARE] = {"bare", 0, 0},
	[TUN_OFFLOAD_NONE] = {"none", 0, 0},
	[TUN_OFFLOAD_CHECKSUM] = {"checksum", TUN_F_CSUM, 0},
	[TUN_OFFLOAD_TSO] = {"tso", TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
			     1u << GSO_TCP4 | 1u << GSO_TCP6},
	[TUN_OFFLOAD_USO] = {"uso", TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
			     1u << GSO_TCP4 | 1u << GSO_TCP6 | 1u << GSO_UDP},
};

const char *tun_offload_name(enum tun_offload offload)
{
	return levels[offload].name;
}

bool tun_offload_parse(const char *text, enum tun_offload *ret_offload)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (strcmp(levels[i].name, text) == 0) {
			*ret_offload = (enum tun_offload)i;
			return true;
		}
	}
	return false;
}

unsigned tun_offload_gso(enum tun_offload offload)
{
	return levels[offload].gso;
}

/* What a person can do about it; "" when the errno says it all. */
static const char *open_hint(int error)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return ": load the module (modprobe tun), or give the container the device "
		       "(docker run --device /dev/net/tun)";
	case EACCES:
	case EPERM:
		return ": start dnetd as root, or allow the device (chmod 0666 /dev/net/tun)";
	}
	return "";
}

static int open_device(char error[static TUN_ERROR_MAX])
{
	int fd = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	int saved = errno;
	snprintf(error, TUN_ERROR_MAX, "cannot open %s: %s%s", device, strerror(saved),
		 open_hint(saved));
	return -saved;
}

int tun_check(char error[static TUN_ERROR_MAX])
{
	int fd = open_device(error);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int attach(int fd, const char *name, short flags, char error[static TUN_ERROR_MAX])
{
	/* EXCL: a device of that name that somebody else made is never taken over. */
	struct ifreq request = {.ifr_flags = IFF_TUN | (short)IFF_TUN_EXCL | flags};
	assert(strlen(name) < sizeof(request.ifr_name));
	memcpy(request.ifr_name, name, strlen(name) + 1);
	if (ioctl(fd, TUNSETIFF, &request) == 0)
		return 0;
	int saved = errno;
	const char *hint = "";
	if (saved == EPERM)
		hint = ": CAP_NET_ADMIN is missing: start dnetd as root, or in a network namespace "
		       "of a user namespace";
	else if (saved == EBUSY)
		hint = ": another program has an interface of this name: set interface-prefix";
	snprintf(error, TUN_ERROR_MAX, "cannot make the interface %s: %s%s", name, strerror(saved),
		 hint);
	return -saved;
}

static int set_offload(int fd, enum tun_offload *offload)
{
	for (;;) {
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)levels[*offload].flags) == 0)
			return 0;
		if (errno != EINVAL || *offload == TUN_OFFLOAD_NONE)
			return -errno;
		*offload = (enum tun_offload)(*offload - 1);
	}
}

int tun_open_plain(const char *name, char error[static TUN_ERROR_MAX])
{
	_cleanup_(closep) int fd = open_device(error);
	if (fd < 0)
		return fd;
	int r = attach(fd, name, 0, error);
	if (r < 0)
		return r;
	r = fd;
	fd = -1;
	return r;
}

int tun_open(const char *name, enum tun_offload *offload, char error[static TUN_ERROR_MAX])
{
	_cleanup_(closep) int fd = open_device(error);
	if (fd < 0)
		return fd;
	int r = -EINVAL;
	if (*offload != TUN_OFFLOAD_BARE)
		r = attach(fd, name, IFF_NO_PI | IFF_VNET_HDR, error);
	if (r == -EINVAL) {
		*offload = TUN_OFFLOAD_BARE;
		r = attach(fd, name, IFF_NO_PI, error);
	}
	if (r < 0)
		return r;
	if (*offload != TUN_OFFLOAD_BARE)
		r = set_offload(fd, offload);
	if (r < 0) {
		snprintf(error, TUN_ERROR_MAX, "cannot set the offloads of %s: %s", name,
			 strerror(-r));
		return r;
	}
	int made = fd;
	fd = -1;
	return made;
}

uint32_t tun_gso_max(uint32_t mtu)
{
	/* tcp(7) leaves this for headers below (MAX_TCP_HEADER); RFC 7323's timestamps are the rule
	 * today. */
	enum { RESERVED = 340, HEADERS = IPV4_HEADER_MIN + TCP_HEADER_MIN + 12, ALL = 65536 };
	uint32_t count = MIN(OUTBOX_MAX_BYTES / (mtu + SESSION_OVERHEAD), OUTBOX_MAX_SEGMENTS);
	return count > 1 ? MIN(count * (mtu - HEADERS) + RESERVED, ALL) : ALL;
}

static bool gso_from_virtio(uint8_t type, enum gso_type *ret_gso)
{
	switch (type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		*ret_gso = GSO_NONE;
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		*ret_gso = GSO_TCP4;
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		*ret_gso = GSO_TCP6;
		return true;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		*ret_gso = GSO_UDP;
		return true;
	}
	return false;
}

bool tun_header_parse(const uint8_t header[static TUN_HEADER_LEN], size_t len,
		      struct packet *ret_packet)
{
	struct virtio_net_hdr v;
	memcpy(&v, header, sizeof(v)); /* native byte order: no TUNSETVNETLE */
	enum gso_type gso;
	if (!gso_from_virtio(v.gso_type, &gso) || (gso != GSO_NONE && v.gso_size == 0))
		return false;
	bool partial = v.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (partial && (size_t)v.csum_start + v.csum_offset + 2 > len)
		return false;
	ret_packet->gso = gso;
	ret_packet->gso_size = gso == GSO_NONE ? 0 : v.gso_size;
	ret_packet->partial_checksum = partial;
	ret_packet->csum_start = partial ? v.csum_start : 0;
	ret_packet->csum_offset = partial ? v.csum_offset : 0;
	return true;
}

/* Bytes up to the payload: the kernel wants them in one piece. */
static size_t header_len(const struct packet *packet)
{
	if (packet->gso == GSO_UDP)
		return (size_t)packet->csum_start + 8;
	size_t data_offset_at = (size_t)packet->csum_start + 12;
	if (data_offset_at >= packet->len)
		return packet->len;
	return packet->csum_start + (size_t)(packet->data[data_offset_at] >> 4) * 4;
}

void tun_header_write(const struct packet *packet, uint8_t ret_header[static TUN_HEADER_LEN])
{
	struct virtio_net_hdr v = {0};
	switch (packet->gso) {
	case GSO_NONE:
		break;
	case GSO_TCP4:
		v.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		break;
	case GSO_TCP6:
		v.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
		break;
	case GSO_UDP:
		v.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		break;
	}
	if (packet->gso != GSO_NONE) {
		v.gso_size = packet->gso_size;
		v.hdr_len = (uint16_t)MIN(header_len(packet), packet->len);
	}
	if (packet->partial_checksum) {
		v.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		v.csum_start = packet->csum_start;
		v.csum_offset = packet->csum_offset;
	}
	memcpy(ret_header, &v, sizeof(v));
}

enum tun_result tun_read(int fd, bool bare, uint8_t *buffer, struct packet *ret_packet)
{
	ssize_t header = bare ? 0 : TUN_HEADER_LEN, n;
	do {
		n = read(fd, buffer, TUN_BUFFER_SIZE);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? TUN_EMPTY : TUN_BROKEN;
	if (n <= header)
		return TUN_MALFORMED;
	struct packet packet = {.data = buffer + header, .len = (size_t)(n - header)};
	if (!bare && !tun_header_parse(buffer, packet.len, &packet))
		return TUN_MALFORMED;
	*ret_packet = packet;
	return TUN_PACKET;
}

/* A kernel that takes no virtio header finishes no checksum either. */
static bool fit_for_bare(const struct packet *packet)
{
	return packet->gso == GSO_NONE &&
	       (!packet->partial_checksum ||
		checksum_finish(packet->data, packet->len, packet->csum_start,
				packet->csum_offset));
}

int tun_write(int fd, bool bare, const struct packet *packet)
{
	uint8_t *start = packet->data - (bare ? 0 : TUN_HEADER_LEN);
	size_t len = packet->len + (bare ? 0 : TUN_HEADER_LEN);
	ssize_t n;
	if (!bare)
		tun_header_write(packet, start);
	else if (!fit_for_bare(packet))
		return -EINVAL;
	do {
		n = write(fd, start, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}
