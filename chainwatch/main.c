/* chainwatch follows a chain node and writes what concerns dnets into chain.db.
 *
 * To read it, in this order:
 *	chain.c       the cursor: one block after the other, reorganisations, the steps
 *	mempool.c     what waits to be mined and already revokes
 *	core/registry which transaction may change what (not here: doc/records.md 3 and 4)
 *	store.c       what the registry says as rows; store_rows.c, store_load.c, schema.c
 *	source.h      where blocks come from; sources.c: `source = …`, a row for each kind;
 *	              source_rpc.c: a node of the Bitcoin family, rest.c: what is faster by its
 *	              REST; source_blocks.c: its block files; source_switch.c: several as one;
 *	              source_light.c: peers of the chain's network, p2p_net.c connects to them,
 *	              light.h lists the parts
 *	feed.c        ZMQ, which only says "look"
 *	task.c        --verify, --rescan, --export, --import; task_*.c, store_state.c
 *	watch.c       the loop around it: when to look, the worker, what is published; cmds.c
 */
#include "chainwatch/watch.h"

#include "chainwatch/cover.h"
#include "chainwatch/task.h"

#include "config.h"
#include "core/chainparams.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/rand.h"
#include "os/sandbox.h"
#include "wire/statefile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	STATUS_FAILED = 1,
	STATUS_CONFIG = 2,
	CHAIN_FILE_MAX = 64 << 10,
	KEEP_MIN = 10,
	KEEP_MAX = 100000,
};

#define FIELD(member) offsetof(struct chainwatch_config, member)

static const struct conf_option options[] = {
	DAEMON_OPTIONS(struct chainwatch_config, daemon, "chainwatch"),
	{"", "chain", CONF_STRING, "bitcoin", 1, CHAIN_NAME_SIZE - 1, FIELD(chain),
	 "profile: bitcoin, bitcoin-testnet4, bitcoin-signet, bitcoin-regtest, litecoin, "
	 "litecoin-testnet or litecoin-regtest"},
	{"", "chain-file", CONF_PATH, NULL, 0, 0, FIELD(chain_file),
	 "file of lines field = value that replace fields of the profile, for a chain that is not "
	 "in the table"},
	{"", "source", CONF_LIST, NULL, 0, SOURCE_URLS_MAX, FIELD(source),
	 "where blocks come from, best first, joined by commas or repeated: "
	 "rpc://[USER:PASSWORD@]HOST:PORT[?cookie=FILE] (rpcs:// with TLS), blocks:/FOLDER; "
	 "empty: rpc-url"},
	{"", "rpc-url", CONF_STRING, NULL, 0, 300, FIELD(rpc_url),
	 "where the chain node answers, when source is empty; empty: http://127.0.0.1 and the "
	 "profile's port"},
	{"", "rpc-user", CONF_STRING, NULL, 0, 200, FIELD(rpc_user),
	 "user at the chain node; also at those of source that do not say their own"},
	{"", "rpc-password", CONF_STRING, NULL, 0, 200, FIELD(rpc_password),
	 "password at the chain node; better in the file than on the command line"},
	{"", "rpc-cookie", CONF_PATH, NULL, 0, 0, FIELD(rpc_cookie),
	 "cookie file of the chain node, in place of user and password"},
	{"", "rpc-timeout", CONF_DURATION, "30s", 100, 600000, FIELD(rpc_timeout_ms),
	 "how long to wait for an answer of the chain node"},
	{"", "source-return", CONF_DURATION, "60s", 20, 86400000, FIELD(source_return_ms),
	 "so long a source that had failed must answer again before it is asked in place of one "
	 "behind it in the list; longer if it fails soon after"},
	{"", "zmq", CONF_LIST, NULL, 0, 16, FIELD(zmq),
	 "ZMQ publisher of the chain node (tcp://127.0.0.1:28332), may be repeated; a hint that "
	 "makes it faster, never needed"},
	{"", "poll", CONF_DURATION, "250ms", 20, 3600000, FIELD(poll_ms),
	 "how often to ask the chain node"},
	{"", "poll-zmq", CONF_DURATION, "5s", 20, 3600000, FIELD(poll_zmq_ms),
	 "how often to ask once ZMQ tells of transactions"},
	{"", "birth-height", CONF_INT, "0", 0, INT32_MAX, FIELD(birth_height),
	 "height of the first block that is read; 0: the profile's"},
	{"", "keep-headers", CONF_INT, "1000", KEEP_MIN, KEEP_MAX, FIELD(keep_headers),
	 "blocks that can be undone in a reorganisation"},
	{"", "follow", CONF_LIST, NULL, 0, LIGHT_FOLLOWS_MAX, FIELD(light.follow),
	 "source = light: what is followed, ID@HEIGHT with the height of the block that made it; "
	 "joined by commas or repeated"},
	{"", "peer", CONF_LIST, NULL, 0, LIGHT_TARGETS_MAX, FIELD(light.peer),
	 "source = light: HOST[:PORT] of a peer, may be repeated; only these are connected to; "
	 "empty: peers are found by the profile's DNS seeds"},
	{"", "proxy", CONF_STRING, NULL, 0, 200, FIELD(light.proxy),
	 "source = light: socks5://ADDRESS:PORT, as Tor's; it resolves names too"},
	{"", "peers", CONF_INT, "4", 1, 12, FIELD(light.peers), "source = light: connections"},
	{"", "filter-peers", CONF_INT, "2", 1, 8, FIELD(light.filter_peers),
	 "source = light: peers whose block filters have to agree; 1 trusts one peer not to "
	 "withhold records: only for a node of one's own"},
	{"", "peer-timeout", CONF_DURATION, "20s", 100, 600000, FIELD(light.peer_timeout_ms),
	 "source = light: how long to wait for an answer of a peer"},
	{"", "mempool", CONF_BOOL, "yes", 0, 0, FIELD(light.mempool),
	 "source = light: read every transaction that peers announce, so that a removal counts "
	 "before its block; no saves traffic"},
	{"", "db", CONF_PATH, CHAINDB_PATH, 0, 0, FIELD(db),
	 "chain.db; its folder must be readable for who reads it"},
};

