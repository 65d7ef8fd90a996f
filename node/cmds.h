#ifndef NODE_CMDS_H
#define NODE_CMDS_H

/* dnetd's control socket: the commands (doc/dnetd.8.md). */

#include <stdbool.h>

struct node;
struct object_id;

/* Binds the socket. 0 or -errno, logged. */
int cmds_start(struct node *node);

/* "dnet1…", or a join link (wire/link.h). */
bool cmds_parse_dnet(const char *text, struct object_id *ret_id);

#endif
