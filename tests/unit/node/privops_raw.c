#include "fixture/test.h"

#include "node/privops.c"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>

/* A real root helper, asked by an engine that was taken over: messages of any form, and its end at
 * any time. In a network namespace of its own; without the right to make one these are skipped. */

enum { BASE = 41000, DEADLINE_MS = 10000, FLOOD = 20000 };

static struct priv *priv;
static const struct priv_config config = {
	.prefix = "draw", .table_base = BASE, .adopt = true, .sandbox = true};
static const struct prefix no_ipv4 = {{.family = ADDR_NONE}, 0};

static int start(void **state)
{
	char error[TUN_ERROR_MAX];

	if (unshare(CLONE_NEWNET) < 0 || tun_check(error) < 0)
		return 0;
	return priv_start(&config, &priv);
}

static int stop(void **state)
{
	priv_stop(priv);
	return 0;
}

/* The helper's answer to bytes as they are. */
static struct priv_reply ask(const void *bytes, size_t len, const int *fds, size_t count)
{
	struct priv_reply reply;
	int got = -1;

	assert_int_equal(proc_ask(priv->child.fd, bytes, len, fds, count, &reply, sizeof(reply),
				  PRIV_TIMEOUT_MS, &got),
			 0);
	assert_int_equal(got, -1);
	return reply;
}

static void assert_refused(const struct priv_reply *reply)
{
	assert_int_equal(reply->result, -EPERM);
	assert_memory_equal(reply->error, "refused: ", 9);
	assert_non_null(memchr(reply->error, 0, sizeof(reply->error)));
}

static int open_tun(const char *name, uint32_t *ret_index)
{
	enum tun_offload offload;
	int fd, r = priv_tun_open(priv, name, &no_ipv4, TUN_OFFLOAD_USO, &fd, ret_index, &offload);

	return r < 0 ? r : fd;
}

static void assert_serves(void)
{
	uint32_t index;
	int fd = open_tun("draw1", &index);

	assert_true(fd >= 0);
	assert_int_equal(priv_link_up(priv, index), 0);
	close(fd);
	assert_int_equal(priv_tun_close(priv, index), 0);
}

static void messages_of_another_length_are_refused(void **state)
{
	static uint8_t bytes[PROC_MESSAGE_MAX];
	static const size_t lengths[] = {1,
					 4,
					 sizeof(struct priv_request) - 1,
					 sizeof(struct priv_request) + 1,
					 2 * sizeof(struct priv_request),
					 PROC_MESSAGE_MAX};
	const struct priv_request right = {.op = PRIV_RULES_SWEEP};

	if (!priv)
		skip();
	memcpy(bytes, &right, sizeof(right)); /* good up to its end */
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct priv_reply reply = ask(bytes, lengths[i], NULL, 0);

		assert_refused(&reply);
	}
	assert_serves();
}

static unsigned descriptors_of_helper(void)
{
	char path[32];
	unsigned count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)priv->child.pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void descriptors_that_nobody_asked_for_are_closed(void **state)
{
	const struct priv_request right = {.op = PRIV_RULES_SWEEP};
	unsigned before;
	int fds[PROC_FDS_MAX];

	if (!priv)
		skip();
	before = descriptors_of_helper();
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = STDERR_FILENO;
	for (size_t count = 1; count <= ARRAY_SIZE(fds); count++) {
		struct priv_reply reply = ask(&right, sizeof(right), fds, count);

		assert_refused(&reply);
	}
	assert_int_equal(descriptors_of_helper(), before);
	assert_serves();
}

static void operations_that_there_are_not_are_refused(void **state)
{
	static const uint32_t ops[] = {0, PRIV_WIREGUARD_GET + 1, 255, INT32_MAX, UINT32_MAX};
	uint32_t index;
	int fd;

	if (!priv)
		skip();
	fd = open_tun("draw2", &index);
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		const struct priv_request wrong = {.op = ops[i], .index = index};
		struct priv_reply reply = ask(&wrong, sizeof(wrong), NULL, 0);

		assert_refused(&reply);
	}
	close(fd);
	priv_tun_close(priv, index);
}

