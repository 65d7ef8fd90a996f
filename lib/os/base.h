#ifndef OS_BASE_H
#define OS_BASE_H

/* Small things that every file of os and of the daemons may use. */

#include <stdlib.h>

#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _noreturn_     __attribute__((noreturn))

static inline void freep(void *p)
{
	free(*(void **)p);
}

#endif
