#ifndef SIM_WORLD_H
#define SIM_WORLD_H

/* Whole dnets in virtual time: members (engine and mesh each), OVCs, OVRs, records, and flows of
 * numbered packets between TUN ends that are checked on arrival. */

#include "core/mesh.h"
#include "sim/net.h"

struct world;
struct dnet;
struct member;
struct server;
struct flow;

/* Prints the seed; DNET_SIM_SEED overrides it. */
struct world *world_new(uint64_t seed);
/* Checks that nothing is left over that should not be. */
void world_free(struct world *w);
struct sim_net *world_net(struct world *w);
uint64_t world_now(const struct world *w);

/* A world begins with one dnet, and what does not name another is in that. All have the prefix
 * 10.99.0.0/16. */
struct dnet *world_first_dnet(struct world *w);
struct dnet *world_add_dnet(struct world *w);
const struct object_id *dnet_id(const struct dnet *d);
const struct object_id *world_dnet(const struct world *w); /* of the first */

/* kind: REALM_OVC or REALM_OVR. Linked with the first dnet. */
struct server *world_add_server(struct world *w, enum realm_kind kind);
/* The owner's LINK and the operator's GRANT, also when they were there before. */
void world_link(struct dnet *d, struct server *s);
/* The operator's GRANT anew, with a rate in kbit/s. Takes effect as those below. */
void dnet_grant(struct dnet *d, const struct server *s, uint32_t rate_kbit);
/* The owner's UNLINK. Takes effect as those below. */
void world_unlink(struct dnet *d, struct server *s);
struct member *world_add_member(struct world *w, struct sim_nat *nat);
struct member *dnet_add_member(struct dnet *d, struct sim_nat *nat);
/* At the same host and engine as the other, in another dnet, with a key of its own. */
struct member *dnet_add_member_at(struct dnet *d, struct member *other);
/* Who has a key, and is in nobody's records but his own. */
struct member *world_add_stranger(struct world *w);
/* Builds netmaps from the records and hands them to everybody but those who sleep. */
void world_publish(struct world *w);
/* unaware may be NULL. */
void dnet_publish(struct dnet *d, const struct member *unaware);
/* To this one. */
void member_publish(struct member *m);
/* To all but one, who goes on as before. */
void world_publish_except(struct world *w, const struct member *unaware);
/* The owner's NODE_DEL was seen. Takes effect with world_publish(). */
void world_revoke(struct world *w, struct member *m);
/* And added again. */
void world_unrevoke(struct world *w, struct member *m);
bool member_is_revoked(const struct member *m);
/* The OVC's or OVR's REVOKE of this dnet was seen. */
void world_revoke_grant(struct world *w, const struct server *s);
void dnet_revoke_grant(struct dnet *d, const struct server *s);
/* Packets out of any TUN that are of no flow (ICMP errors, …). */
uint64_t world_stray(const struct world *w);
/* Datagrams that arrived and turns that were taken. */
uint64_t world_events(const struct world *w);

/* Loses all its memory, keeps key and address. */
void server_restart(struct server *s);
void member_restart(struct member *m);
void server_set_off(struct server *s, bool off);
struct sim_host *server_host(struct server *s);

/* What passes a server, before it acts (in) and before it leaves (!in). True: taken, the server
 * does not see it, or it is not sent. What the tap itself sends by sim_send() is not tapped. */
typedef bool server_tap(void *ctx, bool in, const struct endpoint *other, uint8_t *bytes,
			size_t len);
void server_set_tap(struct server *s, server_tap *tap, void *ctx);
/* Kills it, and starts one with its key that does what these operations say. */
void server_become(struct server *s, const struct realm_ops *ops, void *ctx);
/* Of the first dnet. NULL: no such peer. Borrowed until it goes. */
struct peer *server_peer(struct server *s, const struct member *m);
uint64_t server_engine_counter(const struct server *s, enum engine_counter counter);
const struct ovc *server_ovc(const struct server *s);
const struct ovr *server_ovr(const struct server *s);

