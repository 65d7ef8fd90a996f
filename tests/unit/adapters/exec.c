#include "fixture/test.h"

#include "adapters/exec.c" /* for what is queued */
#include "core/acl.h"
#include "core/id.h"
#include "core/netmap.h"
#include "fixture/program.h"

#include <stdio.h>
#include <string.h>

/* The adapter with real programs: scripts that write down what they are told, and that say what a
 * test wants them to. */

enum { PEERS = 3 };

struct world {
	struct program_world p;
	struct adapter *adapter;
	struct netmap netmap;
	struct netmap_node nodes[1 + PEERS]; /* this one first */
	struct adapter_peer peers[PEERS];
	struct adapter_plan plan;
	struct endpoint endpoint;
	unsigned changes, events, carried;
	uint8_t last_carried[EXEC_BYTES_MAX];
	size_t last_carried_len;
};

static void on_event(void *ctx, const struct node_key *key, const char *text)
{
	struct world *w = ctx;
	(void)key;
	assert_string_equal(text, "something ?");
	w->events++;
}

static bool on_carry(void *ctx, const struct node_key *key, const void *bytes, size_t len)
{
	struct world *w = ctx;
	assert_memory_equal(key, &w->nodes[1].key, sizeof(*key));
	memcpy(w->last_carried, bytes, len);
	w->last_carried_len = len;
	w->carried++;
	return true;
}

static void on_changed(void *ctx)
{
	struct world *w = ctx;
	w->changes++;
}

static void make_plan(struct world *w)
{
	strcpy(w->netmap.name, "office");
	assert_true(prefix_parse("10.77.0.0/24", &w->netmap.ipv4_prefix));
	assert_true(prefix_parse("fd77::/64", &w->netmap.ipv6_prefix));
	assert_true(endpoint_parse("198.51.100.2:4242", &w->endpoint));
	for (size_t i = 0; i <= PEERS; i++) {
		struct netmap_node *node = &w->nodes[i];
		node->key.bytes[0] = 2;
		node->key.bytes[1] = (uint8_t)i;
		snprintf(node->name, sizeof(node->name), "node-%zu", i);
		node->ipv4 = w->netmap.ipv4_prefix.addr;
		node->ipv4.bytes[3] = (uint8_t)(1 + i);
		if (i == 0)
			continue;
		w->peers[i - 1] = (struct adapter_peer){.node = node,
							.key = (const uint8_t *)node->name,
							.key_len = strlen(node->name),
							.endpoints = &w->endpoint,
							.endpoint_count = 1,
							.reachable = true};
	}
	w->plan = (struct adapter_plan){
		.netmap = &w->netmap, .self = &w->nodes[0], .peers = w->peers, .peer_count = PEERS};
}

static int begin(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));
	program_world_open(&w->p);
	make_plan(w);
	const struct adapter_host host = {.ctx = w,
					  .loop = w->p.loop,
					  .os = &w->p.os,
					  .interface = "dtst5",
					  .folder = w->p.folder,
					  .mtu = 1400,
					  .event = on_event,
					  .carry = on_carry,
					  .changed = on_changed};
	assert_int_equal(adapter_exec.start(&host, &w->adapter), 0);
	*state = w;
	return 0;
}

static int end(void **state)
{
	struct world *w = *state;
	adapter_exec.teardown(w->adapter);
	program_world_close(&w->p);
	free(w);
	return 0;
}

static void apply(struct world *w)
{
	assert_int_equal(adapter_exec.apply(w->adapter, &w->plan, 0), 0);
}

static struct adapter_status status_of(const struct world *w)
{
	struct adapter_status status;
	adapter_exec.status(w->adapter, &status);
	return status;
}

/* The lines of a file in the program's folder; those that end. Returns how many; ret: the i-th as
 * JSON, the caller's. */
