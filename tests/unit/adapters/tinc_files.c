#include "fixture/test.h"

#include "adapters/tinc_files.h"
#include "fixture/temp.h"
#include "os/base.h"
#include "os/file.h"
#include "wire/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct temp temp;

static const char key_a[] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
static const char key_b[] = "-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----\n";

static struct endpoint endpoints[2];
static struct address subnets[2];
static struct tinc_host hosts[2];
static struct tinc_net net;

static int start(void **state)
{
	(void)state;
	temp_make(&temp);
	assert_true(endpoint_parse("192.0.2.7:655", &endpoints[0]));
	assert_true(endpoint_parse("[2001:db8::7]:20001", &endpoints[1]));
	assert_true(address_parse("10.77.0.2", &subnets[0]));
	assert_true(address_parse("fd77::2", &subnets[1]));
	hosts[0] = (struct tinc_host){
		.name = "nself", .key = key_a, .subnets = &subnets[0], .subnet_count = 1};
	hosts[1] = (struct tinc_host){.name = "nother",
				      .key = key_b,
				      .subnets = subnets,
				      .subnet_count = 2,
				      .endpoints = endpoints,
				      .endpoint_count = 2};
	net = (struct tinc_net){.name = "nself",
				.interface = "dnet3",
				.port = 20123,
				.hosts = hosts,
				.host_count = 2};
	return 0;
}

static int stop(void **state)
{
	(void)state;
	temp_remove(&temp);
	return 0;
}

static void write_net(unsigned written, unsigned removed, unsigned quiet)
{
	struct tinc_changes changes;
	assert_int_equal(tinc_files_write(temp.path, &net, &changes), 0);
	assert_int_equal(changes.written, written);
	assert_int_equal(changes.removed, removed);
	assert_int_equal(changes.quiet, quiet);
}

static void file_is(const char *name, const char *want, mode_t mode)
{
	_cleanup_(freep) char *text = NULL;
	char path[256];
	struct stat st;
	assert_int_equal(file_read(temp_file(&temp, name, path), 1 << 16, &text, NULL), 0);
	assert_string_equal(text, want);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
}

static time_t time_of(const char *name)
{
	char path[256];
	struct stat st;
	assert_int_equal(stat(temp_file(&temp, name, path), &st), 0);
	return st.st_mtime;
}

static bool is_there(const char *name)
{
	char path[256];
	return access(temp_file(&temp, name, path), F_OK) == 0;
}

static void put(const char *name, const char *text)
{
	char path[256];
	assert_int_equal(file_replace(temp_file(&temp, name, path), text, strlen(text), 0644), 0);
}

static void the_hash_is_another_with_each_thing_that_a_file_says(void **state)
{
	static struct endpoint other_endpoint;
	static struct address other_subnet;
	struct hash256 seen[12];
	size_t count = 0;
	(void)state;
	assert_true(endpoint_parse("192.0.2.7:656", &other_endpoint));
	assert_true(address_parse("10.77.0.3", &other_subnet));
	tinc_net_hash(&net, &seen[count++]);
	hosts[1].connected = true; /* no file says it */
	tinc_net_hash(&net, &seen[count]);
	assert_memory_equal(&seen[0], &seen[1], sizeof(seen[0]));
#define CHANGED(change)                                                                            \
	do {                                                                                       \
		change;                                                                            \
		tinc_net_hash(&net, &seen[count]);                                                 \
		for (size_t i = 0; i < count; i++)                                                 \
			assert_memory_not_equal(&seen[i], &seen[count], sizeof(seen[i]));          \
		count++;                                                                           \
	} while (0)
	CHANGED(net.port++);
	CHANGED(net.interface = NULL);
	CHANGED(net.name[1] = 'S');
	CHANGED(hosts[1].name[1] = 'O');
	CHANGED(hosts[1].key = key_a);
	CHANGED(hosts[1].weight = 100);
	CHANGED(hosts[1].subnet_count = 1);
	CHANGED(hosts[1].subnets = &other_subnet);
	CHANGED(hosts[1].endpoint_count = 1);
	CHANGED(hosts[1].endpoints = &other_endpoint);
	CHANGED(net.host_count = 1);
#undef CHANGED
	assert_int_equal(count, ARRAY_SIZE(seen));
}

