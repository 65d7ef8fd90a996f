#ifndef NODE_SPAWN_H
#define NODE_SPAWN_H

/* Programs beside dnetd that backends need: a process of its own that starts nothing but what the
 * configuration names, with arguments that it makes itself, and that holds no key and reads nothing
 * from the network. What it started ends with it, and it ends with the engine. Without a program in
 * the configuration it is not there. */

#include "adapters/adapter.h"

#include <net/if.h>
#include <stddef.h>

enum { SPAWN_ERROR_MAX = 256, SPAWN_CHILDREN_MAX = 64 };

struct spawn;

/* Read before the fork; borrowed until spawn_start() returns. */
struct spawn_config {
	const char *interface_prefix;
	const char *state_folder; /* the children's folders are in backend/ below it */
	const char *user;	  /* of the children; "": stay */
	/* Absolute path, for PROGRAM_EXEC with arguments behind blanks; NULL: not in use. */
	const char *programs[PROGRAM_COUNT];
};

/* Before the first thread and loop. 0 or -errno, logged; *ret_spawn NULL: no program is in use. */
int spawn_start(const struct spawn_config *config, struct spawn **ret_spawn);
void spawn_stop(struct spawn *spawn); /* ends them all; NULL: nothing */
/* Readable when it has died; -1: there is none. */
int spawn_fd(const struct spawn *spawn);

/* As struct adapter_os; all may have spawn NULL. interface: whose program it is, of our prefix and
 * a number. Calls block until it is started, or -errno says why not. */
int spawn_child(struct spawn *spawn, enum adapter_program program, const char *interface,
		const int *fds, size_t fds_count, int *ret_pidfd, int *ret_pid);
int spawn_signal(struct spawn *spawn, int pid, int signal);
int spawn_reap(struct spawn *spawn, int pid, int *ret_status);
const char *spawn_error(const struct spawn *spawn);

/* The folder of the backend behind an interface, as the children have it. */
void spawn_folder(const char *state_folder, const char *interface, char *dst, size_t size);

#endif
