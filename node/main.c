#include "node/node.h"
#include "node/privops.h"
#include "node/settings.h"
#include "node/spawn.h"
#include "node/state.h"
#include "node/tun.h"
#include "os/base.h"
#include "os/daemon.h"
#include "os/file.h"
#include "os/log.h"

#include <assert.h>
#include <cap-ng.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Start order: configuration and state folder; what only root may; the root helper (forked before
 * there is a loop, and before a key is read); sockets and control socket; then the user and all
 * rights are given up; then the chain and the network are read. */

static bool check_machine(void)
{
	char error[TUN_ERROR_MAX];
	if (tun_check(error) < 0) {
		log_error("%s", error);
		return false;
	}
	capng_get_caps_process();
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN))
		return true;
	log_error("dnetd may not make interfaces (CAP_NET_ADMIN is missing): start it as root, or "
		  "in a "
		  "user and network namespace of your own (unshare -Urn)");
	return false;
}

static bool give_up_rights(const struct dnetd_config *config, bool programs)
{
	_cleanup_(freep) char *chain = file_folder_of(config->chain_db);
	struct sandbox_path *more = xcalloc(3 + config->rosters.count, sizeof(*more));
	static_assert(3 + SETTINGS_ROSTERS_MAX <= (int)DAEMON_PATHS_MAX, "room for all");
	size_t count = 0;
	more[count++] = (struct sandbox_path){chain, DAEMON_READS_CHAINDB};
	/* each program of a backend has its own */
	if (programs)
		more[count++] = (struct sandbox_path){config->daemon.state_folder, SANDBOX_FOLDER};
	size_t fixed = count;
	for (size_t i = 0; i < config->rosters.count; i++) {
		const char *location = settings_roster_at(config, i);
		if (location[0] == '/')
			more[count++] =
				(struct sandbox_path){file_folder_of(location), SANDBOX_READ};
	}
	if (config->roster_ca[0])
		more[count++] =
			(struct sandbox_path){file_folder_of(config->roster_ca), SANDBOX_READ};
	bool good = daemon_give_up_rights(&config->daemon, SANDBOX_ENGINE, more, count) == 0;
	for (size_t i = fixed; i < count; i++)
		free((void *)more[i].path);
	free(more);
	return good;
}

static void stop_helpers(struct priv *priv, struct spawn *spawn)
{
	spawn_stop(spawn);
	priv_stop(priv);
}

static bool start_helpers(const struct dnetd_config *config, struct priv **ret_priv,
			  struct spawn **ret_spawn)
{
	struct spawn_config programs = {.interface_prefix = config->interface_prefix,
					.state_folder = config->daemon.state_folder,
					.user = config->daemon.user};
	struct priv_config priv = {.prefix = config->interface_prefix,
				   .table_base = (uint32_t)config->table_base,
				   .sandbox = config->daemon.sandbox};
	for (int i = 0; i < BACKEND_COUNT; i++) {
		const struct adapter_ops *ops = adapter_find_backend((enum backend)i);
		if (!ops || !settings_use_backend(config, ops))
			continue;
		priv.filter = priv.filter || ops->backend != BACKEND_NATIVE;
		if (ops->program == PROGRAM_COUNT)
			continue;
		programs.programs[ops->program] = config->programs[ops->program];
		priv.adopt = priv.adopt || ops->program != PROGRAM_WIREGUARD_GO;
		priv.wireguard = priv.wireguard || ops->backend == BACKEND_WIREGUARD;
	}
	if (spawn_start(&programs, ret_spawn) < 0)
		return false;
	if (priv_start(&priv, ret_priv) == 0)
		return true;
	spawn_stop(*ret_spawn);
	return false;
}

/* Backends have a socket for each member; the programs, which began before, keep the usual limit.
 */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

enum { LARGE_BLOCK = 128 << 10 };

/* What is large comes in pages of its own, and these go back when it is freed: glibc would raise
 * the limit with the first such block, and a netmap that was replaced would leave holes for ever.
 */
static void give_memory_back(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	(void)mallopt(M_TRIM_THRESHOLD, LARGE_BLOCK);
}

/* After the helpers began, which are not in a hurry. */
static void raise_priority(const struct dnetd_config *config)
{
	int r = priority_take(settings_priority(config));
	if (r < 0)
		log_warn("cannot take the priority '%s': %s; it goes on as normal",
			 config->priority, strerror(-r));
}

static int run(struct daemon *d, const struct dnetd_config *config)
{
	struct priv *priv = NULL;
	struct spawn *spawn = NULL;
	struct node node;
	if (!check_machine() || !start_helpers(config, &priv, &spawn))
		return 1;
	raise_file_limit();
	give_memory_back();
	raise_priority(config);
	int status = daemon_init_loop(d);
	if (status >= 0) {
		stop_helpers(priv, spawn);
		return status;
	}
	status = 1;
	if (node_start(&node, config, d->loop, priv, spawn) == 0 &&
	    give_up_rights(config, spawn != NULL)) {
		node_run(&node);
		daemon_run(d);
		status = node.failed ? 1 : 0;
	}
	node_stop(&node);
	stop_helpers(priv, spawn);
	return status;
}

int main(int argc, char **argv)
{
	struct dnetd_config config = {0};
	struct daemon d;
	char error[CONF_ERROR_MAX];
	int status = daemon_init_state(&d, &dnetd_program, argc, argv, &config, &config.daemon);
	if (status < 0 && !settings_check(&config, error)) {
		log_error("%s", error);
		status = 2;
	}
	if (status < 0)
		status = d.check_only ? daemon_check_done(&d) : run(&d, &config);
	daemon_done(&d);
	conf_free(&dnetd_program, &config);
	return status;
}
