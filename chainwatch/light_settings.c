#include "chainwatch/light_settings.h"

#include "chainwatch/p2p_net.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "wire/bech32.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = LIGHT_FOLLOWS_MAX * 64, LINE_MAX_ = 80 };

const char *light_follow_parse(const char *text, struct light_follow *ret)
{
	struct light_follow follow;
	const char *at = strchr(text, '@');
	char id[OBJECT_ID_TEXT_SIZE];
	unsigned long height;
	char *end;

	if (!at || (size_t)(at - text) >= sizeof(id))
		return "it looks like dnet1…@HEIGHT, with the height of the block that made it";
	memcpy(id, text, (size_t)(at - text));
	id[at - text] = '\0';
	if (!object_id_parse(id, &follow.kind, &follow.object))
		return "that is not the id of a dnet, an OVC or an OVR";
	height = strtoul(at + 1, &end, 10);
	if (at[1] < '1' || at[1] > '9' || *end || height > INT32_MAX)
		return "the height is not a number of a block";
	follow.height = (uint32_t)height;
	*ret = follow;
	return NULL;
}

static bool is_same(const struct light_follow *a, const struct light_follow *b)
{
	return a->kind == b->kind && a->height == b->height &&
	       object_id_equal(&a->object, &b->object);
}

static int add(struct light_settings *s, const struct light_follow *follow, bool *ret_new)
{
	for (size_t i = 0; i < s->follow_count; i++)
		if (is_same(&s->follows[i], follow))
			return 0;
	if (s->follow_count == LIGHT_FOLLOWS_MAX)
		return -ENOSPC;
	s->follows[s->follow_count++] = *follow;
	s->config.follow_count = s->follow_count;
	*ret_new = true;
	return 0;
}

/* One setting: several, with commas between them. */
static bool add_list(struct light_settings *s, const char *text, char *error, size_t error_size)
{
	_cleanup_(freep) char *copy = xstrdup(text);
	struct light_follow follow;
	char *save = NULL;
	const char *wrong;
	bool is_new;

	for (char *word = strtok_r(copy, ", ", &save); word; word = strtok_r(NULL, ", ", &save)) {
		wrong = light_follow_parse(word, &follow);
		if (wrong) {
			snprintf(error, error_size, "follow '%.80s': %s", word, wrong);
			return false;
		}
		if (add(s, &follow, &is_new)) {
			snprintf(error, error_size, "follow names more than %d", LIGHT_FOLLOWS_MAX);
			return false;
		}
	}
	return true;
}

bool light_settings_complete(struct light_settings *s, char *error, size_t error_size)
{
	static const char scheme[] = "socks5://";
	const char *proxy = s->proxy;
	struct p2p_target target;

	if (s->peer.count > LIGHT_TARGETS_MAX) {
		snprintf(error, error_size, "peer names more than %d", LIGHT_TARGETS_MAX);
		return false;
	}
	for (size_t i = 0; i < s->peer.count; i++) {
		s->targets[i] = s->peer.items[i];
		if (!p2p_target_parse(s->targets[i], 1, &target)) {
			snprintf(error, error_size, "peer '%.80s' is not HOST or HOST:PORT",
				 s->targets[i]);
			return false;
		}
	}
	if (proxy[0] && strncmp(proxy, scheme, strlen(scheme)) == 0)
		proxy += strlen(scheme);
	else if (strstr(proxy, "://")) {
		snprintf(error, error_size, "proxy '%.80s' is not socks5://ADDRESS:PORT", proxy);
		return false;
	}
	for (size_t i = 0; i < s->follow.count; i++)
		if (!add_list(s, s->follow.items[i], error, error_size))
			return false;
	s->config = (struct light_config){
		.targets = s->targets,
		.target_count = s->peer.count,
		.proxy = proxy,
		.peers = (unsigned)s->peers,
		.filters = (unsigned)s->filter_peers,
		.mempool = s->mempool,
		.timeout_ms = s->peer_timeout_ms,
		.follows = s->follows,
		.follow_count = s->follow_count,
	};
	return true;
}

static char *file_of(const char *state_folder)
{
	return xasprintf("%s/follow", state_folder);
}

void light_settings_load(struct light_settings *s, const char *state_folder)
{
	_cleanup_(freep) char *path = file_of(state_folder);
	_cleanup_(freep) char *text = NULL;
	char error[200], *save = NULL;
	int result = file_read(path, FILE_MAX, &text, NULL);

	if (result == -ENOENT)
		return;
	if (result) {
		log_warn("%s: %s", path, strerror(-result));
		return;
	}
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (!add_list(s, line, error, sizeof(error)))
			log_warn("%s: %s", path, error);
}

int light_settings_follow(struct light_settings *s, const struct light_follow *follow,
			  const char *state_folder, bool *ret_new)
{
	_cleanup_(freep) char *path = file_of(state_folder);
	_cleanup_(freep) char *text = xcalloc(1, FILE_MAX + LINE_MAX_);
	char id[OBJECT_ID_TEXT_SIZE];
	size_t len = 0;
	int result;

	*ret_new = false;
	result = add(s, follow, ret_new);
	if (result || !*ret_new)
		return result;
	for (size_t i = 0; i < s->follow_count && len < FILE_MAX; i++) {
		object_id_format(s->follows[i].kind, &s->follows[i].object, id);
		len += (size_t)snprintf(text + len, LINE_MAX_, "%s@%u\n", id, s->follows[i].height);
	}
	result = file_replace(path, text, len, 0600);
	if (result) {
		s->follow_count--;
		s->config.follow_count = s->follow_count;
		*ret_new = false;
	}
	return result;
}
