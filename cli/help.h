#ifndef CLI_HELP_H
#define CLI_HELP_H

/* The commands' tables: finding a row, and printing them as help. */

#include "cli/cli.h"

/* The command whose words are exactly these; NULL. */
const struct cli_command *help_find(const char *const *words, size_t count);
/* Some command begins with these words. */
bool help_is_group(const char *const *words, size_t count);
/* part 0: the command's own options; part 1: those of all commands that write. May be NULL. */
const struct arg_option *help_options(const struct cli_command *command, int part);
/* Of one command, of a group of commands (words), or of the program. */
void help_print(const struct cli_command *command, const char *const *words, size_t count);
/* Prints what is wrong and the nearest command; returns CLI_USAGE. */
int help_unknown(struct cli *cli, const char *const *words, size_t count);

#endif