static void the_folder_of_a_member_byte_for_byte(void **state)
{
	(void)state;
	write_net(5, 0, 0);
	file_is("tinc.conf",
		"# Written by dnet. Changes are taken back.\n"
		"Name = nself\n"
		"Interface = dnet3\n"
		"Forwarding = off\n"
		"DirectOnly = yes\n"
		"Port = 20123\n"
		"Mode = router\n"
		"TunnelServer = yes\n"
		"StrictSubnets = yes\n"
		"Broadcast = no\n"
		"AutoConnect = no\n"
		"LocalDiscovery = no\n"
		"Cipher = aes-256-cbc\n"
		"Digest = sha256\n"
		"MACLength = 16\n"
		"Compression = 0\n"
		"ReplayWindow = 1024\n"
		"PingInterval = 10\n"
		"PingTimeout = 5\n"
		"MaxTimeout = 30\n"
		"ScriptsInterpreter = /bin/sh\n"
		"ConnectTo = nother\n",
		0600);
	file_is("hosts/nself",
		"# Written by dnet. Changes are taken back.\n"
		"Subnet = 10.77.0.2/32\n"
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		0600);
	file_is("hosts/nother",
		"# Written by dnet. Changes are taken back.\n"
		"Address = 192.0.2.7 655\n"
		"Address = 2001:db8::7 20001\n"
		"Subnet = 10.77.0.2/32\n"
		"Subnet = fd77::2/128\n"
		"-----BEGIN PUBLIC KEY-----\nBBBB\n-----END PUBLIC KEY-----\n",
		0600);
	file_is("host-up",
		"#!/bin/sh\n"
		"# Written by dnet. Changes are taken back.\n"
		"echo \"dnet-host-up $NODE $REMOTEADDRESS $REMOTEPORT\"\n",
		0700);
	file_is("host-down",
		"#!/bin/sh\n"
		"# Written by dnet. Changes are taken back.\n"
		"echo \"dnet-host-down $NODE $REMOTEADDRESS $REMOTEPORT\"\n",
		0700);
}

static void a_hub_relays_without_a_device_and_weighs_its_subnets(void **state)
{
	_cleanup_(freep) char *text = NULL;
	char path[256];
	(void)state;
	net.interface = NULL;
	hosts[1].weight = 100;
	write_net(5, 0, 0);
	assert_int_equal(file_read(temp_file(&temp, "tinc.conf", path), 1 << 16, &text, NULL), 0);
	assert_non_null(strstr(text, "\nDeviceType = dummy\nForwarding = internal\n"));
	assert_null(strstr(text, "Interface"));
	assert_null(strstr(text, "DirectOnly"));
	free(text);
	assert_int_equal(file_read(temp_file(&temp, "hosts/nother", path), 1 << 16, &text, NULL),
			 0);
	assert_non_null(strstr(text, "\nSubnet = 10.77.0.2/32#100\nSubnet = fd77::2/128#100\n"));
}

