#include "cli/roster_ini_private.h"

#include "wire/bech32.h"
#include "wire/hex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Lines are taken in as they come, names as text: what a name means is known at the end
 * (roster_resolve.c). */

static const char separators[] = " \t,";

bool ini_fail(struct compile *c, unsigned line, const char *format, ...)
{
	va_list args;

	if (c->why[0])
		return false;
	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	c->error_line = line;
	return false;
}

/* One more of a list that grows; all zero. */
void *ini_grow(void **list, size_t *count, size_t *room, size_t size)
{
	void *at;

	if (*count == *room) {
		*room = *room ? *room * 2 : 16;
		*list = xrealloc(*list, *room * size);
	}
	at = (uint8_t *)*list + (*count)++ * size;
	return memset(at, 0, size);
}

static void words_add(struct words *words, unsigned line, const char *value)
{
	_cleanup_(freep) char *copy = xstrdup(value);
	char *rest = NULL;

	for (char *text = strtok_r(copy, separators, &rest); text;
	     text = strtok_r(NULL, separators, &rest)) {
		struct word *word = GROW(words->list, words->count, words->room);

		word->line = line;
		word->text = xstrdup(text);
	}
}

static void words_done(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->list[i].text);
	free(words->list);
}

/* ---- Values ---- */

bool ini_parse_key(struct compile *c, unsigned line, const char *text, struct node_key *ret)
{
	if (strlen(text) != 2 * PUBKEY_LEN || !hex_parse(text, ret->bytes, PUBKEY_LEN) ||
	    !node_key_well_formed(ret) || !c->env->key_valid(c->env->arg, ret))
		return ini_fail(c, line,
				"\"%.80s\" is not a key: 66 hex digits, as `dnet id` on the node "
				"prints it",
				text);
	return true;
}

/* "90d" from the time of issue on, a day, or a time (UTC). */
static bool parse_expiry(struct compile *c, unsigned line, const char *text, uint64_t *ret)
{
	static const char *const forms[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};
	uint64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = {0};
		const char *end = strptime(text, forms[i], &tm);
		time_t when;

		if (!end || *end)
			continue;
		when = timegm(&tm);
		if (when <= 0 || (uint64_t)when <= c->header.issued)
			return ini_fail(c, line, "%s has passed already", text);
		*ret = (uint64_t)when;
		return true;
	}
	if (!conf_parse_duration(text, &ms) || ms < 1000)
		return ini_fail(c, line,
				"\"%.80s\" is no time: 90d, 2027-01-31 or 2027-01-31T12:00:00Z",
				text);
	*ret = c->header.issued + ms / 1000;
	return true;
}

bool ini_parse_number(const char *text, unsigned long max, uint16_t *ret)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	if (*end || n > max)
		return false;
	*ret = (uint16_t)n;
	return true;
}

bool ini_parse_prefix(const char *text, struct prefix *ret)
{
	struct prefix p = {0};

	if (!prefix_parse(text, &p)) {
		if (!address_parse(text, &p.addr))
			return false;
		p.bits = (uint8_t)address_bits(&p.addr);
	}
	*ret = p;
	return true;
}

/* ---- Sections ---- */

static bool on_dnet(struct compile *c, unsigned line, const char *name, const char *value)
{
	struct object_id id;
	enum object_kind kind;

	if (!strcmp(name, "id")) {
		if (c->has_id)
			return ini_fail(c, line, "id is given twice");
		c->has_id = true;
		if (!object_id_parse(value, &kind, &id) || kind != OBJECT_DNET)
			return ini_fail(c, line, "\"%.80s\" is not the id of a dnet", value);
		return object_id_equal(&id, &c->header.dnet) ||
		       ini_fail(c, line,
				"this roster is of another dnet: name that one, or correct id");
	}
	if (!strcmp(name, "expires")) {
		if (c->has_expires)
			return ini_fail(c, line, "expires is given twice");
		c->has_expires = true;
		return parse_expiry(c, line, value, &c->header.expires);
	}
	return ini_fail(c, line, "[dnet] has id and expires, not \"%.40s\"", name);
}

static bool on_flags(struct compile *c, struct node *n, unsigned line, const char *value)
{
	struct words words = {0};
	bool ok = true;

	words_add(&words, line, value);
	for (size_t i = 0; i < words.count; i++) {
		if (!strcmp(words.list[i].text, "gateway"))
			n->entry.flags |= NODE_FLAG_GATEWAY;
		else if (!strcmp(words.list[i].text, "relay"))
			n->entry.flags |= NODE_FLAG_RELAY;
		else
			ok = ini_fail(c, line, "flags are gateway and relay, not \"%.40s\"",
				      words.list[i].text);
	}
	words_done(&words);
	return ok;
}

