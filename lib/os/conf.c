#include "os/conf.h"

#include "os/conf_value.h"
#include "os/file.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

/* Where values come from. A list is replaced, not added to, by the first item of a new source;
 * other values are given once in a source. */
struct source {
	const struct conf_program *program;
	void *config;
	unsigned *seen; /* per option: line (or place) of its first value in this source; 0: none */
	bool once;	/* twice is an error */
	char why[CONF_WHY_MAX];
};

static void source_init(struct source *s, const struct conf_program *program, void *config,
			bool once)
{
	*s = (struct source){.program = program, .config = config, .once = once};
	s->seen = xcalloc(program->options_count, sizeof(*s->seen));
}

static void source_done(struct source *s)
{
	free(s->seen);
}

static const char *source_set(struct source *s, const struct conf_option *option, unsigned line,
			      const char *text)
{
	unsigned *seen = &s->seen[option - s->program->options];

	if (*seen && s->once && option->type != CONF_LIST) {
		snprintf(s->why, sizeof(s->why), "'%s' is given twice, first in line %u",
			 option->name, *seen);
		return s->why;
	}
	if (!*seen && option->type == CONF_LIST)
		conf_value_clear(option, s->config);
	if (!*seen)
		*seen = line;
	return conf_value_set(option, s->config, text, s->why) ? NULL : s->why;
}

/* Edit distance, of names up to 31 bytes; more is far away. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[32], a_len = (unsigned)strlen(a), b_len = (unsigned)strlen(b);

	if (a_len > 31 || b_len > 31)
		return 99;
	for (unsigned j = 0; j <= b_len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned corner = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			unsigned change = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_len];
}

/* The name in the table that is most like this one; NULL when none is. section NULL: of all. */
static const char *nearest(const struct conf_program *p, const char *section, const char *name,
			   bool sections)
{
	unsigned best = MAX((unsigned)strlen(name) / 3, 2u) + 1;
	const char *found = NULL;

	for (size_t i = 0; i < p->options_count; i++) {
		const struct conf_option *o = &p->options[i];
		const char *candidate = sections ? o->section : o->name;
		unsigned d;

		if (!candidate[0] || (section && strcmp(o->section, section)))
			continue;
		d = distance(name, candidate);
		if (d < best) {
			best = d;
			found = candidate;
		}
	}
	return found;
}

static const struct conf_option *find_option(const struct conf_program *p, const char *name)
{
	for (size_t i = 0; i < p->options_count; i++) {
		if (!strcmp(p->options[i].name, name))
			return &p->options[i];
	}
	return NULL;
}

static bool section_exists(const struct conf_program *p, const char *section)
{
	for (size_t i = 0; i < p->options_count; i++) {
		if (!strcmp(p->options[i].section, section))
			return true;
	}
	return !section[0];
}

static void explain_unknown(struct source *s, const char *section, const char *name)
{
	const struct conf_option *elsewhere = find_option(s->program, name);
	const char *like;

	if (!section_exists(s->program, section)) {
		like = nearest(s->program, NULL, section, true);
		snprintf(s->why, sizeof(s->why), "there is no section [%s]%s%s%s", section,
			 like ? "; did you mean [" : "", like ? like : "", like ? "]?" : "");
		return;
	}
	if (elsewhere) {
		snprintf(s->why, sizeof(s->why), "'%s' belongs %s%s%s", name,
			 elsewhere->section[0] ? "in section [" : "before the first section",
			 elsewhere->section, elsewhere->section[0] ? "]" : "");
		return;
	}
	like = nearest(s->program, section, name, false);
	snprintf(s->why, sizeof(s->why), "there is no option '%s'%s%s%s", name,
		 like ? "; did you mean '" : "", like ? like : "", like ? "'?" : "");
}

static const char *on_file_value(void *arg, unsigned line, const char *section, const char *name,
				 const char *value)
{
	struct source *s = arg;
	const struct conf_option *option = find_option(s->program, name);

	if (option && !strcmp(option->section, section))
		return source_set(s, option, line, value);
	explain_unknown(s, section, name);
	return s->why;
}

/* One pass of libinih over a text in memory. It tells no line numbers, takes indented lines for
 * more of the value above, and cuts long lines in two; the reader counts, unindents and refuses. */
struct visit {
	const char *pos, *end;
	unsigned line;
	unsigned error_line; /* 0: none so far */
	const char *error;
	conf_visit_cb cb;
	void *arg;
};

static char *fail_line(struct visit *v, const char *error)
{
	if (!v->error_line) {
		v->error_line = v->line;
		v->error = error;
	}
	return NULL;
}

