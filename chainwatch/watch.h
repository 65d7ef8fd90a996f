#ifndef CHAINWATCH_WATCH_H
#define CHAINWATCH_WATCH_H

/* The daemon: the loop serves the control socket and decides when to look, a worker thread does one
 * step of the chain at a time, and what it reports is published. */

#include "chainwatch/chain.h"
#include "chainwatch/feed.h"
#include "chainwatch/light_settings.h"
#include "chainwatch/sources.h"

#include "os/conf.h"
#include "os/ctl.h"
#include "os/daemon.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

struct chainwatch_config {
	struct daemon_options daemon;
	char *chain;
	char *chain_file;
	struct conf_list source;
	char *rpc_url;
	char *rpc_user;
	char *rpc_password;
	char *rpc_cookie;
	uint64_t rpc_timeout_ms;
	uint64_t source_return_ms;
	struct conf_list zmq;
	uint64_t poll_ms;
	uint64_t poll_zmq_ms;
	int64_t birth_height; /* 0: the profile's */
	int64_t keep_headers;
	char *db;
	struct light_settings light;
	char *cover_path;	    /* owned; with source = light */
	struct source_list sources; /* of source, or of rpc-url and what belongs to it */
};

/* A transaction that a client of the control socket wants sent. */
struct watch_submit {
	TAILQ_ENTRY(watch_submit) next;
	struct ctl_request *request; /* answered once */
	uint8_t *raw;		     /* owned */
	size_t len;
	int result;
	struct hash256 txid;
	char error[512];
};

TAILQ_HEAD(watch_submits, watch_submit);

enum { WATCH_SUBMITS_MAX = 64, WATCH_SUBMIT_BYTES_MAX = 400000 };

struct watch {
	const struct chainwatch_config *config; /* borrowed */
	struct loop *loop;			/* borrowed */
	struct chain *chain;			/* owned; the worker's while busy */
	struct feed *feed;			/* owned; NULL without ZMQ */
	struct ctl_server *ctl;			/* owned */
	struct loop_timer *timer;		/* owned; the next look */
	struct watch_submits submits;		/* wait for the worker */
	struct watch_submits running;		/* the worker's while busy */
	size_t submit_count;
	uv_work_t work;
	bool busy;  /* the worker has the chain */
	bool again; /* something happened meanwhile */
	atomic_bool stop;
	uint64_t started_ns; /* of the step that runs or ran last */
	uint64_t step_ns;    /* it took */
	uint64_t back_off_ms;
	struct chain_report running_report; /* the worker's while busy */
	struct chain_report report;	    /* after the last step */
	/* What is followed, of a source that has to be told. */
	struct light_settings *light; /* borrowed; NULL: it reads everything */
	bool follows_new;	      /* the next step has to know them… */
	bool running_follows;	      /* …and this one is told: a copy, the worker's while busy */
	struct light_follow told[LIGHT_FOLLOWS_MAX];
	size_t told_count;
	json_t *source_status;	       /* owned; NULL: none */
	json_t *running_source_status; /* owned; the worker's while busy */
	char last_error[512];	       /* the last one there was, with its time */
	uint64_t last_error_s;
};

extern const struct ctl_command watch_commands[];
extern const size_t watch_commands_count;
extern const char *const watch_topics[];

/* chain is taken over. */
void watch_init(struct watch *w, const struct chainwatch_config *config, struct loop *loop,
		struct chain *chain);
/* Waits for a step that runs. */
void watch_done(struct watch *w);
/* Looks at the chain now, or as soon as the worker is free. */
void watch_look(void *arg);

#endif
