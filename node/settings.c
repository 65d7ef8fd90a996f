#include "node/settings.h"

#include "adapters/adapter.h"
#include "config.h"
#include "node/privops.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/fetch.h"
#include "wire/addr.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct dnetd_config, daemon, "dnetd"),
	{"network", "port", CONF_INT, "0", 0, 65535, offsetof(struct dnetd_config, port),
	 "UDP port; 0 takes a free one at the first start and keeps it"},
	{"network", "interface-prefix", CONF_STRING, "dnet", 1, 10,
	 offsetof(struct dnetd_config, interface_prefix),
	 "names of interfaces are this and a number"},
	{"network", "mtu", CONF_INT, "1400", PRIV_MTU_MIN, TUN_PACKET_MAX,
	 offsetof(struct dnetd_config, mtu),
	 "largest packet inside the overlay, in bytes; less where the path to a member, or the "
	 "member, takes less"},
	{"network", "txqueuelen", CONF_INT, "1000", 1, 10000,
	 offsetof(struct dnetd_config, txqueuelen),
	 "packets that wait in the interface while dnetd does not run; it takes them out at once"},
	{"network", "priority", CONF_STRING, "normal", 1, 16,
	 offsetof(struct dnetd_config, priority),
	 "of dnetd's packets before other programs' work when all processors are busy: normal, "
	 "high "
	 "(nice -10) or realtime (SCHED_RR)"},
	{"network", "table-base", CONF_INT, "52000", PRIV_TABLE_MIN, PRIV_TABLE_MAX,
	 offsetof(struct dnetd_config, table_base),
	 "each interface has a routing table of its own: this and the interface's number"},
	{"network", "tun-offload", CONF_STRING, "uso", 0, 0,
	 offsetof(struct dnetd_config, tun_offload),
	 "what the interface may leave to dnetd: bare (no virtio headers), none, checksum, tso or "
	 "uso (each with those before)"},
	{"network", "udp-gso", CONF_BOOL, "yes", 0, 0, offsetof(struct dnetd_config, udp_gso),
	 "send many datagrams in one call where the kernel can"},
	{"network", "udp-gro", CONF_BOOL, "yes", 0, 0, offsetof(struct dnetd_config, udp_gro),
	 "receive many datagrams in one call where the kernel can"},
	{"network", "cipher", CONF_STRING, "auto", 0, 0, offsetof(struct dnetd_config, cipher),
	 "what packets are sealed with: auto (AES-256-GCM where both ends have instructions for "
	 "it), or chacha20-poly1305 with everybody"},
	{"network", "cipher-library", CONF_STRING, "auto", 0, 0,
	 offsetof(struct dnetd_config, cipher_library),
	 "who seals: auto (the fastest here, measured at the start), libipsec-mb, libcrypto or "
	 "libsodium (where that one cannot, another does)"},
	{"network", "udp-buffer", CONF_INT, "2097152", 65536, 67108864,
	 offsetof(struct dnetd_config, udp_buffer),
	 "bytes of the sockets' buffers, each direction"},
	{"network", "peer-endpoint", CONF_LIST, NULL, 0, 1024,
	 offsetof(struct dnetd_config, peer_endpoints),
	 "where a node can be tried without an OVC, as 'KEY ADDRESS:PORT'; may be repeated"},
	{"chain", "chain-db", CONF_PATH, CHAINDB_PATH, 0, 0,
	 offsetof(struct dnetd_config, chain_db), "what chainwatch writes"},
	{"chain", "chainwatch", CONF_PATH, DNET_RUNDIR "/chainwatch.sock", 0, 0,
	 offsetof(struct dnetd_config, chainwatch),
	 "control socket of chainwatch, which tells of changes; empty: look once a second only"},
	{"chain", "confirm", CONF_INT, "0", 0, 1000, offsetof(struct dnetd_config, confirm),
	 "blocks until an addition counts; 0: what the chain's profile says"},
	{"roster", "roster", CONF_LIST, NULL, 0, SETTINGS_ROSTERS_MAX,
	 offsetof(struct dnetd_config, rosters),
	 "where the roster of a dnet is, as 'DNET-ID URL' or 'DNET-ID PATH'; may be repeated; else "
	 "where the join link said"},
	{"roster", "roster-poll", CONF_DURATION, "60s", 1000, 86400000,
	 offsetof(struct dnetd_config, roster_poll_ms),
	 "how often to ask whether there is a newer roster, beside when the chain wants one"},
	{"roster", "roster-ca", CONF_PATH, "", 0, 0, offsetof(struct dnetd_config, roster_ca),
	 "file of the authorities for https URLs of rosters; empty: the system's"},
	{"adapters", "backend", CONF_STRING, "native", 1, 64,
	 offsetof(struct dnetd_config, backend),
	 "what carries the packets: native, or several by blanks, the best one first; two members "
	 "use the first that both have"},
	{"adapters", "dnet-backend", CONF_LIST, NULL, 0, 128,
	 offsetof(struct dnetd_config, backends),
	 "a dnet's own backends, as 'DNET-ID NAME…'; may be repeated"},
	{"adapters", "tincd", CONF_PATH, "/usr/sbin/tincd", 0, 0,
	 offsetof(struct dnetd_config, programs[PROGRAM_TINCD]),
	 "program of the backend tinc, 1.0.36 or newer"},
	{"adapters", "tinc-hub", CONF_BOOL, "no", 0, 0, offsetof(struct dnetd_config, tinc_hub),
	 "reach members that tinc cannot connect to directly through the hub of an OVC, whose "
	 "operator can then read and change these packets"},
	{"adapters", "wireguard", CONF_STRING, "auto", 1, 16,
	 offsetof(struct dnetd_config, wireguard),
	 "what the backend wireguard runs on: kernel, go (wireguard-go), or auto: the kernel's "
	 "where "
	 "it has one"},
	{"adapters", "wireguard-go", CONF_PATH, "/usr/bin/wireguard-go", 0, 0,
	 offsetof(struct dnetd_config, programs[PROGRAM_WIREGUARD_GO]),
	 "the program of the backend wireguard where the kernel has none"},
	{"adapters", "exec-program", CONF_STRING, "", 0, 1000,
	 offsetof(struct dnetd_config, programs[PROGRAM_EXEC]),
	 "program of the backend exec, a path with arguments behind blanks; doc/porting.md says "
	 "what it has to do"},
};

