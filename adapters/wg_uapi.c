#include "adapters/wg_uapi.h"

#include "adapters/wireguard.h"
#include "os/base.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- Requests ---- */

struct text {
	char *bytes;
	size_t len, room;
};

/* One line. What grows leaves no copy of a secret behind. */
static _printf_(2, 3) void line(struct text *t, const char *format, ...)
{
	va_list args;
	if (t->room - t->len < WG_UAPI_LINE_MAX) {
		struct text grown = {.room = MAX(2 * t->room, (size_t)1024), .len = t->len};
		grown.bytes = xmalloc(grown.room);
		if (t->len)
			memcpy(grown.bytes, t->bytes, t->len);
		secret_wipe(t->bytes, t->len);
		free(t->bytes);
		*t = grown;
	}
	va_start(args, format);
	t->len += (size_t)vsnprintf(t->bytes + t->len, t->room - t->len, format, args);
	va_end(args);
	t->bytes[t->len++] = '\n';
}

static void key_line(struct text *t, const char *name, const uint8_t key[WG_KEY_LEN])
{
	char hex[2 * WG_KEY_LEN + 1];
	hex_format(key, WG_KEY_LEN, hex);
	line(t, "%s=%s", name, hex);
	secret_wipe(hex, sizeof(hex));
}

static char *finish(struct text *t, size_t *ret_len)
{
	line(t, "%s", "");
	t->bytes[t->len] = '\0';
	*ret_len = t->len;
	return t->bytes;
}

static void change_lines(struct text *t, const struct wg_change *change)
{
	const struct wg_peer *peer = change->peer;
	char prefix[PREFIX_TEXT_MAX], endpoint[ENDPOINT_TEXT_MAX];
	key_line(t, "public_key", peer->key);
	if (change->remove) {
		line(t, "remove=true");
		return;
	}
	if (!change->add)
		line(t, "update_only=true"); /* one that is no longer there stays away */
	if (change->endpoint)
		line(t, "endpoint=%s", endpoint_format(&peer->endpoint, endpoint));
	if (change->keepalive)
		line(t, "persistent_keepalive_interval=%u", peer->keepalive_s);
	if (!change->allowed)
		return;
	line(t, "replace_allowed_ips=true");
	for (size_t i = 0; i < peer->allowed_count && i < WG_ALLOWED_MAX; i++)
		line(t, "allowed_ip=%s", prefix_format(&peer->allowed[i], prefix));
}

char *wg_uapi_get_request(size_t *ret_len)
{
	struct text t = {0};
	line(&t, "get=1");
	return finish(&t, ret_len);
}

char *wg_uapi_set_request(const struct wg_set *set, size_t *ret_len)
{
	struct text t = {0};
	line(&t, "set=1");
	if (set->private_key)
		key_line(&t, "private_key", set->private_key);
	if (set->port)
		line(&t, "listen_port=%u", set->port);
	for (size_t i = 0; i < set->count; i++)
		change_lines(&t, &set->changes[i]);
	return finish(&t, ret_len);
}

/* ---- Answers ---- */

void wg_uapi_answer_init(struct wg_uapi_answer *a)
{
	memset(a, 0, sizeof(*a));
}

void wg_uapi_answer_done(struct wg_uapi_answer *a)
{
	wg_config_done(&a->config);
	secret_wipe(a, sizeof(*a));
}

/* Decimal, nothing around it. */
static bool parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 19 || text[digits] != '\0')
		return false;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	if (number > max)
		return false;
	*ret_number = number;
	return true;
}

static bool read_error(struct wg_uapi_answer *a, const char *value)
{
	uint64_t number;
	bool negative = value[0] == '-';
	if (a->has_error || !parse_number(value + negative, INT32_MAX, &number))
		return false;
	a->has_error = true;
	a->error = (int)number;
	return true;
}

static bool end_peer(struct wg_uapi_answer *a)
{
	if (!a->has_peer)
		return true;
	if (a->config.peer_count == WG_UAPI_PEERS_MAX)
		return false;
	wg_config_add(&a->config, &a->peer);
	a->has_peer = false;
	return true;
}