static char *read_line(char *dst, int size, void *stream)
{
	struct visit *v = stream;
	const char *start = v->pos, *newline;
	size_t len, text_len;

	if (v->error_line || v->pos >= v->end)
		return NULL;
	v->line++;
	newline = memchr(v->pos, '\n', (size_t)(v->end - v->pos));
	v->pos = newline ? newline + 1 : v->end;
	while (start < v->pos && (*start == ' ' || *start == '\t'))
		start++;
	len = (size_t)(v->pos - start);
	text_len = len && start[len - 1] == '\n' ? len - 1 : len;
	if (memchr(start, 0, len))
		return fail_line(v, "there is a zero byte; is this a text file?");
	/* libinih's buffer also holds a newline and an end, whether the last line has them or not.
	 */
	if (text_len + 2 > (size_t)size)
		return fail_line(v, "the line is too long: at most 198 bytes");
	memcpy(dst, start, len);
	dst[len] = 0;
	return dst;
}

static int on_pair(void *user, const char *section, const char *name, const char *value)
{
	struct visit *v = user;
	const char *error;

	if (v->error_line)
		return 0;
	error = v->cb(v->arg, v->line, section, name, value);
	if (error)
		fail_line(v, error);
	return !error;
}

int conf_visit_text(const char *file, const char *text, size_t len, conf_visit_cb cb, void *arg,
		    char error[static CONF_ERROR_MAX])
{
	struct visit v = {.pos = text, .end = text + len, .cb = cb, .arg = arg};
	int line = ini_parse_stream(read_line, &v, on_pair, &v);

	if (line < 0) {
		snprintf(error, CONF_ERROR_MAX, "%s: out of memory", file);
		return -ENOMEM;
	}
	if (line > 0 && (!v.error_line || (unsigned)line < v.error_line)) {
		v.error_line = (unsigned)line;
		v.error = "neither [section] nor name = value";
	}
	if (!v.error_line)
		return 0;
	snprintf(error, CONF_ERROR_MAX, "%s:%u: %s", file, v.error_line, v.error);
	return -EINVAL;
}

int conf_read_text(const struct conf_program *program, const char *file, const char *text,
		   size_t len, void *config, char error[static CONF_ERROR_MAX])
{
	struct source s;
	int result;

	source_init(&s, program, config, true);
	result = conf_visit_text(file, text, len, on_file_value, &s, error);
	source_done(&s);
	return result;
}

int conf_read_file(const struct conf_program *program, const char *path, void *config,
		   char error[static CONF_ERROR_MAX])
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0;
	int result = file_read(path, CONF_FILE_MAX, &text, &len);

	if (result) {
		snprintf(error, CONF_ERROR_MAX, "%s: %s", path,
			 result == -EFBIG ? "larger than a configuration can be (1 MiB)"
					  : strerror(-result));
		return result;
	}
	return conf_read_text(program, path, text, len, config, error);
}

int conf_set_defaults(const struct conf_program *program, void *config)
{
	char why[CONF_WHY_MAX];

	for (size_t i = 0; i < program->options_count; i++) {
		const struct conf_option *o = &program->options[i];
		bool texts = o->type == CONF_STRING || o->type == CONF_PATH;

		conf_value_clear(o, config);
		if (!o->fallback && !texts)
			continue;
		if (!o->fallback)
			*(char **)((char *)config + o->offset) = xstrdup("");
		else if (!conf_value_set(o, config, o->fallback, why))
			return -EINVAL;
	}
	return 0;
}

void conf_free(const struct conf_program *program, void *config)
{
	for (size_t i = 0; i < program->options_count; i++)
		conf_value_clear(&program->options[i], config);
}

static const char *unknown_argument(struct source *s, const char *name)
{
	const char *like = nearest(s->program, NULL, name, false);

	snprintf(s->why, sizeof(s->why), "there is no option --%s%s%s%s", name,
		 like ? "; did you mean --" : "", like ? like : "", like ? "?" : "");
	return s->why;
}

int conf_set(const struct conf_program *program, const char *name, const char *value, void *config,
	     char error[static CONF_ERROR_MAX])
{
	const struct conf_option *option = find_option(program, name);
	struct source s = {.program = program, .config = config};

	if (option && conf_value_set(option, config, value, s.why))
		return 0;
	snprintf(error, CONF_ERROR_MAX, "%s", option ? s.why : unknown_argument(&s, name));
	return -EINVAL;
}

/* What the command line asked for, before the file is read. */
struct request {
	const char *path; /* -c */
	bool check, help, version, print_config, print_man;
	size_t values_count;
	struct {
		const struct conf_option *option;
		const char *value;
	} values[];
};

enum { LONG_HELP = 256, LONG_VERSION, LONG_PRINT_CONFIG, LONG_PRINT_MAN, LONG_OPTIONS };

