#include "cli/keys.h"
#include "cli/names.h"
#include "cli/out.h"
#include "cli/publish.h"
#include "cli/roster_ini.h"
#include "cli/roster_members.h"
#include "cli/seal.h"
#include "core/chainparams.h"
#include "core/id.h"
#include "core/rosterfile.h"
#include "os/chaindb.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/rand.h"
#include "wire/hex.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The owner's policy: a text becomes a roster, which is signed, written to a file, and anchored.
 * What was published last is kept beside the keystore (KEYSTORE.HEX.roster), for the next sequence
 * and to compare with. */

static const struct arg_option check_options[] = {
	{"dnet", 'd', "DNET", "of this dnet, when the text has no id"},
	{0},
};

static const struct arg_option publish_roster_options[] = {
	{"dnet", 'd', "DNET", "of this dnet, when the text has no id"},
	{"encrypt", 0, NULL, "so that only members can read it"},
	{"new-psk", 0, NULL, "gives the members another PSK (with --encrypt)"},
	{"out", 'o', "FILE", "the file to serve (ID.roster here)"},
	{0},
};

static const struct arg_option show_options[] = {
	{"ini", 0, NULL, "as a text that dnet policy publish takes"},
	{"file", 0, "FILE", "this roster file, not what was published last from here"},
	{0},
};

/* What a command works on. */
struct work {
	struct cli *cli;
	struct cli_object dnet;
	struct roster_members members; /* by the records */
	bool have_last;
	struct rosterfile last; /* published from here */
	uint8_t *body;		/* owned: the new one */
	size_t len;
	struct roster roster; /* view of body */
};

static void work_done(struct work *w)
{
	roster_members_done(&w->members);
	rosterfile_done(&w->last);
	free(w->body);
}

static char *last_path(const struct work *w)
{
	char hex[2 * OBJECT_ID_LEN + 1];

	hex_format(w->dnet.id.bytes, OBJECT_ID_LEN, hex);
	return xasprintf("%s.%s.roster", w->cli->conf.keystore, hex);
}

/* Form and content, but not who signed it: our own file. */
static bool open_unchecked(const char *bytes, size_t len, struct rosterfile *ret)
{
	uint8_t *body = memcpy(xmalloc(len + 1), bytes, len);
	struct rosterfile file = {.body = body, .len = len};

	if (roster_parse(body, len, &file.roster)) {
		free(body);
		return false;
	}
	roster_root(body, len, &file.root);
	*ret = file;
	return true;
}

static int load_last(struct work *w)
{
	_cleanup_(freep) char *path = last_path(w);
	_cleanup_(freep) char *bytes = NULL;
	size_t len;
	int r = file_read(path, ROSTER_BODY_MAX, &bytes, &len);

	if (r == -ENOENT)
		return 0;
	if (r || !open_unchecked(bytes, len, &w->last) ||
	    !object_id_equal(&w->last.roster.header.dnet, &w->dnet.id))
		return cli_error(w->cli, CLI_FAILED,
				 "remove it: the next sequence then comes from "
				 "chain.db",
				 "%s is damaged or cannot be read", path);
	w->have_last = true;
	return 0;
}

/* ---- The text ---- */

struct id_search {
	char text[OBJECT_ID_TEXT_SIZE];
};

static const char *find_id(void *arg, unsigned line, const char *section, const char *name,
			   const char *value)
{
	struct id_search *search = arg;

	(void)line;
	if (!strcmp(section, "dnet") && !strcmp(name, "id"))
		snprintf(search->text, sizeof(search->text), "%s", value);
	return NULL;
}

static bool find_member(void *arg, const char *name, struct node_key *ret_key)
{
	const struct work *w = arg;
	const struct member *m = roster_members_find_name(&w->members, name);

	if (m)
		*ret_key = m->key;
	return m;
}

static bool key_valid(void *arg, const struct node_key *key)
{
	const struct work *w = arg;

	return id_key_valid(w->cli->id, key);
}