static bool begin_peer(struct wg_uapi_answer *a, const char *value)
{
	if (!end_peer(a))
		return false;
	memset(&a->peer, 0, sizeof(a->peer));
	a->has_peer = true;
	return hex_parse(value, a->peer.key, WG_KEY_LEN);
}

static bool read_device(struct wg_uapi_answer *a, const char *key, const char *value)
{
	uint64_t number;
	if (strcmp(key, "private_key") == 0)
		return hex_parse(value, a->config.private_key, WG_KEY_LEN);
	if (strcmp(key, "listen_port") == 0) {
		if (!parse_number(value, UINT16_MAX, &number))
			return false;
		a->config.port = (uint16_t)number;
	}
	return true;
}

/* One that is none of ours counts all the same: it is too much. */
static void read_allowed(struct wg_peer *peer, const char *value)
{
	struct prefix prefix;
	if (peer->allowed_count >= WG_ALLOWED_MAX || !prefix_parse(value, &prefix))
		peer->allowed_count = WG_ALLOWED_MAX + 1;
	else
		peer->allowed[peer->allowed_count++] = prefix;
}

static bool read_peer(struct wg_peer *peer, const char *key, const char *value)
{
	uint64_t number;
	if (strcmp(key, "endpoint") == 0) {
		/* One with a scope is none that we could name again. */
		if (!endpoint_parse(value, &peer->endpoint))
			peer->endpoint = (struct endpoint){0};
	} else if (strcmp(key, "allowed_ip") == 0) {
		read_allowed(peer, value);
	} else if (strcmp(key, "persistent_keepalive_interval") == 0) {
		if (!parse_number(value, UINT16_MAX, &number))
			return false;
		peer->keepalive_s = (uint16_t)number;
	} else if (strcmp(key, "rx_bytes") == 0) {
		return parse_number(value, UINT64_MAX, &peer->rx_bytes);
	} else if (strcmp(key, "tx_bytes") == 0) {
		return parse_number(value, UINT64_MAX, &peer->tx_bytes);
	} else if (strcmp(key, "last_handshake_time_sec") == 0) {
		return parse_number(value, UINT64_MAX, &peer->handshake_s);
	}
	return true;
}

static bool read_line(struct wg_uapi_answer *a)
{
	char *equals = strchr(a->line, '=');
	if (!equals || a->has_error || memchr(a->line, '\0', a->line_len))
		return false;
	*equals = '\0';
	if (strcmp(a->line, "errno") == 0)
		return read_error(a, equals + 1);
	if (strcmp(a->line, "public_key") == 0)
		return begin_peer(a, equals + 1);
	if (a->has_peer)
		return read_peer(&a->peer, a->line, equals + 1);
	return read_device(a, a->line, equals + 1);
}

static enum wg_uapi_result end_line(struct wg_uapi_answer *a)
{
	a->line[a->line_len] = '\0';
	if (a->line_len > 0) {
		bool good = read_line(a);
		a->line_len = 0;
		return good ? WG_UAPI_MORE : WG_UAPI_MALFORMED;
	}
	if (!a->has_error || !end_peer(a))
		return WG_UAPI_MALFORMED;
	wg_config_sort(&a->config);
	return WG_UAPI_DONE;
}

enum wg_uapi_result wg_uapi_read(struct wg_uapi_answer *a, const char *bytes, size_t len,
				 size_t *ret_used)
{
	for (size_t i = 0; i < len; i++) {
		*ret_used = i + 1;
		if (bytes[i] == '\n') {
			enum wg_uapi_result result = end_line(a);
			if (result != WG_UAPI_MORE)
				return result;
		} else if (a->line_len == WG_UAPI_LINE_MAX) {
			return WG_UAPI_MALFORMED;
		} else {
			a->line[a->line_len++] = bytes[i];
		}
	}
	*ret_used = len;
	return WG_UAPI_MORE;
}
