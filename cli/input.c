#include "cli/input.h"

#include "core/error.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_SHOWN = 100 };

int input_read(struct cli *cli, const char *path, const char *next, char *dst, size_t size,
	       size_t *ret_len)
{
	bool standard = !strcmp(path, "-");
	_cleanup_(closep) int file = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char name[NAME_MAX_SHOWN + 1];
	int r = !standard && file < 0
			? -errno
			: file_read_into(standard ? STDIN_FILENO : file, dst, size, ret_len);

	/* A word that was meant for something else may be of any length. */
	snprintf(name, sizeof(name), "%s", standard ? "standard input" : path);
	if (strlen(path) > NAME_MAX_SHOWN)
		memcpy(name + NAME_MAX_SHOWN - 3, "...", 4);
	if (r == -EFBIG)
		return cli_error(cli, CLI_USAGE, next, "%s has more than %zu bytes", name,
				 size - 1);
	if (r)
		return cli_error(cli, CLI_USAGE, next, "cannot read %s: %s", name, error_text(r));
	return 0;
}

int input_can_ask(struct cli *cli, const char *next, const char *outcome)
{
	if (isatty(STDIN_FILENO))
		return 0;
	return cli_error(cli, CLI_ABORTED, next, "there is no terminal to ask on; %s", outcome);
}

int input_ask(struct cli *cli, const char *question, const char *outcome)
{
	char line[16];

	printf("%s? [y/N] ", question);
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return 0;
	return cli_error(cli, CLI_ABORTED, NULL, "%s", outcome);
}
