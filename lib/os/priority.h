#ifndef OS_PRIORITY_H
#define OS_PRIORITY_H

/* How much a process is before others when they all want a processor. */

#include <stdbool.h>

enum priority {
	PRIORITY_NORMAL,
	PRIORITY_HIGH,	   /* nice -10: a greater share */
	PRIORITY_REALTIME, /* SCHED_RR: at once, up to the kernel's bound (sched(7),
			      sched_rt_runtime_us) */
};

bool priority_parse(const char *text, enum priority *ret_priority);
/* For this process; its children and threads begin as normal ones. Not for one that wants no more
 * than it has: NORMAL changes nothing. 0; -EPERM without CAP_SYS_NICE. */
int priority_take(enum priority priority);

#endif
