#include "cli/help.h"

#include "cli/publish.h"
#include "cli/settings.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *title;
	const struct cli_command *commands;
} groups[] = {
	{"Member of dnets (through dnetd)", cli_commands_member},
	{"Looking at the chain (through chain.db)", cli_commands_look},
	{"Owner of a dnet (writes to the chain)", cli_commands_owner},
	{"Letting nodes in", cli_commands_invite},
	{"Policy of a dnet (doc/roster.md)", cli_commands_policy},
	{"Operator of an OVC or OVR (writes to the chain)", cli_commands_service},
	{"What was written and waits for a block", cli_commands_pending},
	{"Transactions that others sign (BIP174)", cli_commands_psbt},
	{"Keys of the owner", cli_commands_keystore},
};

static const struct arg_option global_options[] = {
	{"config", 'c', "FILE", "configuration, in place of the system's and the user's"},
	{"json", 0, NULL, "answer with one JSON object, errors too"},
	{"yes", 'y', NULL, "do not ask before something is sent"},
	{"help", 'h', NULL, "this help, or that of a command"},
	{"version", 0, NULL, "print the version"},
	{"print-man", 0, NULL, "print the options of dnet.conf(5) as markdown"},
	{0},
};

const struct arg_option *help_options(const struct cli_command *command, int part)
{
	if (!part)
		return command->options;
	return command->writes ? publish_options : NULL;
}

/* How many of the words the name begins with, in a row from the start; *ret_all: it has no more
 * words than those. */
static bool begins(const char *name, const char *const *words, size_t count, bool *ret_all)
{
	for (size_t i = 0; i < count; i++) {
		size_t len = strcspn(name, " ");

		if (strlen(words[i]) != len || strncmp(name, words[i], len) != 0)
			return false;
		name += len;
		while (*name == ' ')
			name++;
	}
	*ret_all = !*name;
	return true;
}

static const struct cli_command *find(const char *const *words, size_t count, bool whole)
{
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		for (const struct cli_command *c = groups[g].commands; c->name; c++) {
			bool all;

			if (begins(c->name, words, count, &all) && (all || !whole))
				return c;
		}
	}
	return NULL;
}

const struct cli_command *help_find(const char *const *words, size_t count)
{
	return find(words, count, true);
}

bool help_is_group(const char *const *words, size_t count)
{
	return find(words, count, false);
}

static void print_options(const struct arg_option *row)
{
	for (; row && row->name; row++) {
		char left[64], letter[8] = "    ";

		if (row->letter)
			snprintf(letter, sizeof(letter), "-%c, ", row->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name, row->value ? " " : "",
			 row->value ? row->value : "");
		printf("  %-30s %s\n", left, row->help);
	}
}

static void print_settings(void)
{
	for (size_t i = 0; i < settings_program.options_count; i++) {
		const struct conf_option *row = &settings_program.options[i];
		char left[64];

		snprintf(left, sizeof(left), "    --%s VALUE",
			 strcmp(row->name, "dnetd") ? row->name : "socket");
		printf("  %-30s %s\n", left, row->help);
	}
}

static void print_command(const struct cli_command *command)
{
	printf("Usage: dnet %s%s%s [OPTION]...\n\n%c%s.\n\n", command->name,
	       command->params && *command->params ? " " : "",
	       command->params ? command->params : "",
	       command->help[0] - ('a' <= command->help[0] && command->help[0] <= 'z' ? 32 : 0),
	       command->help + 1);
	if (command->options || command->writes)
		puts("Options:");
	print_options(command->options);
	if (command->writes)
		print_options(publish_options);
	puts("\nOptions of every command: dnet --help. More: dnet(1).");
}

static void print_group(size_t g, const char *const *words, size_t count)
{
	bool titled = false, all;

	for (const struct cli_command *c = groups[g].commands; c->name; c++) {
		char left[80];

		if (!begins(c->name, words, count, &all))
			continue;
		if (!titled)
			printf("\n%s:\n", groups[g].title);
		titled = true;
		snprintf(left, sizeof(left), "%s%s%s", c->name, c->params ? " " : "",
			 c->params ? c->params : "");
		printf("  %-38s %s\n", left, c->help);
	}
}

void help_print(const struct cli_command *command, const char *const *words, size_t count)
{
	if (command) {
		print_command(command);
		return;
	}
	puts("Usage: dnet [OPTION]... COMMAND ...\n\n"
	     "Private overlay networks whose membership is anchored in a public blockchain.");
	for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
		print_group(g, words, count);
	if (count)
		return;
	puts("\nOptions of every command:");
	print_options(global_options);
	puts("\nOptions that dnet.conf(5) has too; DNET_NAME in the environment sets them:");
	print_settings();
	puts("\nExit status: 0 done, 1 failed, 2 usage, 3 not found, 4 daemon or node "
	     "unreachable,\n"
	     "5 denied (passphrase, key, socket), 6 not enough coins or fee too high, 7 sent but "
	     "not\n"
	     "seen in time, 8 the answer was no.");
}

/* Levenshtein distance of short words. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64];
	size_t len = strlen(b);

	if (strlen(a) >= ARRAY_SIZE(row) || len >= ARRAY_SIZE(row))
		return 99;
	for (unsigned j = 0; j <= len; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);
			unsigned best = row[j - 1] < row[j] ? row[j - 1] : row[j];

			diagonal = row[j];
			row[j] = change < best + 1 ? change : best + 1;
		}
	}
	return row[len];
}

/* The command nearest to the first words; NULL: nothing near. */
static const char *nearest(const char *const *words, size_t count)
{
	const char *best = NULL;
	unsigned best_distance = 4;

	for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
		for (const struct cli_command *c = groups[g].commands; c->name; c++) {
			char typed[64] = "";
			size_t n = 1;
			unsigned d;

			for (const char *p = c->name; *p; p++)
				n += *p == ' ';
			for (size_t i = 0; i < n && i < count; i++) {
				size_t used = strlen(typed);

				snprintf(typed + used, sizeof(typed) - used, "%s%s", i ? " " : "",
					 words[i]);
			}
			d = distance(typed, c->name);
			if (d < best_distance) {
				best_distance = d;
				best = c->name;
			}
		}
	}
	return best;
}

int help_unknown(struct cli *cli, const char *const *words, size_t count)
{
	const char *near;
	char next[96];

	if (!count) {
		if (cli->json)
			return cli_error(cli, CLI_USAGE, "dnet --help", "no command was given");
		help_print(NULL, words, 0);
		return CLI_USAGE;
	}
	if (help_is_group(words, count)) {
		snprintf(next, sizeof(next), "dnet %s --help", words[0]);
		return cli_error(cli, CLI_USAGE, next, "`dnet %s` needs one more word", words[0]);
	}
	near = nearest(words, count);
	if (near)
		snprintf(next, sizeof(next), "did you mean `dnet %s`? Or see dnet --help", near);
	return cli_error(cli, CLI_USAGE, near ? next : "dnet --help", "unknown command \"%s\"",
			 words[0]);
}
