#include "service/helper.h"

#include "config.h"
#include "core/aead.h"
#include "core/id.h"
#include "core/netmap.h"
#include "core/secret.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/ctl.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "os/sandbox.h"
#include "os/udp.h"
#include "service/chain.h"
#include "service/lastgood.h"
#include "service/usage.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HUB_FILE_MAX = 1 << 24 };
enum { TICK_MS = 5000, PATH_MAX_LEN = 4096, KEY_TEXT_SIZE = 2 * SECRET_LEN + 2 };

struct helper {
	const struct helper_kind *kind;
	const struct helper_config *config;
	struct loop *loop;
	struct object_id id;
	struct identity identity;
	struct id *curve; /* owned */
	struct udp_socket v4, v6;
	struct pump *pump; /* owned */
	struct engine_io io;
	struct engine *engine;	 /* owned */
	struct hub *hub;	 /* owned */
	void *decider;		 /* owned */
	struct realm *realm;	 /* owned by the engine */
	struct chain *chain;	 /* owned */
	struct lastgood **known; /* owned, each too: dnets that we ever granted */
	size_t known_count;
	bool knows_former;	      /* the dnets that the state folder has copies of, too */
	struct ctl_server *ctl;	      /* owned */
	struct ctl_command *commands; /* owned: ours, then those of its kind */
	struct loop_timer *tick;      /* owned */
	struct usage *usage;	      /* owned; NULL: nothing survives */
	char *file; /* owned; what hub_statement had when it was taken; NULL: not yet */
};

static _noreturn_ void die_oom(void)
{
	log_error("out of memory");
	exit(1);
}

/* ---- Service key ---- */

static void key_path(const struct helper_config *config, char path[static PATH_MAX_LEN])
{
	snprintf(path, PATH_MAX_LEN, "%s/service.key", config->daemon.state_folder);
}

static int read_key(const struct id *curve, const char *path, struct identity *ret_identity)
{
	struct secret secret;
	char *text;
	size_t len;
	int r = file_read(path, KEY_TEXT_SIZE, &text, &len);

	if (r == -EFBIG)
		return -EBADMSG;
	if (r < 0)
		return r;
	if (len && text[len - 1] == '\n')
		text[--len] = '\0';
	r = len == 2 * SECRET_LEN && hex_parse(text, secret.bytes, SECRET_LEN)
		    ? id_from_secret(curve, &secret, ret_identity)
		    : -EBADMSG;
	secret_wipe(&secret, sizeof(secret));
	secret_wipe(text, len);
	free(text);
	return r == 0 ? 0 : -EBADMSG;
}

static int make_key(const struct id *curve, const char *path)
{
	struct identity identity;
	char text[KEY_TEXT_SIZE];
	struct secret secret;
	int r;

	do
		rand_bytes(secret.bytes, sizeof(secret.bytes));
	while (id_from_secret(curve, &secret, &identity) != 0);
	hex_format(secret.bytes, sizeof(secret.bytes), text);
	text[KEY_TEXT_SIZE - 2] = '\n';
	r = file_replace(path, text, KEY_TEXT_SIZE - 1, 0600);
	secret_wipe(&identity, sizeof(identity));
	secret_wipe(&secret, sizeof(secret));
	secret_wipe(text, sizeof(text));
	return r;
}

/* --show-key and a daemon at its first start may be here at once: one makes the key. */
static int make_key_once(const struct id *curve, const char *path, struct identity *ret_identity)
{
	char lock_path[PATH_MAX_LEN + 8];
	pid_t pid;
	int lock, r;

	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	do
		r = file_lock(lock_path, &lock, &pid);
	while (r == -EBUSY && poll(NULL, 0, 10) == 0);
	if (r < 0)
		return r;
	r = read_key(curve, path, ret_identity);
	if (r == -ENOENT) {
		r = make_key(curve, path);
		if (r == 0)
			r = read_key(curve, path, ret_identity);
	}
	/* The lock file stays: who waits has it open, and the next one must take the same. */
	file_unlock(lock);
	return r;
}

/* The key of the state folder, made at the first time. */
static int load_key(const struct helper_config *config, const struct id *curve,
		    struct identity *ret_identity)
{
	char path[PATH_MAX_LEN];
	int r;

	key_path(config, path);
	r = file_make_folder(config->daemon.state_folder, 0700);
	if (r == 0)
		r = read_key(curve, path, ret_identity);
	if (r == -ENOENT)
		r = make_key_once(curve, path, ret_identity);
	if (r < 0)
		log_error("cannot use the service key %s: %s%s", path,
			  r == -EBADMSG ? "it is not 64 hexadecimal digits" : strerror(-r),
			  r == -EBADMSG
				  ? "; put the saved copy back, or remove it to make a new one"
				  : "");
	return r;
}

