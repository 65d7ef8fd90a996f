#include "config.h"
#include "os/base.h"
#include "ovr/ovr.h"
#include "service/helper.h"

/* ovrd: the relay. What it decides is in ovr/ovr.c; how it lives, in service/helper.c. */

static void *create(struct engine *engine, const struct hub *hub, const struct engine_io *io)
{
	return ovr_new(engine, hub, io);
}

static void destroy(void *ovr)
{
	ovr_free(ovr);
}

static void set_realm(void *ovr, struct realm *realm)
{
	ovr_set_realm(ovr, realm);
}

static size_t intercept(void *ovr, const struct endpoint *source, uint8_t *bytes, size_t len,
			size_t segment, uint64_t now)
{
	return ovr_input_lanes(ovr, source, bytes, len, segment, now);
}

static void tick(void *ovr, uint64_t now)
{
	ovr_tick(ovr, now);
}

static void describe(void *ovr, const struct object_id *dnet, json_t *tenant, uint64_t now)
{
	struct ovr_usage usage = ovr_usage(ovr, dnet);

	(void)now;
	json_object_set_new(tenant, "connected", json_integer((json_int_t)usage.members));
	json_object_set_new(tenant, "lanes", json_integer((json_int_t)usage.lanes));
	json_object_set_new(tenant, "forwarded_bytes", json_integer((json_int_t)usage.bytes));
	json_object_set_new(tenant, "dropped_bytes", json_integer((json_int_t)usage.dropped));
}

static void add_counters(void *ovr, json_t *counters)
{
	for (int i = 0; i < OVR_COUNTER_COUNT; i++)
		json_object_set_new(counters, ovr_counter_name(i),
				    json_integer((json_int_t)ovr_counter(ovr, i)));
}

static uint64_t get_used(void *ovr, const struct object_id *dnet)
{
	return ovr_usage(ovr, dnet).bytes;
}

static int set_used(void *ovr, const struct object_id *dnet, uint64_t bytes)
{
	return ovr_set_used(ovr, dnet, bytes);
}

static const struct conf_option options[] = {HELPER_OPTIONS("ovrd")};

static const struct helper_kind kind = {
	.program = {.name = "ovrd",
		    .version = PACKAGE_VERSION,
		    .summary = "relay of the dnet overlay network",
		    .path = DNET_SYSCONFDIR "/ovrd.conf",
		    .options = options,
		    .options_count = ARRAY_SIZE(options)},
	.kind = REALM_OVR,
	.create_hint = "dnet ovr create NAME --key $(ovrd --show-key)",
	.ops = &ovr_realm_ops,
	.create = create,
	.destroy = destroy,
	.set_realm = set_realm,
	.removed = ovr_member_removed,
	.intercept = intercept,
	.tick = tick,
	.describe = describe,
	.add_counters = add_counters,
	.get_used = get_used,
	.set_used = set_used,
};

int main(int argc, char **argv)
{
	return helper_main(&kind, argc, argv);
}
