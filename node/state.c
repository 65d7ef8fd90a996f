#include "node/state.h"

#include "core/secret.h"
#include "os/base.h"
#include "os/fetch.h"
#include "os/file.h"
#include "os/log.h"
#include "os/rand.h"
#include "service/lastgood.h"
#include "service/rosterkeep.h"
#include "service/statements.h"
#include "wire/bech32.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* master.key: 32 random bytes. node.json: {"format", "port", "dnets": [{"id", "number", "down",
 * "roster"}]}. copy-HEX.json, revoked-HEX.json: service/lastgood.h. */

enum { FORMAT = 1, NODE_FILE_MAX = 1 << 20 };

struct state {
	char *folder;
	struct secret *master; /* a page of its own, locked where allowed */
	uint16_t port;
	uint64_t time_s;
	struct state_dnet dnets[STATE_DNETS_MAX];
	size_t count;
};

static char *path_of(const struct state *s, const char *name)
{
	return xasprintf("%s/%s", s->folder, name);
}

static int make_master(struct state *s, const char *path, char error[static STATE_ERROR_MAX])
{
	rand_bytes(s->master->bytes, SECRET_LEN);
	int r = file_replace(path, s->master->bytes, SECRET_LEN, 0600);
	if (r < 0)
		snprintf(error, STATE_ERROR_MAX, "cannot write %s: %s", path, strerror(-r));
	else
		log_notice("made the master secret of this node: %s (keep a copy in a safe place)",
			   path);
	return r;
}