static struct id *open_curve(void)
{
	uint8_t seed[ID_SEED_LEN];
	struct id *curve;

	rand_bytes(seed, sizeof(seed));
	curve = id_new(seed);
	if (!curve)
		log_error("out of memory");
	return curve;
}

static int show_key(const struct helper_config *config)
{
	char text[2 * PUBKEY_LEN + 1];
	struct identity identity;
	struct id *curve = open_curve();
	int r = curve ? load_key(config, curve, &identity) : -ENOMEM;

	if (r == 0) {
		hex_format(identity.key.bytes, PUBKEY_LEN, text);
		printf("%s\n", text);
	}
	secret_wipe(&identity, sizeof(identity));
	id_free(curve);
	return r < 0;
}

/* ---- Members ---- */

static void know_dnet(struct helper *h, const struct object_id *dnet)
{
	struct lastgood **all;

	for (size_t i = 0; i < h->known_count; i++)
		if (object_id_equal(&h->known[i]->id, dnet))
			return;
	all = xrealloc(h->known, (h->known_count + 1) * sizeof(*all));
	h->known = all;
	all[h->known_count] = xcalloc(1, sizeof(**all));
	lastgood_init(all[h->known_count++], dnet, h->config->daemon.state_folder);
}

static void know_dnets(struct helper *h, struct object_id *dnets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		know_dnet(h, &dnets[i]);
	free(dnets);
}

/* What was revoked is in the copies (RECORDS 5.2), whatever chain.db says after a restart.
 * Without descriptors the folder is read later. */
static void know_former_dnets(struct helper *h)
{
	struct object_id *dnets;
	size_t count;
	int r;

	if (h->knows_former)
		return;
	r = lastgood_list_copies(h->config->daemon.state_folder, &dnets, &count);
	h->knows_former = r == 0;
	if (r == 0) {
		know_dnets(h, dnets, count);
		return;
	}
	log_limited(LOG_LEVEL_WARN, 6,
		    "cannot look for copies of the last known state in %s: %s; it is tried again",
		    h->config->daemon.state_folder, strerror(-r));
	chain_look_again(h->chain);
}

/* What cannot be read now stays as it was: the last known state serves on, also after a restart. A
 * dnet that does not count (any more) is dropped by the hub. */
static void take_dnet(struct helper *h, struct lastgood *known)
{
	struct netmap *netmap;
	int r = lastgood_build(known, h->chain, &netmap);

	if (r == -ENOENT)
		return;
	if (r < 0 || hub_set_netmap(h->hub, netmap, h->kind->removed, h->decider) < 0)
		die_oom();
	if (h->usage && hub_grant(h->hub, &known->id))
		usage_load(h->usage, &known->id);
}

static void on_chain(void *arg)
{
	struct helper *h = arg;
	struct object_id *dnets;
	size_t count;

	if (!h->chain)
		return; /* from within chain_new() */
	know_former_dnets(h);
	if (chain_read_granted(h->chain, &h->id, &dnets, &count) == 0)
		know_dnets(h, dnets, count);
	engine_tick(h->engine, clock_boottime_ns()); /* goodbyes go out with the time of now */
	for (size_t i = 0; i < h->known_count; i++)
		take_dnet(h, h->known[i]);
	pump_wake(h->pump);
}

/* Other programs replace it whenever they like. */
static void look_at_file(struct helper *h)
{
	const char *path = h->config->hub_statement, *why = "";
	unsigned line = 0;
	char *text;
	int r;

	if (!h->kind->take_file || !path || !*path)
		return;
	r = file_read(path, HUB_FILE_MAX, &text, NULL);
	if (r == -ENOENT) /* no hub runs */
		text = xstrdup("");
	else if (r < 0) {
		log_limited(LOG_LEVEL_ERROR, 1, "cannot read %s: %s", path, strerror(-r));
		return;
	}
	if (h->file && strcmp(h->file, text) == 0) {
		free(text);
		return;
	}
	r = h->kind->take_file(h->decider, text, &h->id, &line, &why);
	if (r == -EBADMSG)
		log_error("%s:%u is not taken: %s", path, line, why);
	else if (r < 0)
		die_oom();
	else
		log_info("%s is taken", path);
	free(h->file);
	h->file = text;
}

static void on_tick(void *arg)
{
	struct helper *h = arg;

	look_at_file(h);

	if (h->kind->tick)
		h->kind->tick(h->decider, clock_boottime_ns());
	if (h->usage)
		usage_save(h->usage);
}

/* ---- Control ---- */

