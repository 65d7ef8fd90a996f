#include "adapters/adapter.h"

#include "adapters/wireguard.h"
#include "os/base.h"

#include <stdio.h>
#include <string.h>

static const struct adapter_ops *const backends[] = {
	&adapter_native,
	&adapter_tinc,
	&adapter_wireguard,
	&adapter_exec,
};

const struct adapter_ops *adapter_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (strcmp(backends[i]->name, name) == 0)
			return backends[i];
	}
	return NULL;
}

const struct adapter_ops *adapter_find_backend(enum backend backend)
{
	for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
		if (backends[i]->backend == backend)
			return backends[i];
	}
	return NULL;
}

const char *adapter_names(void)
{
	static char names[128];
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(backends) && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s", i ? ", " : "",
				      backends[i]->name);
	return names;
}
