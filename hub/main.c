#include "adapters/adapter.h"
#include "adapters/tincd.h"
#include "config.h"
#include "core/id.h"
#include "hub/tenant.h"
#include "node/spawn.h"
#include "os/base.h"
#include "os/conf.h"
#include "os/ctl.h"
#include "os/daemon.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <string.h>

/* dnet-tinc-hub: beside ovcd, one tincd for each dnet that the OVC serves. Whom it lets in comes
 * from ovcd, which is asked once a second whether anything is other than before, and then for the
 * nodes in force, and the key statements that they published, which are verified here. While ovcd
 * is away, the last known state stays in force. */

enum { ASK_MS = 1000, ANSWER_MS = 5000 };

struct hub_config {
	struct daemon_options daemon;
	char *ovcd;
	char *tincd;
};

struct hub {
	const struct hub_config *config;
	struct loop *loop;
	struct spawn *spawn;	 /* owned */
	struct id *curve;	 /* owned */
	struct tenants *tenants; /* owned */
	struct ctl_client *ovcd; /* owned */
	struct loop_timer *ask;	 /* owned */
	uint64_t looks;		 /* answers of ovcd that say whom it serves */
};

/* clang-format off */
static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct hub_config, daemon, "dnet-tinc-hub"),
	{"", "ovcd", CONF_PATH, DNET_RUNDIR "/ovcd.sock", 1, 100, offsetof(struct hub_config, ovcd),
	 "control socket of ovcd, which this user must be allowed to use"},
	{"", "tincd", CONF_PATH, "/usr/sbin/tincd", 1, 200, offsetof(struct hub_config, tincd),
	 "program of tinc, 1.0.36 or newer"},
};
/* clang-format on */

static const struct conf_program program = {
	.name = "dnet-tinc-hub",
	.version = PACKAGE_VERSION,
	.summary = "where members of dnets behind NATs meet with tinc",
	.path = DNET_SYSCONFDIR "/dnet-tinc-hub.conf",
	.options = options,
	.options_count = ARRAY_SIZE(options),
};

/* ---- What ovcd says ---- */

/* Of an answer that may come when its tenant has gone. */
struct question {
	struct hub *hub;
	struct object_id dnet;
};

static void ask_tenant(struct hub *h, struct tenant *t, const char *method, json_t *params,
		       ctl_answer_cb answer)
{
	struct question *q = xcalloc(1, sizeof(*q));
	*q = (struct question){h, *tenant_dnet(t)};
	ctl_client_request(h->ovcd, method, params, ANSWER_MS, answer, q);
	json_decref(params);
}

/* NULL: it answered. */
static void say_refused(const struct ctl_error *error)
{
	if (error)
		log_limited(LOG_LEVEL_WARN, 1,
			    "ovcd does not say whom it serves, the last known state stays in "
			    "force: %s",
			    error->message);
	else
		log_limited(LOG_LEVEL_ERROR, 1,
			    "ovcd answers in another form: is it another version?");
}

static void on_told(void *arg, json_t *result, const struct ctl_error *error)
{
	struct question *q = arg;
	struct tenant *t = tenants_find(q->hub->tenants, &q->dnet);
	(void)result;
	if (error)
		log_limited(LOG_LEVEL_WARN, 1, "ovcd does not tell of this hub: %s",
			    error->message);
	else if (t)
		tenant_told(t);
	free(q);
}

static void tell_key(struct hub *h, struct tenant *t)
{
	char hex[2 * ADAPTER_KEY_MAX + 1];
	size_t len;
	const uint8_t *key = tincd_key(tenant_tincd(t), &len);
	if (!key)
		return;
	hex_format(key, len, hex);
	ask_tenant(h, t, "hub",
		   json_pack("{s:s, s:i, s:i, s:s}", "dnet", tenant_id(t), "backend", BACKEND_TINC,
			     "port", (int)tincd_port(tenant_tincd(t)), "key", hex),
		   on_told);
}

static void ask_statements(struct hub *h, struct tenant *t, int64_t from);

static void on_statements(void *arg, json_t *result, const struct ctl_error *error)
{
	struct question *q = arg;
	struct tenant *t = tenants_find(q->hub->tenants, &q->dnet);
	bool good = t && !error && tenant_take(t, q->hub->curve, json_object_get(result, "nodes"));
	if (t && error)
		tenant_abort(t);
	if (t && !good)
		say_refused(error);
	else if (good && json_is_true(json_object_get(result, "more")))
		ask_statements(q->hub, t, json_integer_value(json_object_get(result, "next")));
	else if (good) {
		tenant_apply(t);
		tell_key(q->hub, t);
	}
	free(q);
}

static void ask_statements(struct hub *h, struct tenant *t, int64_t from)
{
	ask_tenant(h, t, "statements",
		   json_pack("{s:s, s:i, s:I}", "dnet", tenant_id(t), "backend", BACKEND_TINC,
			     "from", (json_int_t)from),
		   on_statements);
}