static json_t *describe_tenant(struct helper *h, const struct netmap *netmap)
{
	const struct netmap_helper *grant = hub_grant(h->hub, &netmap->id);
	char id[OBJECT_ID_TEXT_SIZE];
	json_t *tenant;

	object_id_format(OBJECT_DNET, &netmap->id, id);
	tenant = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "dnet", id, "name", netmap->name,
			   "members", (json_int_t)netmap->node_count, "grant_expiry",
			   (json_int_t)grant->grant_expiry, "rate_kbit",
			   (json_int_t)grant->rate_kbit, "volume_mib",
			   (json_int_t)grant->volume_mib);
	h->kind->describe(h->decider, &netmap->id, tenant, clock_boottime_ns());
	return tenant;
}

static json_t *describe_chain(const struct helper *h)
{
	struct chain_status status = chain_status(h->chain);

	return json_pack("{s:I, s:s?}", "height", (json_int_t)status.height, "error", status.error);
}

static void cmd_status(struct ctl_request *request, json_t *params, void *arg)
{
	struct helper *h = arg;
	char id[OBJECT_ID_TEXT_SIZE], key[2 * PUBKEY_LEN + 1];
	json_t *tenants = json_array();

	(void)params;
	object_id_format((enum object_kind)h->kind->kind, &h->id, id);
	hex_format(h->identity.key.bytes, PUBKEY_LEN, key);
	for (size_t i = 0; i < hub_count(h->hub); i++)
		json_array_append_new(tenants, describe_tenant(h, hub_netmap(h->hub, i)));
	ctl_reply(request, json_pack("{s:s, s:s, s:s, s:i, s:o, s:o}", "version", PACKAGE_VERSION,
				     "id", id, "key", key, "pid", (int)getpid(), "tenants", tenants,
				     "chain", describe_chain(h)));
}

static void cmd_counters(struct ctl_request *request, json_t *params, void *arg)
{
	struct helper *h = arg;
	json_t *counters = json_object();

	(void)params;
	for (int i = 0; i < ENGINE_COUNTER_COUNT; i++)
		json_object_set_new(counters, engine_counter_name(i),
				    json_integer((json_int_t)engine_counter(h->engine, i)));
	for (int i = 0; i < PUMP_COUNTER_COUNT; i++)
		json_object_set_new(counters, pump_counter_name(i),
				    json_integer((json_int_t)pump_counter(h->pump, i)));
	h->kind->add_counters(h->decider, counters);
	ctl_reply(request, counters);
}

static const struct ctl_command commands[] = {
	{"status", NULL, "Who we are, and whom we serve", CTL_READ, cmd_status},
	{"counters", NULL, "What happened how often", CTL_READ, cmd_counters},
};

void *helper_decider(const struct helper *h)
{
	return h->decider;
}

const struct hub *helper_hub(const struct helper *h)
{
	return h->hub;
}

const struct identity *helper_identity(const struct helper *h)
{
	return &h->identity;
}

const struct object_id *helper_id(const struct helper *h)
{
	return &h->id;
}

/* ---- Life ---- */

static int open_control(struct helper *h)
{
	const struct daemon_options *o = &h->config->daemon;
	unsigned mode;
	struct ctl_config config = {
		.program = h->kind->program.name,
		.version = PACKAGE_VERSION,
		.path = o->control,
		.group = o->control_group,
		.user = o->user,
		.commands_count = ARRAY_SIZE(commands) + h->kind->commands_count,
		.arg = h,
	};
	int r;

	h->commands = xcalloc(config.commands_count, sizeof(*h->commands));
	memcpy(h->commands, commands, sizeof(commands));
	for (size_t i = 0; i < h->kind->commands_count; i++)
		h->commands[ARRAY_SIZE(commands) + i] = h->kind->commands[i];
	config.commands = h->commands;
	daemon_control_mode(o, &mode); /* daemon_init() has checked it */
	config.mode = mode;
	r = ctl_server_new(h->loop, &config, &h->ctl);
	if (r < 0)
		log_error("cannot open the control socket %s: %s", o->control, strerror(-r));
	return r;
}

static void open_engine(struct helper *h)
{
	h->pump = pump_new(h->loop, &h->v4, &h->v6);
	pump_engine_io(h->pump, &h->io);
	h->engine = engine_new(&h->io, h->curve, aead_supported(), clock_boottime_ns());
	h->hub = hub_new(h->kind->kind, &h->id);
	if (h->engine && h->hub)
		h->decider = h->kind->create(h->engine, h->hub, &h->io);
	if (h->decider)
		h->realm = engine_add_realm(h->engine, h->kind->kind, &h->id, &h->identity,
					    h->kind->ops, h->decider);
	if (!h->realm)
		die_oom();
	h->kind->set_realm(h->decider, h->realm);
	if (h->kind->get_used)
		h->usage = usage_open(h->config->daemon.state_folder, h->kind->get_used,
				      h->kind->set_used, h->decider);
}

