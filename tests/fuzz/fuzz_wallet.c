#include "fuzz/fuzz.h"

#include "os/rpc.h"

#include <jansson.h>
#include <stdarg.h>
#include <string.h>

/* A chain node whose wallet answers anything when the tool funds, signs and sends a transaction.
 * The input is answers, a line each; {"code": N, "text": "…"} is an error of the node. Each '@'
 * becomes the transaction that was asked about, so that answers may fit. What the tool takes is
 * what it had asked for. */

static int fake_callf(struct rpc *rpc, json_t **ret_result, const char *method, const char *format,
		      ...);
static int fake_call(struct rpc *rpc, const char *method, json_t *params, json_t **ret_result);
static const struct rpc_error *fake_error(const struct rpc *rpc);

#define rpc_call       fake_call
#define rpc_callf      fake_callf
#define rpc_error(rpc) fake_error(rpc)
#include "cli/wallet.c"
#undef rpc_error
#define main tool_main
int tool_main(int argc, char **argv);
#include "cli/main.c"

static const char *input, *input_end;
static struct rpc_error failure;

/* The next line with each '@' replaced; the caller's. */
static char *next_line(const char *subject, size_t *ret_len)
{
	const char *end =
		input < input_end ? memchr(input, '\n', (size_t)(input_end - input)) : NULL;
	size_t len = 0, subject_len = strlen(subject);
	char *line;

	end = end ? end : input_end;
	line = malloc((size_t)(end - input) * (subject_len + 1) + 1);
	FUZZ_CHECK(line);
	for (; input < end; input++) {
		memcpy(line + len, *input == '@' ? subject : input,
		       *input == '@' ? subject_len : 1);
		len += *input == '@' ? subject_len : 1;
	}
	input += input < input_end;
	*ret_len = len;
	return line;
}

static int answer(const char *subject, json_t **ret_result)
{
	size_t len;
	char *line = next_line(subject, &len);
	json_t *json = json_loadb(line, len, JSON_DECODE_ANY, NULL), *code;

	free(line);
	code = json_object_get(json, "code");
	failure = (struct rpc_error){0};
	if (json && !code) {
		*ret_result = json;
		return 0;
	}
	failure.kind = json ? RPC_NODE : RPC_GARBAGE;
	failure.code = (int)json_integer_value(code);
	snprintf(failure.text, sizeof(failure.text), "%s",
		 json_is_string(json_object_get(json, "text"))
			 ? json_string_value(json_object_get(json, "text"))
			 : "no text");
	json_decref(json);
	return json ? -EREMOTEIO : -EBADMSG;
}

static int fake_call(struct rpc *rpc, const char *method, json_t *params, json_t **ret_result)
{
	return answer("", ret_result);
}

static int fake_callf(struct rpc *rpc, json_t **ret_result, const char *method, const char *format,
		      ...)
{
	const char *subject = "";
	va_list args;

	va_start(args, format);
	if (format[1 + strspn(format + 1, "[")] == 's')
		subject = va_arg(args, const char *);
	va_end(args);
	return answer(subject, ret_result);
}

static const struct rpc_error *fake_error(const struct rpc *rpc)
{
	return &failure;
}

/* Fund, sign, test, send: as publish does. */
static void pay(struct cli *cli)
{
	static struct txbuild carrier, funded, before;
	static uint8_t raw[TXBUILD_RAW_MAX], signed_raw[TXBUILD_RAW_MAX];
	static const uint8_t payload[] = "payload", script[] = {0x51};
	uint64_t rate, fee;
	char why[128];

	if (wallet_check(cli) || wallet_fee_rate(cli, &rate))
		return;
	FUZZ_CHECK(rate && rate <= AMOUNT_COIN);
	txbuild_carrier(&carrier, payload, sizeof(payload), script, sizeof(script), 10000);
	if (wallet_fund(cli, &carrier, rate, false, raw, &funded, &fee))
		return;
	FUZZ_CHECK(txbuild_carries(&funded, &carrier));
	before = funded;
	if (wallet_sign(cli, &funded, SIZE_MAX, signed_raw))
		return;
	FUZZ_CHECK(same_body(&before, &funded));
	for (size_t i = 0; i < funded.input_count; i++)
		FUZZ_CHECK(funded.inputs[i].witness || funded.inputs[i].script_len);
	FUZZ_CHECK(wallet_test(cli, &funded, why) || memchr(why, '\0', sizeof(why)));
	wallet_verdict(why);
	FUZZ_CHECK(wallet_send(cli, &funded, why) || memchr(why, '\0', sizeof(why)));
}

static void look(struct cli *cli)
{
	static const struct outpoint seal = {.vout = 1};
	static struct wallet_coin coin;
	uint8_t script[34];
	size_t len;

	if (!wallet_coin(cli, &seal, &coin))
		FUZZ_CHECK(coin.script_len <= sizeof(coin.script));
	if (!wallet_new_script(cli, script, &len))
		FUZZ_CHECK(len <= sizeof(script));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static FILE *nowhere;
	FILE *err = stderr;
	struct cli cli = {.conf = {.chain = (char *)"litecoin-regtest",
				   .fee_rate = (char *)"",
				   .rpc_cookie = (char *)"",
				   .rpc = (char *)""},
			  .params = chainparams_find("litecoin-regtest"),
			  .rpc = (struct rpc *)&failure,
			  .lock = -1};

	nowhere = nowhere ? nowhere : fopen("/dev/null", "w");
	FUZZ_CHECK(nowhere && cli.params);
	if (!len)
		return 0;
	input = (const char *)data + 1;
	input_end = (const char *)data + len;
	stderr = nowhere; /* what the tool says */
	if (data[0] & 1)
		look(&cli);
	else
		pay(&cli);
	stderr = err;
	return 0;
}