static const struct conf_program program = {
	.name = "chainwatch",
	.version = PACKAGE_VERSION,
	.summary = "follows a chain node and keeps what concerns dnets in chain.db",
	.path = DNET_SYSCONFDIR "/chainwatch.conf",
	.options = options,
	.options_count = ARRAY_SIZE(options),
	.more_help = task_help,
};

struct override {
	struct chainparams *params;
	char error[96];
};

static const char *on_field(void *arg, unsigned line, const char *section, const char *name,
			    const char *value)
{
	struct override *o = arg;

	switch (section[0] ? -ENOENT : chainparams_set(o->params, name, value)) {
	case 0:
		return NULL;
	case -ENOENT:
		snprintf(o->error, sizeof(o->error), "a profile has no field '%.40s'", name);
		return o->error;
	}
	snprintf(o->error, sizeof(o->error), "%.24s cannot be '%.40s'", name, value);
	return o->error;
}

static bool read_chain_file(const char *path, struct chainparams *params)
{
	_cleanup_(freep) char *text = NULL;
	struct override override = {.params = params};
	char error[CONF_ERROR_MAX];
	size_t len;
	int result = file_read(path, CHAIN_FILE_MAX, &text, &len);

	if (result) {
		log_error("chain-file %s cannot be read: %s", path,
			  result == -EFBIG ? "more than 64 KiB, so it is no chain-file"
					   : strerror(-result));
		return false;
	}
	result = conf_visit_text(path, text, len, on_field, &override, error);
	if (result)
		log_error("%s", error);
	return !result;
}

static bool complete_sources(struct chainwatch_config *config, const struct chainparams *params)
{
	char error[SOURCE_ERROR_MAX] = "";
	bool ok = true;

	if (config->source.count > 0 && config->rpc_url[0]) {
		log_error("give source, or rpc-url, not both: rpc-url is source = rpc://…");
		return false;
	}
	for (size_t i = 0; ok && i < config->source.count; i++)
		ok = source_list_add(&config->sources, config->source.items[i], error);
	if (config->source.count == 0 && !config->rpc_url[0]) {
		free(config->rpc_url);
		config->rpc_url = xasprintf("http://127.0.0.1:%u/", params->rpc_port);
	}
	if (config->source.count == 0)
		ok = source_list_add_http(&config->sources, config->rpc_url, error);
	if (!ok)
		log_error("%s", error);
	return ok;
}