static void names_with_odd_bytes_are_refused(void **state)
{
	static const char names[][IF_NAMESIZE] = {
		"draw%d",    "draw1%d", "draw1/..",   "../draw1",  "draw1\n",
		"draw 1",    "draw-1",	"draw+1",     "draw0x1",   "draw\xc2\xb9",
		"draw1\xff", "\0draw1", "draw1draw1", "draw12345", "drawdrawdrawdra"};
	static const uint32_t ops[] = {PRIV_TUN_OPEN, PRIV_TUN_OPEN_PLAIN, PRIV_LINK_ADOPT};
	struct priv_request wrong = {.prefix = no_ipv4};
	struct priv_reply reply;

	if (!priv)
		skip();
	for (size_t i = 0; i < ARRAY_SIZE(ops) * ARRAY_SIZE(names); i++) {
		wrong.op = ops[i / ARRAY_SIZE(names)];
		memcpy(wrong.name, names[i % ARRAY_SIZE(names)], IF_NAMESIZE);
		reply = ask(&wrong, sizeof(wrong), NULL, 0);
		assert_refused(&reply);
	}
	/* No end within its room. */
	wrong.op = PRIV_TUN_OPEN;
	memset(wrong.name, '1', IF_NAMESIZE);
	memcpy(wrong.name, "draw", 4);
	reply = ask(&wrong, sizeof(wrong), NULL, 0);
	assert_refused(&reply);
	assert_serves();
}

/* Any bytes where numbers and addresses are: an answer each time, and nothing but ours is touched
 * (which tests/fuzz/fuzz_privops.c looks at). */
static void any_bytes_get_an_answer(void **state)
{
	uint64_t x = 88172645463325252u;
	struct priv_request wrong;
	uint32_t index;
	int fd;

	if (!priv)
		skip();
	fd = open_tun("draw3", &index);
	assert_true(fd >= 0);
	for (int i = 0; i < 3000; i++) {
		for (size_t k = 0; k < sizeof(wrong); k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			((uint8_t *)&wrong)[k] = (uint8_t)x;
		}
		wrong.op = (uint32_t)(x >> 32) % (PRIV_RULES_SWEEP + 2);
		wrong.index = index;
		ask(&wrong, sizeof(wrong), NULL, 0);
	}
	close(fd);
	priv_tun_close(priv, index);
	assert_serves();
}

static void a_flood_waits_in_the_kernel_and_is_answered(void **state)
{
	const struct priv_request wrong = {.op = PRIV_LINK_UP, .index = 7};
	struct priv_reply reply;
	struct pollfd p;
	int sent = 0, got = 0;

	if (!priv)
		skip();
	p = (struct pollfd){.fd = priv->child.fd};
	while (got < FLOOD) {
		p.events = (short)(POLLIN | (sent < FLOOD ? POLLOUT : 0));
		/* Answers are taken only when nothing more goes in. */
		assert_true(poll(&p, 1, DEADLINE_MS) > 0);
		if (p.revents & POLLOUT) {
			assert_int_equal(proc_send(p.fd, &wrong, sizeof(wrong), NULL, 0), 0);
			sent++;
			continue;
		}
		assert_int_equal(proc_receive(p.fd, &reply, sizeof(reply), NULL, 0, NULL),
				 sizeof(reply));
		assert_refused(&reply);
		got++;
	}
	assert_int_equal(sent, FLOOD);
	assert_serves();
}

static int run(const char *const *argv)
{
	int status = 0, r = proc_run(argv, &status);

	return r < 0 ? r : status;
}

static bool is_there(struct netlink *nl, const char *name)
{
	struct netlink_link link;

	return netlink_link_find(nl, name, &link) == 0;
}

