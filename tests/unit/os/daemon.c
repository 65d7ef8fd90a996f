#include "fixture/test.h"

#include "fixture/temp.h"
#include "os/daemon.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

struct config {
	struct daemon_options daemon;
};

static const struct conf_option options[] = {DAEMON_OPTIONS(struct config, daemon, "testd")};
static const struct conf_program program = {
	.name = "testd",
	.version = "1",
	.summary = "tests the start",
	.options = options,
	.options_count = ARRAY_SIZE(options),
};

static struct temp folder;
static struct config config;
static char state_path[256];
static unsigned reloads;

static int start(void **state)
{
	temp_make(&folder);
	temp_file(&folder, "state", state_path);
	memset(&config, 0, sizeof(config));
	reloads = 0;
	return 0;
}

static int stop(void **state)
{
	conf_free(&program, &config);
	temp_remove(&folder);
	return 0;
}

static int init(struct daemon *d, const char *first, const char *second)
{
	char *argv[] = {"testd", "--state", state_path, (char *)first, (char *)second, NULL};

	conf_free(&program, &config);
	return daemon_init(d, &program, first ? second ? 5 : 4 : 3, argv, &config, &config.daemon);
}

static void on_reload(void *arg)
{
	reloads++;
	kill(getpid(), SIGTERM);
}

static void it_reloads_on_hangup_and_stops_on_term(void **state)
{
	struct daemon d;
	struct stat st;

	assert_int_equal(init(&d, NULL, NULL), -1);
	assert_false(d.check_only);
	assert_int_equal(stat(state_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	d.on_reload = on_reload;
	kill(getpid(), SIGHUP);
	daemon_run(&d);
	assert_int_equal(reloads, 1);
	daemon_done(&d);
}

static void two_on_one_state_folder_are_told_apart(void **state)
{
	struct daemon d, second;
	int status;
	pid_t pid;

	assert_int_equal(init(&d, NULL, NULL), -1);
	pid = fork();
	if (!pid)
		_exit(init(&second, NULL, NULL) + 10);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 11);
	daemon_done(&d);
	assert_int_equal(init(&d, NULL, NULL), -1);
	daemon_done(&d);
}

static void checking_touches_nothing(void **state)
{
	struct daemon d;

	assert_int_equal(init(&d, "-n", NULL), -1);
	assert_true(d.check_only);
	assert_int_equal(access(state_path, F_OK), -1);
	daemon_done(&d);
}

static void a_bad_configuration_is_status_two(void **state)
{
	struct daemon d;

	assert_int_equal(init(&d, "--log-level", "loud"), 2);
	daemon_done(&d);
	assert_int_equal(init(&d, "--control-mode", "680"), 2);
	daemon_done(&d);
	assert_int_equal(init(&d, "--nothing", NULL), 2);
	daemon_done(&d);
	assert_int_equal(init(&d, "--version", NULL), 0);
	daemon_done(&d);
	assert_int_equal(init(&d, "--log-file", "/nowhere/at/all"), 1);
	daemon_done(&d);
}

static void the_control_mode_is_octal(void **state)
{
	static const struct {
		int64_t digits;
		unsigned mode;
		bool good;
	} table[] = {{660, 0660, true}, {0, 0, true},	   {777, 0777, true}, {678, 0, false},
		     {7, 07, true},	{600, 0600, true}, {1777, 0, false}};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct daemon_options o = {.control_mode = table[i].digits};
		unsigned mode = 0;

		assert_int_equal(daemon_control_mode(&o, &mode), table[i].good);
		assert_int_equal(mode, table[i].mode);
	}
}

static void the_service_manager_hears_when_it_is_ready(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[32] = {0};

	assert_false(daemon_notify("READY=1"));
	temp_file(&folder, "notify", state_path);
	strcpy(at.sun_path, state_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	setenv("NOTIFY_SOCKET", state_path, 1);
	assert_true(daemon_notify("READY=1"));
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(recv(fd, text, sizeof(text), 0), 7);
	assert_string_equal(text, "READY=1");
	close(fd);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		test(it_reloads_on_hangup_and_stops_on_term),
		test(two_on_one_state_folder_are_told_apart),
		test(checking_touches_nothing),
		test(a_bad_configuration_is_status_two),
		test(the_control_mode_is_octal),
		test(the_service_manager_hears_when_it_is_ready),
	};

	unsetenv("NOTIFY_SOCKET");
	return cmocka_run_group_tests_name("os/daemon", tests, NULL, NULL);
}
