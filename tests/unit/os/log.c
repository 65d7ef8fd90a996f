#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/file.h"
#include "os/log.c"

static char seen[4096];
static unsigned seen_count;

static void keep_line(void *arg, enum log_level level, const char *line)
{
	snprintf(seen, sizeof(seen), "%s", line);
	seen_count++;
}

static int watch_log(void **unused)
{
	log_set_hook(keep_line, NULL);
	log_set_level(LOG_LEVEL_INFO);
	log_set_prefix(NULL);
	seen_count = 0;
	return 0;
}

static void a_level_shows_itself_and_what_is_worse(void **unused)
{
	log_info("shown %d", 1);
	assert_int_equal(seen_count, 1);
	assert_string_equal(seen, "shown 1");
	log_debug("hidden");
	assert_int_equal(seen_count, 1);
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("hidden");
	assert_int_equal(seen_count, 1);
	log_error("shown");
	assert_int_equal(seen_count, 2);
}

static void debug_arguments_are_not_evaluated_when_it_is_off(void **unused)
{
	int calls = 0;

	log_debug("%d", ++calls);
	assert_int_equal(calls, 0);
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("%d", ++calls);
	assert_int_equal(calls, 1);
}

static void nobody_forges_a_line(void **unused)
{
	log_info("name %s", "eve\n<3>all is well\x1b[2J\x7f");
	assert_string_equal(seen, "name eve\\x0a<3>all is well\\x1b[2J\\x7f");
}

static void a_long_line_is_cut_and_ends(void **unused)
{
	char text[LOG_LINE_MAX * 2];

	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	log_info("%s", text);
	assert_true(strlen(seen) < LOG_LINE_MAX);
	assert_true(strlen(seen) > LOG_LINE_MAX - 16);
}

static void the_prefix_stands_in_front(void **unused)
{
	log_set_prefix("dnetd: ");
	log_info("here");
	assert_string_equal(seen, "dnetd: here");
}

static void errno_survives_a_log_line(void **unused)
{
	errno = ENOTTY;
	log_info("x");
	assert_int_equal(errno, ENOTTY);
}

static void a_limited_line_is_counted_and_told_later(void **unused)
{
	struct log_limit limit = {0};
	unsigned left_out = 99, passed = 0;

	for (int i = 0; i < 5; i++)
		passed += log_limit_pass(&limit, 2, &left_out);
	assert_int_equal(passed, 2);
	limit.window_ns -= 60 * NS_PER_S;
	assert_true(log_limit_pass(&limit, 2, &left_out));
	assert_int_equal(left_out, 3);
	assert_true(log_limit_pass(&limit, 2, &left_out));
	assert_int_equal(left_out, 0);
}

static void levels_have_names_both_ways(void **unused)
{
	enum log_level level = LOG_LEVEL_ERROR;

	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		assert_true(log_level_parse(log_level_name((enum log_level)i), &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_parse("loud", &level));
}

static void a_file_gets_the_lines_too_also_after_rotation(void **unused)
{
	struct temp t;
	char path[256], old[256];
	char *text;

	temp_make(&t);
	temp_file(&t, "log", path);
	temp_file(&t, "log.1", old);
	assert_int_equal(log_set_file(path), 0);
	log_info("first");
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(log_set_file(path), 0);
	log_warn("second");
	assert_int_equal(log_set_file("/nowhere/at/all"), -ENOENT);
	log_warn("third");
	log_set_file(NULL);
	log_warn("fourth");
	assert_int_equal(file_read(path, 4096, &text, NULL), 0);
	assert_null(strstr(text, "first"));
	assert_non_null(strstr(text, "warn   second\n"));
	assert_non_null(strstr(text, "third"));
	assert_null(strstr(text, "fourth"));
	free(text);
	temp_remove(&t);
}

/* What goes to stderr while it is this file, in a run of log_write(). */
static char *stderr_of(const char *path, enum sink sink)
{
	int saved = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *text = NULL;

	dup2(fd, STDERR_FILENO);
	state.sink = sink;
	log_notice("hello");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	state.sink = SINK_UNKNOWN;
	file_read(path, 4096, &text, NULL);
	return text;
}

static void the_journal_gets_priorities_and_a_terminal_colour(void **unused)
{
	struct temp t;
	char path[256], stream[64], *text;
	struct stat st;

	temp_make(&t);
	temp_file(&t, "stderr", path);
	text = stderr_of(path, SINK_TERMINAL);
	assert_non_null(strstr(text, "\033[1mnotice"));
	free(text);
	text = stderr_of(path, SINK_UNKNOWN);
	assert_null(strchr(text, '\033'));
	assert_non_null(strstr(text, "Z notice hello\n"));
	free(text);
	assert_int_equal(stat(path, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	text = stderr_of(path, SINK_UNKNOWN);
	assert_string_equal(text, "<5>hello\n");
	free(text);
	setenv("JOURNAL_STREAM", "1:1", 1);
	text = stderr_of(path, SINK_UNKNOWN);
	assert_non_null(strstr(text, "notice hello\n"));
	free(text);
	unsetenv("JOURNAL_STREAM");
	temp_remove(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_level_shows_itself_and_what_is_worse, watch_log),
		cmocka_unit_test_setup(debug_arguments_are_not_evaluated_when_it_is_off, watch_log),
		cmocka_unit_test_setup(nobody_forges_a_line, watch_log),
		cmocka_unit_test_setup(a_long_line_is_cut_and_ends, watch_log),
		cmocka_unit_test_setup(the_prefix_stands_in_front, watch_log),
		cmocka_unit_test_setup(errno_survives_a_log_line, watch_log),
		cmocka_unit_test_setup(a_limited_line_is_counted_and_told_later, watch_log),
		cmocka_unit_test_setup(levels_have_names_both_ways, watch_log),
		cmocka_unit_test_setup(a_file_gets_the_lines_too_also_after_rotation, watch_log),
		cmocka_unit_test_setup(the_journal_gets_priorities_and_a_terminal_colour,
				       watch_log),
	};

	return cmocka_run_group_tests_name("os/log", tests, NULL, NULL);
}
