#ifndef OS_DAEMON_H
#define OS_DAEMON_H

/* The start order that all daemons share: configuration, log, state folder and its lock, loop,
 * signals; then the daemon's own parts; then "ready". */

#include "os/conf.h"
#include "os/sandbox_roles.h"

#include <stdbool.h>
#include <stddef.h>

struct loop;

/* The options that every daemon has; put this struct in the configuration and its rows in the
 * table: DAEMON_OPTIONS(struct dnetd_config, daemon, "dnetd"). */
struct daemon_options {
	char *log_level;
	char *log_file;
	char *state_folder;
	char *control;	      /* path of the control socket */
	char *control_group;  /* may write there */
	int64_t control_mode; /* decimal digits of the octal mode, as 660 */
	char *user;	      /* to become */
	bool sandbox;
};

/* Rows for conf. state and control default to DNET_STATEDIR/NAME and DNET_RUNDIR/NAME.sock. */
/* clang-format off */
#define DAEMON_OPTIONS(type, member, name_) \
	{"", "log-level", CONF_STRING, "info", 0, 0, offsetof(type, member.log_level), \
	 "how much to log: error, warn, notice, info or debug"}, \
	{"", "log-file", CONF_PATH, NULL, 0, 0, offsetof(type, member.log_file), \
	 "also log to this file; SIGHUP opens it anew"}, \
	{"", "state", CONF_PATH, DNET_STATEDIR "/" name_, 0, 0, \
	 offsetof(type, member.state_folder), "folder of what must survive a restart"}, \
	{"", "control", CONF_PATH, DNET_RUNDIR "/" name_ ".sock", 0, 100, \
	 offsetof(type, member.control), "control socket"}, \
	{"", "control-group", CONF_STRING, NULL, 0, 0, offsetof(type, member.control_group), \
	 "group that may use the control socket"}, \
	{"", "control-mode", CONF_INT, "660", 0, 777, offsetof(type, member.control_mode), \
	 "file mode of the control socket"}, \
	{"", "user", CONF_STRING, NULL, 0, 0, offsetof(type, member.user), \
	 "user to become once everything is open; empty: stay"}, \
	{"", "sandbox", CONF_BOOL, "yes", 0, 0, offsetof(type, member.sandbox), \
	 "give up files and system calls that are not needed (Landlock, seccomp)"}
/* clang-format on */

struct daemon {
	const struct conf_program *program;
	const struct daemon_options *options; /* borrowed: inside the configuration */
	struct loop *loop;		      /* owned */
	bool check_only;		      /* -n */
	void (*on_reload)(void *arg); /* SIGHUP, after the log file is opened anew; may be NULL */
	void *arg;
	/* private */
	int lock_fd;
	struct loop_signal *signals[3];
};

/* Loads the configuration into config (all zero; options point into it), opens the log, makes and
 * locks the state folder (mode 0700), makes the loop, watches SIGTERM and SIGINT (stop the loop)
 * and SIGHUP, ignores SIGPIPE. Returns -1 to go on, or an exit status: 0 after --help and the like,
 * 2 for a bad configuration, 1 when the machine refused something; all has been said. With -n it
 * goes on with check_only set, without folder, lock and signals: the daemon checks what it can,
 * then calls daemon_check_done(). */
int daemon_init(struct daemon *d, const struct conf_program *program, int argc, char **argv,
		void *config, const struct daemon_options *options);
/* Says that the configuration is good; returns the exit status 0. */
int daemon_check_done(struct daemon *d);
/* For a process that forks before it has a loop (dnetd's root helper): daemon_init() made of two
 * steps, of which the second makes loop and signals. */
int daemon_init_state(struct daemon *d, const struct conf_program *program, int argc, char **argv,
		      void *config, const struct daemon_options *options);
int daemon_init_loop(struct daemon *d);
/* Gives the state folder to the user of the options and becomes that user in this role
 * (sandbox_enter()), with what the options name: state folder, folders of the log file and of the
 * control socket. more: what else the configuration names, up to DAEMON_PATHS_MAX. 0 or -errno,
 * logged; then the process must end. */
enum { DAEMON_PATHS_MAX = 68 };
int daemon_give_up_rights(const struct daemon_options *options, enum sandbox_role_id role,
			  const struct sandbox_path *more, size_t more_count);
/* For more: the folder of chain.db as who reads it needs it. SQLite makes and writes the index
 * beside it (-shm, -wal) where the user may; who may not is content with that of chainwatch. */
enum { DAEMON_READS_CHAINDB = SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE };
/* Tells the service manager (NOTIFY_SOCKET), then runs the loop until it is stopped; tells it
 * again. */
void daemon_run(struct daemon *d);
/* Frees loop, lock and log file; fine on what is half made. */
void daemon_done(struct daemon *d);

/* One datagram for the service manager as sd_notify(3) has it: "READY=1", "STATUS=…". False when
 * there is none, or it does not listen. */
bool daemon_notify(const char *state);

/* Octal value of control_mode; false when a digit is none. */
bool daemon_control_mode(const struct daemon_options *options, unsigned *ret_mode);

#endif
