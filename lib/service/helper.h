#ifndef SERVICE_HELPER_H
#define SERVICE_HELPER_H

/* What ovcd and ovrd have in common: start order, service key, sockets, engine, the members that
 * the chain gives, control socket. What they decide is their own. */

#include "core/engine.h"
#include "core/hub.h"
#include "os/chaindb.h"
#include "os/conf.h"
#include "os/ctl.h"
#include "os/daemon.h"
#include "service/pump.h"

#include <jansson.h>

struct identity; /* core/id.h */

/* The configuration that both have; a row a field. */
struct helper_config {
	struct daemon_options daemon;
	char *id;
	int64_t port;
	char *chain_db;
	char *chainwatch;
	int64_t confirm;
	bool udp_gso, udp_gro;
	bool show_key;
	char *hub_statement; /* an option of ovcd alone; NULL elsewhere */
};

/* clang-format off */
#define HELPER_ROW(name, type, fallback, min, max, field, help) \
	{"", name, type, fallback, min, max, offsetof(struct helper_config, field), help}
#define HELPER_OPTIONS(program) \
	DAEMON_OPTIONS(struct helper_config, daemon, program), \
	HELPER_ROW("id", CONF_STRING, "", 0, 100, id, "our own id on the chain: ovc1… or ovr1…"), \
	HELPER_ROW("port", CONF_INT, "4242", 1, 65535, port, "UDP port for everything"), \
	HELPER_ROW("chain-db", CONF_PATH, CHAINDB_PATH, 0, 0, chain_db, \
		   "what chainwatch writes"), \
	HELPER_ROW("chainwatch", CONF_PATH, DNET_RUNDIR "/chainwatch.sock", 0, 100, chainwatch, \
		   "control socket of chainwatch, which tells of changes; empty: look once a second only"), \
	HELPER_ROW("confirm", CONF_INT, "0", 0, 1000, confirm, \
		   "blocks until an addition counts; 0: what the chain's profile says"), \
	HELPER_ROW("udp-gso", CONF_BOOL, "yes", 0, 0, udp_gso, \
		   "send many datagrams in one call where the kernel can"), \
	HELPER_ROW("udp-gro", CONF_BOOL, "yes", 0, 0, udp_gro, \
		   "receive many datagrams in one call where the kernel can"), \
	HELPER_ROW("show-key", CONF_BOOL, "no", 0, 0, show_key, \
		   "print the public service key, made at the first time, and exit")
/* clang-format on */

/* One kind of helper. decider is what create() returned. */
struct helper_kind {
	struct conf_program program; /* with a table of HELPER_OPTIONS() */
	enum realm_kind kind;	     /* REALM_OVC or REALM_OVR */
	const char *create_hint;     /* the command that registers the service */
	const struct realm_ops *ops;
	void *(*create)(struct engine *engine, const struct hub *hub, const struct engine_io *io);
	void (*destroy)(void *decider);
	void (*set_realm)(void *decider, struct realm *realm);
	hub_removed *removed;
	pump_intercept *intercept;
	/* Every few seconds; NULL: none. */
	void (*tick)(void *decider, uint64_t now);
	/* What the file hub_statement has, at the start and when it changed. id: our own. 0;
	 * -EBADMSG: the line and why; -ENOMEM. NULL: there is no such option. */
	int (*take_file)(void *decider, const char *text, const struct object_id *id,
			 unsigned *ret_line, const char **ret_why);
	/* Adds what it knows of a tenant to the object for `status`. */
	void (*describe)(void *decider, const struct object_id *dnet, json_t *tenant, uint64_t now);
	void (*add_counters)(void *decider, json_t *counters);
	/* Of the control socket, beside those that both have; arg is the struct helper. */
	const struct ctl_command *commands;
	size_t commands_count;
	/* What must survive a restart, by tenant; NULL: nothing. */
	uint64_t (*get_used)(void *decider, const struct object_id *dnet);
	int (*set_used)(void *decider, const struct object_id *dnet, uint64_t bytes);
};

struct helper;
/* For its commands. Borrowed. */
void *helper_decider(const struct helper *h);
const struct hub *helper_hub(const struct helper *h);
const struct identity *helper_identity(const struct helper *h);
const struct object_id *helper_id(const struct helper *h);

/* The whole life of the daemon: main() returns what it returns. */
int helper_main(const struct helper_kind *kind, int argc, char **argv);

#endif
