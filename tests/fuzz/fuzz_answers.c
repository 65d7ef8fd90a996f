#include "fuzz/fuzz.h"

#include "os/ctl_stream.h"

#include <string.h>

/* What the tool prints for people of any answer of a daemon. The input is a byte that chooses the
 * command (its highest bit: with --json), then the answer. Nothing but text and line ends reaches
 * the terminal. */

static int fake_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
		     json_t **ret_result, struct ctl_error *ret_error);

#define ctl_client_call fake_call
#define main		tool_main
int tool_main(int argc, char **argv);
#include "cli/cmd_member.c"
#include "cli/main.c"

static json_t *answer; /* owned */

static int fake_call(const char *path, const char *method, json_t *params, unsigned timeout_ms,
		     json_t **ret_result, struct ctl_error *ret_error)
{
	json_t *error = json_object_get(answer, "error");

	if (!answer || error) {
		ctl_error_from_json(error, ret_error);
		return -1;
	}
	*ret_result = json_deep_copy(answer);
	return 0;
}

static void check_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = (uint8_t)text[i];

		FUZZ_CHECK(byte == '\n' || (byte >= ' ' && byte != 0x7f));
	}
}

/* What a command prints, to be looked at. */
static void run_captured(const struct cli_command *command, struct cli *cli,
			 const struct args *args)
{
	FILE *out = stdout, *err = stderr, *both;
	size_t len = 0;
	char *text = NULL;

	both = open_memstream(&text, &len);
	FUZZ_CHECK(both);
	stdout = stderr = both;
	command->run(cli, args);
	fclose(both);
	stdout = out;
	stderr = err;
	if (!cli->json)
		check_text(text, len);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cli cli = {.conf = {.socket = (char *)"/s", .chain_db = (char *)"/none"},
			  .lock = -1};
	/* one ping, without a pause */
	struct args args = {.words = {"node", "10.0.0.2", "tcp", "22"},
			    .options = {&ping_options[0]},
			    .values = {"1"},
			    .option_count = 1};
	const struct cli_command *command = cli_commands_member;
	uint8_t choice;

	if (!len)
		return 0;
	choice = data[0];
	for (unsigned n = choice % 10; n > 0 && command[1].name; n--)
		command++;
	args.count = choice & 0x40 ? 4 : MAX(command->words_min, 1u);
	args.count = MIN(args.count, command->words_max);
	cli.json = choice & 0x80;
	answer = json_loadb((const char *)data + 1, len - 1, JSON_DECODE_ANY, NULL);
	run_captured(command, &cli, &args);
	json_decref(answer);
	return 0;
}
