#include "service/chain.h"

#include "core/chainparams.h"
#include "os/base.h"
#include "os/chaindb.h"
#include "os/ctl.h"
#include "os/log.h"
#include "os/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* chain.db is asked at each tick whether it moved. Whatever goes wrong closes it, is said once, and
 * the next tick tries again; the file is also opened anew when another one has its name (chainwatch
 * was set up afresh). */

/* Packets wait as long: the loop is the data path. */
enum { BUSY_MS = 10, AGAIN_TICKS = 5 };

struct chain {
	struct chain_config config;
	void (*changed)(void *arg);
	void *arg;
	struct loop_timer *timer;  /* owned */
	struct ctl_client *client; /* owned; NULL: no control socket configured */
	struct chaindb *db;	   /* owned; NULL: not open */
	dev_t device;		   /* of the open file */
	ino_t inode;
	bool have_tip;
	bool again; /* a reading failed, or another file: the next look tells of a change even if
		       there is none */
	unsigned again_ticks; /* until changed() is called for chain_look_again(); 0: not wanted */
	struct chaindb_tip tip;
	char db_error[CHAIN_ERROR_MAX];
	char watch_error[CHAIN_ERROR_MAX];
	char node_error[CHAIN_ERROR_MAX]; /* as chainwatch tells it */
};

static void close_db(struct chain *c)
{
	chaindb_close(c->db);
	c->db = NULL;
}

static void set_error(struct chain *c, const char *error)
{
	if (strcmp(c->db_error, error) == 0)
		return;
	if (*error)
		log_warn("%s; the last known state stays in force", error);
	else
		log_info("%s is readable again", c->config.path);
	snprintf(c->db_error, sizeof(c->db_error), "%s", error);
}

/* Taken away, or replaced by another one. */
static bool is_other_file(const struct chain *c)
{
	struct stat st;
	return stat(c->config.path, &st) < 0 || st.st_dev != c->device || st.st_ino != c->inode;
}

static bool open_db(struct chain *c)
{
	if (c->db && is_other_file(c))
		close_db(c);
	if (c->db)
		return true;
	char error[CHAINDB_ERROR_MAX];
	struct stat st;
	if (chaindb_open(c->config.path, BUSY_MS, &c->db, error) < 0) {
		c->db = NULL;
		set_error(c, error);
		return false;
	}
	c->again = true; /* its numbers may be those of the one before */
	if (stat(c->config.path, &st) == 0) {
		c->device = st.st_dev;
		c->inode = st.st_ino;
	}
	return true;
}

static void look(struct chain *c)
{
	struct chaindb_tip tip = {0};
	if (!open_db(c))
		return;
	int r = chaindb_tip(c->db, &tip);
	if (r == -ENOENT) {
		char text[CHAIN_ERROR_MAX];
		snprintf(text, sizeof(text),
			 "%s has no block yet: chainwatch is still at the beginning",
			 c->config.path);
		set_error(c, text);
		return;
	}
	if (r < 0) {
		set_error(c, chaindb_error(c->db));
		if (r != -EBUSY)
			close_db(c);
		return;
	}
	set_error(c, "");
	bool moved = c->again || !c->have_tip || tip.height != c->tip.height ||
		     tip.change != c->tip.change ||
		     memcmp(&tip.hash, &c->tip.hash, sizeof(tip.hash)) != 0;
	c->tip = tip;
	c->have_tip = true;
	c->again = false;
	if (moved)
		c->changed(c->arg);
}

static void on_tick(void *arg)
{
	struct chain *c = arg;
	look(c);
	if (c->again_ticks && --c->again_ticks == 0)
		c->changed(c->arg);
}

static void on_state(void *arg, bool connected, const struct ctl_error *error)
{
	struct chain *c = arg;
	if (connected) {
		if (c->watch_error[0])
			log_info("chainwatch is back");
		c->watch_error[0] = '\0';
		look(c);
		return;
	}
	snprintf(c->watch_error, sizeof(c->watch_error),
		 "chainwatch does not answer at %s (%s): start it, or set chainwatch",
		 c->config.control, error->message);
	c->node_error[0] = '\0'; /* who is not there says nothing of the chain node */
	log_warn("%s; the last known state stays in force", c->watch_error);
}

/* "" or NULL: it is over. */
static void take_trouble(struct chain *c, const char *text)
{
	snprintf(c->node_error, sizeof(c->node_error), "%s%s",
		 text && *text ? "chainwatch says: " : "", text ? text : "");
}

static void on_event(void *arg, const char *topic, json_t *value)
{
	if (strcmp(topic, "trouble") == 0)
		take_trouble(arg, json_string_value(json_object_get(value, "text")));
	else
		look(arg); /* the value only says when */
}

struct chain *chain_new(struct loop *loop, const struct chain_config *config,
			void (*changed)(void *arg), void *arg)
{
	static const struct ctl_client_events events = {.on_state = on_state, .on_event = on_event};
	struct chain *c = xcalloc(1, sizeof(*c));
	c->config = *config;
	c->changed = changed;
	c->arg = arg;
	c->timer = loop_timer_new(loop, on_tick, c);
	loop_timer_every(c->timer, CHAIN_POLL_MS);
	if (config->control[0]) {
		c->client = ctl_client_new(loop, config->control, &events, c);
		ctl_client_subscribe(c->client, "height");
		ctl_client_subscribe(c->client, "trouble");
	}
	look(c);
	return c;
}

