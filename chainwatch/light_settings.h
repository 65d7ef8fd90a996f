#ifndef CHAINWATCH_LIGHT_SETTINGS_H
#define CHAINWATCH_LIGHT_SETTINGS_H

/* Settings of `source = light`, and what is followed, which may grow while it runs. */

#include "chainwatch/source.h"

#include "os/conf.h"

enum { LIGHT_FOLLOWS_MAX = 256 };

struct light_settings {
	struct conf_list peer;
	char *proxy;
	int64_t peers;
	int64_t filter_peers;
	uint64_t peer_timeout_ms;
	bool mempool;
	struct conf_list follow;
	/* of follow, and of the file in the state folder */
	struct light_follow follows[LIGHT_FOLLOWS_MAX];
	size_t follow_count;
	const char *targets[LIGHT_TARGETS_MAX]; /* borrowed from peer */
	struct light_config config;
};

/* ID@HEIGHT. NULL, or what is wrong. */
const char *light_follow_parse(const char *text, struct light_follow *ret_follow);
/* Fills in what follows from the settings; False with the cause in ret_error. */
bool light_settings_complete(struct light_settings *settings, char *ret_error, size_t error_size);
/* Adds what was followed on the control socket in former runs. Logs what cannot be read. */
void light_settings_load(struct light_settings *settings, const char *state_folder);
/* Adds one and keeps it in the state folder. *ret_new: it was not there. 0, -ENOSPC or -errno of
 * the file. */
int light_settings_follow(struct light_settings *settings, const struct light_follow *follow,
			  const char *state_folder, bool *ret_new);

#endif
