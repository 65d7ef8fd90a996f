#ifndef ADAPTERS_TINCD_H
#define ADAPTERS_TINCD_H

/* One tincd and its folder: its key, its port, its files, and the program kept running. */

#include "adapters/tinc_files.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct adapter_os;
struct loop;
struct tincd;

struct tincd_io {
	void *ctx;
	void (*ready)(void *ctx); /* its key is there */
	/* A node became reachable, or is it no more. */
	void (*event)(void *ctx, const struct tinc_event *event);
	void (*ended)(void *ctx); /* it does not run: no node is reachable */
};

struct tincd_config {
	struct loop *loop;
	const struct adapter_os *os;
	const char *folder; /* there, and nobody else's; copied */
	const char *name;   /* for the log; copied */
};

/* Reads the folder's port and key. What is missing is made: the port at once, the key beside the
 * loop, which takes a second or so; ready() is called when that is over, never from here. The port
 * is kept from then on. 0 or -errno, logged. */
int tincd_new(const struct tincd_config *config, const struct tincd_io *io,
	      struct tincd **ret_tincd);
/* Ends it; the folder stays. NULL: nothing. */
void tincd_free(struct tincd *t);

uint16_t tincd_port(const struct tincd *t);
/* As in a key statement; NULL: not there yet. Borrowed. */
const uint8_t *tincd_key(const struct tincd *t, size_t *ret_len);
/* The same as lines for hosts/; "": not there yet. */
const char *tincd_key_text(const struct tincd *t);

/* Makes the folder so and starts tincd, or has it read what changed: who is no longer in the net is
 * cut, and nobody else is touched. Without a key, nothing runs yet: call it again when ready(). The
 * port is set here. The files of the net that is there already are looked at each ten seconds, and
 * with look. 0 or -errno, as tinc_files_write(). */
int tincd_apply(struct tincd *t, struct tinc_net *net, bool look);
/* As child_set_interface(). */
void tincd_set_interface(struct tincd *t, uint32_t index);

bool tincd_is_running(const struct tincd *t);
/* "tincd 1.0.36: running", "tincd: cannot run: …". Borrowed until the next call. */
const char *tincd_text(struct tincd *t);

#endif
