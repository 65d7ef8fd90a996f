#include "cli/names.h"
#include "cli/publish.h"
#include "cli/records.h"
#include "os/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The operator of an OVC or OVR: the object, where it is reached, and which dnets it serves. */

static const struct arg_option create_options[] = {
	{"key", 'k', "SERVICEKEY", "its service key: `ovcd --show-key`, `ovrd --show-key`"},
	{0},
};

static const struct arg_option grant_options[] = {
	{"expires", 0, "HEIGHT", "the last block of the grant (none)"},
	{"rate", 0, "KBIT", "kbit/s (no limit)"},
	{"volume", 0, "MIB", "MiB in all (no limit)"},
	{0},
};

static int create(struct cli *cli, const struct args *args, enum object_kind kind)
{
	const char *name = args->words[0], *key = args_get(args, "key");
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "create %s %s", names_kind(kind), name);
	struct record *record;
	int r;

	if (!publish)
		return CLI_FAILED;
	if (!record_name_ok(name))
		return cli_error(cli, CLI_USAGE, "1 to 32 of a-z, 0-9 and -, with no - at an end",
				 "\"%s\" is not a name", name);
	if (!key)
		return cli_error(cli, CLI_USAGE, "the daemon prints it with --show-key",
				 "--key is missing");
	publish->create = true;
	publish->object.kind = kind;
	snprintf(publish->object.label, sizeof(publish->object.label), "%s", name);
	record = publish_add(publish, kind == OBJECT_OVC ? RECORD_OVC_CREATE : RECORD_OVR_CREATE);
	snprintf(record->service_create.name, sizeof(record->service_create.name), "%s", name);
	r = names_key(cli, key, &record->service_create.service_key);
	return r ? r : publish_run(cli, args, publish);
}

static int run_ovc_create(struct cli *cli, const struct args *args)
{
	return create(cli, args, OBJECT_OVC);
}

static int run_ovr_create(struct cli *cli, const struct args *args)
{
	return create(cli, args, OBJECT_OVR);
}

static int change_endpoint(struct cli *cli, const struct args *args, enum object_kind kind,
			   enum record_type type)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "%s %s %s", args->words[0],
			    type == RECORD_ENDPOINT_PUT ? "at" : "no more at", args->words[1]);
	int r = publish ? names_resolve(cli, kind, args->words[0], &publish->object) : CLI_FAILED;

	for (size_t i = 1; !r && i < args->count; i++) {
		struct record *record = publish_add(publish, type);

		if (!record || !endpoint_url_parse(args->words[i], &record->endpoint))
			r = cli_error(cli, CLI_USAGE,
				      "a port is 1 to 65535: udp://192.0.2.1:4242, "
				      "udp://[2001:db8::1]:4242 or "
				      "udp://relay.example.org:4242",
				      "\"%s\" is not an endpoint", args->words[i]);
	}
	return r ? r : publish_run(cli, args, publish);
}

static int run_ovc_endpoint_add(struct cli *cli, const struct args *args)
{
	return change_endpoint(cli, args, OBJECT_OVC, RECORD_ENDPOINT_PUT);
}

static int run_ovr_endpoint_add(struct cli *cli, const struct args *args)
{
	return change_endpoint(cli, args, OBJECT_OVR, RECORD_ENDPOINT_PUT);
}

static int run_ovc_endpoint_del(struct cli *cli, const struct args *args)
{
	return change_endpoint(cli, args, OBJECT_OVC, RECORD_ENDPOINT_DEL);
}

static int run_ovr_endpoint_del(struct cli *cli, const struct args *args)
{
	return change_endpoint(cli, args, OBJECT_OVR, RECORD_ENDPOINT_DEL);
}

static int parse_number(struct cli *cli, const struct args *args, const char *name, uint32_t *ret)
{
	const char *text = args_get(args, name);
	char *end;
	long long value;

	if (!text)
		return 0;
	value = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : -1;
	if (value < 0 || value > UINT32_MAX || *end)
		return cli_error(cli, CLI_USAGE, "0 is none", "--%s is 0 to %u, not \"%s\"", name,
				 UINT32_MAX, text);
	*ret = (uint32_t)value;
	return 0;
}

static int change_grant(struct cli *cli, const struct args *args, enum object_kind kind,
			enum record_type type)
{
	_cleanup_(freep) struct publish *publish =
		publish_new(cli, "%s %s %s", args->words[0],
			    type == RECORD_GRANT ? "serves" : "no more serves", args->words[1]);
	struct cli_object dnet = {0};
	struct record *record;
	int r = publish ? names_resolve(cli, kind, args->words[0], &publish->object) : CLI_FAILED;

	if (!r)
		r = names_resolve(cli, OBJECT_DNET, args->words[1], &dnet);
	if (r)
		return r;
	record = publish_add(publish, type);
	record->grant.dnet = dnet.id;
	if (type == RECORD_GRANT) {
		r = parse_number(cli, args, "expires", &record->grant.expiry);
		if (!r)
			r = parse_number(cli, args, "rate", &record->grant.rate_kbit);
		if (!r)
			r = parse_number(cli, args, "volume", &record->grant.volume_mib);
	}
	return r ? r : publish_run(cli, args, publish);
}

static int run_ovc_grant(struct cli *cli, const struct args *args)
{
	return change_grant(cli, args, OBJECT_OVC, RECORD_GRANT);
}

static int run_ovr_grant(struct cli *cli, const struct args *args)
{
	return change_grant(cli, args, OBJECT_OVR, RECORD_GRANT);
}

static int run_ovc_revoke(struct cli *cli, const struct args *args)
{
	return change_grant(cli, args, OBJECT_OVC, RECORD_REVOKE);
}

static int run_ovr_revoke(struct cli *cli, const struct args *args)
{
	return change_grant(cli, args, OBJECT_OVR, RECORD_REVOKE);
}

#define URLS "ID udp://HOST:PORT..."

const struct cli_command cli_commands_service[] = {
	{"ovc create", "NAME", "makes an OVC (meeting point)", create_options, 1, 1, true,
	 run_ovc_create},
	{"ovc endpoint add", URLS, "says where it is reached", NULL, 2, ARGS_MAX, true,
	 run_ovc_endpoint_add},
	{"ovc endpoint del", URLS, "takes that back", NULL, 2, ARGS_MAX, true,
	 run_ovc_endpoint_del},
	{"ovc grant", "ID DNET", "serves a dnet", grant_options, 2, 2, true, run_ovc_grant},
	{"ovc revoke", "ID DNET", "serves it no more", NULL, 2, 2, true, run_ovc_revoke},
	{"ovr create", "NAME", "makes an OVR (relay)", create_options, 1, 1, true, run_ovr_create},
	{"ovr endpoint add", URLS, "says where it is reached", NULL, 2, ARGS_MAX, true,
	 run_ovr_endpoint_add},
	{"ovr endpoint del", URLS, "takes that back", NULL, 2, ARGS_MAX, true,
	 run_ovr_endpoint_del},
	{"ovr grant", "ID DNET", "serves a dnet", grant_options, 2, 2, true, run_ovr_grant},
	{"ovr revoke", "ID DNET", "serves it no more", NULL, 2, 2, true, run_ovr_revoke},
	{0},
};
