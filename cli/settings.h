#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H

/* dnet.conf(5): the table of options, and where values come from. */

#include "cli/cli.h"

extern const struct conf_program settings_program;

/* Files and environment; file NULL: DNET_CONF, or the system's file and then the user's. What the
 * command line says is set after it with conf_set(). 0, or an exit code after the error was
 * printed.
 */
int settings_load(struct cli *cli, const char *file);
void settings_free(struct cli *cli);

#endif