static bool is_light(const struct chainwatch_config *config)
{
	return strcmp(config->sources.urls[0].scheme->name, "light") == 0;
}

static bool complete_light(struct chainwatch_config *config)
{
	char error[200];

	for (size_t i = 0; config->sources.count > 1 && i < config->sources.count; i++) {
		if (strcmp(config->sources.urls[i].scheme->name, "light") == 0) {
			log_error("source = light stands alone: it knows only what it follows");
			return false;
		}
	}
	if (!light_settings_complete(&config->light, error, sizeof(error))) {
		log_error("%s", error);
		return false;
	}
	return true;
}

/* What is followed lies where this chain.db reads. */
static bool check_follows(const struct chainwatch_config *config)
{
	for (size_t i = 0; i < config->light.follow_count; i++) {
		if (config->light.follows[i].height >= (uint32_t)config->birth_height)
			continue;
		log_error("follow: block %u is before birth-height %u: check the height, or lower "
			  "birth-height",
			  config->light.follows[i].height, (unsigned)config->birth_height);
		return false;
	}
	return true;
}

/* Fills in what depends on the profile. */
static bool complete_config(struct chainwatch_config *config, struct chainparams *ret_params)
{
	const struct chainparams *found = chainparams_find(config->chain);

	if (!found) {
		log_error("chain is '%s', which is no profile; see chainwatch --help",
			  config->chain);
		return false;
	}
	*ret_params = *found;
	if (config->chain_file[0] && !read_chain_file(config->chain_file, ret_params))
		return false;
	if (config->rpc_cookie[0] && config->rpc_user[0]) {
		log_error("give rpc-cookie, or rpc-user and rpc-password, not both");
		return false;
	}
	if (!complete_sources(config, ret_params) || !complete_light(config))
		return false;
	free(config->chain);
	config->chain = xstrdup(ret_params->name);
	if (config->birth_height == 0)
		config->birth_height = ret_params->birth_height;
	return check_follows(config);
}

/* What somebody left who ran as root without `user` belongs to it from now on. */
static bool give_db(const struct chainwatch_config *config, unsigned uid, unsigned gid)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
	char name[4096];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(name, sizeof(name), "%s%s", config->db, ends[i]);
		if (lchown(name, uid, gid) && errno != ENOENT) {
			log_error("cannot give %s to %s: %s", name, config->daemon.user,
				  strerror(errno));
			return false;
		}
	}
	return true;
}

/* The folder is for readers too: they may be other users. */
static bool make_db_folder(const struct chainwatch_config *config)
{
	_cleanup_(freep) char *path = xstrdup(config->db);
	const char *folder = dirname(path);
	unsigned uid, gid;
	int result = file_make_folder(folder, 0755);

	if (result) {
		log_error("the folder of db, %s, cannot be made: %s: make it and give it to the "
			  "user of chainwatch, or use another db",
			  folder, strerror(-result));
		return false;
	}
	if (!config->daemon.user[0] || geteuid() != 0 ||
	    sandbox_user_find(config->daemon.user, &uid, &gid) != 0)
		return true;
	if (chown(folder, uid, gid) || chown(config->daemon.state_folder, uid, gid)) {
		log_error("cannot give %s to %s: %s", folder, config->daemon.user, strerror(errno));
		return false;
	}
	return give_db(config, uid, gid);
}

/* One writer: another state folder does not make another db. */
static bool lock_db(const struct chainwatch_config *config, int *ret_fd)
{
	_cleanup_(freep) char *path = xasprintf("%s-lock", config->db);
	pid_t pid = 0;
	int result = file_lock(path, ret_fd, &pid);

	if (result == -EBUSY)
		log_error("%s is written by process %d; two chainwatch need two db files (--db)",
			  config->db, (int)pid);
	else if (result == -EACCES)
		log_error("%s belongs to another user: chown it, and %s*, to the one that "
			  "chainwatch runs as (user)",
			  path, config->db);
	else if (result)
		log_error("%s: %s", path, strerror(-result));
	return !result;
}

