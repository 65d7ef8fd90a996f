#include "cli/watch.h"

#include "os/chaindb.h"
#include "os/clock.h"
#include "os/ctl.h"

#include <time.h>

enum {
	POLL_MS = 50,
	CALL_MS = 1000,
};

static int any_event(void *arg, const struct chaindb_event *event)
{
	(void)event;
	*(bool *)arg = true;
	return 0;
}

/* Somebody serves chainwatch's socket and chain.db is there. Errors are not the command's: the
 * transaction is sent. */
static bool can_watch(struct cli *cli)
{
	char text[CHAINDB_ERROR_MAX];
	struct ctl_error error;

	return !ctl_client_call(cli->conf.chainwatch, "version", NULL, CALL_MS, NULL, &error) &&
	       (cli->db || !chaindb_open(cli->conf.chain_db, CHAINDB_WAIT_MS, &cli->db, text));
}

int watch_seen(struct cli *cli, const struct hash256 *txid, bool *ret_seen)
{
	uint64_t deadline = clock_boottime_ns() + cli->conf.wait_ms * 1000000;
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
	bool seen = false;

	if (!cli->conf.wait_ms)
		return 0;
	if (!can_watch(cli)) {
		cli_note(cli, "chainwatch does not run here (%s): not waited",
			 cli->conf.chainwatch);
		return 0;
	}
	for (;;) {
		chaindb_visit_transaction(cli->db, txid, any_event, &seen);
		if (seen || clock_boottime_ns() >= deadline)
			break;
		nanosleep(&pause, NULL);
	}
	*ret_seen = seen;
	return seen ? 0 : CLI_TIMEOUT;
}
