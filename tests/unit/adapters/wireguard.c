#include "fixture/test.h"

#include "adapters/wireguard.c"
#include "fixture/temp.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* The backend over a device that does as it is told and counts what it is told; the bridges are
 * real sockets. */

enum { MANY = 1000, PATIENCE_S = 20 };

struct wg_device {
	struct wg_device_io io;
	struct wg_config has;
	unsigned sets, gets;
	size_t touched; /* peers in all sets */
	bool hold;	/* get() is answered by answer() */
	bool refuse;
};

static struct wg_device *device; /* of the world that is up */

static int device_open(const struct adapter_host *host, const struct wg_device_io *io,
		       struct wg_device **ret_device)
{
	(void)host;
	device = xcalloc(1, sizeof(*device));
	device->io = *io;
	*ret_device = device;
	return 0;
}

static void device_interface(struct wg_device *d, uint32_t index, int fd)
{
	(void)fd;
	if (index == 0)
		d->io.gone(d->io.ctx, "the interface is not there");
	else
		d->io.ready(d->io.ctx);
}

static int device_set(struct wg_device *d, const struct wg_set *set)
{
	d->sets++;
	d->touched += set->count;
	if (d->refuse)
		return -EINVAL;
	if (set->private_key)
		memcpy(d->has.private_key, set->private_key, WG_KEY_LEN);
	if (set->port)
		d->has.port = set->port;
	for (size_t i = 0; i < set->count; i++) {
		const struct wg_change *c = &set->changes[i];
		struct wg_peer *had = wg_config_find(&d->has, c->peer->key);
		if (c->remove) {
			assert_non_null(had);
			*had = d->has.peers[--d->has.peer_count];
		} else if (had) {
			assert_false(c->add);
			*had = *c->peer;
		} else {
			assert_true(c->add);
			wg_config_add(&d->has, c->peer);
		}
		wg_config_sort(&d->has);
	}
	return 0;
}

static void answer(struct wg_device *d)
{
	d->io.got(d->io.ctx, &d->has);
}

static int device_get(struct wg_device *d)
{
	d->gets++;
	if (!d->hold)
		answer(d);
	return 0;
}

static const char *device_text(struct wg_device *d)
{
	(void)d;
	return "running";
}

static void device_close(struct wg_device *d)
{
	wg_config_done(&d->has);
	free(d);
	device = NULL;
}

static const struct wg_device_ops counting = {
	.name = "counting",
	.open = device_open,
	.interface = device_interface,
	.set = device_set,
	.get = device_get,
	.text = device_text,
	.close = device_close,
};

struct world {
	struct temp temp;
	struct loop *loop;
	struct adapter_os os;
	struct adapter_host host;
	struct adapter *adapter;
	struct netmap_node nodes[MANY + 1];
	uint8_t keys[MANY + 1][WG_KEY_LEN];
	struct adapter_peer peers[MANY + 1];
	struct netmap netmap;
	struct adapter_plan plan;
	uint8_t carried[64];
	size_t carried_len;
	struct node_key carried_to;
	unsigned events;
};

static void on_host_event(void *ctx, const struct node_key *key, const char *text)
{
	struct world *w = ctx;
	(void)key;
	(void)text;
	w->events++;
}

static bool on_host_carry(void *ctx, const struct node_key *key, const void *bytes, size_t len)
{
	struct world *w = ctx;
	assert_true(len <= sizeof(w->carried));
	memcpy(w->carried, bytes, len);
	w->carried_len = len;
	w->carried_to = *key;
	return true;
}

static int no_raw(void *ctx, uint8_t family, uint16_t port, int *ret_fd)
{
	(void)ctx;
	(void)family;
	(void)port;
	(void)ret_fd;
	return -EPERM;
}

static const char *no_error(void *ctx)
{
	(void)ctx;
	return "not here";
}

