#ifndef OS_LANDLOCK_H
#define OS_LANDLOCK_H

/* Files, TCP ports and signals that this process cannot get at any more, whoever it is
 * (landlock(7)). */

#include "os/sandbox_roles.h"

#include <stdbool.h>
#include <stdint.h>

/* Bits as in linux/landlock.h, those that are newer than its Debian version included. */
struct landlock_rights {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

/* The version of the kernel's interface; 0: it has none, or it is off. */
int landlock_version(void);
/* Everything that this version can take away. */
struct landlock_rights landlock_known(int version);
/* SANDBOX_… in bits. A file has fewer than a folder. Only what is known. */
uint64_t landlock_file_bits(unsigned access, bool folder, uint64_t known);

/* Takes away all but machine (a path of NULL ends it; missing paths are passed over) and own (see
 * struct sandbox), for this thread and those that it makes. no_new_privs is set. 0, also when the
 * kernel has no Landlock (a notice), or -errno. role: for the log. */
int landlock_enter(const char *role, enum sandbox_tcp tcp, const struct sandbox_path *machine,
		   const struct sandbox_path *own, size_t own_count);

#endif
