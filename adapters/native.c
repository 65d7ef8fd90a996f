#include "adapters/adapter.h"

#include "os/base.h"

#include <stdlib.h>

/* The native backend: the mesh itself carries the packets of the node's TUN. It is there whatever
 * the backend is, so there is nothing to start. */

struct adapter {
	bool applied;
};

static int native_probe(const char *program, enum adapter_device *ret_device,
			char error[static ADAPTER_ERROR_MAX])
{
	(void)program;
	(void)error; /* what it needs is part of dnetd */
	*ret_device = ADAPTER_DEVICE_MESH;
	return 0;
}

static int native_start(const struct adapter_host *host, struct adapter **ret_adapter)
{
	(void)host;
	*ret_adapter = xcalloc(1, sizeof(**ret_adapter));
	return 0;
}

static int native_apply(struct adapter *a, const struct adapter_plan *plan, uint64_t now)
{
	(void)plan; /* the mesh has the netmap already, and knows whom others carry */
	(void)now;
	a->applied = true;
	return 0;
}

static void native_status(const struct adapter *a, struct adapter_status *ret_status)
{
	*ret_status = (struct adapter_status){.applied = a->applied};
}

static void native_teardown(struct adapter *a)
{
	free(a);
}

const struct adapter_ops adapter_native = {
	.name = "native",
	.summary = "Noise over UDP, by dnetd itself",
	.backend = BACKEND_NATIVE,
	.program = PROGRAM_COUNT,
	.probe = native_probe,
	.start = native_start,
	.apply = native_apply,
	.status = native_status,
	.teardown = native_teardown,
};