/* The i-th member; in the order of the plan. */
static void fill(struct world *w, size_t i)
{
	w->nodes[i].key.bytes[0] = 2;
	w->nodes[i].key.bytes[1] = (uint8_t)(i >> 8);
	w->nodes[i].key.bytes[2] = (uint8_t)i;
	w->nodes[i].ipv4 = (struct address){ADDR_V4, {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
	memset(w->keys[i], (int)(255 - i % 256), WG_KEY_LEN);
	w->keys[i][1] = (uint8_t)(i >> 8);
	w->keys[i][31] = 9;
	w->peers[i] = (struct adapter_peer){
		.node = &w->nodes[i], .key = w->keys[i], .key_len = WG_KEY_LEN, .reachable = true};
}

static int begin(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	temp_make(&w->temp);
	w->loop = loop_new();
	w->os = (struct adapter_os){
		.error = no_error, .raw_open = no_raw, .helper_error = no_error};
	w->host = (struct adapter_host){.ctx = w,
					.loop = w->loop,
					.os = &w->os,
					.interface = "dtst0",
					.folder = w->temp.path,
					.event = on_host_event,
					.carry = on_host_carry};
	assert_int_equal(start_with(&w->host, &counting, &w->adapter), 0);
	for (size_t i = 0; i <= MANY; i++)
		fill(w, i);
	w->plan = (struct adapter_plan){.netmap = &w->netmap, .peers = w->peers};
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	wireguard_teardown(w->adapter);
	loop_free(w->loop);
	temp_remove(&w->temp);
	free(w);
	return 0;
}

static void apply(struct world *w, size_t count)
{
	w->plan.peer_count = count;
	assert_int_equal(wireguard_apply(w->adapter, &w->plan, 0), 0);
}

static void up(struct world *w)
{
	wireguard_device(w->adapter, 7, -1);
}

struct look {
	const struct node_key *key;
	char reason[128];
	bool bridged;
};

static void take_reason(void *ctx, const struct adapter_peer_status *s)
{
	struct look *look = ctx;
	if (!node_key_equal(&s->key, look->key))
		return;
	snprintf(look->reason, sizeof(look->reason), "%s", s->reason);
	look->bridged = s->bridged;
}

static struct look look_at(struct world *w, size_t i)
{
	struct look look = {.key = &w->nodes[i].key};
	wireguard_visit_peers(w->adapter, take_reason, &look);
	return look;
}

/* ---- Tests ---- */

static void a_device_gets_all_at_once_and_then_only_what_changes(void **state)
{
	struct world *w = *state;
	apply(w, 3);
	assert_int_equal(device->sets, 0);
	up(w);
	assert_int_equal(device->sets, 1);
	assert_int_equal(device->has.peer_count, 3);
	assert_int_equal(device->has.port, w->adapter->keys.port);
	assert_memory_equal(device->has.private_key, w->adapter->keys.private_key, WG_KEY_LEN);
	apply(w, 3);
	ask(w->adapter);
	assert_int_equal(device->sets, 1);
}

static void one_of_a_thousand_is_one_peer_of_a_request(void **state)
{
	struct world *w = *state;
	up(w);
	apply(w, 100); /* as many as there are surely descriptors for */
	size_t before = device->touched;
	apply(w, 101);
	assert_int_equal(device->touched, before + 1);
	apply(w, 100);
	assert_int_equal(device->touched, before + 2);
	assert_int_equal(device->has.peer_count, 100);
	apply(w, MANY); /* bridges that cannot be made: the peer is there all the same */
	before = device->touched;
	apply(w, MANY + 1);
	assert_int_equal(device->touched, before + 1);
	assert_int_equal(device->has.peer_count, MANY + 1);
}

static void a_changed_key_takes_the_old_peer_away(void **state)
{
	struct world *w = *state;
	uint8_t old[WG_KEY_LEN];
	up(w);
	apply(w, 3);
	memcpy(old, w->keys[1], WG_KEY_LEN);
	w->keys[1][30] ^= 1;
	apply(w, 3);
	assert_null(wg_config_find(&device->has, old));
	assert_non_null(wg_config_find(&device->has, w->keys[1]));
	w->peers[1].key = NULL; /* and none, when it is not known any more */
	apply(w, 3);
	assert_int_equal(device->has.peer_count, 2);
	assert_string_equal(look_at(w, 1).reason, "its WireGuard key is not known yet");
}

static void a_key_that_another_has_stays_his(void **state)
{
	struct world *w = *state;
	up(w);
	apply(w, 3);
	/* The first in the order of the plan names the key of the last. */
	memcpy(w->keys[0], w->keys[2], WG_KEY_LEN);
	apply(w, 3);
	assert_int_equal(device->has.peer_count, 2);
	assert_int_equal(wg_config_find(&device->has, w->keys[2])->allowed[0].addr.bytes[3], 2);
	assert_string_equal(look_at(w, 0).reason, "refused: another member has that WireGuard key");
	assert_int_equal(w->events, 1);
	apply(w, 3);
	assert_int_equal(w->events, 1);
}

static void our_own_key_is_nobody_elses(void **state)
{
	struct world *w = *state;
	up(w);
	memcpy(w->keys[1], w->adapter->keys.public_key, WG_KEY_LEN);
	apply(w, 3);
	assert_int_equal(device->has.peer_count, 2);
	assert_string_equal(look_at(w, 1).reason,
			    "refused: it says that our WireGuard key is its own");
}

static void what_others_change_is_taken_back(void **state)
{
	struct world *w = *state;
	up(w);
	apply(w, 5);
	struct wg_peer stranger = device->has.peers[0];
	stranger.key[5] ^= 1;
	device->has.peer_count--;
	device->has.peers[1].allowed[0].bits = 8;
	wg_config_add(&device->has, &stranger);
	wg_config_sort(&device->has);
	device->has.port++;
	device->has.private_key[3] ^= 1;
	size_t before = device->touched;
	ask(w->adapter);
	assert_int_equal(device->touched, before + 3);
	assert_int_equal(device->has.port, w->adapter->keys.port);
	assert_memory_equal(device->has.private_key, w->adapter->keys.private_key, WG_KEY_LEN);
	assert_int_equal(wg_config_diff(&device->has, &w->adapter->want, NULL, NULL), 0);
}

static void where_a_peer_roamed_to_is_left_to_the_device(void **state)
{
	struct world *w = *state;
	up(w);
	apply(w, 2);
	assert_true(look_at(w, 0).bridged);
	device->has.peers[0].endpoint = (struct endpoint){{ADDR_V4, {192, 0, 2, 1}}, 7};
	device->has.peers[1].endpoint = (struct endpoint){{ADDR_V4, {192, 0, 2, 2}}, 7};
	unsigned before = device->sets;
	ask(w->adapter);
	apply(w, 2);
	assert_int_equal(device->sets, before);
	assert_false(look_at(w, 0).bridged);
}

static void an_answer_older_than_a_change_undoes_nothing(void **state)
{
	struct world *w = *state;
	up(w);
	apply(w, 2);
	struct wg_config old;
	wg_config_copy(&old, &device->has);
	device->hold = true;
	ask(w->adapter);
	apply(w, 3);
	unsigned before = device->sets;
	device->io.got(device->io.ctx, &old);
	assert_int_equal(device->sets, before);
	assert_int_equal(device->has.peer_count, 3);
	wg_config_done(&old);
}

static void a_refused_change_is_asked_for_and_made_again(void **state)
{
	struct world *w = *state;
	up(w);
	apply(w, 2);
	device->refuse = true;
	device->hold = true;
	w->plan.peer_count = 3;
	assert_int_equal(wireguard_apply(w->adapter, &w->plan, 0), -EINVAL);
	device->refuse = false;
	answer(device);
	assert_int_equal(device->has.peer_count, 3);
}

static void a_new_device_gets_all_again(void **state)
{
	struct world *w = *state;
	struct adapter_status status;
	up(w);
	apply(w, 3);
	wireguard_device(w->adapter, 0, -1);
	wireguard_status(w->adapter, &status);
	assert_false(status.applied);
	assert_string_equal(look_at(w, 0).reason, "WireGuard does not run");
	wg_config_done(&device->has);
	up(w);
	assert_int_equal(device->has.peer_count, 3);
	wireguard_status(w->adapter, &status);
	assert_true(status.applied);
	assert_null(status.error);
}

static void a_direct_endpoint_is_set_and_the_bridge_again(void **state)
{
	struct world *w = *state;
	struct endpoint direct = {{ADDR_V4, {192, 0, 2, 1}}, 51820};
	up(w);
	apply(w, 3);
	size_t before = device->touched;
	struct endpoint bridge = wg_config_find(&device->has, w->keys[1])->endpoint;
	assert_int_equal(bridge.addr.bytes[0], 127);
	wireguard_set_endpoint(w->adapter, &w->nodes[1].key, &direct);
	const struct wg_peer *peer = wg_config_find(&device->has, w->keys[1]);
	assert_true(endpoint_equal(&peer->endpoint, &direct));
	wireguard_set_endpoint(w->adapter, &w->nodes[1].key, NULL);
	assert_true(endpoint_equal(&peer->endpoint, &bridge));
	assert_int_equal(device->touched, before + 2);
	wireguard_set_endpoint(w->adapter, &w->nodes[9].key, &direct); /* none of the plan */
	assert_int_equal(device->touched, before + 2);
}

static int udp_at(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void send_to(int fd, uint16_t port, const char *text)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)!sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to));
}