/* A link that somebody else made may get the number of one of ours that went. */
static void a_number_that_went_to_another_link_is_refused(void **state)
{
	char number[16];
	const char *const other[] = {"/sbin/ip", "link", "add",	 "other", "index", number,
				     "type",	 "veth", "peer", "name",  "peer",  NULL};
	const char *const away[] = {"/sbin/ip", "link", "del", "other", NULL};
	struct address a;
	struct prefix p;
	struct netlink *nl;
	uint32_t index;
	int fd;

	if (!priv)
		skip();
	assert_int_equal(netlink_open(&nl), 0);
	assert_true(address_parse("fd00::1", &a) && prefix_parse("fd00::/64", &p));
	fd = open_tun("draw4", &index);
	assert_true(fd >= 0);
	close(fd);
	for (int ms = 0; ms < DEADLINE_MS && is_there(nl, "draw4"); ms += 5)
		poll(NULL, 0, 5); /* the helper closes its own after the answer */
	assert_false(is_there(nl, "draw4"));
	netlink_free(nl);
	snprintf(number, sizeof(number), "%u", index);
	if (run(other)) {
		priv_tun_close(priv, index);
		skip(); /* no such links here */
	}
	assert_int_equal(priv_link_up(priv, index), -EPERM);
	assert_int_equal(priv_link_mtu(priv, index, 1400), -EPERM);
	assert_int_equal(priv_link_txqlen(priv, index, 100), -EPERM);
	assert_int_equal(priv_link_rename(priv, index), -EPERM);
	assert_int_equal(priv_link_quieten(priv, index), -EPERM);
	assert_int_equal(priv_address_add(priv, index, &a, 128), -EPERM);
	assert_int_equal(priv_route_add(priv, index, NETLINK_TABLE_MAIN, &p, 512, &a), -EPERM);
	assert_int_equal(priv_tun_close(priv, index), 0); /* ours is forgotten, the other stays */
	assert_int_equal(run(away), 0);
}

/* An engine that makes an interface, asks for more, and is killed before the answers come. */
static _noreturn_ void play_engine(int tell)
{
	struct priv_request more = {.op = PRIV_TUN_OPEN, .prefix = no_ipv4, .name = "draw6"};
	struct priv *own;
	uint32_t index;

	if (priv_start(&config, &own))
		_exit(1);
	priv = own;
	if (open_tun("draw5", &index) < 0)
		_exit(2);
	for (int i = 0; i < 20; i++) {
		if (proc_send(own->child.fd, &more, sizeof(more), NULL, 0))
			_exit(3);
	}
	if (write(tell, &own->child.pid, sizeof(own->child.pid)) < 0)
		_exit(4);
	kill(getpid(), SIGKILL);
	_exit(5);
}

static void an_engine_killed_in_the_middle_leaves_nothing(void **state)
{
	struct netlink *nl;
	pid_t engine, helper = 0;
	int tell[2], status;

	if (!priv)
		skip();
	assert_int_equal(netlink_open(&nl), 0);
	assert_int_equal(pipe(tell), 0);
	engine = fork();
	if (!engine)
		play_engine(tell[1]);
	close(tell[1]);
	assert_int_equal(read(tell[0], &helper, sizeof(helper)), sizeof(helper));
	close(tell[0]);
	assert_int_equal(waitpid(engine, &status, 0), engine);
	assert_true(WIFSIGNALED(status));
	for (int ms = 0; ms < DEADLINE_MS && (!kill(helper, 0) || is_there(nl, "draw5")); ms += 5)
		poll(NULL, 0, 5);
	assert_true(kill(helper, 0) && errno == ESRCH);
	assert_false(is_there(nl, "draw5") || is_there(nl, "draw6"));
	netlink_free(nl);
}

static void after_the_end_of_the_engine_it_ends(void **state)
{
	const struct priv_request late = {.op = PRIV_RULES_SWEEP};
	int status = 0;

	if (!priv)
		skip();
	/* What was sent before the end is served still, what comes after has nobody to take it. */
	assert_int_equal(proc_send(priv->child.fd, &late, sizeof(late), NULL, 0), 0);
	assert_int_equal(shutdown(priv->child.fd, SHUT_WR), 0);
	assert_int_equal(proc_send(priv->child.fd, &late, sizeof(late), NULL, 0), -EPIPE);
	assert_int_equal(proc_wait(priv->child.pid, &status), 0);
	assert_int_equal(status, 0);
	close(priv->child.fd);
	free(priv);
	priv = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_another_length_are_refused),
		cmocka_unit_test(descriptors_that_nobody_asked_for_are_closed),
		cmocka_unit_test(operations_that_there_are_not_are_refused),
		cmocka_unit_test(names_with_odd_bytes_are_refused),
		cmocka_unit_test(any_bytes_get_an_answer),
		cmocka_unit_test(a_flood_waits_in_the_kernel_and_is_answered),
		cmocka_unit_test(a_number_that_went_to_another_link_is_refused),
		cmocka_unit_test(an_engine_killed_in_the_middle_leaves_nothing),
		cmocka_unit_test(after_the_end_of_the_engine_it_ends),
	};

	return cmocka_run_group_tests_name("node/privops_raw", tests, start, stop);
}
