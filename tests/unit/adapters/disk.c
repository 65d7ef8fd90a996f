#include "fixture/test.h"

#include "adapters/adapter.h"
#include "adapters/tinc_key.h"
#include "adapters/tincd.h"
#include "adapters/wg_keys.h"
#include "fixture/disk.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "wire/key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The keys and ports of the backends (fixture/disk.h): one that was used is there later. */

#define WG_KEY_FILE "0102030000000000000000000000000000000000.key"

struct used {
	size_t key_len; /* 0: none was used */
	uint8_t key[ADAPTER_KEY_MAX];
	uint16_t port;
	bool other; /* an other one was used later */
};

static const struct object_id dnet = {{1, 2, 3}};
static struct used *used; /* shared with the children */
static char *made[2];	  /* keys of tinc, which take long to make */

char *__real_tinc_key_make(void);
char *__wrap_tinc_key_make(void);

/* Another one each time, as far as may be seen here. */
char *__wrap_tinc_key_make(void)
{
	static unsigned n;

	return strdup(made[n++ % ARRAY_SIZE(made)]);
}

/* The second process is given another one than the first. */
static void use(const uint8_t *key, size_t len, uint16_t port)
{
	if (used->key_len &&
	    (used->key_len != len || memcmp(used->key, key, len) != 0 || used->port != port))
		used->other = true;
	used->key_len = len;
	memcpy(used->key, key, len);
	used->port = port;
}

static void begin_nothing(void)
{
	memset(used, 0, sizeof(*used));
}

static enum disk_look look_same(bool (*load)(bool again))
{
	bool before = used->key_len > 0;

	if (!load(false) || used->other)
		return DISK_OTHER;
	return before ? DISK_AFTER : DISK_BEFORE;
}

/* ---- WireGuard ---- */

static bool load_wg(bool again)
{
	struct wg_keys keys;

	(void)again;
	if (wg_keys_load(disk_folder.path, &dnet, &keys) < 0)
		return false;
	use(keys.public_key, sizeof(keys.public_key), keys.port);
	wg_keys_wipe(&keys);
	return true;
}

static void begin_wg(void)
{
	begin_nothing();
	assert_true(load_wg(false));
}

static enum disk_look look_wg(void)
{
	return look_same(load_wg);
}

/* ---- tinc ---- */

static void on_ready(void *ctx)
{
	*(bool *)ctx = true;
}

static void on_event(void *ctx, const struct tinc_event *event)
{
	(void)ctx;
	(void)event;
}

static void on_ended(void *ctx)
{
	(void)ctx;
}

static bool load_tinc(bool again)
{
	static const struct adapter_os os;
	bool ready = false;
	struct loop *loop = loop_new();
	struct tincd *tincd = NULL;
	const struct tincd_config config = {loop, &os, disk_folder.path, "tincd"};
	const struct tincd_io io = {&ready, on_ready, on_event, on_ended};
	const uint8_t *key = NULL;
	size_t len;

	(void)again;
	if (tincd_new(&config, &io, &tincd) == 0) {
		key = tincd_key(tincd, &len);
		while (!key && loop_step(loop, true) && !ready)
			;
		key = tincd_key(tincd, &len);
	}
	if (key)
		use(key, len, tincd_port(tincd));
	tincd_free(tincd);
	loop_free(loop);
	return key != NULL;
}

static void begin_tinc(void)
{
	begin_nothing();
	assert_true(load_tinc(false));
}

static enum disk_look look_tinc(void)
{
	return look_same(load_tinc);
}

/* ---- All of them ---- */

static const struct disk_store stores[] = {
	{"new key of WireGuard", WG_KEY_FILE " port", begin_nothing, load_wg, look_wg, false, true},
	{"key of WireGuard", WG_KEY_FILE " port", begin_wg, load_wg, look_wg, true, true},
	{"new key of tinc", "rsa_key.priv port", begin_nothing, load_tinc, look_tinc, false, true},
	{"key of tinc", "rsa_key.priv port", begin_tinc, load_tinc, look_tinc, true, true},
};

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR); /* every failure is said */
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		assert_non_null(made[i] = __real_tinc_key_make());
	used = mmap(NULL, sizeof(*used), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(used != MAP_FAILED);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		free(made[i]);
	munmap(used, sizeof(*used));
	return 0;
}

int main(void)
{
	return disk_run(stores, ARRAY_SIZE(stores), setup, teardown);
}