static size_t read_heard(const struct world *w, size_t i, json_t **ret)
{
	char path[512];
	size_t count = 0, size = 0;
	char *line = NULL;
	snprintf(path, sizeof(path), "%s/heard", w->p.folder);
	FILE *f = fopen(path, "r");
	while (f && getline(&line, &size, f) > 0) {
		if (!strchr(line, '\n'))
			break;
		if (count++ == i && ret)
			*ret = json_loads(line, 0, NULL);
	}
	free(line);
	if (f)
		fclose(f);
	return count;
}

static bool heard(const struct world *w, size_t count)
{
	return read_heard(w, SIZE_MAX, NULL) >= count;
}

/* Wakes the loop while the fact is in a file. */
static void wait_heard(struct world *w, size_t count)
{
	struct loop_timer *tick =
		loop_timer_new(w->p.loop, program_on_late, &(struct program_world){0});
	loop_timer_every(tick, 5);
	program_wait(&w->p, heard(w, count));
	loop_timer_free(tick);
}

static json_t *heard_at(const struct world *w, size_t i)
{
	json_t *json = NULL;
	assert_true(read_heard(w, i, &json) > i);
	assert_non_null(json);
	return json;
}

static const char *text_of(const json_t *json, const char *member)
{
	return json_string_value(json_object_get(json, member));
}

static void it_is_told_who_it_is_and_all_that_is_wanted(void **state)
{
	struct world *w = *state;
	program_write("exec cat >heard\n");
	apply(w);
	apply(w); /* the same: nothing is said */
	w->peers[0].endpoint_count = 0;
	w->peers[2].key = NULL; /* it has not said its key: not to be used */
	apply(w);
	wait_heard(w, 3);
	json_t *hello = heard_at(w, 0), *first = heard_at(w, 1), *second = heard_at(w, 2);
	assert_string_equal(text_of(hello, "type"), "hello");
	assert_string_equal(text_of(hello, "interface"), "dtst5");
	assert_string_equal(text_of(hello, "folder"), w->p.folder);
	assert_string_equal(text_of(first, "type"), "wanted");
	assert_int_equal(json_integer_value(json_object_get(first, "serial")), 1);
	assert_int_equal(json_array_size(json_object_get(first, "peers")), PEERS);
	const json_t *peer = json_array_get(json_object_get(first, "peers"), 0);
	assert_string_equal(text_of(peer, "name"), "node-1");
	assert_string_equal(text_of(peer, "backend_key"), "bm9kZS0x");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(peer, "addresses"), 0)),
		"10.77.0.2");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(peer, "endpoints"), 0)),
		"198.51.100.2:4242");
	assert_int_equal(json_integer_value(json_object_get(second, "serial")), 2);
	assert_int_equal(json_array_size(json_object_get(second, "peers")), PEERS - 1);
	json_decref(hello);
	json_decref(first);
	json_decref(second);
}

static void what_it_says_is_offered_and_shown(void **state)
{
	struct world *w = *state;
	struct adapter_offer offer;
	program_write("echo '{\"type\":\"hello\",\"version\":1,\"program\":\"test 1\"}'\n"
		      "echo '{\"type\":\"key\",\"key\":\"bm9kZS0x\"}'\n"
		      "echo '{\"type\":\"key\",\"key\":\"bm9kZS0x\"}'\n" /* the same */
		      "echo '{\"type\":\"offer\",\"port\":7,\"endpoints\":[\"[2001:db8::1]:9\"]}'\n"
		      "echo '{\"type\":\"of a later version\"}'\n"
		      "echo '{\"type\":\"event\",\"text\":\"something \\u0007\"}'\n"
		      "echo '{\"type\":\"status\",\"serial\":1,\"peers\":[]}'\n"
		      "exec cat >heard\n");
	apply(w);
	program_wait(&w->p, status_of(w).applied);
	assert_int_equal(w->changes, 2);
	assert_int_equal(w->events, 1);
	adapter_exec.offer(w->adapter, &offer);
	assert_int_equal(offer.key_len, 6);
	assert_memory_equal(offer.key, "node-1", 6);
	assert_int_equal(offer.port, 7);
	assert_int_equal(offer.endpoint_count, 1);
	assert_int_equal(offer.endpoints[0].port, 9);
	assert_string_equal(status_of(w).program, "test 1: running");
	assert_null(status_of(w).error);
}

