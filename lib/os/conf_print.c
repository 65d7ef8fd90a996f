#include "os/conf.h"

#include "os/conf_value.h"

#include <string.h>

static bool first_of_section(const struct conf_program *p, size_t i)
{
	for (size_t before = 0; before < i; before++) {
		if (!strcmp(p->options[before].section, p->options[i].section))
			return false;
	}
	return true;
}

enum { LINE_MAX_READ = 198 };

/* Without spaces where they would make the line too long to be read again, or a comment of the
 * value. */
static void print_value(const char *name, const char *text, FILE *out)
{
	size_t len = strlen(name) + strlen(" = ") + strlen(text);

	if (text[0] == ';' || len > LINE_MAX_READ)
		fprintf(out, "%s=%s\n", name, text);
	else
		fprintf(out, text[0] ? "%s = %s\n" : "%s =\n", name, text);
}

static void print_values(const struct conf_option *o, const void *config, FILE *out)
{
	char *text;

	for (size_t i = 0; (text = conf_value_text(o, config, i)); i++) {
		print_value(o->name, text, out);
		free(text);
	}
}

static void print_section(const struct conf_program *p, const char *section, const void *config,
			  FILE *out)
{
	if (section[0])
		fprintf(out, "\n[%s]\n", section);
	for (size_t i = 0; i < p->options_count; i++) {
		if (!strcmp(p->options[i].section, section))
			print_values(&p->options[i], config, out);
	}
}

void conf_print(const struct conf_program *program, const void *config, FILE *out)
{
	/* What stands before the first section must come first, wherever its rows are. */
	print_section(program, "", config, out);
	for (size_t i = 0; i < program->options_count; i++) {
		const char *section = program->options[i].section;

		if (section[0] && first_of_section(program, i))
			print_section(program, section, config, out);
	}
}

static void print_help_row(const struct conf_option *o, FILE *out)
{
	_cleanup_(freep) char *what = conf_value_describe(o);
	/* Without a value it means yes, so a value needs the sign. */
	_cleanup_(freep) char *left = xasprintf(o->type == CONF_BOOL ? "--%s[=%s]" : "--%s %s",
						o->name, conf_value_placeholder(o->type));

	fprintf(out, "  %-32s %s\n%35s%s%s%s\n", left, o->help, "", what,
		o->fallback ? "; default " : "", o->fallback ? o->fallback : "");
}

void conf_print_help(const struct conf_program *program, FILE *out)
{
	fprintf(out, "%s: %s\n\nUsage: %s [-c FILE] [-n] [--OPTION VALUE]...\n\n", program->name,
		program->summary, program->name);
	fprintf(out, "  %-32s %s\n", "-c, --config FILE", "configuration file");
	if (program->path)
		fprintf(out, "%35sdefault %s\n", "", program->path);
	fprintf(out, "  %-32s %s\n", "-n, --check", "check the configuration and exit");
	fprintf(out, "  %-32s %s\n", "--print-config", "print the effective configuration");
	fprintf(out, "  %-32s %s\n", "--help, --version", "print this, or the version");
	fputs(program->more_help ? program->more_help : "", out);
	for (size_t i = 0; i < program->options_count; i++) {
		const char *section = program->options[i].section;

		if (first_of_section(program, i) && section[0])
			fprintf(out, "\nIn section [%s] of the file, or as an argument:\n",
				section);
		else if (first_of_section(program, i))
			fprintf(out, "\nIn the file, or as an argument:\n");
		print_help_row(&program->options[i], out);
	}
}

void conf_print_man(const struct conf_program *program, FILE *out)
{
	for (size_t i = 0; i < program->options_count; i++) {
		const struct conf_option *o = &program->options[i];
		_cleanup_(freep) char *what = conf_value_describe(o);

		if (first_of_section(program, i) && o->section[0])
			fprintf(out, "## Section [%s]\n\n", o->section);
		fprintf(out, "**%s** = *%s*\n\n: %s; %s.", o->name, conf_value_placeholder(o->type),
			o->help, what);
		if (o->fallback && o->fallback[0])
			fprintf(out, " Default: %s.", o->fallback);
		fprintf(out, "\n\n");
	}
}
