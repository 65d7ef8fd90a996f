#ifndef NODE_SETTINGS_H
#define NODE_SETTINGS_H

/* The configuration of dnetd. */

#include "adapters/adapter.h"
#include "core/aead.h"
#include "node/tun.h"
#include "os/conf.h"
#include "os/daemon.h"
#include "os/priority.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct node_key;
struct object_id;

struct dnetd_config {
	struct daemon_options daemon;
	int64_t port;
	char *interface_prefix;
	int64_t mtu;
	int64_t txqueuelen;
	char *priority;
	int64_t table_base;
	char *tun_offload;
	bool udp_gso;
	bool udp_gro;
	char *cipher;
	char *cipher_library;
	int64_t udp_buffer;
	struct conf_list peer_endpoints;
	char *chain_db;
	char *chainwatch;
	int64_t confirm;
	char *backend;
	struct conf_list backends;
	char *wireguard; /* "auto", … */
	char *programs[PROGRAM_COUNT];
	bool tinc_hub;
	struct conf_list rosters;
	char *roster_ca;
	uint64_t roster_poll_ms;
};

extern const struct conf_program dnetd_program;

/* What the table cannot say: names of backends and offloads, the form of lists. False: error has
 * the text. */
bool settings_check(const struct dnetd_config *config, char error[static CONF_ERROR_MAX]);
enum { SETTINGS_BACKENDS_MAX = 4, SETTINGS_ROSTERS_MAX = 64 };

/* The backends for this dnet, the one that it would rather have first. Returns how many, 1 or more.
 */
size_t settings_backends(const struct dnetd_config *config, const struct object_id *dnet,
			 const struct adapter_ops *ret_backends[SETTINGS_BACKENDS_MAX]);
/* Whether any dnet may have this backend. */
bool settings_use_backend(const struct dnetd_config *config, const struct adapter_ops *ops);
/* The i-th peer-endpoint. */
void settings_peer_endpoint(const struct dnetd_config *config, size_t i, struct node_key *ret_key,
			    struct endpoint *ret_endpoint);
/* Where the configuration says that the roster of this dnet is; NULL: it does not. */
const char *settings_roster(const struct dnetd_config *config, const struct object_id *dnet);
/* The i-th of config->rosters. */
const char *settings_roster_at(const struct dnetd_config *config, size_t i);
enum tun_offload settings_offload(const struct dnetd_config *config);
/* Who works out the ciphers; AEAD_PROVIDERS: whoever is fastest. */
enum aead_provider_id settings_aead(const struct dnetd_config *config);
/* What is offered to peers: bits of enum aead_kind. */
uint8_t settings_ciphers(const struct dnetd_config *config);
enum priority settings_priority(const struct dnetd_config *config);

#endif