static void nonsense_is_counted_and_named(void **state)
{
	struct world *w = *state;
	program_write("echo '{'\n"
		      "head -c 1100000 /dev/zero | tr '\\0' ' '; echo\n"
		      "echo '{\"type\":\"key\",\"key\":7}'\n"
		      "echo '{\"type\":\"status\",\"serial\":1}'\n"
		      "exec cat >heard\n");
	apply(w);
	program_wait(&w->p, status_of(w).applied);
	assert_string_equal(
		status_of(w).program,
		"running; 3 of its lines were not understood, the last: key that is not "
		"base64 of 1 to 800 bytes");
	assert_int_equal(w->changes, 0);
}

/* It is ended, and the next one is not told of the removed peer. */
static void one_that_does_not_cut_in_time_is_ended(void **state)
{
	struct world *w = *state;
	program_write("echo started >>starts\n"
		      "echo '{\"type\":\"status\",\"serial\":1}'\n"
		      "exec cat >heard\n");
	apply(w);
	program_wait(&w->p, status_of(w).applied);
	w->plan.peer_count = PEERS - 1;
	apply(w);
	assert_false(status_of(w).applied);
	wait_heard(w, 3); /* it is told at once */
	program_wait(&w->p, strstr(status_of(w).program, "killed by signal 9"));
	char path[512];
	snprintf(path, sizeof(path), "%s/heard", w->p.folder);
	assert_int_equal(remove(path), 0);
	program_wait(&w->p, strstr(status_of(w).program, "running"));
	wait_heard(w, 2);
	json_t *wanted = heard_at(w, 1);
	assert_int_equal(json_array_size(json_object_get(wanted, "peers")), PEERS - 1);
	json_decref(wanted);
}

static void one_that_cuts_in_time_goes_on(void **state)
{
	struct world *w = *state;
	program_write("echo started >>starts\n"
		      "while read -r line; do\n"
		      "  echo \"$line\" >>heard\n"
		      "  case $line in *serial*) ;; *) continue ;; esac\n"
		      "  serial=${line##*\\\"serial\\\":}\n"
		      "  echo '{\"type\":\"status\",\"serial\":'${serial%%[,\\}]*}'}'\n"
		      "done\n");
	apply(w);
	program_wait(&w->p, status_of(w).applied);
	for (size_t i = 0; i < PEERS; i++) {
		w->plan.peer_count--;
		apply(w);
		program_wait(&w->p, status_of(w).applied);
	}
	uint8_t other_key[] = "other";
	w->plan.peer_count = 1;
	apply(w);
	w->peers[0].key = other_key; /* a key that changed cuts too */
	apply(w);
	program_wait(&w->p, status_of(w).applied);
	assert_null(strstr(status_of(w).program, "killed"));
	wait_heard(w, 1 + 1 + PEERS + 2);
	assert_int_equal(read_heard(w, SIZE_MAX, NULL), 1 + 1 + PEERS + 2); /* one program */
}