static void what_is_as_wanted_is_not_touched(void **state)
{
	struct stat before, after;
	char path[256];
	(void)state;
	write_net(5, 0, 0);
	assert_int_equal(stat(temp_file(&temp, "hosts/nother", path), &before), 0);
	write_net(0, 0, 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void nothing_stale_stays(void **state)
{
	(void)state;
	write_net(5, 0, 0);
	put("hosts/nremoved", "Subnet = 0.0.0.0/0\n");
	put("hosts/nother-up", "#!/bin/sh\n");
	assert_int_equal(symlink("/etc/passwd", temp_file(&temp, "hosts/nlink", (char[256]){0})),
			 0);
	net.host_count = 1;
	/* tinc.conf has no ConnectTo any more. */
	write_net(1, 4, 0);
	assert_false(is_there("hosts/nother"));
	assert_false(is_there("hosts/nremoved"));
	assert_false(is_there("hosts/nother-up"));
	assert_false(is_there("hosts/nlink"));
	assert_true(is_there("hosts/nself"));
	assert_false(is_there("tinc.conf.new"));
}

static void what_something_else_changed_is_taken_back(void **state)
{
	char path[256];
	(void)state;
	write_net(5, 0, 0);
	put("hosts/nother", "Subnet = 0.0.0.0/0\n");
	put("tinc.conf", "Name = nself\n");
	assert_int_equal(chmod(temp_file(&temp, "host-up", path), 0755), 0);
	assert_int_equal(unlink(temp_file(&temp, "host-down", path)), 0);
	write_net(4, 0, 0);
	write_net(0, 0, 0);
	file_is("host-down",
		"#!/bin/sh\n"
		"# Written by dnet. Changes are taken back.\n"
		"echo \"dnet-host-down $NODE $REMOTEADDRESS $REMOTEPORT\"\n",
		0700);
}

/* tincd closes the connection of a host whose file is newer than the last time that it looked. */
static void only_another_key_closes_a_connection(void **state)
{
	(void)state;
	write_net(5, 0, 0);
	assert_int_equal(time_of("hosts/nother"), 0);
	hosts[1].endpoint_count = 1;
	write_net(1, 0, 0);
	assert_int_equal(time_of("hosts/nother"), 0);
	hosts[1].subnet_count = 1;
	write_net(1, 0, 0);
	assert_int_equal(time_of("hosts/nother"), 0);
	hosts[1].key = key_a;
	write_net(1, 0, 0);
	assert_true(time_of("hosts/nother") > time(NULL));
}

static void another_endpoint_of_who_is_connected_is_no_reason_to_reload(void **state)
{
	(void)state;
	write_net(5, 0, 0);
	hosts[1].connected = true;
	hosts[1].endpoint_count = 1;
	write_net(0, 0, 1);
	write_net(0, 0, 0);
	hosts[1].subnet_count = 1;
	write_net(1, 0, 0);
}

static void a_name_of_an_interface_is_no_other_line(void **state)
{
	static const char *const wrong[] = {"", "dnet0\nDevice = /etc/x", "a b", "dnet/0",
					    "dnet0123456789abcdef"};
	struct tinc_changes changes;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		net.interface = wrong[i];
		assert_int_equal(tinc_files_write(temp.path, &net, &changes), -EINVAL);
		assert_false(is_there("tinc.conf"));
	}
}

static void names_are_hashes_of_keys(void **state)
{
	struct node_key a = {{2, 1}}, b = {{3, 1}};
	struct object_id ovc = {{0xab, 0xcd}};
	char name_a[TINC_NAME_SIZE], name_b[TINC_NAME_SIZE], hub[TINC_NAME_SIZE];
	(void)state;
	tinc_node_name(&a, name_a);
	tinc_node_name(&b, name_b);
	tinc_hub_name(&ovc, hub);
	assert_int_equal(strlen(name_a), 41);
	assert_int_equal(strspn(name_a + 1, "0123456789abcdef"), 40);
	assert_string_not_equal(name_a, name_b);
	assert_string_equal(hub, "habcd000000000000000000000000000000000000");
}

static void what_the_scripts_print_is_read_back(void **state)
{
	static const char name[] = "n0123456789012345678901234567890123456789";
	struct tinc_event event;
	char line[200], text[ENDPOINT_TEXT_MAX];
	(void)state;
	snprintf(line, sizeof(line), "dnet-host-up %s 192.0.2.1 655", name);
	assert_true(tinc_event_parse(line, &event));
	assert_true(event.up);
	assert_string_equal(event.name, name);
	assert_string_equal(endpoint_format(&event.endpoint, text), "192.0.2.1:655");
	snprintf(line, sizeof(line), "dnet-host-down %s unspec unspec", name);
	assert_true(tinc_event_parse(line, &event));
	assert_false(event.up);
	assert_int_equal(event.endpoint.addr.family, ADDR_NONE);
	snprintf(line, sizeof(line), "dnet-host-down %s  ", name);
	assert_true(tinc_event_parse(line, &event));
}

static void other_lines_are_no_events(void **state)
{
	static const char *const lines[] = {
		"",
		"Connection with dnet-host-up n1 192.0.2.1 655",
		"dnet-host-",
		"dnet-host-up",
		"dnet-host-sideways n1 192.0.2.1 655",
		"dnet-host-upper n1",
		"dnet-host-up n012345678901234567890123456789012345678901234567890",
	};
	struct tinc_event event;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_false(tinc_event_parse(lines[i], &event));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_folder_of_a_member_byte_for_byte, start, stop),
		cmocka_unit_test_setup_teardown(
			the_hash_is_another_with_each_thing_that_a_file_says, start, stop),
		cmocka_unit_test_setup_teardown(
			a_hub_relays_without_a_device_and_weighs_its_subnets, start, stop),
		cmocka_unit_test_setup_teardown(what_is_as_wanted_is_not_touched, start, stop),
		cmocka_unit_test_setup_teardown(nothing_stale_stays, start, stop),
		cmocka_unit_test_setup_teardown(what_something_else_changed_is_taken_back, start,
						stop),
		cmocka_unit_test_setup_teardown(only_another_key_closes_a_connection, start, stop),
		cmocka_unit_test_setup_teardown(
			another_endpoint_of_who_is_connected_is_no_reason_to_reload, start, stop),
		cmocka_unit_test_setup_teardown(a_name_of_an_interface_is_no_other_line, start,
						stop),
		cmocka_unit_test(names_are_hashes_of_keys),
		cmocka_unit_test(what_the_scripts_print_is_read_back),
		cmocka_unit_test(other_lines_are_no_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