static bool on_address(struct compile *c, struct node *n, unsigned line, const char *value, bool v4)
{
	struct address *to = v4 ? &n->entry.ipv4 : &n->entry.ipv6;

	if (to->family)
		return ini_fail(c, line, "%s is given twice", v4 ? "ipv4" : "ipv6");
	if (!address_parse(value, to) || to->family != (v4 ? ADDR_V4 : ADDR_V6))
		return ini_fail(c, line, "\"%.80s\" is not an %s address", value,
				v4 ? "IPv4" : "IPv6");
	if (!v4 && to->bytes[0] != 0xfd)
		return ini_fail(c, line, "%.80s is not inside fd00::/8", value);
	n->entry.flags |= v4 ? NODE_FLAG_IPV4 : NODE_FLAG_IPV6;
	return true;
}

static bool on_node(struct compile *c, unsigned line, const char *name, const char *value)
{
	struct node *n = c->current;

	if (!strcmp(name, "key")) {
		if (n->has_key)
			return ini_fail(c, line, "key is given twice: two sections of one name?");
		n->has_key = true;
		return ini_parse_key(c, line, value, &n->entry.key);
	}
	if (!strcmp(name, "ipv4") || !strcmp(name, "ipv6"))
		return on_address(c, n, line, value, name[3] == '4');
	if (!strcmp(name, "groups")) {
		words_add(&n->groups, line, value);
		return true;
	}
	if (!strcmp(name, "flags"))
		return on_flags(c, n, line, value);
	if (!strcmp(name, "expires")) {
		if (n->entry.expires)
			return ini_fail(c, line, "expires is given twice");
		n->entry.flags |= ROSTER_FLAG_EXPIRES;
		return parse_expiry(c, line, value, &n->entry.expires);
	}
	return ini_fail(c, line,
			"[node] has key, ipv4, ipv6, groups, flags and expires, not \"%.40s\"",
			name);
}

static bool on_group(struct compile *c, unsigned line, const char *name, const char *value)
{
	struct group *g = c->current;

	if (strcmp(name, "members") != 0)
		return ini_fail(c, line, "[group] has members, not \"%.40s\"", name);
	words_add(&g->members, line, value);
	return true;
}

static void open_policy(struct compile *c, unsigned line, const char *name)
{
	char copy[RECORD_NAME_MAX + 1]; /* name may be in the list that grows */
	struct policy *p;

	snprintf(copy, sizeof(copy), "%s", name);
	p = GROW(c->policies, c->policy_count, c->policy_room);
	p->line = line;
	memcpy(p->name, copy, sizeof(p->name));
	c->current = p;
}

static bool on_policy(struct compile *c, unsigned line, const char *name, const char *value)
{
	struct policy *p = c->current;
	struct words *words = !strcmp(name, "from")    ? &p->from
			      : !strcmp(name, "to")    ? &p->to
			      : !strcmp(name, "allow") ? &p->allow
						       : NULL;

	/* another set of pairs under the same name */
	if (words == &p->from && p->allow.count) {
		open_policy(c, line, p->name);
		p = c->current;
		words = &p->from;
	}
	if (!words)
		return ini_fail(c, line, "[policy] has from, to and allow, not \"%.40s\"", name);
	words_add(words, line, value);
	return true;
}

static bool on_route(struct compile *c, unsigned line, const char *name, const char *value)
{
	struct route *r = c->current;

	if (!strcmp(name, "via")) {
		if (r->via)
			return ini_fail(c, line, "via is given twice");
		r->via = xstrdup(value);
		return true;
	}
	if (!strcmp(name, "priority"))
		return ini_parse_number(value, UINT16_MAX, &r->priority) ||
		       ini_fail(c, line, "priority is 0 to 65535, not \"%.40s\"", value);
	return ini_fail(c, line, "[route] has via and priority, not \"%.40s\"", name);
}

static bool on_dns(struct compile *c, unsigned line, const char *name, const char *value)
{
	struct dns *d = c->current;

	if (strcmp(name, "to") != 0)
		return ini_fail(c, line, "[name] has to, not \"%.40s\"", name);
	words_add(&d->to, line, value);
	return true;
}

struct node *ini_find_node(struct compile *c, const char *name)
{
	struct node *n;

	HASH_FIND_STR(c->nodes, name, n);
	return n;
}