/* What of a published roster the new one is made of. */
enum { MAKE_ENCRYPTED = 1, MAKE_NEW_PSK = 2 };

/* The PSK of the last one, or another one, which begins now. */
static void next_epoch(const struct roster_header *last, unsigned make, struct roster_header *h)
{
	h->epoch = last->epoch;
	h->before = last->before;
	h->epoch_since = last->epoch_since;
	if (!(make & MAKE_NEW_PSK))
		return;
	h->before = last->epoch;
	h->epoch.number = h->sequence; /* so it rises, also where the last one is not known */
	h->epoch_since = h->issued;
	rand_bytes(h->epoch.psk.bytes, SECRET_LEN);
}

/* Above all that the chain or this tool has seen. */
static void next_header(const struct work *w, unsigned make, struct roster_header *h)
{
	*h = (struct roster_header){.dnet = w->dnet.id, .issued = clock_wall_s()};
	h->sequence = w->members.roster_sequence;
	h->previous = w->members.roster_root;
	if (w->have_last && w->last.roster.header.sequence > h->sequence) {
		h->sequence = w->last.roster.header.sequence;
		h->previous = w->last.root;
	}
	h->sequence++;
	if (make & MAKE_ENCRYPTED) {
		rand_bytes(h->salt, sizeof(h->salt));
		next_epoch(&w->last.roster.header, make, h);
	}
}

/* The members keep their PSK, whoever publishes. */
static int check_epoch(const struct work *w, unsigned make)
{
	bool newer = w->members.roster_sequence > w->last.roster.header.sequence;

	if ((make & MAKE_NEW_PSK) && !(make & MAKE_ENCRYPTED))
		return cli_error(w->cli, CLI_USAGE, "give --encrypt too",
				 "a PSK is for those alone who can read the roster");
	if (!w->last.roster.header.epoch.number || (make & MAKE_NEW_PSK))
		return 0;
	if (!(make & MAKE_ENCRYPTED))
		return cli_error(w->cli, CLI_USAGE, "give --encrypt",
				 "the roster before has a PSK, which nobody else is to read");
	return newer ? cli_error(w->cli, CLI_USAGE, "give --new-psk",
				 "the roster of sequence %" PRIu32
				 " was not published from here, and its PSK is not known",
				 w->members.roster_sequence)
		     : 0;
}

static int compile(struct work *w, const char *path, const char *text, size_t len, unsigned make)
{
	struct roster_ini_env env = {.find_member = find_member, .key_valid = key_valid, .arg = w};
	char error[CONF_ERROR_MAX];

	next_header(w, make, &env.header);
	if (!env.header.sequence)
		return cli_error(w->cli, CLI_FAILED, NULL, "the sequence is at its end");
	if (roster_ini_compile(&env, path, text, len, &w->body, &w->len, error))
		return cli_error(w->cli, CLI_USAGE, "see doc/roster.md, 5", "%s", error);
	return roster_parse(w->body, w->len, &w->roster)
		       ? cli_error(w->cli, CLI_FAILED, NULL, "a roster that does not read back")
		       : 0;
}

static int prepare(struct cli *cli, const struct args *args, struct work *w, unsigned make)
{
	const char *path = args->words[0], *name = args_get(args, "dnet");
	_cleanup_(freep) char *text = NULL;
	char error[CONF_ERROR_MAX];
	struct id_search search = {""};
	size_t len;
	int r;

	w->cli = cli;
	r = file_read(path, ROSTER_INI_MAX, &text, &len);
	if (r)
		return cli_error(cli, CLI_USAGE, "name a file with a policy (doc/roster.md, 5)",
				 "cannot read %s: %s", path,
				 r == -EFBIG ? "more than 16 MiB" : strerror(-r));
	if (conf_visit_text(path, text, len, find_id, &search, error))
		return cli_error(cli, CLI_USAGE, "see doc/roster.md, 5", "%s", error);
	if (!name && !search.text[0])
		return cli_error(cli, CLI_USAGE, "write id = … under [dnet], or give --dnet DNET",
				 "%s does not say of which dnet it is", path);
	r = names_resolve(cli, OBJECT_DNET, name ? name : search.text, &w->dnet);
	if (!r)
		r = cli_id(cli);
	if (!r)
		r = roster_members_load(cli, &w->dnet.id, &w->members);
	if (!r)
		r = load_last(w);
	return r ? r : compile(w, path, text, len, make);
}