/* The table as getopt_long() wants it; row i of the table is LONG_OPTIONS + i. */
static struct option *make_long_options(const struct conf_program *program)
{
	static const struct option common[] = {
		{"help", no_argument, NULL, LONG_HELP},
		{"version", no_argument, NULL, LONG_VERSION},
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'n'},
		{"print-config", no_argument, NULL, LONG_PRINT_CONFIG},
		{"print-man", no_argument, NULL, LONG_PRINT_MAN},
	};
	size_t n = program->options_count;
	struct option *all = xcalloc(n + ARRAY_SIZE(common) + 1, sizeof(*all));

	for (size_t i = 0; i < n; i++) {
		const struct conf_option *o = &program->options[i];

		all[i] = (struct option){
			o->name, o->type == CONF_BOOL ? optional_argument : required_argument, NULL,
			LONG_OPTIONS + (int)i};
	}
	memcpy(all + n, common, sizeof(common));
	return all;
}

static void add_value(struct request *r, const struct conf_option *option, const char *value)
{
	r->values[r->values_count].option = option;
	r->values[r->values_count++].value = value ? value : "yes";
}

static const char *explain_argument(struct source *s, int got, char **argv)
{
	const char *word = argv[optind - 1];
	char name[64];

	if (got == ':') {
		snprintf(s->why, sizeof(s->why), "%.100s needs a value", word);
		return s->why;
	}
	if (strncmp(word, "--", 2)) {
		snprintf(s->why, sizeof(s->why), "there is no option -%c", optopt);
		return s->why;
	}
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	return unknown_argument(s, name);
}

static const char *read_arguments(struct source *s, int argc, char **argv, struct request *r)
{
	_cleanup_(freep) struct option *all = make_long_options(s->program);
	int got;

	optind = 0; /* glibc: start anew */
	opterr = 0;
	while ((got = getopt_long(argc, argv, "+:c:nhV", all, NULL)) != -1) {
		if (got == 'c')
			r->path = optarg;
		else if (got == 'n')
			r->check = true;
		else if (got == 'h' || got == LONG_HELP)
			r->help = true;
		else if (got == 'V' || got == LONG_VERSION)
			r->version = true;
		else if (got == LONG_PRINT_CONFIG)
			r->print_config = true;
		else if (got == LONG_PRINT_MAN)
			r->print_man = true;
		else if (got >= LONG_OPTIONS && got != ':' && got != '?')
			add_value(r, &s->program->options[got - LONG_OPTIONS], optarg);
		else
			return explain_argument(s, got, argv);
	}
	if (optind < argc) {
		snprintf(s->why, sizeof(s->why), "what is '%.80s'? Options begin with --",
			 argv[optind]);
		return s->why;
	}
	return NULL;
}

static int read_program_file(const struct conf_program *program, const struct request *r,
			     void *config, char error[static CONF_ERROR_MAX])
{
	int result;

	if (r->path)
		return conf_read_file(program, r->path, config, error);
	if (!program->path)
		return 0;
	result = conf_read_file(program, program->path, config, error);
	return result == -ENOENT ? 0 : result;
}

static bool load_values(struct source *s, const struct request *r,
			char error[static CONF_ERROR_MAX])
{
	if (conf_set_defaults(s->program, s->config)) {
		snprintf(error, CONF_ERROR_MAX, "a default in the table of options is wrong");
		return false;
	}
	if (read_program_file(s->program, r, s->config, error))
		return false;
	for (size_t i = 0; i < r->values_count; i++) {
		const char *why = source_set(s, r->values[i].option, 1, r->values[i].value);

		if (!why)
			continue;
		snprintf(error, CONF_ERROR_MAX, "%s", why);
		return false;
	}
	return true;
}

static enum conf_action serve(struct source *s, const struct request *r)
{
	const struct conf_program *program = s->program;
	char error[CONF_ERROR_MAX];

	if (r->help) {
		conf_print_help(program, stdout);
		return CONF_EXIT;
	}
	if (r->version) {
		printf("%s %s\n", program->name, program->version);
		return CONF_EXIT;
	}
	if (r->print_man) {
		conf_print_man(program, stdout);
		return CONF_EXIT;
	}
	if (!load_values(s, r, error)) {
		fprintf(stderr, "%s: %s\n", program->name, error);
		return CONF_FAILED;
	}
	if (r->print_config) {
		conf_print(program, s->config, stdout);
		return CONF_EXIT;
	}
	return r->check ? CONF_CHECK : CONF_RUN;
}

enum conf_action conf_load(const struct conf_program *program, int argc, char **argv, void *config)
{
	_cleanup_(freep) struct request *r = NULL;
	enum conf_action action = CONF_FAILED;
	struct source s;
	const char *why;

	/* There are no more values than arguments. */
	r = xcalloc(1, sizeof(*r) + (size_t)argc * sizeof(r->values[0]));
	source_init(&s, program, config, false);
	why = read_arguments(&s, argc, argv, r);
	if (why)
		fprintf(stderr, "%s: %s (--help lists the options)\n", program->name, why);
	else
		action = serve(&s, r);
	source_done(&s);
	return action;
}