static bool enter_sandbox(const struct chainwatch_config *config)
{
	_cleanup_(freep) char *db = file_folder_of(config->db);
	_cleanup_(freep) char *network = file_folder_of(config->rpc_cookie);
	_cleanup_(freep) char *cookie = file_folder_of(network);
	const struct source_list *sources = &config->sources;
	struct sandbox_path more[DAEMON_PATHS_MAX] = {
		{db, SANDBOX_READ | SANDBOX_LIST | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE},
		/* made anew at each start of the chain node, and so is the folder of its network
		 * when somebody begins that chain again */
		{cookie, SANDBOX_READ},
	};
	size_t own = config->rpc_cookie[0] ? 2 : 1, count = own;
	bool ok;

	static_assert(DAEMON_PATHS_MAX >= 2 + SOURCE_URLS_MAX * SOURCE_PATHS_MAX, "room for all");
	for (size_t i = 0; i < sources->count; i++)
		if (sources->urls[i].scheme->paths)
			count += sources->urls[i].scheme->paths(&sources->urls[i], &more[count]);
	ok = !daemon_give_up_rights(&config->daemon, SANDBOX_CHAINWATCH, more, count);
	for (size_t i = own; i < count; i++)
		free((char *)more[i].path);
	return ok;
}

static struct source *open_source(const struct chainwatch_config *config,
				  const struct chainparams *params, const char *state_folder,
				  const atomic_bool *stop)
{
	const struct source_env env = {
		.params = params,
		.state_folder = state_folder,
		.user = config->rpc_user,
		.password = config->rpc_password,
		.cookie = config->rpc_cookie,
		.timeout_ms = config->rpc_timeout_ms,
		.return_ms = config->source_return_ms,
		.birth_height = (uint32_t)config->birth_height,
		.stop = stop,
		.light = &config->light.config,
	};
	char error[SOURCE_ERROR_MAX];
	struct source *source = NULL;

	if (source_list_open(&config->sources, &env, &source, error))
		log_error("%s", error);
	return source;
}

static struct store *open_store(const struct chainwatch_config *config,
				const struct chainparams *params)
{
	const struct store_config wanted = {
		.path = config->db,
		.chain = params->name,
		.genesis = params->genesis,
		.birth_height = (uint32_t)config->birth_height,
		.keep = (uint32_t)config->keep_headers,
	};
	char error[STORE_ERROR_MAX];
	struct store *store = NULL;

	if (store_open(&wanted, &store, error))
		log_error("%s", error);
	return store;
}

static struct chain *open_chain(const struct chainwatch_config *config,
				const struct chainparams *params, struct source *source,
				struct store *store, const atomic_bool *stop)
{
	struct chain_config wanted = {
		.params = *params,
		.source = source,
		.store = store,
		.stop = stop,
		.birth_height = (uint32_t)config->birth_height,
		.keep = (uint32_t)config->keep_headers,
		.follows = config->light.follows,
		.follow_count = config->light.follow_count,
		.cover_path = config->cover_path,
	};
	char error[STORE_ERROR_MAX];
	struct chain *chain = NULL;

	rand_bytes(wanted.seed, sizeof(wanted.seed));
	if (chain_new(&wanted, &chain, error))
		log_error("%s", error);
	return chain;
}

static bool open_feed(struct watch *w)
{
	const struct conf_list *zmq = &w->config->zmq;
	size_t bad = 0;

	if (zmq->count == 0)
		return true;
	if (feed_new(w->loop, zmq->items, zmq->count, watch_look, w, &w->feed, &bad)) {
		log_error("zmq '%s' is no endpoint; it looks like tcp://127.0.0.1:28332",
			  zmq->items[bad]);
		return false;
	}
	return true;
}