struct node *ini_add_node(struct compile *c, const char *name, unsigned line)
{
	struct node *n = ini_find_node(c, name);

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	snprintf(n->entry.name, sizeof(n->entry.name), "%s", name);
	n->line = line;
	HASH_ADD_STR(c->nodes, entry.name, n);
	return n;
}

typedef bool on_value(struct compile *c, unsigned line, const char *name, const char *value);

/* What stands behind the kind of section: what it is about. */
static bool open_section(struct compile *c, unsigned line, const char *kind, const char *what)
{
	if (!strcmp(kind, "route")) {
		struct route *r = GROW(c->routes, c->route_count, c->route_room);

		r->line = line;
		c->current = r;
		return prefix_parse(what, &r->prefix) ||
		       ini_fail(c, line, "\"%.60s\" is not a prefix, as [route 10.9.0.0/24]", what);
	}
	if (!record_name_ok(what))
		return ini_fail(
			c, line,
			"\"%.60s\" is not a name: 1 to 32 of a-z, 0-9 and -, with no - at an end",
			what);
	if (!strcmp(kind, "node")) {
		if (!strcmp(what, "all"))
			return ini_fail(c, line,
					"a node cannot be called all: that means everybody");
		c->current = ini_add_node(c, what, line);
	} else if (!strcmp(kind, "group")) {
		struct group *g = GROW(c->groups, c->group_count, c->group_room);

		g->line = line;
		snprintf(g->name, sizeof(g->name), "%s", what);
		c->current = g;
	} else if (!strcmp(kind, "policy")) {
		open_policy(c, line, what);
	} else {
		struct dns *d = GROW(c->names, c->name_count, c->name_room);

		d->line = line;
		snprintf(d->name, sizeof(d->name), "%s", what);
		c->current = d;
	}
	return true;
}

static const char *on_pair(void *arg, unsigned line, const char *section, const char *name,
			   const char *value)
{
	static const struct {
		const char *kind;
		on_value *on;
	} kinds[] = {{"node", on_node},
		     {"group", on_group},
		     {"policy", on_policy},
		     {"route", on_route},
		     {"name", on_dns}};
	struct compile *c = arg;
	size_t len = strcspn(section, " \t");
	const char *what = section + len + strspn(section + len, " \t");

	if (!strcmp(section, "dnet")) {
		on_dnet(c, line, name, value);
		return c->why[0] ? c->why : NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].kind) != len || strncmp(kinds[i].kind, section, len) != 0)
			continue;
		if (strcmp(c->section, section) != 0) {
			snprintf(c->section, sizeof(c->section), "%s", section);
			if (!open_section(c, line, kinds[i].kind, what))
				return c->why;
		}
		kinds[i].on(c, line, name, value);
		return c->why[0] ? c->why : NULL;
	}
	ini_fail(c, line,
		 "there is no section [%.40s]: [dnet], [node NAME], [group NAME], [policy NAME], "
		 "[route PREFIX], [name NAME]",
		 section);
	return c->why;
}

static void compile_done(struct compile *c)
{
	struct node *n, *next;

	HASH_ITER(hh, c->nodes, n, next)
	{
		HASH_DEL(c->nodes, n);
		words_done(&n->groups);
		free(n);
	}
	for (size_t i = 0; i < c->group_count; i++)
		words_done(&c->groups[i].members);
	for (size_t i = 0; i < c->policy_count; i++) {
		words_done(&c->policies[i].from);
		words_done(&c->policies[i].to);
		words_done(&c->policies[i].allow);
	}
	for (size_t i = 0; i < c->route_count; i++)
		free(c->routes[i].via);
	for (size_t i = 0; i < c->name_count; i++)
		words_done(&c->names[i].to);
	free(c->groups);
	free(c->policies);
	free(c->routes);
	free(c->names);
	for (int i = 0; i < ROSTER_LISTS; i++)
		free(c->items[i].list);
}

int roster_ini_compile(const struct roster_ini_env *env, const char *file, const char *text,
		       size_t len, uint8_t **ret_body, size_t *ret_len,
		       char error[static CONF_ERROR_MAX])
{
	struct compile c = {.env = env, .header = env->header};
	int r = conf_visit_text(file, text, len, on_pair, &c, error);

	if (!r && !ini_resolve(&c, ret_body, ret_len)) {
		if (c.error_line)
			snprintf(error, CONF_ERROR_MAX, "%s:%u: %s", file, c.error_line, c.why);
		else
			snprintf(error, CONF_ERROR_MAX, "%s: %s", file, c.why);
		r = -EINVAL;
	}
	compile_done(&c);
	return r;
}