/* Neither memory nor time for one that does not read; when it does, the newest is what it gets. */
static void one_that_does_not_read_gets_the_newest_when_it_does(void **state)
{
	struct world *w = *state;
	const uint8_t datagram[EXEC_BYTES_MAX] = {0};
	char path[512];
	program_write("until test -e go; do sleep 0.02; done\nexec cat >heard\n");
	apply(w);
	for (unsigned i = 0; i < 5000; i++) {
		adapter_exec.carried(w->adapter, &w->nodes[1].key, datagram, sizeof(datagram));
		w->endpoint.port = (uint16_t)(1 + i);
		apply(w);
	}
	snprintf(path, sizeof(path), "%s/go", w->p.folder);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	struct loop_timer *tick =
		loop_timer_new(w->p.loop, program_on_late, &(struct program_world){0});
	loop_timer_every(tick, 5);
	json_t *last = NULL;
	program_wait(&w->p, ({
		size_t count = read_heard(w, SIZE_MAX, NULL);
		json_decref(last);
		last = NULL;
		if (count > 0)
			read_heard(w, count - 1, &last);
		json_integer_value(json_object_get(last, "serial")) == 5001;
	}));
	json_decref(last);
	loop_timer_free(tick);
	assert_true(read_heard(w, SIZE_MAX, NULL) < 400); /* 256 KiB and a pipe of datagrams */
}

static void one_that_is_always_behind_costs_no_more_memory(void **state)
{
	struct world *w = *state;
	const struct adapter *a = w->adapter;
	const uint8_t datagram[EXEC_BYTES_MAX] = {0};
	size_t given = 0;
	program_write("exec dd bs=16 of=/dev/null 2>/dev/null\n");
	apply(w);
	while (given < 16 * (size_t)QUEUE_MAX) {
		while (queued(a) <= QUEUE_MAX)
			adapter_exec.carried(w->adapter, &w->nodes[1].key, datagram,
					     sizeof(datagram));
		given += QUEUE_MAX / 64;
		program_wait(&w->p, queued(a) <= QUEUE_MAX - QUEUE_MAX / 64);
	}
	assert_in_range(a->out_size, QUEUE_MAX, 4 * QUEUE_MAX);
}

static void rules_that_it_does_not_enforce_leave_it_without_members(void **state)
{
	struct world *w = *state;
	struct acl_rule rule = {.protocol = 6, .port_low = 22, .port_high = 22, .label = "ssh"};
	w->plan.rules = &rule;
	w->plan.rule_count = 1;
	program_write("read -r hello; read -r first\n"
		      "echo \"$hello\" >>heard; echo \"$first\" >>heard\n"
		      "until test -e go; do sleep 0.02; done\n"
		      "echo '{\"type\":\"hello\",\"version\":1,\"rules\":true}'\n"
		      "exec cat >>heard\n");
	apply(w);
	wait_heard(w, 2);
	assert_non_null(strstr(status_of(w).error, "does not enforce policy rules"));
	json_t *wanted = heard_at(w, 1);
	assert_int_equal(json_array_size(json_object_get(wanted, "peers")), 0);
	json_decref(wanted);
	char path[512];
	snprintf(path, sizeof(path), "%s/go", w->p.folder);
	fclose(fopen(path, "w"));
	wait_heard(w, 3);
	wanted = heard_at(w, 2);
	assert_int_equal(json_array_size(json_object_get(wanted, "peers")), PEERS);
	const json_t *told = json_array_get(json_object_get(wanted, "rules"), 0);
	assert_string_equal(text_of(told, "from"), "any");
	assert_int_equal(json_integer_value(json_object_get(told, "protocol")), 6);
	json_decref(wanted);
}

static void datagrams_go_both_ways_for_members_that_it_carries(void **state)
{
	struct world *w = *state;
	struct node_key stranger = {{3}};
	program_write("k=020100000000000000000000000000000000000000000000000000000000000000\n"
		      "s=030000000000000000000000000000000000000000000000000000000000000000\n"
		      "echo '{\"type\":\"datagram\",\"key\":\"'$s'\",\"data\":\"AAAA\"}'\n"
		      "echo '{\"type\":\"datagram\",\"key\":\"'$k'\",\"data\":\"bm9kZS0x\"}'\n"
		      "exec cat >heard\n");
	apply(w);
	program_wait(&w->p, w->carried == 1);
	assert_int_equal(w->last_carried_len, 6);
	assert_memory_equal(w->last_carried, "node-1", 6);
	adapter_exec.carried(w->adapter, &stranger, (const uint8_t *)"x", 1);
	adapter_exec.carried(w->adapter, &w->nodes[1].key, (const uint8_t *)"node-1", 6);
	wait_heard(w, 3);
	json_t *datagram = heard_at(w, 2);
	assert_string_equal(text_of(datagram, "type"), "datagram");
	assert_string_equal(text_of(datagram, "data"), "bm9kZS0x");
	json_decref(datagram);
}

