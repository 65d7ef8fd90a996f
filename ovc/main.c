#include "config.h"
#include "os/base.h"
#include "ovc/commands.h"
#include "ovc/ovc.h"
#include "service/helper.h"

/* ovcd: the rendezvous. What it decides is in ovc/ovc.c; how it lives, in service/helper.c. */

static void *create(struct engine *engine, const struct hub *hub, const struct engine_io *io)
{
	return ovc_new(engine, hub, io);
}

static void destroy(void *ovc)
{
	ovc_free(ovc);
}

static void set_realm(void *ovc, struct realm *realm)
{
	ovc_set_realm(ovc, realm);
}

static size_t intercept(void *ovc, const struct endpoint *source, uint8_t *bytes, size_t len,
			size_t segment, uint64_t now)
{
	size_t n = MIN(len, segment);

	return ovc_input_stun(ovc, source, bytes, n, now) ? n : 0;
}

static void describe(void *ovc, const struct object_id *dnet, json_t *tenant, uint64_t now)
{
	char change[OVC_CHANGE_SIZE];

	ovc_change(ovc, dnet, change);
	json_object_set_new(tenant, "change", json_string(change));
	json_object_set_new(tenant, "registered",
			    json_integer((json_int_t)ovc_registered(ovc, dnet, now)));
}

static void add_counters(void *ovc, json_t *counters)
{
	for (int i = 0; i < OVC_COUNTER_COUNT; i++)
		json_object_set_new(counters, ovc_counter_name(i),
				    json_integer((json_int_t)ovc_counter(ovc, i)));
}

static int take_file(void *ovc, const char *text, const struct object_id *id, unsigned *ret_line,
		     const char **ret_why)
{
	return ovc_read_hubs(ovc, text, id, ret_line, ret_why);
}

/* clang-format off */
static const struct conf_option options[] = {
	HELPER_OPTIONS("ovcd"),
	HELPER_ROW("hub-statement", CONF_PATH, "", 0, 0, hub_statement,
		   "file with key statements of hubs beside this OVC (tinc), read again when it changes; empty: none"),
};
/* clang-format on */

static const struct helper_kind kind = {
	.commands = ovc_commands,
	.commands_count = OVC_COMMANDS,
	.program = {.name = "ovcd",
		    .version = PACKAGE_VERSION,
		    .summary = "rendezvous of the dnet overlay network",
		    .path = DNET_SYSCONFDIR "/ovcd.conf",
		    .options = options,
		    .options_count = ARRAY_SIZE(options)},
	.kind = REALM_OVC,
	.create_hint = "dnet ovc create NAME --key $(ovcd --show-key)",
	.ops = &ovc_realm_ops,
	.create = create,
	.destroy = destroy,
	.set_realm = set_realm,
	.removed = ovc_member_removed,
	.intercept = intercept,
	.take_file = take_file,
	.describe = describe,
	.add_counters = add_counters,
};

int main(int argc, char **argv)
{
	return helper_main(&kind, argc, argv);
}
