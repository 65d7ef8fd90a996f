#ifndef NODE_STATE_H
#define NODE_STATE_H

/* What dnetd keeps in its state folder: the master secret, the dnets it joined, its UDP port, and a
 * copy of each dnet's last good netmap input. Every file is replaced whole. */

#include "wire/key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state;

enum { STATE_ROSTER_SIZE = 512 };
enum { STATE_DNETS_MAX = 64, STATE_ERROR_MAX = 512, STATE_BACKEND_MAX = 32 };

struct state_dnet {
	struct object_id id;
	uint32_t number; /* of the interface: dnet0, dnet1, …; stays the same */
	bool down;	 /* by the user */
	/* Where the join link said that the roster is; "": it did not. */
	char roster[STATE_ROSTER_SIZE];
};

/* Reads the folder; makes the master secret at the first start. 0, or -errno and a text: -EBADMSG
 * for a damaged file, which is never replaced by itself. */
int state_open(const char *folder, struct state **ret_state, char error[static STATE_ERROR_MAX]);
void state_close(struct state *state); /* wipes */
/* Borrowed. */
const char *state_folder(const struct state *state);
/* Borrowed; locked in memory where that is allowed. */
const struct secret *state_master(const struct state *state);

uint16_t state_port(const struct state *state); /* 0: none yet */
int state_set_port(struct state *state, uint16_t port);

/* PROTOCOL 3.4, Peers refuse timestamps that are not above the last one they saw, also from a node
 * that was restarted with its clock set back. So a time that no timestamp has gone beyond is kept.
 * Seconds since 1970, 0: none yet. */
uint64_t state_time(const struct state *state);
int state_set_time(struct state *state, uint64_t seconds);

size_t state_dnet_count(const struct state *state);
const struct state_dnet *state_dnet_at(const struct state *state, size_t i);
const struct state_dnet *state_find(const struct state *state, const struct object_id *id);
/* With the lowest free number. roster: below STATE_ROSTER_SIZE bytes. 0, -EEXIST, -EUSERS (too
 * many), or -errno of the file, and then nothing changed. */
int state_add(struct state *state, const struct object_id *id, const char *roster);
int state_remove(struct state *state, const struct object_id *id); /* its copy too */
int state_set_down(struct state *state, const struct object_id *id, bool down);

#endif
