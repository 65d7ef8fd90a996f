/* What one core does between the TUN and the socket, without either: cutting and sealing, opening
 * and joining; for each AEAD of each provider, with segments of 1,400 bytes and packets of 64.
 *
 *     tests/bench/dataplane [SECONDS [TEXT]]
 *
 * SECONDS (default 0.3) is spent on each line; only lines that contain TEXT are measured. GB are
 * 10^9 bytes of inner packets. Compare ratios of one run: machines and runs differ. */

#include "core/aead.h"

/* A session whose AEAD is by the provider under test. */
static enum aead_provider_id provider;
#define aead_key_new(kind, key) aead_key_new_by(provider, kind, key)
#include "core/session.c"
#undef aead_key_new

#include "core/coalesce.h"
#include "fixture/packet.h"

#include <stdio.h>
#include <time.h>

enum { SEGMENT = 1400, SMALL = 64, ALL_KINDS = 1 << GSO_TCP4 | 1 << GSO_TCP6 | 1 << GSO_UDP };

struct bench {
	struct session *a, *b;
	struct outbox box;
	struct coalescer coalescer;
	struct packet packet;
	size_t calls;	     /* of session_seal_packet() for one box */
	uint64_t seal, open; /* ns */
	uint64_t bytes, packets, delivered;
};

static uint8_t box_bytes[OUTBOX_SIZE], joined[COALESCE_ROOM], super_packet[UINT16_MAX];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void deliver(void *ctx, struct packet *packet)
{
	struct bench *b = ctx;

	b->delivered += packet->len;
}

static void open_all(struct bench *b)
{
	uint8_t *content;
	size_t len;
	int n;

	for (size_t at = 0; at < b->box.len; at += b->box.segment) {
		len = b->box.len - at < b->box.segment ? b->box.len - at : b->box.segment;
		n = session_open(b->b, b->box.bytes + at, len, &content);
		assert(n > 0);
		if (!coalesce_add(&b->coalescer, content, (size_t)n, true, ALL_KINDS, deliver, b))
			abort();
		b->bytes += (uint64_t)n;
		b->packets++;
	}
	coalesce_flush(&b->coalescer, deliver, b);
}

/* One box full there and back. */
static void turn(struct bench *b)
{
	uint64_t start = now_ns(), middle;
	size_t offset;
	bool all;
	int err;

	outbox_clear(&b->box);
	for (size_t i = 0; i < b->calls; i++) {
		offset = 0;
		all = session_seal_packet(b->a, &b->packet, &offset, &b->box, &err);
		assert(all && !err);
	}
	middle = now_ns();
	open_all(b);
	b->seal += middle - start;
	b->open += now_ns() - middle;
}

static void use_segments(struct bench *b)
{
	static uint8_t payload[44 * (SEGMENT - 40)];
	struct packet_spec spec = {.version = 4, .flags = PACKET_ACK, .df = true};
	size_t len = packet_build(&spec, payload, sizeof(payload), super_packet);

	b->packet = packet_of(&spec, super_packet, len, SEGMENT - 40);
	b->calls = 1;
}

/* As a program sends them one by one; they are joined all the same. */
static void use_small(struct bench *b)
{
	static uint8_t payload[SMALL - 28];
	struct packet_spec spec = {.version = 4, .udp = true, .df = true};
	size_t len = packet_build(&spec, payload, sizeof(payload), super_packet);

	b->packet = packet_of(&spec, super_packet, len, 0);
	b->calls = OUTBOX_MAX_SEGMENTS;
}

static bool measure(enum aead_kind kind, bool small, double seconds, const char *text)
{
	static const uint8_t keys[2][AEAD_KEY_LEN] = {{1}, {2}};
	struct bench b = {.box = {.bytes = box_bytes}};
	uint64_t end;
	char line[128];

	b.a = session_new(kind, keys[0], keys[1], 1, 2, true, 0);
	b.b = session_new(kind, keys[1], keys[0], 2, 1, false, 0);
	if (!b.a || !b.b)
		return false;
	snprintf(line, sizeof(line), "%-17s %-27s %5d",
		 kind == AEAD_AES256_GCM ? "AES-256-GCM" : "ChaCha20-Poly1305",
		 session_provider(b.a), small ? SMALL : SEGMENT);
	if (!text || strstr(line, text)) {
		coalesce_init(&b.coalescer, joined);
		if (small)
			use_small(&b);
		else
			use_segments(&b);
		turn(&b);
		b.seal = b.open = b.bytes = b.packets = 0;
		for (end = now_ns() + (uint64_t)(seconds * 1e9); now_ns() < end;)
			turn(&b);
		printf("%s %12.2f %7.1f %13.2f %7.1f\n", line, (double)b.bytes / (double)b.seal,
		       (double)b.seal / (double)b.packets, (double)b.bytes / (double)b.open,
		       (double)b.open / (double)b.packets);
		fflush(stdout);
	}
	session_free(b.a);
	session_free(b.b);
	return true;
}

int main(int argc, char **argv)
{
	static const enum aead_kind kinds[] = {AEAD_AES256_GCM, AEAD_CHACHA20_POLY1305};
	double seconds = argc > 1 ? atof(argv[1]) : 0.3;

	printf("%-17s %-27s %5s %12s %7s %13s %7s\n", "cipher", "by", "bytes", "cut+seal GB/s",
	       "ns", "open+join GB/s", "ns");
	for (int i = 0; i < 4; i++) {
		for (int by = 0; by < AEAD_PROVIDERS; by++) {
			provider = (enum aead_provider_id)by;
			measure(kinds[i / 2], i % 2, seconds, argc > 2 ? argv[2] : NULL);
		}
	}
	return 0;
}
