#include "fuzz/fuzz.h"

#include "adapters/tincd.h"
#include "fixture/signed_text.h"
#include "os/log.h"

#include <jansson.h>
#include <string.h>

/* What dnet-tinc-hub is told of a dnet's members: each line is a part of a list, as JSON; an empty
 * one ends the list. Whom tincd gets to know has a name made from his key, and a key that he signed
 * for this dnet. `%0` to `%9` are right statements. tincd is played here. */

static void check_net(const struct tinc_net *net);
static int fake_apply(struct tincd *t, struct tinc_net *net, bool look);
static const char *fake_key_text(const struct tincd *t);

#define tincd_apply    fake_apply
#define tincd_key_text fake_key_text
#include "hub/tenant.c"

static const struct object_id served = {{7}}, self = {{9}};
static struct tenant *tenant;
static struct statement like;

static int fake_apply(struct tincd *t, struct tinc_net *net, bool look)
{
	check_net(net);
	return 0;
}

static const char *fake_key_text(const struct tincd *t)
{
	return "ours";
}

static bool may_be_known(const char *name)
{
	char text[TINC_NAME_SIZE];

	for (unsigned n = 0; n < SIGNED_SIGNERS; n++) {
		struct identity identity = signed_identity(n);

		tinc_node_name(&identity.key, text);
		if (!strcmp(text, name))
			return true;
	}
	return false;
}

static void check_net(const struct tinc_net *net)
{
	FUZZ_CHECK(net->host_count >= 1 && net->host_count <= tenant->nodes.count + 1);
	FUZZ_CHECK(!strcmp(net->hosts[0].name, net->name));
	for (size_t i = 1; i < net->host_count; i++) {
		const struct tinc_host *h = &net->hosts[i];

		/* who signed nothing here is not among them */
		FUZZ_CHECK(may_be_known(h->name) && h->subnet_count <= TINC_SUBNETS_MAX);
		FUZZ_CHECK(!strncmp(h->key, "-----BEGIN PUBLIC KEY-----\n", 27));
		for (size_t j = 0; j < i; j++)
			FUZZ_CHECK(strcmp(h->name, net->hosts[j].name));
	}
}

/* A list that is broken leaves the one in force. */
static void take_part(const char *text, size_t len)
{
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	size_t before = tenant->nodes.count;

	if (!json)
		return;
	(void)tenant_begin(tenant);
	if (!tenant_take(tenant, signed_curve(), json))
		FUZZ_CHECK(!tenant->busy && tenant->nodes.count == before);
	FUZZ_CHECK(tenant->coming.count <= NODES_MAX);
	json_decref(json);
}

/* A real key of tinc, as a statement has it. */
static void make_key(void)
{
	char *text = tinc_key_make();
	size_t len;

	FUZZ_CHECK(text && tinc_key_public(text, like.key, &len));
	like.key_len = (uint16_t)len;
	free(text);
	like.backend = BACKEND_TINC;
	like.kind = OBJECT_DNET;
	like.object = served;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text;

	log_set_level(LOG_LEVEL_ERROR);
	if (!like.key_len)
		make_key();
	text = signed_text(data, len, &like);
	tenant = xcalloc(1, sizeof(*tenant));
	tenant->dnet = served;
	tenant->ovc = self;
	for (char *line = text, *end; *line; line = end + (*end == '\n')) {
		end = line + strcspn(line, "\n");
		if (end > line)
			take_part(line, (size_t)(end - line));
		else if (tenant->busy)
			tenant_apply(tenant);
		if (tenant->busy && !*end)
			tenant_apply(tenant);
	}
	free(tenant->nodes.list);
	free(tenant->coming.list);
	free(tenant);
	free(text);
	return 0;
}
