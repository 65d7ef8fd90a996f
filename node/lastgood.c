#include "node/lastgood.h"

#include "node/inputcopy.h"
#include "node/state.h"
#include "os/base.h"
#include "os/log.h"
#include "service/chain.h"

#include <errno.h>
#include <string.h>

void lastgood_init(struct lastgood *l, const struct object_id *id)
{
	*l = (struct lastgood){.id = *id};
}

void lastgood_done(struct lastgood *l)
{
	input_free(&l->input);
	l->have = false;
}

static bool same_revocation(const struct netmap_revocation *a, const struct netmap_revocation *b)
{
	return object_id_equal(&a->object, &b->object) && a->type == b->type &&
	       a->subject_len == b->subject_len &&
	       memcmp(a->subject, b->subject, a->subject_len) == 0 && a->sequence == b->sequence &&
	       a->position == b->position;
}

static bool knows(const struct netmap_input *input, const struct netmap_revocation *r)
{
	for (size_t i = 0; i < input->revocation_count; i++) {
		if (same_revocation(&input->revocations[i], r))
			return true;
	}
	return false;
}

/* RECORDS 5.2, what was revoked once stays revoked, whatever this chain.db has seen so far. */
static void add_revocations(struct netmap_input *to, const struct netmap_input *from)
{
	struct netmap_revocation *all =
		xcalloc(to->revocation_count + from->revocation_count, sizeof(*all));
	if (to->revocation_count)
		memcpy(all, to->revocations, to->revocation_count * sizeof(*all));
	size_t count = to->revocation_count;
	for (size_t i = 0; i < from->revocation_count; i++) {
		if (!knows(to, &from->revocations[i]))
			all[count++] = from->revocations[i];
	}
	free((void *)to->revocations);
	to->revocations = all;
	to->revocation_count = count;
}

void lastgood_take(struct lastgood *l, struct netmap_input *newer)
{
	if (l->have && newer->tip_height < l->input.tip_height) {
		l->behind = newer->tip_height;
		add_revocations(&l->input, newer);
		input_free(newer);
		return;
	}
	l->behind = 0;
	input_free(&l->input);
	l->input = *newer;
	*newer = (struct netmap_input){0};
	l->have = true;
	l->from_copy = false;
}

static void load_copy(struct lastgood *l, struct state *state)
{
	struct netmap_input input;
	int r = state_load_input(state, &l->id, &input);
	if (r == -EBADMSG)
		log_warn("the copy of the last known state is damaged and not used");
	if (r < 0)
		return;
	l->input = input;
	l->have = l->from_copy = true;
}

static void save_copy(struct lastgood *l, const struct chain *chain, struct state *state)
{
	if (l->behind || l->input.row_count == 0 || l->saved_change == chain_change(chain))
		return;
	int r = state_save_input(state, &l->input);
	if (r < 0)
		log_warn("cannot write the copy of the last known state: %s", strerror(-r));
	else
		l->saved_change = chain_change(chain);
}

int lastgood_build(struct lastgood *l, struct chain *chain, struct state *state,
		   struct netmap **ret_netmap)
{
	struct netmap_input newer;
	if (!l->have)
		load_copy(l, state);
	if (chain_read(chain, &l->id, &newer) == 0) {
		lastgood_take(l, &newer);
		save_copy(l, chain, state);
	}
	if (!l->have)
		return -ENOENT;
	return netmap_build(&l->input, ret_netmap);
}
