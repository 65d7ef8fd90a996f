#include "service/gather.h"

#include <assert.h>

void gather_init(struct gather *gather, gather_send *send, void *ctx)
{
	*gather = (struct gather){.send = send, .ctx = ctx};
}

static void flush_heap(struct gather *gather, struct gather_heap *heap)
{
	if (heap->count)
		gather->send(gather->ctx, &heap->to, heap->parts, heap->count, heap->segment);
	heap->count = 0;
}

/* One that is shorter than the segment ends a send of the kernel's. */
static bool may_follow(const struct gather_heap *heap, size_t len, size_t segment)
{
	if (heap->closed || heap->count == GATHER_PARTS || heap->len + len > GATHER_BYTES)
		return false;
	return segment == heap->segment || (len <= segment && len < heap->segment);
}

/* The heap of that destination; else a free one, else one that is sent now. */
static struct gather_heap *find_heap(struct gather *gather, const struct endpoint *to)
{
	struct gather_heap *heap, *free_one = NULL;

	for (heap = gather->heaps; heap < gather->heaps + GATHER_HEAPS; heap++) {
		if (heap->count && endpoint_equal(&heap->to, to))
			return heap;
		if (!heap->count && !free_one)
			free_one = heap;
	}
	if (free_one)
		return free_one;
	heap = &gather->heaps[gather->next++ % GATHER_HEAPS];
	flush_heap(gather, heap);
	return heap;
}

void gather_add(struct gather *gather, const struct endpoint *to, const void *bytes, size_t len,
		size_t segment)
{
	struct gather_heap *heap = find_heap(gather, to);

	assert(len && segment);
	if (heap->count && !may_follow(heap, len, segment))
		flush_heap(gather, heap);
	if (!heap->count) {
		heap->to = *to;
		heap->segment = segment < len ? segment : len;
		heap->len = 0;
	}
	heap->parts[heap->count++] = (struct iovec){(void *)bytes, len};
	heap->len += len;
	heap->closed = len % heap->segment != 0;
}

void gather_flush(struct gather *gather)
{
	for (unsigned i = 0; i < GATHER_HEAPS; i++)
		flush_heap(gather, &gather->heaps[i]);
}
