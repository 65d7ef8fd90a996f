#ifndef OS_SANDBOX_ROLES_H
#define OS_SANDBOX_ROLES_H

/* What each process may do once it serves: the one table that the daemons enter, the tests try, and
 * doc/threat-model.md shows. */

#include <stdbool.h>
#include <stddef.h>

/* What may be done with a file, or with all that is beneath a folder. */
enum {
	SANDBOX_READ = 1,    /* open a file for reading */
	SANDBOX_LIST = 2,    /* open a folder */
	SANDBOX_WRITE = 4,   /* open a file for writing, cut it */
	SANDBOX_MAKE = 8,    /* make a file */
	SANDBOX_REMOVE = 16, /* remove a file; with MAKE: rename within its folder */
	SANDBOX_IOCTL = 32,  /* ioctl() on a device */
	SANDBOX_FOLDER = 64, /* make and remove folders */
};

struct sandbox_path {
	const char *path;
	unsigned access; /* SANDBOX_… */
};

enum sandbox_tcp {
	SANDBOX_TCP_NONE,
	SANDBOX_TCP_DNS,     /* to port 53: answers of name servers that do not fit in a datagram */
	SANDBOX_TCP_CONNECT, /* to any port; never bound to one */
};

enum sandbox_role_id {
	SANDBOX_ENGINE,
	SANDBOX_ROOT_HELPER,
	SANDBOX_ROOT_HELPER_WIREGUARD, /* the same, with that backend configured */
	SANDBOX_SERVICE,	       /* ovcd and ovrd */
	SANDBOX_CHAINWATCH,
	SANDBOX_ROLES,
};

enum { SANDBOX_LIST_MAX = 12 };

struct sandbox_role {
	const char *name; /* for the log */
	/* CAP_… that are kept, if they are there. */
	int capabilities[SANDBOX_LIST_MAX];
	size_t capabilities_count;
	bool has_state; /* files that it writes: sandbox_state_calls */
	/* Beside the common ones; NULL ends the list. An unknown name is an error. */
	const char *calls[SANDBOX_LIST_MAX];
	/* Beside the common ones; 0 ends the list. */
	unsigned long ioctls[SANDBOX_LIST_MAX];
	/* AF_… of new sockets, none of them raw; netlink: routing. 0 ends the list. */
	int families[SANDBOX_LIST_MAX];
	bool raw_udp; /* new raw sockets, of UDP alone */
	enum sandbox_tcp tcp;
	/* Of the machine; what is configured comes beside them. A path of NULL ends the list. */
	struct sandbox_path paths[SANDBOX_LIST_MAX];
};

extern const struct sandbox_role sandbox_roles[SANDBOX_ROLES];

/* What every process does after its start: its loop, its log, its open sockets. NULL or 0
 * ends the lists. Names that this machine's kind does not have are passed over. */
extern const char *const sandbox_common_calls[];
/* To write, lock, replace and remove files that Landlock lets it open. Nothing that changes a file
 * by its name alone (chmod, chown, truncate): Landlock does not see these. */
extern const char *const sandbox_state_calls[];
extern const unsigned long sandbox_common_ioctls[];
extern const int sandbox_common_prctls[];

#endif
