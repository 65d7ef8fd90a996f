#ifndef SIM_NET_H
#define SIM_NET_H

/* A network in virtual time: hosts with IPv4 addresses, NATs, and datagrams that are delayed, lost,
 * doubled and overtaken as a seeded generator says. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/addr.h"

#define SIM_MS	   1000000ull
#define SIM_SECOND (1000 * SIM_MS)

/* Mapping and filtering of RFC 4787: full cone lets anybody in; restricted, who was written to by
 * address; port restricted, by address and port; symmetric has also another port for each
 * destination. */
enum nat_kind { NAT_FULL_CONE, NAT_RESTRICTED, NAT_PORT_RESTRICTED, NAT_SYMMETRIC };

struct sim_net;
struct sim_nat;
struct sim_host;

typedef void sim_receive(void *ctx, const struct endpoint *src, uint8_t *bytes, size_t len);

struct sim_net *sim_net_new(uint64_t seed);
void sim_net_free(struct sim_net *net);
uint64_t sim_now(const struct sim_net *net);
uint64_t sim_random(struct sim_net *net);
void sim_random_bytes(struct sim_net *net, void *dst, size_t len);

/* In 1/1000; each datagram takes delay, and up to jitter more. */
void sim_set_faults(struct sim_net *net, unsigned loss, unsigned doubled, uint64_t delay,
		    uint64_t jitter);

struct sim_nat *sim_add_nat(struct sim_net *net, enum nat_kind kind);
/* Forgets all mappings, as after a reboot. */
void sim_nat_reset(struct sim_nat *nat);
/* nat NULL: a public address. */
struct sim_host *sim_add_host(struct sim_net *net, struct sim_nat *nat, sim_receive *receive,
			      void *ctx);
/* Where it is and what it is called there. */
struct endpoint sim_host_endpoint(const struct sim_host *host);
/* Another network: new address, new place; nothing for the old one arrives any more. */
void sim_move_host(struct sim_host *host, struct sim_nat *nat);
/* What is sent to any port of its address arrives there. */
void sim_host_take_every_port(struct sim_host *host);
/* What it sends bears that source from now on; what is sent there does not reach it. NULL: its own
 * again. */
void sim_host_claim(struct sim_host *host, const struct endpoint *source);
/* Unplugged: nothing goes in or out. */
void sim_set_host_off(struct sim_host *host, bool off);
bool sim_host_is_off(const struct sim_host *host);

/* Between the two no datagram passes directly, whatever their NATs (through others it does). */
void sim_block(struct sim_net *net, const struct sim_host *a, const struct sim_host *b, bool on);

/* The same, for what a sends to b only. */
void sim_block_way(struct sim_net *net, const struct sim_host *a, const struct sim_host *b,
		   bool on);

void sim_send(struct sim_host *host, const struct endpoint *dst, const uint8_t *bytes, size_t len);
/* With an address that is not the host's: nobody's network filters what leaves it. */
void sim_send_as(struct sim_host *host, const struct endpoint *src, const struct endpoint *dst,
		 const uint8_t *bytes, size_t len);

/* When the next datagram arrives; UINT64_MAX: none is under way. */
uint64_t sim_next(const struct sim_net *net);
/* Sets the clock; not past sim_next(). */
void sim_advance(struct sim_net *net, uint64_t now);
/* Delivers what arrives now. */
void sim_deliver(struct sim_net *net);
/* Datagrams that arrived at a host so far. */
uint64_t sim_delivered(const struct sim_net *net);

#endif
