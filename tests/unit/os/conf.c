#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/conf.h"
#include "os/file.h"
#include "wire/addr.h"

#include <errno.h>

struct config {
	char *name;
	char *folder;
	int64_t port;
	bool fast;
	uint64_t wait_ms;
	struct endpoint listen;
	struct conf_list peers;
};

#define AT(field) offsetof(struct config, field)
static const struct conf_option options[] = {
	{"", "name", CONF_STRING, "nobody", 1, 8, AT(name), "how it is called"},
	{"", "folder", CONF_PATH, NULL, 0, 0, AT(folder), "where it is"},
	{"net", "port", CONF_INT, "655", 1, 65535, AT(port), "where it listens"},
	{"net", "fast", CONF_BOOL, "no", 0, 0, AT(fast), "whether it hurries"},
	{"net", "wait", CONF_DURATION, "10s", 100, 3600000, AT(wait_ms), "how long it waits"},
	{"net", "listen", CONF_ENDPOINT, NULL, 0, 0, AT(listen), "on what"},
	{"net", "peer", CONF_LIST, NULL, 0, 3, AT(peers), "with whom"},
};
static const struct conf_program program = {
	.name = "testd",
	.version = "1.2",
	.summary = "tests the table",
	.options = options,
	.options_count = ARRAY_SIZE(options),
};

static struct config config;
static char error[CONF_ERROR_MAX];

static int read_text(const char *text)
{
	error[0] = 0;
	return conf_read_text(&program, "x.conf", text, strlen(text), &config, error);
}

static int start(void **state)
{
	memset(&config, 0, sizeof(config));
	return conf_set_defaults(&program, &config);
}

static int stop(void **state)
{
	conf_free(&program, &config);
	return 0;
}

static void defaults_come_from_the_table(void **state)
{
	assert_string_equal(config.name, "nobody");
	assert_string_equal(config.folder, "");
	assert_int_equal(config.port, 655);
	assert_false(config.fast);
	assert_int_equal(config.wait_ms, 10000);
	assert_int_equal(config.listen.addr.family, ADDR_NONE);
	assert_int_equal(config.peers.count, 0);
}

static void a_file_sets_every_type(void **state)
{
	char text[ENDPOINT_TEXT_MAX];

	assert_int_equal(read_text("# comment\nname = x y ; why\nfolder=/tmp\n\n  [net]\n"
				   "\tport = 1\n  fast = on\nwait = 5m\nlisten = [::1]:7\n"
				   "peer = a\npeer = b=c"),
			 0);
	assert_string_equal(config.name, "x y");
	assert_string_equal(config.folder, "/tmp");
	assert_int_equal(config.port, 1);
	assert_true(config.fast);
	assert_int_equal(config.wait_ms, 300000);
	assert_string_equal(endpoint_format(&config.listen, text), "[::1]:7");
	assert_int_equal(config.peers.count, 2);
	assert_string_equal(config.peers.items[1], "b=c");
}