static bool open_control(struct watch *w)
{
	const struct daemon_options *options_ = &w->config->daemon;
	struct ctl_config config = {
		.program = program.name,
		.version = program.version,
		.path = options_->control,
		.group = options_->control_group,
		.user = options_->user,
		.commands = watch_commands,
		.commands_count = watch_commands_count,
		.topics = watch_topics,
		.arg = w,
	};
	unsigned mode;
	int result;

	if (daemon_control_mode(options_, &mode))
		config.mode = mode;
	result = ctl_server_new(w->loop, &config, &w->ctl);
	if (result)
		log_error("control socket %s: %s", options_->control, strerror(-result));
	return !result;
}

/* chain.db for one who writes it; afterwards, of the rights of who started us, none are left: its
 * files belong to `user`. */
static struct store *take_db(const struct chainwatch_config *config,
			     const struct chainparams *params, int *ret_lock)
{
	if (!make_db_folder(config) || !enter_sandbox(config) || !lock_db(config, ret_lock))
		return NULL;
	return open_store(config, params);
}

static bool rescan(const struct task *task, const struct chainwatch_config *config,
		   struct store *store)
{
	if (store_rescan(store, task->from, (uint32_t)config->birth_height)) {
		log_error("%s", store_error(store));
		return false;
	}
	log_notice("chain.db: taken back; reading from height %u on",
		   MAX(task->from, (uint32_t)config->birth_height));
	return true;
}

/* The loop, until a signal. */
static int serve(const struct task *task, struct daemon *d, struct chainwatch_config *config,
		 const struct chainparams *params)
{
	static struct watch w; /* large, and there is one */
	struct source *source = NULL;
	struct store *store = NULL;
	struct chain *chain = NULL;
	int status = STATUS_FAILED, db_lock = -1;

	w.config = config;
	w.loop = d->loop;
	/* the socket is bound by the user who started us, everything else after */
	if (open_control(&w))
		store = take_db(config, params, &db_lock);
	if (!store || (task->kind == TASK_RESCAN && !rescan(task, config, store)))
		goto out;
	if (is_light(config)) {
		light_settings_load(&config->light, config->daemon.state_folder);
		w.light = &config->light;
		config->cover_path = cover_path(config->db);
	}
	source = open_source(config, params, config->daemon.state_folder, &w.stop);
	if (source)
		chain = open_chain(config, params, source, store, &w.stop);
	if (!chain)
		goto out;
	watch_init(&w, config, d->loop, chain);
	if (open_feed(&w)) {
		log_notice("following %s at %s into %s", config->chain,
			   config->sources.urls[0].shown, config->db);
		daemon_run(d);
		status = 0;
	}
	watch_done(&w);
	w.ctl = NULL;
out:
	ctl_server_free(w.ctl);
	if (source)
		source->ops->free(source);
	store_close(store);
	file_unlock(db_lock);
	return status;
}

static struct task_world world_of(const struct chainwatch_config *config,
				  const struct chainparams *params, struct source *source,
				  const atomic_bool *stop)
{
	return (struct task_world){
		.params = params,
		.source = source,
		.db = config->db,
		.birth_height = (uint32_t)config->birth_height,
		.keep = (uint32_t)config->keep_headers,
		.stop = stop,
	};
}

/* What these do they do with every record of the chain. */
static bool has_whole_blocks(const struct chainwatch_config *config)
{
	if (is_light(config))
		log_error(
			"a state is every record of the chain, and source = light knows only what "
			"it follows: give a source of whole blocks for this, rpc or blocks");
	return !is_light(config);
}

/* Made while folders can be; for the user that goes on. */
static bool make_task_folder(const struct chainwatch_config *config, const char *folder)
{
	unsigned uid, gid;
	int result;

	file_remove_folder(folder);
	result = file_make_folder(folder, 0700);
	if (!result && config->daemon.user[0] && geteuid() == 0 &&
	    sandbox_user_find(config->daemon.user, &uid, &gid) == 0)
		result = file_give_folder(folder, uid, gid);
	if (result)
		log_error("cannot make %s: %s", folder, strerror(-result));
	return !result;
}

