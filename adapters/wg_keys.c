#include "adapters/wg_keys.h"

#include "core/secret.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "os/rand.h"
#include "os/udp.h"
#include "wire/hex.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
	BASE64_SIZE = 45, /* of 32 bytes, with its NUL */
	FILE_MAX = 64,
};

static int failed(const char *what, const char *path, int result)
{
	log_error("cannot %s %s: %s", what, path, strerror(-result));
	return result;
}

/* ---- The key ---- */

static int make_key(const char *path, uint8_t key[WG_KEY_LEN])
{
	char text[BASE64_SIZE + 1];
	rand_bytes(key, WG_KEY_LEN);
	key[0] &= 248; /* RFC 7748, 5: as every X25519 implementation reads it */
	key[31] = (uint8_t)((key[31] & 127) | 64);
	sodium_bin2base64(text, BASE64_SIZE, key, WG_KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
	text[BASE64_SIZE - 1] = '\n';
	int r = file_replace(path, text, BASE64_SIZE, 0600);
	secret_wipe(text, sizeof(text));
	return r < 0 ? failed("write", path, r) : 0;
}

static int parse_key(const char *path, const char *text, uint8_t key[WG_KEY_LEN])
{
	size_t len = 0;
	if (sodium_base642bin(key, WG_KEY_LEN, text, strcspn(text, "\n"), NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    len != WG_KEY_LEN || strlen(text) != BASE64_SIZE) {
		log_error("%s holds no WireGuard key: put its copy back, or remove it for a new "
			  "one",
			  path);
		return -EINVAL;
	}
	return 0;
}

static int load_key(const char *path, uint8_t key[WG_KEY_LEN])
{
	char *text;
	size_t len;
	int r = file_read(path, FILE_MAX, &text, &len);
	if (r == -ENOENT)
		return make_key(path, key);
	if (r < 0)
		return failed("read", path, r);
	r = parse_key(path, text, key);
	secret_wipe(text, len);
	free(text);
	return r;
}

/* ---- The port ---- */

/* 0: another program has it. */
static uint16_t try_port(uint16_t port)
{
	struct udp_socket v4 = {.fd = -1}, v6 = {.fd = -1};
	struct endpoint local = {0};
	if (udp_open_pair(port, NULL, &v4, &v6) < 0)
		return 0;
	(void)udp_local_endpoint(v4.fd >= 0 ? &v4 : &v6, &local);
	udp_close(&v4);
	udp_close(&v6);
	return local.port;
}

static int store_port(const char *folder, uint16_t port)
{
	_cleanup_(freep) char *path = xasprintf("%s/port", folder);
	char text[16];
	int len = snprintf(text, sizeof(text), "%u\n", port);
	int r = file_replace(path, text, (size_t)len, 0600);
	return r < 0 ? failed("write", path, r) : 0;
}

/* 0: none is there, or something else; one that cannot be read stays as it is. 0 or -errno, logged.
 */
static int read_port(const char *folder, uint16_t *ret_port)
{
	_cleanup_(freep) char *path = xasprintf("%s/port", folder);
	_cleanup_(freep) char *text = NULL;
	unsigned port = 0;
	char rest;
	int r = file_read(path, FILE_MAX, &text, NULL);
	if (r < 0 && r != -ENOENT && r != -EFBIG)
		return failed("read", path, r);
	if (r < 0 || sscanf(text, "%5u%c", &port, &rest) != 2 || rest != '\n' || port > UINT16_MAX)
		port = 0;
	*ret_port = (uint16_t)port;
	return 0;
}

int wg_keys_change_port(const char *folder, struct wg_keys *keys)
{
	uint16_t port = try_port(0);
	if (port == 0)
		return -EADDRINUSE;
	int r = store_port(folder, port);
	if (r == 0)
		keys->port = port;
	return r;
}

int wg_keys_load(const char *folder, const struct object_id *dnet, struct wg_keys *ret_keys)
{
	struct wg_keys keys;
	char hex[2 * OBJECT_ID_LEN + 1];
	hex_format(dnet->bytes, OBJECT_ID_LEN, hex);
	_cleanup_(freep) char *path = xasprintf("%s/%s.key", folder, hex);
	secret_lock(ret_keys, sizeof(*ret_keys));
	int r = file_sweep(folder); /* a killed process may have left half a key */
	r = r < 0 ? failed("sweep", folder, r) : load_key(path, keys.private_key);
	if (r == 0 && crypto_scalarmult_base(keys.public_key, keys.private_key) != 0)
		r = -EINVAL;
	if (r == 0)
		r = read_port(folder, &keys.port);
	if (r == 0 && (keys.port == 0 || try_port(keys.port) == 0))
		r = wg_keys_change_port(folder, &keys);
	if (r == 0)
		*ret_keys = keys;
	wg_keys_wipe(&keys);
	return r;
}

void wg_keys_wipe(struct wg_keys *keys)
{
	secret_wipe(keys, sizeof(*keys));
}
