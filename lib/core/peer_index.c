#include "core/peer.h"

#include <errno.h>
#include <stdlib.h>

int index_reserve(struct index_table *table, size_t count)
{
	struct index_table more = {.size = table->size ? table->size : 32};

	while (more.size < 2 * count)
		more.size *= 2;
	if (more.size == table->size)
		return 0;
	more.cells = calloc(more.size, sizeof(struct slot *));
	if (!more.cells)
		return -ENOMEM;
	for (size_t i = 0; i < table->size; i++) {
		size_t at;

		if (!table->cells[i])
			continue;
		at = table->cells[i]->index & (more.size - 1);
		while (more.cells[at])
			at = (at + 1) & (more.size - 1);
		more.cells[at] = table->cells[i];
	}
	free(table->cells);
	*table = more;
	return 0;
}

void index_add(struct index_table *table, struct slot *slot)
{
	size_t at = slot->index & (table->size - 1);

	while (table->cells[at])
		at = (at + 1) & (table->size - 1);
	table->cells[at] = slot;
}

void index_remove(struct index_table *table, const struct slot *slot)
{
	size_t mask = table->size - 1, hole = slot->index & mask;

	while (table->cells[hole] != slot)
		hole = (hole + 1) & mask;
	/* Moves back what would not be found over the hole. */
	for (size_t at = (hole + 1) & mask; table->cells[at]; at = (at + 1) & mask) {
		size_t home = table->cells[at]->index & mask;

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		table->cells[hole] = table->cells[at];
		hole = at;
	}
	table->cells[hole] = NULL;
}

struct slot *index_find(const struct index_table *table, uint32_t index)
{
	size_t at;

	if (!table->size)
		return NULL;
	at = index & (table->size - 1);
	while (table->cells[at] && table->cells[at]->index != index)
		at = (at + 1) & (table->size - 1);
	return table->cells[at];
}