/* Beside a daemon, which has the state folder: what a source keeps goes into a folder in it. */
static int run_beside(const struct task *task, const struct chainwatch_config *config,
		      const struct chainparams *params)
{
	_cleanup_(freep) char *folder = xasprintf("%s/task", config->daemon.state_folder);
	_cleanup_(closep) int fd = -1;
	atomic_bool stop = false;
	struct source *source;
	struct task_world world;
	int status = STATUS_FAILED;

	if (task->kind == TASK_EXPORT) {
		fd = open(task->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		if (fd < 0) {
			log_error("cannot make %s: %s%s", task->file, strerror(errno),
				  errno == EEXIST ? ": an export writes over nothing" : "");
			return STATUS_FAILED;
		}
	}
	if ((is_light(config) && !make_task_folder(config, folder)) || !enter_sandbox(config))
		goto out;
	if (!is_light(config))
		file_remove_folder(folder);
	source = open_source(config, params, folder, &stop);
	if (!source)
		goto out;
	world = world_of(config, params, source, &stop);
	status = task->kind == TASK_EXPORT ? task_export(&world, fd) : task_verify(&world);
	source->ops->free(source);
	file_remove_folder(folder);
out:
	/* without its checksum it is refused anyway, should this not be allowed any more */
	if (status != 0 && fd >= 0)
		unlink(task->file);
	return status;
}

static int run_reading_task(const struct task *task, int argc, char **argv)
{
	struct chainwatch_config config = {.chain = NULL};
	struct chainparams params;
	int status = STATUS_CONFIG;

	switch (conf_load(&program, argc, argv, &config)) {
	case CONF_RUN:
		if (complete_config(&config, &params) &&
		    (task->kind == TASK_VERIFY || has_whole_blocks(&config)))
			status = run_beside(task, &config, &params);
		break;
	case CONF_CHECK:
		if (complete_config(&config, &params))
			status = 0;
		break;
	case CONF_EXIT:
		status = 0;
		break;
	case CONF_FAILED:
		break;
	}
	source_list_done(&config.sources);
	free(config.cover_path);
	conf_free(&program, &config);
	return status;
}

static int import(const struct task *task, const struct chainwatch_config *config,
		  const struct chainparams *params)
{
	_cleanup_(freep) char *data = NULL;
	atomic_bool stop = false;
	struct source *source = NULL;
	struct store *store;
	size_t len;
	int db_lock = -1, status = STATUS_FAILED;
	int result = file_read(task->file, STATEFILE_BYTES_MAX, &data, &len);

	if (result) {
		log_error("%s: %s", task->file,
			  result == -EFBIG ? "larger than a file of the state can be (1 GiB)"
					   : strerror(-result));
		return STATUS_FAILED;
	}
	store = take_db(config, params, &db_lock);
	if (store)
		source = open_source(config, params, config->daemon.state_folder, &stop);
	if (source) {
		const struct task_world world = world_of(config, params, source, &stop);

		status = task_import(&world, store, data, len);
		source->ops->free(source);
	}
	store_close(store);
	file_unlock(db_lock);
	return status;
}

int main(int argc, char **argv)
{
	struct chainwatch_config config = {.chain = NULL};
	struct chainparams params;
	struct daemon d;
	struct task task;
	int status;

	setenv("UV_THREADPOOL_SIZE", "1", 0); /* one step at a time */
	umask(0022);			      /* readers of chain.db are other users */
	if (!task_take(&argc, argv, &task))
		return STATUS_CONFIG;
	if (task.kind == TASK_VERIFY || task.kind == TASK_EXPORT)
		return run_reading_task(&task, argc, argv);
	status = daemon_init(&d, &program, argc, argv, &config, &config.daemon);
	if (status < 0 && !complete_config(&config, &params))
		status = STATUS_CONFIG;
	if (status < 0 && d.check_only)
		status = daemon_check_done(&d);
	if (status < 0 && task.kind != TASK_IMPORT)
		status = serve(&task, &d, &config, &params);
	else if (status < 0)
		status =
			has_whole_blocks(&config) ? import(&task, &config, &params) : STATUS_FAILED;
	daemon_done(&d);
	source_list_done(&config.sources);
	free(config.cover_path);
	conf_free(&program, &config);
	return status;
}