static void on_deadline(void *arg)
{
	(void)arg;
	fail_msg("nothing came in %d s", PATIENCE_S);
}

static void a_bridge_takes_only_what_wireguard_sent(void **state)
{
	struct world *w = *state;
	struct loop_timer *deadline = loop_timer_new(w->loop, on_deadline, NULL);
	char back[16];
	up(w);
	apply(w, 2);
	uint16_t bridge = wg_config_find(&device->has, w->keys[1])->endpoint.port;
	int wireguard = udp_at(w->adapter->keys.port), stranger = udp_at(0);
	send_to(stranger, bridge, "from elsewhere");
	send_to(wireguard, bridge, "sealed");
	loop_timer_start(deadline, PATIENCE_S * 1000);
	while (w->carried_len == 0)
		loop_step(w->loop, true);
	assert_int_equal(w->carried_len, 6);
	assert_memory_equal(w->carried, "sealed", 6);
	assert_true(node_key_equal(&w->carried_to, &w->nodes[1].key));

	wireguard_carried(w->adapter, &w->nodes[1].key, (const uint8_t *)"answer", 6);
	wireguard_carried(w->adapter, &w->nodes[5].key, (const uint8_t *)"nobody", 6);
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	struct pollfd ready = {.fd = wireguard, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, PATIENCE_S * 1000), 1);
	assert_int_equal(recvfrom(wireguard, back, sizeof(back), 0, (struct sockaddr *)&from, &len),
			 6);
	assert_int_equal(ntohs(from.sin_port), bridge);
	assert_int_equal(poll(&ready, 1, 0), 0);
	close(wireguard);
	close(stranger);
	loop_timer_free(deadline);
}