void chain_free(struct chain *c)
{
	if (!c)
		return;
	ctl_client_free(c->client);
	loop_timer_free(c->timer);
	close_db(c);
	free(c);
}

struct chain_status chain_status(const struct chain *c)
{
	struct chain_status status = {.readable = c->db && c->db_error[0] == '\0'};
	if (c->have_tip) {
		status.height = c->tip.height;
		status.time_s = c->tip.time;
	}
	if (c->db_error[0])
		status.error = c->db_error;
	else if (c->watch_error[0])
		status.error = c->watch_error;
	else if (c->node_error[0])
		status.error = c->node_error;
	return status;
}

void chain_look_again(struct chain *c)
{
	if (!c->again_ticks)
		c->again_ticks = AGAIN_TICKS;
}

uint64_t chain_change(const struct chain *c)
{
	return c->tip.change;
}

struct reading {
	struct record_row *rows;
	size_t row_count, row_room;
	struct netmap_revocation *revocations;
	size_t revocation_count, revocation_room;
};

static int take_row(void *arg, const struct record_row *row)
{
	struct reading *r = arg;
	if (r->row_count == INPUT_ROWS_MAX)
		return -EFBIG;
	if (r->row_count == r->row_room) {
		r->row_room = MAX(r->row_room * 2, 64u);
		r->rows = xrealloc(r->rows, r->row_room * sizeof(*r->rows));
	}
	r->rows[r->row_count++] = *row;
	return 0;
}

static int take_revocation(void *arg, const struct chaindb_revocation *revocation)
{
	struct reading *r = arg;
	if (r->revocation_count == INPUT_REVOCATIONS_MAX)
		return -EFBIG;
	if (r->revocation_count == r->revocation_room) {
		r->revocation_room = MAX(r->revocation_room * 2, 16u);
		r->revocations =
			xrealloc(r->revocations, r->revocation_room * sizeof(*r->revocations));
	}
	struct netmap_revocation *to = &r->revocations[r->revocation_count++];
	*to = (struct netmap_revocation){.object = revocation->object,
					 .type = revocation->type,
					 .subject_len = revocation->subject_len,
					 .sequence = revocation->sequence,
					 .position = revocation->position,
					 .txid = revocation->txid};
	memcpy(to->subject, revocation->subject, sizeof(to->subject));
	return 0;
}

static uint32_t confirm_depth(const struct chain *c, const struct chaindb_tip *tip)
{
	if (c->config.confirm)
		return c->config.confirm;
	const struct chainparams *params = chainparams_find(tip->chain);
	return params ? params->confirm : 6;
}

/* Too many rows are too many until something changes; all else is tried again. */
static void reading_failed(struct chain *c, int error)
{
	if (error == -EFBIG) {
		log_limited(
			LOG_LEVEL_ERROR, 6,
			"%s has more than %d records of one dnet or grants of ours: they are not "
			"taken over, the last known state stays in force",
			c->config.path, INPUT_ROWS_MAX);
		return;
	}
	set_error(c, chaindb_error(c->db));
	c->again = true;
}

int chain_read(struct chain *c, const struct object_id *dnet, struct netmap_input *ret_input)
{
	struct reading reading = {0};
	struct chaindb_tip tip;
	if (!c->db)
		return -ENOENT;
	int r = chaindb_begin(c->db);
	if (r == 0)
		r = chaindb_tip(c->db, &tip);
	if (r == 0)
		r = chaindb_visit_dnet(c->db, dnet, take_row, &reading);
	if (r == 0)
		r = chaindb_visit_revocations(c->db, dnet, take_revocation, &reading);
	if (r < 0)
		reading_failed(c, r);
	chaindb_end(c->db);
	if (r < 0) {
		free(reading.rows);
		free(reading.revocations);
		return r;
	}
	*ret_input = (struct netmap_input){.id = *dnet,
					   .rows = reading.rows,
					   .row_count = reading.row_count,
					   .revocations = reading.revocations,
					   .revocation_count = reading.revocation_count,
					   .tip_height = tip.height,
					   .confirm = confirm_depth(c, &tip)};
	return 0;
}

void input_free(struct netmap_input *input)
{
	free((void *)input->rows);
	free((void *)input->revocations);
	*input = (struct netmap_input){0};
}

struct granted {
	struct object_id *dnets;
	size_t count, room;
};

static int take_granted(void *arg, const struct record_row *row)
{
	struct granted *g = arg;
	for (size_t i = 0; i < g->count; i++) {
		if (object_id_equal(&g->dnets[i], &row->record.grant.dnet))
			return 0;
	}
	if (g->count == INPUT_ROWS_MAX)
		return -EFBIG;
	if (g->count == g->room) {
		g->room = MAX(g->room * 2, 16u);
		g->dnets = xrealloc(g->dnets, g->room * sizeof(*g->dnets));
	}
	g->dnets[g->count++] = row->record.grant.dnet;
	return 0;
}

int chain_read_granted(struct chain *c, const struct object_id *helper,
		       struct object_id **ret_dnets, size_t *ret_count)
{
	struct granted granted = {0};
	if (!c->db)
		return -ENOENT;
	int r = chaindb_visit_grants(c->db, helper, take_granted, &granted);
	if (r < 0) {
		reading_failed(c, r);
		free(granted.dnets);
		return r;
	}
	*ret_dnets = granted.dnets;
	*ret_count = granted.count;
	return 0;
}