static void it_is_told_to_stop(void **state)
{
	struct world *w = *state;
	char path[512], line[64] = "";
	program_write("trap '' TERM\n"
		      "echo '{\"type\":\"status\",\"serial\":1}'\n"
		      "while read -r line; do echo \"$line\" >last; done\n");
	apply(w);
	program_wait(&w->p, status_of(w).applied);
	adapter_exec.teardown(w->adapter);
	snprintf(path, sizeof(path), "%s/last", w->p.folder);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_string_equal(line, "{\"type\":\"stop\"}\n");
	const struct adapter_host host = {.loop = w->p.loop, .os = &w->p.os, .interface = "dtst5"};
	assert_int_equal(adapter_exec.start(&host, &w->adapter), 0); /* for end() */
}

static void lines_are_taken_or_refused_whole(void **state)
{
	static const struct {
		const char *line;
		bool good;
	} table[] = {
		{"", false},
		{"[]", false},
		{"{\"type\":1}", false},
		{"{\"type\":\"later\"}", true},
		{"{\"type\":\"key\",\"key\":\"\"}", false},
		{"{\"type\":\"key\",\"key\":\"AAAA\",\"key\":\"AAAA\"}", false},
		{"{\"type\":\"offer\"}", true},
		{"{\"type\":\"offer\",\"port\":65536}", false},
		{"{\"type\":\"offer\",\"port\":-1}", false},
		{"{\"type\":\"offer\",\"endpoints\":[\"1.2.3.4:0\"]}", false},
		{"{\"type\":\"offer\",\"endpoints\":\"1.2.3.4:1\"}", false},
		{"{\"type\":\"status\",\"serial\":1.5}", false},
		{"{\"type\":\"status\",\"serial\":1,\"peers\":[{}]}", false},
		{"{\"type\":\"event\"}", false},
		{"{\"type\":\"event\",\"key\":\"02\",\"text\":\"x\"}", false},
		{"{\"type\":\"log\",\"text\":\"x\",\"level\":\"loud\"}", false},
		{"{\"type\":\"log\",\"text\":\"x\"}", true},
		{"{\"type\":\"datagram\",\"key\":\"02\",\"data\":\"AAAA\"}", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct exec_message m;
		const char *why = NULL;
		bool good = exec_message_parse(table[i].line, strlen(table[i].line), &m, &why);
		if (good != table[i].good)
			print_error("%s\n", table[i].line);
		assert_int_equal(good, table[i].good);
		if (good)
			exec_message_done(&m);
		else
			assert_non_null(why);
	}
}

#define with_program(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_program(it_is_told_who_it_is_and_all_that_is_wanted),
		with_program(what_it_says_is_offered_and_shown),
		with_program(nonsense_is_counted_and_named),
		with_program(one_that_does_not_cut_in_time_is_ended),
		with_program(one_that_cuts_in_time_goes_on),
		with_program(one_that_does_not_read_gets_the_newest_when_it_does),
		with_program(one_that_is_always_behind_costs_no_more_memory),
		with_program(rules_that_it_does_not_enforce_leave_it_without_members),
		with_program(datagrams_go_both_ways_for_members_that_it_carries),
		with_program(it_is_told_to_stop),
		cmocka_unit_test(lines_are_taken_or_refused_whole),
	};
	return cmocka_run_group_tests(tests, program_open_group, program_close_group);
}
