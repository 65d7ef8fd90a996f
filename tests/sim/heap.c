#include "sim/heap.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *p);

static struct heap_account *charged;

struct heap_account *heap_charge(struct heap_account *account)
{
	struct heap_account *before = charged;

	charged = account;
	return before;
}

static void *take(void *p)
{
	if (!charged || !p)
		return p;
	charged->bytes += malloc_usable_size(p);
	if (charged->bytes > charged->peak)
		charged->peak = charged->bytes;
	return p;
}

/* Who frees what another one allocated has less than nothing some day. */
static void give(void *p)
{
	size_t size = p ? malloc_usable_size(p) : 0;

	if (!charged)
		return;
	assert(charged->bytes >= size);
	charged->bytes -= size;
}

void *__wrap_malloc(size_t size)
{
	return take(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return take(__real_calloc(count, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	give(p);
	return take(__real_realloc(p, size));
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
	give(p);
	return take(__real_reallocarray(p, count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return take(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *p)
{
	give(p);
	__real_free(p);
}