const struct conf_program dnetd_program = {
	.name = "dnetd",
	.version = PACKAGE_VERSION,
	.summary = "node of the dnet overlay network: interfaces, peers, packets",
	.path = DNET_SYSCONFDIR "/dnetd.conf",
	.options = options,
	.options_count = ARRAY_SIZE(options),
};

/* "DNET-ID NAME": the name, borrowed, or NULL. */
static const char *split_item(const char *item, struct object_id *ret_id)
{
	const char *space = strchr(item, ' ');
	char text[OBJECT_ID_TEXT_SIZE];
	enum object_kind kind;
	if (!space || (size_t)(space - item) >= sizeof(text))
		return NULL;
	memcpy(text, item, (size_t)(space - item));
	text[space - item] = '\0';
	if (!object_id_parse(text, &kind, ret_id) || kind != OBJECT_DNET)
		return NULL;
	return space + strspn(space, " ");
}

static bool split_peer_endpoint(const char *item, struct node_key *ret_key,
				struct endpoint *ret_endpoint)
{
	const char *space = strchr(item, ' ');
	char hex[2 * PUBKEY_LEN + 1];
	if (!space || space - item != 2 * PUBKEY_LEN)
		return false;
	memcpy(hex, item, 2 * PUBKEY_LEN);
	hex[2 * PUBKEY_LEN] = '\0';
	return hex_parse(hex, ret_key->bytes, PUBKEY_LEN) &&
	       endpoint_parse(space + strspn(space, " "), ret_endpoint) && ret_endpoint->port != 0;
}

void settings_peer_endpoint(const struct dnetd_config *config, size_t i, struct node_key *ret_key,
			    struct endpoint *ret_endpoint)
{
	bool good = split_peer_endpoint(config->peer_endpoints.items[i], ret_key, ret_endpoint);
	assert(good); /* settings_check() */
}