static void key_and_port_stay_and_a_bad_file_is_not_replaced(void **state)
{
	struct world *w = *state;
	struct object_id other = {{1}};
	struct wg_keys keys, again;
	assert_int_equal(wg_keys_load(w->temp.path, &other, &keys), 0);
	assert_int_equal(wg_keys_load(w->temp.path, &other, &again), 0);
	assert_memory_equal(&keys, &again, sizeof(keys));
	assert_memory_not_equal(keys.private_key, w->adapter->keys.private_key, WG_KEY_LEN);
	int taken = udp_at(keys.port);
	assert_int_equal(wg_keys_load(w->temp.path, &other, &again), 0);
	assert_int_not_equal(again.port, keys.port);
	close(taken);

	char path[512];
	snprintf(path, sizeof(path), "%s/%s.key", w->temp.path,
		 "0100000000000000000000000000000000000000");
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs("no key\n", file);
	fclose(file);
	assert_int_equal(wg_keys_load(w->temp.path, &other, &again), -EINVAL);
	assert_int_equal(wg_keys_load(w->temp.path, &other, &again), -EINVAL);
}

int main(void)
{
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		WORLD_TEST(a_device_gets_all_at_once_and_then_only_what_changes),
		WORLD_TEST(one_of_a_thousand_is_one_peer_of_a_request),
		WORLD_TEST(a_changed_key_takes_the_old_peer_away),
		WORLD_TEST(a_key_that_another_has_stays_his),
		WORLD_TEST(our_own_key_is_nobody_elses),
		WORLD_TEST(what_others_change_is_taken_back),
		WORLD_TEST(where_a_peer_roamed_to_is_left_to_the_device),
		WORLD_TEST(an_answer_older_than_a_change_undoes_nothing),
		WORLD_TEST(a_refused_change_is_asked_for_and_made_again),
		WORLD_TEST(a_new_device_gets_all_again),
		WORLD_TEST(a_direct_endpoint_is_set_and_the_bridge_again),
		WORLD_TEST(a_bridge_takes_only_what_wireguard_sent),
		WORLD_TEST(key_and_port_stay_and_a_bad_file_is_not_replaced),
	};
	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
