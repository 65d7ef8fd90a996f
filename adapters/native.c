#include "adapters/adapter.h"

#include "core/mesh.h"
#include "os/base.h"

#include <errno.h>
#include <stdlib.h>

/* The native backend: a mesh on the node's engine, wired to the node's TUN. */

struct adapter {
	struct mesh *mesh; /* owned */
	bool applied;
	int result; /* of the last apply() */
};

static int native_probe(char error[static ADAPTER_ERROR_MAX])
{
	(void)error; /* what it needs is part of the program */
	return 0;
}

static int native_start(const struct adapter_host *host, struct adapter **ret_adapter)
{
	struct adapter *a = xcalloc(1, sizeof(*a));
	struct mesh_io io = {.ctx = host->ctx, .deliver = host->deliver, .event = host->event};
	a->mesh = mesh_new(host->engine, host->engine_io, &io, &host->dnet, host->identity,
			   host->gso_usable);
	if (!a->mesh) {
		free(a);
		return -ENOMEM;
	}
	*ret_adapter = a;
	return 0;
}

static int native_apply(struct adapter *a, struct netmap *netmap, uint64_t now)
{
	a->result = mesh_set_netmap(a->mesh, netmap, now);
	if (a->result == 0)
		a->applied = true;
	return a->result;
}

static void native_status(const struct adapter *a, struct adapter_status *ret_status)
{
	*ret_status = (struct adapter_status){
		.applied = a->applied && a->result == 0,
		.error = a->result < 0 ? "out of memory for the new netmap" : NULL,
	};
}

static void native_teardown(struct adapter *a)
{
	if (!a)
		return;
	mesh_free(a->mesh);
	free(a);
}

static struct mesh *native_mesh(struct adapter *a)
{
	return a->mesh;
}

const struct adapter_ops adapter_native = {
	.name = "native",
	.summary = "Noise over UDP, by dnetd itself",
	.probe = native_probe,
	.start = native_start,
	.apply = native_apply,
	.status = native_status,
	.teardown = native_teardown,
	.mesh = native_mesh,
};