/* Names by blanks. Returns how many, 0 when error has the text. */
static size_t parse_backends(const char *text,
			     const struct adapter_ops *ret_backends[SETTINGS_BACKENDS_MAX],
			     char error[static CONF_ERROR_MAX])
{
	char words[128];
	size_t count = 0;
	char *rest = NULL;
	snprintf(words, sizeof(words), "%s", text);
	for (char *name = strtok_r(words, " \t", &rest); name;
	     name = strtok_r(NULL, " \t", &rest)) {
		const struct adapter_ops *ops = adapter_find(name);
		bool twice = false;
		for (size_t i = 0; i < count; i++)
			twice = twice || ret_backends[i] == ops;
		if (!ops || twice || count == SETTINGS_BACKENDS_MAX) {
			snprintf(error, CONF_ERROR_MAX,
				 ops ? "backend '%s' is named twice, or there are too many (%s)"
				     : "there is no backend '%s': use one of %s",
				 name, adapter_names());
			return 0;
		}
		ret_backends[count++] = ops;
	}
	if (count == 0)
		snprintf(error, CONF_ERROR_MAX, "no backend is named: use one of %s",
			 adapter_names());
	return count;
}

static bool check_backends(const char *text, char error[static CONF_ERROR_MAX])
{
	const struct adapter_ops *backends[SETTINGS_BACKENDS_MAX];
	return parse_backends(text, backends, error) > 0;
}

static bool check_programs(const struct dnetd_config *config, char error[static CONF_ERROR_MAX])
{
	const char *program = config->programs[PROGRAM_EXEC];
	if (!settings_use_backend(config, &adapter_exec) || program[0] == '/')
		return true;
	if (program[0])
		snprintf(error, CONF_ERROR_MAX, "exec-program '%s' is not an absolute path",
			 program);
	else
		snprintf(error, CONF_ERROR_MAX,
			 "backend exec needs a program: exec-program = /PATH ARGUMENTS");
	return false;
}

const char *settings_roster_at(const struct dnetd_config *config, size_t i)
{
	struct object_id id;
	return split_item(config->rosters.items[i], &id);
}

const char *settings_roster(const struct dnetd_config *config, const struct object_id *dnet)
{
	for (size_t i = 0; i < config->rosters.count; i++) {
		struct object_id id;
		const char *location = split_item(config->rosters.items[i], &id);
		if (location && object_id_equal(&id, dnet))
			return location;
	}
	return NULL;
}

static bool check_rosters(const struct dnetd_config *config, char error[static CONF_ERROR_MAX])
{
	for (size_t i = 0; i < config->rosters.count; i++) {
		const char *location = settings_roster_at(config, i);
		if (location && fetch_location_ok(location))
			continue;
		snprintf(
			error, CONF_ERROR_MAX,
			"roster '%s' is not 'DNET-ID LOCATION' with an absolute path or an http or "
			"https URL",
			config->rosters.items[i]);
		return false;
	}
	return true;
}

static bool check_prefix(const char *prefix, char error[static CONF_ERROR_MAX])
{
	size_t len = strlen(prefix);
	bool good = strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789-") == len &&
		    strspn(&prefix[len - 1], "0123456789-") == 0;
	if (!good)
		snprintf(error, CONF_ERROR_MAX,
			 "interface-prefix '%s' is not of a-z 0-9 - with a letter at the end",
			 prefix);
	return good;
}

static bool check_peer_endpoints(const struct dnetd_config *config,
				 char error[static CONF_ERROR_MAX])
{
	for (size_t i = 0; i < config->peer_endpoints.count; i++) {
		const char *item = config->peer_endpoints.items[i];
		struct node_key key;
		struct endpoint endpoint;
		if (split_peer_endpoint(item, &key, &endpoint))
			continue;
		snprintf(error, CONF_ERROR_MAX,
			 "peer-endpoint '%s' is not 'KEY ADDRESS:PORT' (KEY as dnet id shows it)",
			 item);
		return false;
	}
	return true;
}

/* AEAD_PROVIDERS for "auto"; false: no such name. */
static bool provider_parse(const char *text, enum aead_provider_id *ret)
{
	int i = 0;
	if (strcmp(text, "auto") == 0)
		i = AEAD_PROVIDERS;
	while (i < AEAD_PROVIDERS &&
	       strcmp(text, aead_provider_name((enum aead_provider_id)i)) != 0)
		i++;
	*ret = (enum aead_provider_id)i;
	return i < AEAD_PROVIDERS || strcmp(text, "auto") == 0;
}

