#ifndef OS_BASE_H
#define OS_BASE_H

/* Small things that every file of os and of the daemons may use. */

#include <stddef.h>
#include <stdlib.h>
#include <sys/queue.h>

#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)      ((a) < (b) ? (a) : (b))
#define MAX(a, b)      ((a) > (b) ? (a) : (b))
#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _noreturn_     __attribute__((noreturn))

/* Removing while walking; sys/queue.h of glibc has none. */
#define TAILQ_FOREACH_SAFE(var, head, field, next)                                                 \
	for ((var) = TAILQ_FIRST(head); (var) && ((next) = TAILQ_NEXT(var, field), 1);             \
	     (var) = (next))

static inline void freep(void *p)
{
	free(*(void **)p);
}

/* The pointer, which is then NULL at its former place: hands ownership on. */
#define steal(p)                                                                                   \
	({                                                                                         \
		__typeof__(p) stolen_ = (p);                                                       \
		(p) = NULL;                                                                        \
		stolen_;                                                                           \
	})

/* Closes *fd when it is open; for _cleanup_. errno is kept. */
void closep(int *fd);

/* Allocation for daemons: never NULL, the process ends when memory does. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *format, ...) _printf_(1, 2);

#endif