/* ---- What would change, what can never match ---- */

static void add_line(json_t *lines, const char *format, ...) _printf_(2, 3);

static void add_line(json_t *lines, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_array_append_new(lines, json_string(text));
}

static char *text_of(const struct roster *roster)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	roster_ini_print(roster, f);
	fclose(f);
	return text;
}

/* Sections of a text, each with its lines sorted behind the heading: one string a section. */
static size_t split_sections(char *text, char ***ret)
{
	char **list = NULL;
	size_t count = 0, room = 0;

	for (char *at = text; at && *at;) {
		char *next = strstr(at, "\n\n[");

		if (next) {
			*next = '\0';
			next += 2;
		}
		if (count == room) {
			room = room ? 2 * room : 64;
			list = xrealloc(list, room * sizeof(*list));
		}
		list[count++] = at;
		at = next;
	}
	*ret = list;
	return count;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t heading_len(const char *section)
{
	return strcspn(section, "\n");
}

static bool same_heading(const char *a, const char *b)
{
	return heading_len(a) == heading_len(b) && !strncmp(a, b, heading_len(a));
}

static void diff_texts(json_t *lines, char *before, char *after)
{
	char **old, **new;
	size_t old_count = split_sections(before, &old), new_count = split_sections(after, &new);
	size_t i = 0, j = 0;

	/* the first has the sequence and the time in its comment */
	if (old_count)
		old[0] = strstr(old[0], "[dnet]");
	if (new_count)
		new[0] = strstr(new[0], "[dnet]");
	qsort(old, old_count, sizeof(*old), compare_text);
	qsort(new, new_count, sizeof(*new), compare_text);
	while (i < old_count || j < new_count) {
		int c = i == old_count ? 1 : j == new_count ? -1 : strcmp(old[i], new[j]);

		if (c == 0) {
			i++, j++;
		} else if (i < old_count && j < new_count && same_heading(old[i], new[j])) {
			add_line(lines, "~ %s", new[j]);
			i++, j++;
		} else if (c < 0) {
			add_line(lines, "- %.*s", (int)heading_len(old[i]), old[i]);
			i++;
		} else {
			add_line(lines, "+ %s", new[j]);
			j++;
		}
	}
	free(old);
	free(new);
}

static json_t *changes_of(const struct work *w)
{
	_cleanup_(freep) char *after = text_of(&w->roster);
	_cleanup_(freep) char *before = w->have_last ? text_of(&w->last.roster) : xstrdup("[dnet]");
	json_t *lines = json_array();

	if (before && after)
		diff_texts(lines, before, after);
	return lines;
}

struct groups_used {
	size_t members[ROSTER_GROUPS_MAX];
	char names[ROSTER_GROUPS_MAX][RECORD_NAME_MAX + 1];
};

static void count_groups(const struct roster *roster, struct groups_used *ret)
{
	struct roster_node node;
	struct reader r;
	size_t i = 0;

	reader_init(&r, roster->lists[ROSTER_GROUPS].data, roster->lists[ROSTER_GROUPS].len);
	while (i < ROSTER_GROUPS_MAX && roster_next_group(&r, ret->names[i]))
		i++;
	reader_init(&r, roster->lists[ROSTER_NODES].data, roster->lists[ROSTER_NODES].len);
	while (roster_next_node(&r, &node))
		for (unsigned g = 0; g < node.group_count; g++)
			ret->members[node.groups[g]]++;
}

static bool is_member(const struct work *w, const struct node_key *key)
{
	struct roster_node node;
	struct reader r;

	if (roster_members_find(&w->members, key))
		return true;
	reader_init(&r, w->roster.lists[ROSTER_NODES].data, w->roster.lists[ROSTER_NODES].len);
	while (roster_next_node(&r, &node))
		if (node_key_equal(&node.key, key))
			return true;
	return false;
}

/* Why nobody can be meant by it; "": somebody can. */
static void nobody(const struct work *w, const struct groups_used *groups,
		   const struct roster_subject *s, char ret[static 96])
{
	char text[PREFIX_TEXT_MAX];

	ret[0] = '\0';
	switch ((enum roster_subject_kind)s->kind) {
	case ROSTER_ALL:
		return;
	case ROSTER_NODE:
		if (!is_member(w, &s->node))
			snprintf(ret, 96, "a key in it is no member");
		return;
	case ROSTER_GROUP:
		if (!groups->members[s->group])
			snprintf(ret, 96, "group %s has no member", groups->names[s->group]);
		return;
	case ROSTER_PREFIX:
		if (!roster_members_in_prefix(&w->members, &w->roster, &w->dnet.id, &s->prefix))
			snprintf(ret, 96,
				 "%s is no address of this dnet and behind none of its "
				 "routes",
				 prefix_format(&s->prefix, text));
		return;
	}
}

static bool same_node(const struct roster_rule *rule)
{
	return rule->src.kind == ROSTER_NODE && rule->dst.kind == ROSTER_NODE &&
	       node_key_equal(&rule->src.node, &rule->dst.node);
}

static bool other_family(const struct roster_rule *rule)
{
	return rule->src.kind == ROSTER_PREFIX && rule->dst.kind == ROSTER_PREFIX &&
	       rule->src.prefix.addr.family != rule->dst.prefix.addr.family;
}

static json_t *warnings_of(const struct work *w)
{
	struct groups_used *groups = xcalloc(1, sizeof(*groups));
	json_t *lines = json_array();
	struct roster_rule rule;
	struct roster_node node;
	struct reader r;

	count_groups(&w->roster, groups);
	reader_init(&r, w->roster.lists[ROSTER_RULES].data, w->roster.lists[ROSTER_RULES].len);
	while (roster_next_rule(&r, &rule)) {
		char why[96], service[ROSTER_SERVICE_TEXT_MAX];

		nobody(w, groups, &rule.src, why);
		if (!why[0])
			nobody(w, groups, &rule.dst, why);
		if (!why[0] && same_node(&rule))
			snprintf(why, sizeof(why), "a node needs no rule to talk to itself");
		if (!why[0] && other_family(&rule))
			snprintf(why, sizeof(why), "one end is IPv4, the other IPv6");
		if (why[0])
			add_line(lines, "policy %s, %s can never match: %s", rule.name,
				 roster_service_text(&rule, service), why);
	}
	reader_init(&r, w->roster.lists[ROSTER_NODES].data, w->roster.lists[ROSTER_NODES].len);
	while (roster_next_node(&r, &node)) {
		const struct member *m = roster_members_find(&w->members, &node.key);

		if (roster_members_revoked(&w->members, &node.key) && !m)
			add_line(lines,
				 "node %s was removed by a NODE_DEL: a roster does not bring "
				 "it back, dnet node add does",
				 node.name);
		if (m && m->name[0] && strcmp(m->name, node.name) != 0)
			add_line(lines, "node %s is called %s by its record, which counts",
				 node.name, m->name);
	}
	if (!w->roster.counts[ROSTER_RULES])
		add_line(lines, "there is no policy in it: members may talk to members");
	free(groups);
	return lines;
}

static json_t *summary(const struct work *w)
{
	char root[2 * HASH_LEN + 1];
	struct hash256 hash;
	const struct roster_header *h = &w->roster.header;

	roster_root(w->body, w->len, &hash);
	hex_format(hash.bytes, HASH_LEN, root);
	return json_pack("{s:s, s:I, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "id",
			 w->dnet.text, "sequence", (json_int_t)h->sequence, "root", root, "expires",
			 h->expires ? json_integer((json_int_t)h->expires) : json_null(), "bytes",
			 (json_int_t)w->len, "groups", (json_int_t)w->roster.counts[ROSTER_GROUPS],
			 "nodes", (json_int_t)w->roster.counts[ROSTER_NODES], "routes",
			 (json_int_t)w->roster.counts[ROSTER_ROUTES], "rules",
			 (json_int_t)w->roster.counts[ROSTER_RULES], "names",
			 (json_int_t)w->roster.counts[ROSTER_NAMES], "changes", changes_of(w),
			 "warnings", warnings_of(w));
}

static void print_lines(const json_t *lines, const char *indent)
{
	const json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		for (const char *c = json_string_value(line); *c;) {
			size_t len = strcspn(c, "\n");

			printf("%s%s%.*s\n", indent, c == json_string_value(line) ? "" : "    ",
			       (int)len, c);
			c += len + (c[len] == '\n');
		}
	}
}