static int start(struct helper *h)
{
	const struct udp_options udp = {.no_gso = !h->config->udp_gso,
					.no_gro = !h->config->udp_gro};
	int r = sandbox_protect_memory(h->kind->program.name);

	if (r < 0)
		return r;
	h->curve = open_curve();
	secret_lock(&h->identity, sizeof(h->identity));
	r = h->curve ? load_key(h->config, h->curve, &h->identity) : -ENOMEM;
	if (r == 0)
		r = udp_open_pair((uint16_t)h->config->port, &udp, &h->v4, &h->v6);
	if (r == 0)
		r = open_control(h);
	if (r == 0)
		open_engine(h);
	return r;
}

static int give_up_rights(const struct helper *h)
{
	_cleanup_(freep) char *chain = file_folder_of(h->config->chain_db);
	const char *file = h->config->hub_statement;
	_cleanup_(freep) char *hubs = file && *file ? file_folder_of(file) : NULL;
	const struct sandbox_path more[] = {{chain, DAEMON_READS_CHAINDB}, {hubs, SANDBOX_READ}};

	return daemon_give_up_rights(&h->config->daemon, SANDBOX_SERVICE, more,
				     ARRAY_SIZE(more) - !hubs);
}

static void serve(struct helper *h, struct daemon *d)
{
	const struct chain_config chain = {.path = h->config->chain_db,
					   .control = h->config->chainwatch,
					   .confirm = (uint32_t)h->config->confirm};
	char id[OBJECT_ID_TEXT_SIZE];

	h->chain = chain_new(h->loop, &chain, on_chain, h);
	on_chain(h);
	pump_start(h->pump, h->engine, h->kind->intercept, h->decider);
	h->tick = loop_timer_new(h->loop, on_tick, h);
	loop_timer_every(h->tick, TICK_MS);
	look_at_file(h);
	object_id_format((enum object_kind)h->kind->kind, &h->id, id);
	log_notice("serving %zu dnets as %s, UDP port %u", hub_count(h->hub), id,
		   (unsigned)h->config->port);
	daemon_run(d);
}

static void stop(struct helper *h)
{
	ctl_server_free(h->ctl);
	free(h->commands);
	loop_timer_free(h->tick);
	chain_free(h->chain);
	if (h->usage)
		usage_save(h->usage);
	usage_close(h->usage);
	free(h->file);
	if (h->realm)
		realm_remove(h->realm);
	if (h->decider)
		h->kind->destroy(h->decider);
	hub_free(h->hub);
	for (size_t i = 0; i < h->known_count; i++) {
		lastgood_done(h->known[i]);
		free(h->known[i]);
	}
	free(h->known);
	engine_free(h->engine);
	pump_free(h->pump);
	udp_close(&h->v4);
	udp_close(&h->v6);
	id_free(h->curve);
	secret_wipe(&h->identity, sizeof(h->identity));
}

static bool check_id(const struct helper_kind *kind, const char *text, struct object_id *ret_id)
{
	enum object_kind found;

	if (text[0] && object_id_parse(text, &found, ret_id) && (int)found == (int)kind->kind)
		return true;
	log_error("%s: '%s'; register the service with `%s` and set id to what it prints",
		  text[0] ? "this is not the id of such a service" : "id is not set", text,
		  kind->create_hint);
	return false;
}

static int run(const struct helper_kind *kind, struct daemon *d, const struct helper_config *config)
{
	struct helper h = {.kind = kind, .config = config, .loop = d->loop};
	int status = 1;

	h.v4.fd = h.v6.fd = -1;
	if (!check_id(kind, config->id, &h.id))
		return 2;
	if (d->check_only)
		return daemon_check_done(d);
	if (start(&h) == 0 && give_up_rights(&h) == 0) {
		serve(&h, d);
		status = 0;
	}
	stop(&h);
	return status;
}

int helper_main(const struct helper_kind *kind, int argc, char **argv)
{
	struct helper_config config = {0};
	struct daemon d = {0};
	int status = 2;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--show-key") != 0 && strcmp(argv[i], "--show-key=yes") != 0)
			continue;
		switch (conf_load(&kind->program, argc, argv, &config)) {
		case CONF_FAILED:
			status = 2;
			break;
		case CONF_EXIT:
			status = 0;
			break;
		case CONF_RUN:
		case CONF_CHECK:
			status = show_key(&config);
			break;
		}
		conf_free(&kind->program, &config);
		return status;
	}
	status = daemon_init(&d, &kind->program, argc, argv, &config, &config.daemon);
	if (status < 0)
		status = run(kind, &d, &config);
	daemon_done(&d);
	conf_free(&kind->program, &config);
	return status;
}
