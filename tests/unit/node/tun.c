#include "fixture/test.h"

#include "core/session.h"
#include "fixture/packet.h"
#include "node/tun.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fill(uint8_t header[TUN_HEADER_LEN], uint8_t flags, uint8_t type, uint16_t size,
		 uint16_t start, uint16_t offset)
{
	struct virtio_net_hdr v = {.flags = flags,
				   .gso_type = type,
				   .gso_size = size,
				   .csum_start = start,
				   .csum_offset = offset};
	memcpy(header, &v, sizeof(v));
}

static void every_gso_type_is_read(void **state)
{
	static const struct {
		uint8_t type;
		enum gso_type gso;
	} table[] = {
		{VIRTIO_NET_HDR_GSO_TCPV4, GSO_TCP4},
		{VIRTIO_NET_HDR_GSO_TCPV6, GSO_TCP6},
		{VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, GSO_TCP4},
		{5 /* UDP_L4 */, GSO_UDP},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint8_t header[TUN_HEADER_LEN];
		struct packet p = {0};
		fill(header, VIRTIO_NET_HDR_F_NEEDS_CSUM, table[i].type, 1360, 20, 16);
		assert_true(tun_header_parse(header, 3000, &p));
		assert_int_equal(p.gso, table[i].gso);
		assert_int_equal(p.gso_size, 1360);
		assert_true(p.partial_checksum);
		assert_int_equal(p.csum_start, 20);
		assert_int_equal(p.csum_offset, 16);
	}
}

static void unknown_types_and_a_size_of_zero_are_refused(void **state)
{
	uint8_t header[TUN_HEADER_LEN];
	struct packet p = {.gso_size = 7};
	(void)state;
	fill(header, 0, VIRTIO_NET_HDR_GSO_UDP, 1360, 0, 0); /* UFO was not offered */
	assert_false(tun_header_parse(header, 3000, &p));
	fill(header, 0, 2, 1360, 0, 0);
	assert_false(tun_header_parse(header, 3000, &p));
	fill(header, 0, VIRTIO_NET_HDR_GSO_TCPV4, 0, 0, 0);
	assert_false(tun_header_parse(header, 3000, &p));
	assert_int_equal(p.gso_size, 7);
}

static void a_checksum_field_has_to_lie_inside_the_packet(void **state)
{
	uint8_t header[TUN_HEADER_LEN];
	struct packet p;
	(void)state;
	fill(header, VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_NONE, 0, 20, 6);
	assert_true(tun_header_parse(header, 28, &p));
	assert_false(tun_header_parse(header, 27, &p));
	fill(header, VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_NONE, 0, 65535, 65535);
	assert_false(tun_header_parse(header, 65535, &p));
}

static void what_is_written_is_read_back(void **state)
{
	uint8_t bytes[100] = {0};
	struct packet p = {.data = bytes,
			   .len = sizeof(bytes),
			   .gso = GSO_TCP6,
			   .gso_size = 20,
			   .partial_checksum = true,
			   .csum_start = 40,
			   .csum_offset = 16};
	struct packet back = {0};
	uint8_t header[TUN_HEADER_LEN];
	struct virtio_net_hdr v;
	(void)state;
	bytes[52] = 8 << 4; /* TCP header of 32 bytes */
	tun_header_write(&p, header);
	assert_true(tun_header_parse(header, p.len, &back));
	assert_int_equal(back.gso, GSO_TCP6);
	assert_int_equal(back.gso_size, 20);
	assert_int_equal(back.csum_start, 40);
	assert_int_equal(back.csum_offset, 16);
	memcpy(&v, header, sizeof(v));
	assert_int_equal(v.hdr_len, 72);
}

static void a_header_never_says_more_than_the_packet_has(void **state)
{
	uint8_t bytes[60] = {0};
	struct packet p = {.data = bytes, .len = sizeof(bytes), .gso = GSO_TCP4, .gso_size = 9};
	uint8_t header[TUN_HEADER_LEN];
	struct virtio_net_hdr v;
	(void)state;
	p.csum_start = 20;
	bytes[32] = 0xf0; /* 60 bytes of TCP header, 40 are there */
	tun_header_write(&p, header);
	memcpy(&v, header, sizeof(v));
	assert_int_equal(v.hdr_len, 60);
	p.csum_start = 59;
	tun_header_write(&p, header);
	memcpy(&v, header, sizeof(v));
	assert_int_equal(v.hdr_len, 60);
}