static void print_summary(struct cli *cli, const json_t *json, bool all)
{
	const json_t *changes = json_object_get(json, "changes");
	const json_t *warnings = json_object_get(json, "warnings");

	if (all)
		printf("sequence %lld: %lld nodes, %lld groups, %lld rules, %lld routes, %lld "
		       "names\n",
		       (long long)json_integer_value(json_object_get(json, "sequence")),
		       (long long)json_integer_value(json_object_get(json, "nodes")),
		       (long long)json_integer_value(json_object_get(json, "groups")),
		       (long long)json_integer_value(json_object_get(json, "rules")),
		       (long long)json_integer_value(json_object_get(json, "routes")),
		       (long long)json_integer_value(json_object_get(json, "names")));
	if (!json_array_size(changes))
		puts("nothing changes");
	print_lines(changes, "  ");
	if (json_array_size(warnings))
		printf("%swarnings:%s\n", out_on(cli, OUT_YELLOW), out_off(cli));
	print_lines(warnings, "  ");
}

static int check_or_diff(struct cli *cli, const struct args *args, bool all)
{
	struct work w = {0};
	json_t *json;
	int r = prepare(cli, args, &w, 0);

	if (!r) {
		json = summary(&w);
		if (cli->json) {
			out_json(json);
		} else {
			print_summary(cli, json, all);
			json_decref(json);
		}
	}
	work_done(&w);
	return r;
}