static bool check_cipher(const struct dnetd_config *config, char error[static CONF_ERROR_MAX])
{
	enum aead_provider_id provider;
	if (strcmp(config->cipher, "auto") != 0 &&
	    strcmp(config->cipher, "chacha20-poly1305") != 0) {
		snprintf(error, CONF_ERROR_MAX, "cipher '%s' is none of auto, chacha20-poly1305",
			 config->cipher);
		return false;
	}
	if (provider_parse(config->cipher_library, &provider))
		return true;
	snprintf(error, CONF_ERROR_MAX,
		 "cipher-library '%s' is none of auto, libipsec-mb, libcrypto, libsodium",
		 config->cipher_library);
	return false;
}

bool settings_check(const struct dnetd_config *config, char error[static CONF_ERROR_MAX])
{
	enum tun_offload offload;
	enum priority priority;
	struct object_id id;
	if (!priority_parse(config->priority, &priority)) {
		snprintf(error, CONF_ERROR_MAX, "priority '%s' is none of normal, high, realtime",
			 config->priority);
		return false;
	}
	if (!tun_offload_parse(config->tun_offload, &offload)) {
		snprintf(error, CONF_ERROR_MAX,
			 "tun-offload '%s' is none of bare, none, checksum, tso, uso",
			 config->tun_offload);
		return false;
	}
	if (!adapter_choose_wireguard(config->wireguard)) {
		snprintf(error, CONF_ERROR_MAX, "wireguard '%s' is none of auto, kernel, go",
			 config->wireguard);
		return false;
	}
	if (!check_cipher(config, error) || !check_prefix(config->interface_prefix, error) ||
	    !check_backends(config->backend, error) || !check_peer_endpoints(config, error) ||
	    !check_rosters(config, error))
		return false;
	for (size_t i = 0; i < config->backends.count; i++) {
		const char *item = config->backends.items[i];
		const char *name = split_item(item, &id);
		if (!name) {
			snprintf(error, CONF_ERROR_MAX, "dnet-backend '%s' is not 'DNET-ID NAME…'",
				 item);
			return false;
		}
		if (!check_backends(name, error))
			return false;
	}
	return check_programs(config, error);
}

size_t settings_backends(const struct dnetd_config *config, const struct object_id *dnet,
			 const struct adapter_ops *ret_backends[SETTINGS_BACKENDS_MAX])
{
	char error[CONF_ERROR_MAX];
	const char *text = config->backend;
	for (size_t i = 0; i < config->backends.count; i++) {
		struct object_id id;
		const char *names = split_item(config->backends.items[i], &id);
		if (names && object_id_equal(&id, dnet)) {
			text = names;
			break;
		}
	}
	size_t count = parse_backends(text, ret_backends, error);
	assert(count > 0); /* settings_check() */
	for (size_t i = 0; i < count; i++) {
		if (ret_backends[i]->backend == BACKEND_WIREGUARD)
			ret_backends[i] = adapter_choose_wireguard(config->wireguard);
	}
	return count;
}

bool settings_use_backend(const struct dnetd_config *config, const struct adapter_ops *ops)
{
	struct object_id id;
	const struct adapter_ops *used[SETTINGS_BACKENDS_MAX];
	char error[CONF_ERROR_MAX];
	for (size_t i = 0; i <= config->backends.count; i++) {
		const char *text = i < config->backends.count
					   ? split_item(config->backends.items[i], &id)
					   : config->backend;
		size_t count = parse_backends(text, used, error);
		for (size_t j = 0; j < count; j++) {
			if (used[j] == ops)
				return true;
		}
	}
	return false;
}

enum tun_offload settings_offload(const struct dnetd_config *config)
{
	enum tun_offload offload = TUN_OFFLOAD_NONE;
	(void)tun_offload_parse(config->tun_offload, &offload);
	return offload;
}

enum aead_provider_id settings_aead(const struct dnetd_config *config)
{
	enum aead_provider_id provider;
	(void)provider_parse(config->cipher_library, &provider);
	return provider;
}

uint8_t settings_ciphers(const struct dnetd_config *config)
{
	bool any = strcmp(config->cipher, "auto") == 0;
	return any ? aead_supported() : AEAD_CHACHA20_POLY1305;
}

enum priority settings_priority(const struct dnetd_config *config)
{
	enum priority priority = PRIORITY_NORMAL;
	(void)priority_parse(config->priority, &priority);
	return priority;
}