/* A device that is a pair of sockets: one packet a call, as a TUN. */
static void a_bare_device_has_packets_without_a_header(void **state)
{
	struct packet_spec spec = {.version = 4, .flags = PACKET_ACK};
	uint8_t bytes[TUN_HEADER_LEN + 200], whole[200], back[TUN_BUFFER_SIZE];
	const uint8_t payload[61] = {7, 8, 9};
	struct packet packet, got;
	int fds[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	for (int i = 0; i < 4; i++) {
		spec.version = i & 1 ? 6 : 4;
		spec.udp = i & 2;
		spec.full = false;
		size_t len = packet_build(&spec, payload, sizeof(payload), bytes + TUN_HEADER_LEN);
		packet = packet_of(&spec, bytes + TUN_HEADER_LEN, len, 0);
		spec.full = true;
		packet_build(&spec, payload, sizeof(payload), whole);
		/* A partial checksum is finished, as nobody behind it does. */
		assert_int_equal(tun_write(fds[0], true, &packet), 0);
		assert_int_equal(tun_read(fds[1], true, back, &got), TUN_PACKET);
		assert_int_equal(got.len, len);
		assert_memory_equal(got.data, whole, len);
		assert_false(got.partial_checksum);
		assert_int_equal(got.gso, GSO_NONE);
		packet.gso = GSO_UDP;
		packet.gso_size = 10;
		assert_int_equal(tun_write(fds[0], true, &packet), -EINVAL);
		packet.gso = GSO_NONE;
		packet.csum_offset = 200;
		assert_int_equal(tun_write(fds[0], true, &packet), -EINVAL);
		assert_int_equal(tun_read(fds[1], true, back, &got), TUN_EMPTY);
	}
	close(fds[0]);
	close(fds[1]);
}

static void offload_names_go_both_ways(void **state)
{
	(void)state;
	for (int i = TUN_OFFLOAD_BARE; i <= TUN_OFFLOAD_USO; i++) {
		enum tun_offload back;
		assert_true(tun_offload_parse(tun_offload_name((enum tun_offload)i), &back));
		assert_int_equal(back, i);
	}
	assert_false(tun_offload_parse("TSO", &(enum tun_offload){0}));
	assert_int_equal(tun_offload_gso(TUN_OFFLOAD_CHECKSUM), 0);
	assert_int_equal(tun_offload_gso(TUN_OFFLOAD_TSO), 1u << GSO_TCP4 | 1u << GSO_TCP6);
}

/* What TCP may put in: the rest is the kernel's for headers. */
static void a_super_packet_fills_a_burst_and_no_more(void **state)
{
	enum { RESERVED = 340 };
	(void)state;
	for (uint32_t mtu = 1280; mtu < 30000; mtu += 7) {
		uint32_t payload = tun_gso_max(mtu) - RESERVED, mss = mtu - 52;
		size_t count = payload / mss;
		assert_true(count <= OUTBOX_MAX_SEGMENTS);
		assert_true(count * (mtu + SESSION_OVERHEAD) <= OUTBOX_MAX_BYTES);
		assert_true(count == OUTBOX_MAX_SEGMENTS ||
			    (count + 1) * (mtu + SESSION_OVERHEAD) > OUTBOX_MAX_BYTES);
		/* over IPv6 */
		assert_int_equal(payload / (mss - 20), count);
	}
	assert_int_equal(tun_gso_max(65535), 65536);
	assert_int_equal(tun_gso_max(TUN_PACKET_MAX), 65536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_gso_type_is_read),
		cmocka_unit_test(unknown_types_and_a_size_of_zero_are_refused),
		cmocka_unit_test(a_checksum_field_has_to_lie_inside_the_packet),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(a_header_never_says_more_than_the_packet_has),
		cmocka_unit_test(a_bare_device_has_packets_without_a_header),
		cmocka_unit_test(offload_names_go_both_ways),
		cmocka_unit_test(a_super_packet_fills_a_burst_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