static int run_check(struct cli *cli, const struct args *args)
{
	return check_or_diff(cli, args, true);
}

static int run_diff(struct cli *cli, const struct args *args)
{
	return check_or_diff(cli, args, false);
}

/* ---- Publishing ---- */

static int admin_of(struct work *w, struct identity *ret_admin)
{
	struct keystore keystore = {0};
	const struct keystore_entry *entry;
	struct cli *cli = w->cli;
	struct identity owner;
	bool known = true;
	int r = keys_load(cli, &keystore);

	if (r)
		return r;
	entry = keystore_find(&keystore, cli->params->name, &w->dnet.id);
	if (!entry || id_from_secret(cli->id, &entry->secret, &owner)) {
		keystore_done(&keystore);
		return cli_error(cli, CLI_DENIED, "use the keystore of its owner: --keystore FILE",
				 "the keystore %s has no key for dnet %s", cli->conf.keystore,
				 w->dnet.text);
	}
	/* The newest key; but until a rotation is deep enough the one before still counts. */
	if (w->members.has_admin)
		known = seal_admin(cli, &keystore, &w->dnet.id, w->members.admin_key, ret_admin);
	else
		id_admin_identity(cli->id, &owner.secret, ret_admin);
	secret_wipe(&owner, sizeof(owner));
	keystore_done(&keystore);
	return known ? 0
		     : cli_error(cli, CLI_DENIED,
				 "members would refuse it: dnet rotate gives the dnet an admin key "
				 "of this keystore",
				 "the admin key of %s is another one than the chain names",
				 w->dnet.text);
}

/* All members by records and by the roster. */
static struct node_key *recipients_of(const struct work *w, size_t *ret_count)
{
	size_t most = w->members.count + w->roster.counts[ROSTER_NODES], count = 0;
	struct node_key *keys = xcalloc(most, sizeof(*keys));
	struct roster_node node;
	struct reader r;