static void an_error_names_file_line_and_what_would_be_right(void **state)
{
	static const struct {
		const char *text, *error;
	} table[] = {
		{"nam = x\n", "x.conf:1: there is no option 'nam'; did you mean 'name'?"},
		{"\n\n[nat]\nport = 1\n",
		 "x.conf:4: there is no section [nat]; did you mean [net]?"},
		{"port = 1\n", "x.conf:1: 'port' belongs in section [net]"},
		{"[net]\nname = x\n", "x.conf:2: 'name' belongs before the first section"},
		{"[net]\nqqqqqqq = x\n", "x.conf:2: there is no option 'qqqqqqq'"},
		{"[net]\nport = 65536\n",
		 "x.conf:2: 'port' is '65536'; it takes a number from 1 to 65535"},
		{"[net]\nport = 0\n", "x.conf:2: 'port' is '0'; it takes a number from 1 to 65535"},
		{"[net]\nport = 12x\n",
		 "x.conf:2: 'port' is '12x'; it takes a number from 1 to 65535"},
		{"[net]\nwait = 99ms\n", "x.conf:2: 'wait' is '99ms'; it takes a duration from "
					 "100ms to 1h, as 500ms, 10s, 5m, 2h or 1d"},
		{"[net]\nfast = maybe\n", "x.conf:2: 'fast' is 'maybe'; it takes yes or no"},
		{"folder = tmp\n", "x.conf:1: 'folder' is 'tmp'; it takes an absolute path"},
		{"name = 123456789\n",
		 "x.conf:1: 'name' is '123456789'; it takes a text of 1 to 8 bytes"},
		{"name = a\nname = b\n", "x.conf:2: 'name' is given twice, first in line 1"},
		{"name = a\nhello\n", "x.conf:2: neither [section] nor name = value"},
		{"[net\n", "x.conf:1: neither [section] nor name = value"},
		{"[net]\npeer = 1\npeer = 2\npeer = 3\npeer = 4\n",
		 "x.conf:5: 'peer' is '4'; it takes at most 3 values, one each time"},
		{"name = a\x01\n", "x.conf:1: 'name' has a control character"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		stop(NULL);
		start(NULL);
		assert_int_equal(read_text(table[i].text), -EINVAL);
		assert_string_equal(error, table[i].error);
	}
}

static void limits_are_where_they_are_said(void **state)
{
	char line[256];

	assert_int_equal(read_text("name = 12345678\n[net]\nport = 65535\nwait = 1h\n"
				   "peer = 1\npeer = 2\npeer = 3\n"),
			 0);
	/* A line of 198 bytes is read, one of 199 is not. */
	memset(line, 0, sizeof(line));
	memset(line, 'x', 198);
	memcpy(line, "folder = /", 10);
	strcat(line, "\n");
	assert_int_equal(read_text(line), 0);
	assert_int_equal(strlen(config.folder), 198 - 9);
	memset(line, 'x', 199);
	memcpy(line, "folder = /", 10);
	line[199] = '\n';
	assert_int_equal(read_text(line), -EINVAL);
	assert_string_equal(error, "x.conf:1: the line is too long: at most 198 bytes");
	assert_int_equal(conf_read_text(&program, "x.conf", "a\0b", 3, &config, error), -EINVAL);
	assert_non_null(strstr(error, "zero byte"));
}

static void durations_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms; /* UINT64_MAX: refused */
	} table[] = {
		{"0", 0},
		{"7", 7000},
		{"7ms", 7},
		{"7s", 7000},
		{"7m", 420000},
		{"2h", 7200000},
		{"1d", 86400000},
		{"", UINT64_MAX},
		{"ms", UINT64_MAX},
		{"-1s", UINT64_MAX},
		{"1 s", UINT64_MAX},
		{"1w", UINT64_MAX},
		{"9223372036854775807ms", INT64_MAX},
		{"9223372036854775808ms", UINT64_MAX},
		{"99999999999999999999", UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t ms = UINT64_MAX;

		assert_int_equal(conf_parse_duration(table[i].text, &ms),
				 table[i].ms != UINT64_MAX);
		assert_true(ms == table[i].ms);
	}
}

static enum conf_action load(const char *const *words)
{
	char *argv[16] = {"testd"};
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	stop(NULL);
	memset(&config, 0, sizeof(config));
	return conf_load(&program, argc, argv, &config);
}

#define LOAD(...) load((const char *const[]){__VA_ARGS__, NULL})

static void the_command_line_is_stronger_than_the_file(void **state)
{
	struct temp t;
	char path[256];
	const char *text = "name = file\n[net]\nport = 9\npeer = f\n";

	temp_make(&t);
	temp_file(&t, "x.conf", path);
	assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);
	assert_int_equal(LOAD("--name", "arg", "-c", path, "--fast", "--peer=a", "--peer=b"),
			 CONF_RUN);
	assert_string_equal(config.name, "arg");
	assert_int_equal(config.port, 9);
	assert_true(config.fast);
	assert_int_equal(config.peers.count, 2);
	assert_string_equal(config.peers.items[0], "a");
	assert_int_equal(LOAD("-c", path, "-n", "--fast=no"), CONF_CHECK);
	assert_string_equal(config.name, "file");
	assert_string_equal(config.peers.items[0], "f");
	assert_false(config.fast);
	temp_remove(&t);
}

