#ifndef CORE_SECRET_H
#define CORE_SECRET_H

/* Memory that secrets are in. Wiping is in wire/key.h. */

#include <stddef.h>

/* Keeps the pages of a secret from being swapped out and dumped for as long as the process has
 * them, freed or not: neighbours may be secrets too. Where the limit of locked memory
 * (RLIMIT_MEMLOCK) is reached nothing happens: whether it is high enough is for who starts the
 * process to say. */
void secret_lock(void *secret, size_t len);

#endif