	for (size_t i = 0; i < w->members.count; i++)
		keys[count++] = w->members.list[i].key;
	reader_init(&r, w->roster.lists[ROSTER_NODES].data, w->roster.lists[ROSTER_NODES].len);
	while (roster_next_node(&r, &node))
		if (!roster_members_find(&w->members, &node.key))
			keys[count++] = node.key;
	*ret_count = count;
	return keys;
}

static int seal(struct work *w, bool encrypted, uint8_t **ret_file, size_t *ret_len)
{
	uint8_t seed[ROSTERFILE_SEED_LEN];
	struct node_key *keys = NULL;
	struct identity admin;
	size_t count = 0;
	int r = admin_of(w, &admin);

	if (r)
		return r;
	if (encrypted)
		keys = recipients_of(w, &count);
	rand_bytes(seed, sizeof(seed));
	r = encrypted && !count ? -ENOENT
				: rosterfile_seal(w->cli->id, &admin.secret, w->body, w->len, keys,
						  count, seed, ret_file, ret_len);
	secret_wipe(&admin, sizeof(admin));
	secret_wipe(seed, sizeof(seed));
	free(keys);
	if (r == -ENOENT)
		return cli_error(w->cli, CLI_FAILED, "add nodes first, or leave --encrypt out",
				 "%s has no member to encrypt to", w->dnet.text);
	return r ? cli_error(w->cli, CLI_FAILED, "is every key of a NODE record a point?",
			     "cannot seal the roster: %s", strerror(-r))
		 : 0;
}

/* What is served, and what the next policy is compared with. */
struct files {
	struct work *work;
	const char *out;
	uint8_t *roster; /* owned */
	size_t len;
};

static int write_file(struct cli *cli, const char *path, const void *bytes, size_t len, mode_t mode)
{
	int r = file_replace(path, bytes, len, mode);

	return r ? cli_error(cli, CLI_FAILED, "name a file that can be written with --out",
			     "cannot write %s: %s; nothing was sent", path, strerror(-r))
		 : 0;
}

/* Before the record goes out, as it must not name what is not there; and not before the question,
 * as members still fetch the one in force from there. A sequence that was given and not used is no
 * harm. */
static int write_files(void *arg)
{
	const struct files *files = arg;
	struct work *w = files->work;
	_cleanup_(freep) char *last = last_path(w);
	int r = write_file(w->cli, files->out, files->roster, files->len, 0644);

	return r ? r : write_file(w->cli, last, w->body, w->len, 0600);
}

static int run_publish(struct cli *cli, const struct args *args)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "publish the policy of %.60s", args->words[0]);
	_cleanup_(freep) char *named = NULL;
	struct work w = {0};
	struct files files = {.work = &w, .out = args_get(args, "out")};
	struct record *record;
	unsigned make = 0;
	json_t *json;
	int r;

	make |= args_has(args, "encrypt") ? MAKE_ENCRYPTED : 0;
	make |= args_has(args, "new-psk") ? MAKE_NEW_PSK : 0;
	r = publish ? prepare(cli, args, &w, make) : CLI_FAILED;
	if (!r)
		r = check_epoch(&w, make);
	if (!r && !files.out)
		files.out = named = xasprintf("%s.roster", w.dnet.text);
	if (!r && !cli->json) {
		json = summary(&w);
		print_summary(cli, json, true);
		json_decref(json);
	}
	if (!r)
		r = seal(&w, make & MAKE_ENCRYPTED, &files.roster, &files.len);
	if (!r) {
		publish->object = w.dnet;
		publish->before_send = write_files;
		publish->before_send_arg = &files;
		record = publish_add(publish, RECORD_ROSTER);
		record->roster.sequence = w.roster.header.sequence;
		roster_root(w.body, w.len, &record->roster.root);
		r = publish_run(cli, args, publish);
	}
	if (!r && !args_has(args, "dry-run"))
		cli_note(cli,
			 "serve %s where members look for it: a path, or a URL (roster = in their "
			 "dnetd.conf, or in the join link: dnet invite --roster URL)",
			 files.out);
	free(files.roster);
	work_done(&w);
	return r;
}

