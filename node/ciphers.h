#ifndef NODE_CIPHERS_H
#define NODE_CIPHERS_H

/* Which library works out the ciphers on this machine: the setting, or a measurement of a
 * millisecond or two. */

#include "core/aead.h"

/* Prefers provider, or with AEAD_PROVIDERS the fastest for each kind (core/aead.h). Before the
 * first key. */
void ciphers_choose(enum aead_provider_id provider);

#endif