/* Runs conf_load() with this stream as stdout or stderr, and returns what was written. */
static char *output_of(FILE **stream, enum conf_action *ret_action, const char *const *words)
{
	FILE *saved = *stream;
	char *text;
	size_t len;

	*stream = open_memstream(&text, &len);
	*ret_action = load(words);
	fclose(*stream);
	*stream = saved;
	return text;
}

static void wrong_arguments_are_explained(void **state)
{
	static const struct {
		const char *const words[4];
		const char *error;
	} table[] = {
		{{"--prot", "7"}, "testd: there is no option --prot; did you mean --port?"},
		{{"--port"}, "testd: --port needs a value"},
		{{"--port", "x"}, "testd: 'port' is 'x'; it takes a number from 1 to 65535"},
		{{"-z"}, "testd: there is no option -z"},
		{{"extra"}, "testd: what is 'extra'?"},
		{{"-c", "/nowhere"}, "testd: /nowhere: No such file or directory"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		enum conf_action action;
		char *text = output_of(&stderr, &action, table[i].words);

		assert_int_equal(action, CONF_FAILED);
		assert_memory_equal(text, table[i].error, strlen(table[i].error));
		free(text);
	}
}

static void help_version_and_man_name_every_option(void **state)
{
	static const char *const ways[] = {"--help", "--print-man", "--print-config"};
	enum conf_action action;
	char *text;

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		text = output_of(&stdout, &action, (const char *const[]){ways[i], NULL});
		assert_int_equal(action, CONF_EXIT);
		for (size_t j = 0; j < ARRAY_SIZE(options) - 1; j++)
			assert_non_null(strstr(text, options[j].name));
		free(text);
	}
	text = output_of(&stdout, &action, (const char *const[]){"--help", NULL});
	assert_non_null(strstr(text, "--fast[=yes|no] "));
	assert_non_null(strstr(text, "--port NUMBER "));
	free(text);
	text = output_of(&stdout, &action, (const char *const[]){"--version", NULL});
	assert_string_equal(text, "testd 1.2\n");
	free(text);
}

static void what_is_printed_loads_to_the_same(void **state)
{
	char *text, *again;
	size_t len, again_len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(read_text("name = a\n[net]\nfast = 1\nwait = 90s\nlisten = 1.2.3.4:5\n"
				   "peer = p\npeer = q\n"),
			 0);
	conf_print(&program, &config, out);
	fclose(out);
	stop(NULL);
	start(NULL);
	assert_int_equal(read_text(text), 0);
	out = open_memstream(&again, &again_len);
	conf_print(&program, &config, out);
	fclose(out);
	assert_string_equal(text, again);
	assert_non_null(strstr(text, "wait = 90s\n"));
	free(text);
	free(again);
}

static void one_option_can_be_set_by_its_name(void **state)
{
	assert_int_equal(conf_set(&program, "port", "77", &config, error), 0);
	assert_int_equal(config.port, 77);
	assert_int_equal(conf_set(&program, "port", "0", &config, error), -EINVAL);
	assert_int_equal(config.port, 77);
	assert_int_equal(conf_set(&program, "sport", "1", &config, error), -EINVAL);
	assert_string_equal(error, "there is no option --sport; did you mean --port?");
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		test(defaults_come_from_the_table),
		test(a_file_sets_every_type),
		test(an_error_names_file_line_and_what_would_be_right),
		test(limits_are_where_they_are_said),
		test(durations_have_units),
		test(the_command_line_is_stronger_than_the_file),
		test(wrong_arguments_are_explained),
		test(help_version_and_man_name_every_option),
		test(what_is_printed_loads_to_the_same),
		test(one_option_can_be_set_by_its_name),
	};

	return cmocka_run_group_tests_name("os/conf", tests, NULL, NULL);
}
