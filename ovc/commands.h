#ifndef OVC_COMMANDS_H
#define OVC_COMMANDS_H

/* The control socket's commands for a hub of another backend beside ovcd (dnet-tinc-hub): whom it
 * may serve, and the key that ovcd signs for it, so that the service key stays in ovcd. */

#include "os/ctl.h"

enum { OVC_COMMANDS = 2 };
extern const struct ctl_command ovc_commands[OVC_COMMANDS];

#endif
