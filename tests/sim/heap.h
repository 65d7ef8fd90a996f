#ifndef SIM_HEAP_H
#define SIM_HEAP_H

/* Whose memory it is: what is allocated and freed between two heap_charge() is one engine's. Needs
 * SIM_WRAP (--wrap). */

#include <stddef.h>

struct heap_account {
	size_t bytes, peak;
};

/* From now on; NULL: nobody's. Returns whose it was until now. */
struct heap_account *heap_charge(struct heap_account *account);

#endif
