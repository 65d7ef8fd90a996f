#include "os/daemon.h"

#include "os/clock.h"
#include "os/file.h"
#include "os/log.h"
#include "os/loop.h"
#include "os/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { STATUS_MACHINE = 1, STATUS_CONFIGURATION = 2 };

bool daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	_cleanup_(closep) int fd = -1;
	size_t len = path ? strlen(path) : 0;

	if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = 0; /* abstract: sd_notify(3) */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	return sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) >= 0;
}

bool daemon_control_mode(const struct daemon_options *options, unsigned *ret_mode)
{
	unsigned mode = 0, shift = 0;

	for (int64_t digits = options->control_mode; digits; digits /= 10) {
		if (digits % 10 > 7 || shift > 6)
			return false;
		mode |= (unsigned)(digits % 10) << shift;
		shift += 3;
	}
	*ret_mode = mode;
	return true;
}

/* Options that no bound of the table can check. */
static bool check_options(const struct daemon *d)
{
	const struct daemon_options *o = d->options;
	const char *name = d->program->name;
	enum log_level level;
	unsigned mode;

	if (!log_level_parse(o->log_level, &level)) {
		fprintf(stderr,
			"%s: log-level is '%s'; it takes error, warn, notice, info or debug\n",
			name, o->log_level);
		return false;
	}
	if (!daemon_control_mode(o, &mode)) {
		fprintf(stderr, "%s: control-mode is %lld; it takes an octal mode, as 660\n", name,
			(long long)o->control_mode);
		return false;
	}
	log_set_level(level);
	return true;
}

static bool open_log_file(const struct daemon *d)
{
	const char *path = d->options->log_file;
	int result = path[0] ? log_set_file(path) : 0;

	if (result)
		log_error("log file %s: %s", path, strerror(-result));
	return !result;
}

static bool take_state_folder(struct daemon *d)
{
	const char *folder = d->options->state_folder;
	_cleanup_(freep) char *lock = xasprintf("%s/lock", folder);
	pid_t pid = 0;
	int result = file_make_folder(folder, 0700);

	if (result) {
		log_error("state folder %s: %s; choose another one (--state) or run as root",
			  folder, strerror(-result));
		return false;
	}
	result = file_lock(lock, &d->lock_fd, &pid);
	if (result == -EBUSY)
		log_error("state folder %s is used by process %d; two %s need two state folders "
			  "(--state)",
			  folder, (int)pid, d->program->name);
	else if (result)
		log_error("%s: %s", lock, strerror(-result));
	if (result)
		return false;
	result = file_sweep(folder);
	if (result)
		log_warn("state folder %s: cannot remove what a killed process left: %s", folder,
			 strerror(-result));
	return true;
}

static void on_stop(void *arg, int number)
{
	struct daemon *d = arg;

	log_info("stopping: %s", strsignal(number));
	loop_stop(d->loop);
}

static void on_hangup(void *arg, int number)
{
	struct daemon *d = arg;
	char state[96];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
		 (unsigned long long)(clock_monotonic_ns() / 1000));
	daemon_notify(state);
	open_log_file(d);
	if (d->on_reload)
		d->on_reload(d->arg);
	daemon_notify("READY=1");
}

int daemon_init_state(struct daemon *d, const struct conf_program *program, int argc, char **argv,
		      void *config, const struct daemon_options *options)
{
	*d = (struct daemon){.program = program, .options = options, .lock_fd = -1};
	switch (conf_load(program, argc, argv, config)) {
	case CONF_RUN:
		break;
	case CONF_CHECK:
		d->check_only = true;
		break;
	case CONF_EXIT:
		return 0;
	case CONF_FAILED:
		return STATUS_CONFIGURATION;
	}
	if (!check_options(d))
		return STATUS_CONFIGURATION;
	if (d->check_only)
		return -1;
	if (!open_log_file(d) || !take_state_folder(d))
		return STATUS_MACHINE;
	return -1;
}

int daemon_init_loop(struct daemon *d)
{
	static const int stops[] = {SIGTERM, SIGINT};

	d->loop = loop_new();
	if (d->check_only)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(stops); i++)
		d->signals[i] = loop_signal_new(d->loop, stops[i], on_stop, d);
	d->signals[2] = loop_signal_new(d->loop, SIGHUP, on_hangup, d);
	return -1;
}

int daemon_init(struct daemon *d, const struct conf_program *program, int argc, char **argv,
		void *config, const struct daemon_options *options)
{
	int status = daemon_init_state(d, program, argc, argv, config, options);

	return status >= 0 ? status : daemon_init_loop(d);
}

int daemon_check_done(struct daemon *d)
{
	printf("%s: the configuration is good\n", d->program->name);
	return 0;
}

static int give_state_folder(const struct daemon_options *o)
{
	unsigned uid, gid;
	int result;

	if (!o->user[0] || sandbox_user_possible(o->user))
		return 0;
	result = sandbox_user_find(o->user, &uid, &gid);
	if (!result)
		result = file_give_folder(o->state_folder, uid, gid);
	if (result)
		log_error("cannot give %s to user %s: %s", o->state_folder, o->user,
			  strerror(-result));
	return result;
}

/* Where SIGHUP opens it anew, also after it was renamed. A device is not renamed. */
static char *log_place(const struct daemon_options *o)
{
	struct stat st;

	if (!stat(o->log_file, &st) && !S_ISREG(st.st_mode))
		return xstrdup(o->log_file);
	return file_folder_of(o->log_file);
}

int daemon_give_up_rights(const struct daemon_options *o, enum sandbox_role_id role,
			  const struct sandbox_path *more, size_t more_count)
{
	_cleanup_(freep) char *control = file_folder_of(o->control);
	_cleanup_(freep) char *log = log_place(o);
	struct sandbox_path paths[3 + DAEMON_PATHS_MAX] = {
		{o->state_folder,
		 SANDBOX_READ | SANDBOX_LIST | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE},
		{control, SANDBOX_REMOVE}, /* the socket, at the end */
	};
	struct sandbox box = {.role = &sandbox_roles[role],
			      .user = o->user,
			      .paths = paths,
			      .paths_count = 2,
			      .no_filters = !o->sandbox};
	int result = give_state_folder(o);

	assert(more_count <= DAEMON_PATHS_MAX);
	if (result)
		return result;
	if (o->log_file[0])
		paths[box.paths_count++] = (struct sandbox_path){log, SANDBOX_WRITE | SANDBOX_MAKE};
	for (size_t i = 0; i < more_count; i++)
		paths[box.paths_count++] = more[i];
	return sandbox_enter(&box);
}

void daemon_run(struct daemon *d)
{
	daemon_notify("READY=1");
	loop_run(d->loop);
	daemon_notify("STOPPING=1");
}

void daemon_done(struct daemon *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(d->signals); i++) {
		loop_signal_free(d->signals[i]);
		d->signals[i] = NULL;
	}
	loop_free(d->loop);
	d->loop = NULL;
	file_unlock(d->lock_fd);
	d->lock_fd = -1;
	log_set_file(NULL);
}
