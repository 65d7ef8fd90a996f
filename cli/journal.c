#include "cli/journal.h"

#include "core/error.h"
#include "os/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *journal_path(const struct cli *cli)
{
	char *path;

	return asprintf(&path, "%s.outbox", cli->conf.keystore) < 0 ? NULL : path;
}

static int failed(struct cli *cli, const char *path, int r)
{
	return cli_error(cli, CLI_FAILED, "make room, or let this user write there",
			 "cannot write %s: %s", path ? path : "the journal", error_text(r));
}

/* Nothing of it is of interest any more. */
static bool is_settled(const struct outbox *outbox)
{
	for (size_t i = 0; i < outbox->count; i++) {
		if (outbox->items[i].state != OUTBOX_GONE)
			return false;
	}
	return true;
}

static int tidy(struct cli *cli, const char *path, struct outbox *outbox, size_t len, size_t used)
{
	int r = 0;

	if (cli->lock < 0)
		return 0;
	if (len > OUTBOX_SMALL && is_settled(outbox)) {
		outbox_done(outbox);
		r = file_replace(path, "", 0, 0600);
	} else if (used < len && truncate(path, (off_t)used)) {
		r = -errno;
	}
	return r ? failed(cli, path, r) : 0;
}

int journal_load(struct cli *cli, struct outbox *ret_outbox)
{
	_cleanup_(freep) char *path = journal_path(cli);
	_cleanup_(freep) char *text = NULL;
	size_t len = 0, used = 0;
	int r = path ? file_read(path, OUTBOX_FILE_MAX, &text, &len) : -ENOMEM;

	*ret_outbox = (struct outbox){0};
	if (r == -ENOENT)
		return 0;
	if (!r)
		r = outbox_parse(text, len, ret_outbox, &used);
	if (r)
		return cli_error(cli, CLI_FAILED, "move the file away: chain.db has what was sent",
				 "cannot read %s: %s", path ? path : "", error_text(r));
	/* Only the last line can have been cut off. */
	if (used < len && memchr(text + used, '\n', len - used)) {
		outbox_done(ret_outbox);
		return cli_error(cli, CLI_FAILED, "move the file away: chain.db has what was sent",
				 "%s is not as dnet writes it, from byte %zu on", path, used);
	}
	return tidy(cli, path, ret_outbox, len, used);
}

/* Behind a last line that journal_load() left whole. 0 or -errno. */
static int append(struct cli *cli, const char *path, const char *line)
{
	size_t len = strlen(line);
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	int r = fd < 0 ? -errno : 0;

	assert(cli->lock >= 0);
	errno = 0;
	if (!r && write(fd, line, len) != (ssize_t)len)
		r = errno ? -errno : -ENOSPC;
	if (!r && fdatasync(fd))
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

int journal_add(struct cli *cli, const struct outbox_item *item)
{
	_cleanup_(freep) char *line = outbox_format(item);
	_cleanup_(freep) char *path = journal_path(cli);
	int r = line ? append(cli, path, line) : -ENOMEM;

	return r ? failed(cli, path, r) : 0;
}

int journal_mark(struct cli *cli, const struct hash256 *txid, enum outbox_state state,
		 const char *why)
{
	_cleanup_(freep) char *path = journal_path(cli);
	char text[HASH_TEXT_SIZE], line[256];
	json_t *json;
	size_t len;
	int r;

	hash_format(txid, text);
	json = json_pack("{s:s, s:s, s:s}", "mark", text, "state", outbox_state_name(state), "why",
			 why);
	len = json ? json_dumpb(json, line, sizeof(line) - 2, JSON_COMPACT) : 0;
	json_decref(json);
	if (!len || len > sizeof(line) - 2)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	line[len] = '\n';
	line[len + 1] = '\0';
	r = append(cli, path, line);
	if (r && state == OUTBOX_SENT)
		return cli_error(cli, CLI_FAILED, "dnet pending shows whether the node has it",
				 "the transaction was sent, but dnet cannot write %s: %s",
				 path ? path : "", error_text(r));
	return r ? failed(cli, path, r) : 0;
}
