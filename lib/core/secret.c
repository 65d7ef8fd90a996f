#include "core/secret.h"

#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

void secret_lock(void *secret, size_t len)
{
	uintptr_t page = getauxval(AT_PAGESZ);
	size_t before = (uintptr_t)secret & (page - 1);
	uint8_t *first = (uint8_t *)secret - before;

	(void)mlock(first, before + len);
	(void)madvise(first, before + len, MADV_DONTDUMP);
}