/* ---- Showing ---- */

static int open_file(struct work *w, const char *path)
{
	_cleanup_(freep) char *bytes = NULL;
	const char *why = "";
	enum roster_verdict verdict;
	size_t len;
	int r = file_read(path, ROSTERFILE_MAX, &bytes, &len);

	if (r)
		return cli_error(w->cli, CLI_USAGE, "name a file that policy publish wrote",
				 "cannot read %s: %s", path, strerror(-r));
	if (!w->members.has_admin)
		return cli_error(w->cli, CLI_NOT_FOUND, "is chainwatch up to date?",
				 "chain.db does not have %s, so nobody knows its admin key",
				 w->dnet.text);
	verdict = rosterfile_open(w->cli->id, NULL, &w->dnet.id, w->members.admin_key, bytes, len,
				  &w->last, &why);
	if (verdict != ROSTER_GOOD)
		return cli_error(w->cli, CLI_FAILED, NULL, "%s: %s%s%s", path,
				 roster_verdict_text(verdict),
				 verdict == ROSTER_MALFORMED ? ": " : "",
				 verdict == ROSTER_MALFORMED ? why : "");
	w->have_last = true;
	return 0;
}

static int print_last(const struct work *w, bool ini)
{
	const struct roster_header *h = &w->last.roster.header;
	bool anchored = w->members.roster_sequence == h->sequence &&
			!memcmp(&w->members.roster_root, &w->last.root, sizeof(w->last.root));
	_cleanup_(freep) char *text = text_of(&w->last.roster);
	char root[2 * HASH_LEN + 1];

	hex_format(w->last.root.bytes, HASH_LEN, root);
	if (w->cli->json)
		out_json(json_pack("{s:s, s:I, s:s, s:b, s:I, s:I, s:I, s:s}", "id", w->dnet.text,
				   "sequence", (json_int_t)h->sequence, "root", root, "anchored",
				   (int)anchored, "issued", (json_int_t)h->issued, "expires",
				   (json_int_t)h->expires, "psk_epoch", (json_int_t)h->epoch.number,
				   "ini", text ? text : ""));
	else if (ini)
		fputs(text ? text : "", stdout);
	else
		printf("%s  sequence %" PRIu32 "%s\n  root  %s\n\n%s", w->dnet.text, h->sequence,
		       anchored ? ", anchored in a block" : ", no block has its record as the last",
		       root, text ? text : "");
	return 0;
}

static int run_show(struct cli *cli, const struct args *args)
{
	const char *path = args_get(args, "file");
	struct work w = {.cli = cli};
	int r = names_resolve(cli, OBJECT_DNET, args->words[0], &w.dnet);

	if (!r)
		r = cli_id(cli);
	if (!r)
		r = roster_members_load(cli, &w.dnet.id, &w.members);
	if (!r)
		r = path ? open_file(&w, path) : load_last(&w);
	if (!r && !w.have_last)
		r = cli_error(cli, CLI_NOT_FOUND, "dnet policy publish FILE, or --file ROSTER",
			      "nothing was published from here for %s", w.dnet.text);
	if (!r)
		r = print_last(&w, args_has(args, "ini"));
	work_done(&w);
	return r;
}

const struct cli_command cli_commands_policy[] = {
	{"policy check", "FILE", "what a policy says, what would change, and what can never match",
	 check_options, 1, 1, false, run_check},
	{"policy diff", "FILE", "what would change", check_options, 1, 1, false, run_diff},
	{"policy publish", "FILE", "signs a policy, writes the file to serve, and anchors it",
	 publish_roster_options, 1, 1, true, run_publish},
	{"policy show", "DNET", "the policy that was published last from here, or that of a file",
	 show_options, 1, 1, false, run_show},
	{0},
};
