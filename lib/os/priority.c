#include "os/priority.h"

#include "os/base.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

enum { NICE_HIGH = -10 };

bool priority_parse(const char *text, enum priority *ret_priority)
{
	static const char *const names[] = {
		[PRIORITY_NORMAL] = "normal",
		[PRIORITY_HIGH] = "high",
		[PRIORITY_REALTIME] = "realtime",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret_priority = (enum priority)i;
			return true;
		}
	}
	return false;
}

int priority_take(enum priority priority)
{
	struct sched_param param = {0};
	int policy = SCHED_OTHER;

	if (priority == PRIORITY_NORMAL)
		return 0;
	if (priority == PRIORITY_REALTIME) {
		policy = SCHED_RR;
		param.sched_priority = sched_get_priority_min(SCHED_RR);
	}
	if (sched_setscheduler(0, policy | SCHED_RESET_ON_FORK, &param))
		return -errno;
	if (priority == PRIORITY_HIGH && setpriority(PRIO_PROCESS, 0, NICE_HIGH))
		return errno == EACCES ? -EPERM : -errno;
	return 0;
}