static void on_status(void *arg, json_t *result, const struct ctl_error *error)
{
	struct hub *h = arg;
	struct object_id ovc;
	enum object_kind kind;
	const json_t *list = json_object_get(result, "tenants");
	const char *id = json_string_value(json_object_get(result, "id"));
	if (error || !id || !object_id_parse(id, &kind, &ovc) || !json_is_array(list)) {
		say_refused(error);
		return;
	}
	/* Who is served no longer is cut before anything else. */
	h->looks++;
	tenants_set(h->tenants, &ovc, list);
	for (size_t i = 0; i < tenants_count(h->tenants); i++) {
		struct tenant *t = tenants_at(h->tenants, i);
		if (tenant_begin(t))
			ask_statements(h, t, 0);
		else
			tenant_keep(t);
	}
}

static void on_ask(void *arg)
{
	struct hub *h = arg;
	if (ctl_client_connected(h->ovcd))
		ctl_client_request(h->ovcd, "status", NULL, ANSWER_MS, on_status, h);
}

static void on_state(void *arg, bool connected, const struct ctl_error *error)
{
	if (connected) {
		log_notice("ovcd is there");
		on_ask(arg);
	} else {
		log_warn("ovcd is away, the last known state stays in force: %s", error->message);
	}
}

/* ---- Control socket ---- */

static void cmd_status(struct ctl_request *request, json_t *params, void *arg)
{
	const struct hub *h = arg;
	json_t *list = json_array();
	(void)params;
	for (size_t i = 0; i < tenants_count(h->tenants); i++)
		json_array_append_new(list, tenant_describe(tenants_at(h->tenants, i)));
	ctl_reply(request, json_pack("{s:s, s:b, s:I, s:o, s:s}", "version", PACKAGE_VERSION,
				     "ovcd", (int)ctl_client_connected(h->ovcd), "looks",
				     (json_int_t)h->looks, "tenants", list, "limits",
				     "this hub can read and change all that goes through it"));
}

static const struct ctl_command commands[] = {
	{"status", NULL, "The hubs of all dnets", CTL_READ, cmd_status},
};

/* ---- Life ---- */

static int serve(struct hub *h, struct daemon *d)
{
	const struct daemon_options *o = &h->config->daemon;
	const struct sandbox_path more[] = {{o->state_folder, SANDBOX_FOLDER}};
	const struct ctl_client_events events = {.on_state = on_state};
	struct ctl_server *ctl = NULL;
	uint8_t seed[ID_SEED_LEN];
	unsigned mode;
	daemon_control_mode(o, &mode);
	const struct ctl_config config = {.program = program.name,
					  .version = PACKAGE_VERSION,
					  .path = o->control,
					  .mode = mode,
					  .group = o->control_group,
					  .commands = commands,
					  .commands_count = ARRAY_SIZE(commands),
					  .arg = h};
	int r = ctl_server_new(h->loop, &config, &ctl);
	if (r < 0)
		log_error("cannot open the control socket %s: %s", o->control, strerror(-r));
	if (r == 0)
		r = daemon_give_up_rights(o, SANDBOX_ENGINE, more, ARRAY_SIZE(more));
	rand_bytes(seed, sizeof(seed));
	h->curve = r == 0 ? id_new(seed) : NULL;
	if (h->curve) {
		h->tenants = tenants_new(h->loop, h->spawn, o->state_folder);
		h->ovcd = ctl_client_new(h->loop, h->config->ovcd, &events, h);
		h->ask = loop_timer_new(h->loop, on_ask, h);
		loop_timer_every(h->ask, ASK_MS);
		log_warn("whoever runs this hub can read and change what members send through it");
		daemon_run(d);
		loop_timer_free(h->ask);
		ctl_client_free(h->ovcd);
		tenants_free(h->tenants);
	}
	int status = h->curve ? 0 : 1;
	ctl_server_free(ctl);
	id_free(h->curve);
	return status;
}

static int run(struct daemon *d, const struct hub_config *config)
{
	struct hub h = {.config = config};
	struct spawn_config spawn = {.interface_prefix = TENANT_PREFIX,
				     .state_folder = config->daemon.state_folder,
				     .user = config->daemon.user};
	if (d->check_only)
		return daemon_check_done(d);
	spawn.programs[PROGRAM_TINCD] = config->tincd;
	if (spawn_start(&spawn, &h.spawn) < 0)
		return 1;
	int status = daemon_init_loop(d);
	if (status < 0) {
		h.loop = d->loop;
		status = serve(&h, d);
	}
	spawn_stop(h.spawn);
	return status;
}

int main(int argc, char **argv)
{
	struct hub_config config = {0};
	struct daemon d = {0};
	int status = daemon_init_state(&d, &program, argc, argv, &config, &config.daemon);
	if (status < 0)
		status = run(&d, &config);
	daemon_done(&d);
	conf_free(&program, &config);
	return status;
}
