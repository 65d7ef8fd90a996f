#ifndef ADAPTERS_WIREGUARD_H
#define ADAPTERS_WIREGUARD_H

/* The WireGuard backend, and what it asks of a device: wireguard-go behind its text protocol, or
 * the kernel behind netlink. */

#include "adapters/adapter.h"
#include "adapters/wg_config.h"

/* The choice of the configuration: kernel, else wireguard-go; only one of them. All have the name
 * "wireguard". */
extern const struct adapter_ops adapter_wireguard;
extern const struct adapter_ops adapter_wireguard_go;

struct wg_device; /* each kind has its own inside */

/* Not from inside the device's ops but where said. */
struct wg_device_io {
	void *ctx;
	/* set() and get() work from now on, and what it has is not known: get() comes first. May
	 * come again, after gone(). */
	void (*ready)(void *ctx);
	/* It no longer works; the device tries to come back by itself. why: for status; static or
	 * borrowed during the call. */
	void (*gone)(void *ctx, const char *why);
	/* The answer to get(): sorted, borrowed during the call, wiped behind it. Also from inside
	 * get(). */
	void (*got)(void *ctx, const struct wg_config *state);
	/* A set() was refused, so what it has is not known: get() again. */
	void (*refused)(void *ctx, const char *why);
};

/* What changes; the rest stays untouched. */
struct wg_set {
	const uint8_t *private_key; /* NULL: stays */
	uint16_t port;		    /* 0: stays */
	const struct wg_change *changes;
	size_t count;
};

struct wg_device_ops {
	const char *name; /* "wireguard-go", "kernel" */
	enum adapter_device device;
	/* Whether this machine has it: 0, or -errno and a text that names the next step. */
	int (*probe)(const char *program, char error[static ADAPTER_ERROR_MAX]);
	/* host and io->ctx are borrowed until close(). 0 or -errno. */
	int (*open)(const struct adapter_host *host, const struct wg_device_io *io,
		    struct wg_device **ret_device);
	/* adapter_ops.device: the interface is there, or has gone (index 0). ready() comes
	 * sometime after, or at once. */
	void (*interface)(struct wg_device *device, uint32_t index, int fd);
	/* In the order of the calls. 0, or -errno: not ready, or refused at once. */
	int (*set)(struct wg_device *device, const struct wg_set *set);
	int (*get)(struct wg_device *device);
	/* For status: version or state; borrowed until the next call. */
	const char *(*text)(struct wg_device *device);
	void (*close)(struct wg_device *device);
};

extern const struct wg_device_ops wg_device_go;
extern const struct wg_device_ops wg_device_kernel;

/* Where packets of this peer go from now on; NULL: over the bridge, that is through the control
 * plane. Nothing happens when the backend does not carry it. */
void wireguard_set_endpoint(struct adapter *adapter, const struct node_key *key,
			    const struct endpoint *endpoint);

#endif
