#include "ovc/commands.h"

#include "core/book.h"
#include "core/id.h"
#include "core/netmap.h"
#include "os/base.h"
#include "os/clock.h"
#include "os/ctl_value.h"
#include "os/rand.h"
#include "ovc/ovc.h"
#include "service/helper.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <string.h>

enum { PAGE = 256 /* nodes in one answer, for its line to have room */ };

/* The tenant that is asked for; NULL: answered. */
static const struct netmap *find_tenant(const struct helper *h, struct ctl_request *request,
					json_t *params)
{
	const char *text = ctl_param_string(params, "dnet");
	const struct hub *hub = helper_hub(h);
	enum object_kind kind;
	struct object_id id;

	if (!text || !object_id_parse(text, &kind, &id) || kind != OBJECT_DNET) {
		ctl_reply_error(request, CTL_EPARAMS, NULL, "dnet is not the id of a dnet");
		return NULL;
	}
	for (size_t i = 0; i < hub_count(hub); i++) {
		if (object_id_equal(&hub_netmap(hub, i)->id, &id))
			return hub_netmap(hub, i);
	}
	ctl_reply_error(request, CTL_ENOTFOUND, NULL, "%s is not served here", text);
	return NULL;
}

static bool take_backend(struct ctl_request *request, const json_t *params, uint8_t *ret_backend)
{
	int64_t backend;

	if (ctl_param_int(params, "backend", &backend) && backend > BACKEND_NATIVE &&
	    backend <= UINT8_MAX) {
		*ret_backend = (uint8_t)backend;
		return true;
	}
	ctl_reply_error(request, CTL_EPARAMS, NULL, "backend is not the number of one");
	return false;
}

/* ---- statements ---- */

struct page {
	const struct netmap_node *first;
	size_t count;
	json_t *nodes[PAGE]; /* borrowed: they are in the answer */
};

static int compare_keys(const void *key, const void *node)
{
	return node_key_compare(key, &((const struct netmap_node *)node)->key);
}

static void visit_statement(void *ctx, const struct node_key *key, const uint8_t *bytes, size_t len)
{
	struct page *page = ctx;
	char hex[2 * STATEMENT_MAX + 1];
	const struct netmap_node *node =
		bsearch(key, page->first, page->count, sizeof(*node), compare_keys);

	if (!node || len > STATEMENT_MAX)
		return;
	hex_format(bytes, len, hex);
	json_object_set_new(page->nodes[node - page->first], "statement", json_string(hex));
}

static json_t *describe_node(const struct netmap_node *node)
{
	char key[2 * PUBKEY_LEN + 1];
	json_t *addresses = json_array();

	hex_format(node->key.bytes, PUBKEY_LEN, key);
	ctl_append_address(addresses, &node->ipv6);
	ctl_append_address(addresses, &node->ipv4);
	ctl_append_address(addresses, &node->extra_ipv6);
	return json_pack("{s:s, s:o}", "key", key, "addresses", addresses);
}

static void cmd_statements(struct ctl_request *request, json_t *params, void *arg)
{
	const struct helper *h = arg;
	const struct netmap *netmap = find_tenant(h, request, params);
	json_t *nodes = json_array();
	struct page page = {0};
	int64_t from = 0;
	uint8_t backend;

	(void)ctl_param_int(params, "from", &from);
	if (!netmap || !take_backend(request, params, &backend)) {
		json_decref(nodes);
		return;
	}
	from = MAX(0, MIN(from, (int64_t)netmap->node_count));
	page.first = &netmap->nodes[from];
	page.count = MIN(netmap->node_count - (size_t)from, (size_t)PAGE);
	for (size_t i = 0; i < page.count; i++) {
		page.nodes[i] = describe_node(&page.first[i]);
		json_array_append_new(nodes, page.nodes[i]);
	}
	ovc_visit_statements(helper_decider(h), &netmap->id, backend, visit_statement, &page);
	ctl_reply(request, json_pack("{s:o, s:I, s:b}", "nodes", nodes, "next",
				     (json_int_t)((size_t)from + page.count), "more",
				     (size_t)from + page.count < netmap->node_count));
}

/* ---- hub ---- */

/* Signs what is not signed already: a date more would be news for every member. */
static int sign_hub(const struct helper *h, const struct object_id *dnet, uint8_t backend,
		    uint16_t port, const uint8_t *key, size_t len)
{
	struct ovc *ovc = helper_decider(h);
	const struct identity *identity = helper_identity(h);
	struct statement s = {.backend = backend,
			      .kind = OBJECT_OVC,
			      .object = *helper_id(h),
			      .signer = identity->key,
			      .date = clock_wall_s(),
			      .key_len = (uint16_t)len};
	struct statement before;
	uint16_t port_before;
	size_t bytes_len;
	const uint8_t *bytes = ovc_hub(ovc, dnet, backend, &port_before, &bytes_len);
	uint8_t aux[32];

	if (bytes && port_before == port && statement_parse(bytes, bytes_len, &before) &&
	    before.key_len == len && memcmp(before.key, key, len) == 0)
		return 0;
	memcpy(s.key, key, len);
	rand_bytes(aux, sizeof(aux));
	book_sign(ovc_curve(ovc), identity, aux, &s);
	return ovc_set_hub(ovc, dnet, port, &s);
}

static void cmd_hub(struct ctl_request *request, json_t *params, void *arg)
{
	const struct helper *h = arg;
	const struct netmap *netmap = find_tenant(h, request, params);
	const char *hex = ctl_param_string(params, "key");
	uint8_t key[STATEMENT_KEY_MAX], backend;
	size_t len = 0;
	int64_t port;

	if (!netmap || !take_backend(request, params, &backend))
		return;
	if (!ctl_param_int(params, "port", &port) || port < 1 || port > UINT16_MAX || !hex ||
	    !hex_parse_any(hex, key, sizeof(key), &len) || len == 0) {
		ctl_reply_error(request, CTL_EPARAMS, NULL, "port or key is not one");
		return;
	}
	if (sign_hub(h, &netmap->id, backend, (uint16_t)port, key, len) < 0)
		ctl_reply_error(request, CTL_EFAILED, NULL, "such a key cannot be told to members");
	else
		ctl_reply(request, NULL);
}

const struct ctl_command ovc_commands[OVC_COMMANDS] = {
	{"statements", "DNET BACKEND [FROM]",
	 "The nodes of a dnet, and the key statements of a backend of those who are here",
	 CTL_WRITE, cmd_statements},
	{"hub", "DNET BACKEND PORT KEY", "Tells members of a hub beside this OVC, signed",
	 CTL_WRITE, cmd_hub},
};