static int load_master(struct state *s, char error[static STATE_ERROR_MAX])
{
	s->master = mmap(NULL, sizeof(*s->master), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->master == MAP_FAILED) {
		s->master = NULL;
		snprintf(error, STATE_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	secret_lock(s->master, sizeof(*s->master));
	_cleanup_(freep) char *path = path_of(s, "master.key");
	_cleanup_(freep) char *data = NULL;
	size_t len;
	int r = file_read(path, SECRET_LEN, &data, &len);
	if (r == -ENOENT)
		return make_master(s, path, error);
	if (r == 0 && len == SECRET_LEN)
		memcpy(s->master->bytes, data, SECRET_LEN);
	if (r == 0)
		secret_wipe(data, len);
	if (r == 0 && len == SECRET_LEN)
		return 0;
	if (r < 0 && r != -EFBIG) {
		snprintf(error, STATE_ERROR_MAX, "cannot read %s: %s", path, strerror(-r));
		return r;
	}
	snprintf(error, STATE_ERROR_MAX,
		 "%s is damaged (not %d bytes): put your copy of it back, or remove it to begin "
		 "with a "
		 "new key, which owners have to add again",
		 path, SECRET_LEN);
	return -EBADMSG;
}

static struct state_dnet *find(const struct state *s, const struct object_id *id)
{
	for (size_t i = 0; i < s->count; i++) {
		if (object_id_equal(&s->dnets[i].id, id))
			return (struct state_dnet *)&s->dnets[i];
	}
	return NULL;
}

static bool number_is_used(const struct state *s, uint32_t number)
{
	for (size_t i = 0; i < s->count; i++) {
		if (s->dnets[i].number == number)
			return true;
	}
	return false;
}

static bool parse_dnet(const json_t *json, struct state_dnet *ret)
{
	const char *text = json_string_value(json_object_get(json, "id"));
	const json_t *number = json_object_get(json, "number");
	enum object_kind kind;
	struct state_dnet d = {.down = json_is_true(json_object_get(json, "down"))};
	if (!text || !object_id_parse(text, &kind, &d.id) || kind != OBJECT_DNET)
		return false;
	if (!json_is_integer(number) || json_integer_value(number) < 0 ||
	    json_integer_value(number) >= STATE_DNETS_MAX)
		return false;
	d.number = (uint32_t)json_integer_value(number);
	const char *roster = json_string_value(json_object_get(json, "roster"));
	if (roster && (strlen(roster) >= sizeof(d.roster) || !fetch_location_ok(roster)))
		return false;
	snprintf(d.roster, sizeof(d.roster), "%s", roster ? roster : "");
	*ret = d;
	return true;
}

static bool parse_node(struct state *s, const json_t *json)
{
	json_int_t port = json_integer_value(json_object_get(json, "port"));
	json_int_t time = json_integer_value(json_object_get(json, "time"));
	const json_t *dnets = json_object_get(json, "dnets");
	if (json_integer_value(json_object_get(json, "format")) != FORMAT || port < 0 ||
	    port > 65535 || time < 0 || !json_is_array(dnets) ||
	    json_array_size(dnets) > STATE_DNETS_MAX)
		return false;
	s->port = (uint16_t)port;
	s->time_s = (uint64_t)time;
	for (size_t i = 0; i < json_array_size(dnets); i++) {
		struct state_dnet d;
		/* Two of one number would be two of one interface. */
		if (!parse_dnet(json_array_get(dnets, i), &d) || find(s, &d.id) ||
		    number_is_used(s, d.number))
			return false;
		s->dnets[s->count++] = d;
	}
	return true;
}

static int load_node(struct state *s, char error[static STATE_ERROR_MAX])
{
	_cleanup_(freep) char *path = path_of(s, "node.json");
	_cleanup_(freep) char *data = NULL;
	size_t len;
	int r = file_read(path, NODE_FILE_MAX, &data, &len);
	if (r == -ENOENT)
		return 0;
	if (r < 0) {
		snprintf(error, STATE_ERROR_MAX, "cannot read %s: %s", path, strerror(-r));
		return r;
	}
	json_error_t where;
	json_t *json = json_loadb(data, len, JSON_REJECT_DUPLICATES, &where);
	bool good = json && parse_node(s, json);
	if (!good)
		snprintf(error, STATE_ERROR_MAX,
			 "%s:%d is damaged (%s): repair it, or remove it and join your dnets again",
			 path, json ? 1 : where.line, json ? "unknown content" : where.text);
	json_decref(json);
	return good ? 0 : -EBADMSG;
}

static int save_node(const struct state *s)
{
	json_t *dnets = json_array();
	for (size_t i = 0; i < s->count; i++) {
		char id[OBJECT_ID_TEXT_SIZE];
		object_id_format(OBJECT_DNET, &s->dnets[i].id, id);
		json_t *dnet = json_pack("{s:s, s:i, s:b}", "id", id, "number",
					 (int)s->dnets[i].number, "down", (int)s->dnets[i].down);
		if (s->dnets[i].roster[0])
			json_object_set_new(dnet, "roster", json_string(s->dnets[i].roster));
		json_array_append_new(dnets, dnet);
	}
	json_t *json = json_pack("{s:i, s:i, s:I, s:o}", "format", FORMAT, "port", (int)s->port,
				 "time", (json_int_t)s->time_s, "dnets", dnets);
	_cleanup_(freep) char *text = json ? json_dumps(json, JSON_INDENT(1)) : NULL;
	json_decref(json);
	if (!text)
		return -ENOMEM;
	_cleanup_(freep) char *path = path_of(s, "node.json");
	return file_replace(path, text, strlen(text), 0600);
}

int state_open(const char *folder, struct state **ret_state, char error[static STATE_ERROR_MAX])
{
	struct state *s = xcalloc(1, sizeof(*s));
	s->folder = xstrdup(folder);
	int r = load_master(s, error);
	if (r == 0)
		r = load_node(s, error);
	if (r < 0) {
		state_close(s);
		return r;
	}
	*ret_state = s;
	return 0;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	if (s->master) {
		secret_wipe(s->master, sizeof(*s->master));
		munmap(s->master, sizeof(*s->master));
	}
	free(s->folder);
	free(s);
}

const char *state_folder(const struct state *s)
{
	return s->folder;
}

const struct secret *state_master(const struct state *s)
{
	return s->master;
}

uint16_t state_port(const struct state *s)
{
	return s->port;
}

int state_set_port(struct state *s, uint16_t port)
{
	uint16_t before = s->port;
	if (port == before)
		return 0;
	s->port = port;
	int r = save_node(s);
	if (r < 0)
		s->port = before;
	return r;
}

uint64_t state_time(const struct state *s)
{
	return s->time_s;
}

int state_set_time(struct state *s, uint64_t seconds)
{
	uint64_t before = s->time_s;
	s->time_s = seconds;
	int r = save_node(s);
	if (r < 0)
		s->time_s = before;
	return r;
}

size_t state_dnet_count(const struct state *s)
{
	return s->count;
}

const struct state_dnet *state_dnet_at(const struct state *s, size_t i)
{
	return &s->dnets[i];
}

const struct state_dnet *state_find(const struct state *s, const struct object_id *id)
{
	return find(s, id);
}

int state_add(struct state *s, const struct object_id *id, const char *roster)
{
	if (find(s, id))
		return -EEXIST;
	if (s->count == STATE_DNETS_MAX)
		return -EUSERS; /* not -ENOSPC: the disk may say that */
	uint32_t number = 0;
	while (number_is_used(s, number))
		number++;
	struct state_dnet *d = &s->dnets[s->count++];
	*d = (struct state_dnet){.id = *id, .number = number};
	snprintf(d->roster, sizeof(d->roster), "%s", roster);
	int r = save_node(s);
	if (r < 0)
		s->count--;
	return r;
}

int state_remove(struct state *s, const struct object_id *id)
{
	struct state_dnet *d = find(s, id);
	if (!d)
		return -ENOENT;
	struct state_dnet before[STATE_DNETS_MAX];
	size_t i = (size_t)(d - s->dnets);
	memcpy(before, s->dnets, sizeof(before));
	memmove(d, d + 1, (s->count - i - 1) * sizeof(*d));
	s->count--;
	int r = save_node(s);
	if (r < 0) {
		memcpy(s->dnets, before, sizeof(before));
		s->count++;
		return r;
	}
	lastgood_remove_copy(s->folder, id);
	rosterkeep_remove(s->folder, id);
	statements_remove(s->folder, id);
	return 0;
}

int state_set_down(struct state *s, const struct object_id *id, bool down)
{
	struct state_dnet *d = find(s, id);
	if (!d)
		return -ENOENT;
	if (d->down == down)
		return 0;
	d->down = down;
	int r = save_node(s);
	if (r < 0)
		d->down = !down;
	return r;
}