struct sim_host *member_host(struct member *m);
struct mesh *member_mesh(struct member *m);
/* What it has of the other one (core/mesh_parts.h), made active. */
struct mesh_peer *member_peer(struct member *m, const struct member *other);
struct engine *member_engine(struct member *m);
const struct node_key *member_key(const struct member *m);
struct address member_address(const struct member *m); /* IPv6 */
void member_move(struct member *m, struct sim_nat *nat);
/* The host noticed a change of its network. */
void member_network_changed(struct member *m);
/* Nothing goes in or out, and nothing is done; its clock goes on. */
void member_sleep(struct member *m, bool on);
bool member_is_asleep(const struct member *m);
/* What its own clock shows; it differs from world_now() once it drifts, by ppm millionths. */
uint64_t member_now(const struct member *m);
void member_set_drift(struct member *m, int ppm);

/* Of its machine, since it was cleared. */
struct member_load {
	uint64_t turns, sent;			    /* datagrams */
	uint64_t turns_per_second, sent_per_second; /* of the worst second */
	size_t heap, heap_peak;			    /* bytes; heap: now */
};
struct member_load member_load(const struct member *m);
void member_clear_load(struct member *m);
/* Packets out of its TUN since its start, ICMP errors of its own left out. */
uint64_t member_delivered(const struct member *m);
/* mesh_set_policy() and mesh_ping(); patience: ns. */
int member_set_policy(struct member *m, const struct acl_rule *rules, size_t count);
int member_ping(struct member *m, const struct node_key *key, uint64_t patience,
		mesh_ping_done *done, void *ctx);
/* Of mesh_io, since its start; the last texts that begin with "gave". */
struct member_news {
	unsigned offers, statements, carried;
	char refused[200];
	struct node_key refused_by;
	uint8_t carried_backend;
	size_t carried_len;
	uint8_t carried_bytes[MESH_CARRY_MAX];
	struct statement statement; /* the last one */
};
const struct member_news *member_news(const struct member *m);
/* mesh_set_offer() and so on. */
void member_set_offer(struct member *m, const struct mesh_offer *offer);
void member_set_control_persistent(struct member *m, bool on);
bool member_carry(struct member *m, const struct member *to, uint8_t backend, const void *bytes,
		  size_t len);
void member_set_carrier(struct member *m, const struct member *other, bool native);
bool member_load_statement(struct member *m, const struct statement *statement);
/* Signs with the member's key, whatever the statement says. */
void member_sign(const struct member *m, struct statement *statement);
void server_sign(const struct server *s, struct statement *statement);
/* ovc_add_hub() */
void server_add_hub(struct server *s, const struct object_id *dnet, uint16_t port,
		    const struct statement *statement);
const struct object_id *server_object(const struct server *s);
const struct node_key *server_key(const struct server *s);
/* One packet into its TUN, as it is. */
void member_send_raw(struct member *m, const uint8_t *bytes, size_t len);
/* Which way data takes from one to the other. */
enum path_kind path_between(const struct member *from, const struct member *to);
const char *reason_between(const struct member *from, const struct member *to);
/* What a member says is wrong with a helper; "" when nothing is. */
const char *trouble_with(const struct member *m, const struct server *s);
bool both_direct(const struct member *a, const struct member *b);

/* Numbered packets of len bytes, one each interval, from now on. */
struct flow *world_add_flow(struct world *w, struct member *from, struct member *to,
			    uint64_t interval, size_t len);
void flow_stop(struct flow *f);
struct flow_stats {
	uint64_t sent, arrived;
	uint64_t first_arrival; /* since the flow began; UINT64_MAX: none */
	uint64_t longest_gap;	/* between two arrivals, or since the last one, from the first on */
};
struct flow_stats flow_stats(const struct flow *f);
/* ns since the last packet arrived, or since it began or was marked. */
uint64_t flow_silent(const struct flow *f);
/* Gaps and numbers are counted anew from here. */
void flow_mark(struct flow *f);

/* Lets the time pass. */
void world_run(struct world *w, uint64_t ns);
/* Until both have a direct path to the other and so on; returns how long it took, UINT64_MAX: not
 * within limit. */
typedef bool world_fact(struct world *w, void *ctx);
uint64_t world_run_until(struct world *w, world_fact *fact, void *ctx, uint64_t limit);

#endif
