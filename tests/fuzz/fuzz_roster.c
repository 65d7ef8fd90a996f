#include "core/id.h"
#include "core/rosterfile.h"
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A body that is taken is written as the same bytes; one that is sealed opens, for whom it was
 * sealed alone; the input as a file opens only with a signature. */

enum { SEALED_MAX = 200 }; /* what is longer takes time and shows nothing more */

static const struct id *curve(void)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};
	static struct id *id;

	if (!id)
		id = id_new(seed);
	FUZZ_CHECK(id);
	return id;
}

static void write_list(const struct roster *roster, enum roster_list list, struct writer *w)
{
	union {
		char group[RECORD_NAME_MAX + 1];
		struct roster_node node;
		struct roster_route route;
		struct roster_rule rule;
		struct roster_name name;
	} e;
	struct reader r;

	roster_write_count(w, list, roster->counts[list]);
	reader_init(&r, roster->lists[list].data, roster->lists[list].len);
	while (list == ROSTER_GROUPS && roster_next_group(&r, e.group))
		roster_write_group(w, e.group);
	while (list == ROSTER_NODES && roster_next_node(&r, &e.node))
		roster_write_node(w, &e.node);
	while (list == ROSTER_ROUTES && roster_next_route(&r, &e.route))
		roster_write_route(w, &e.route);
	while (list == ROSTER_RULES && roster_next_rule(&r, &e.rule))
		roster_write_rule(w, &e.rule);
	while (list == ROSTER_NAMES && roster_next_name(&r, &e.name))
		roster_write_name(w, &e.name);
	FUZZ_CHECK(!reader_left(&r));
}

static void check_body(const uint8_t *data, size_t len)
{
	struct roster roster;
	struct writer w;
	uint8_t *mem;

	if (roster_parse(data, len, &roster))
		return;
	mem = malloc(len + 1);
	FUZZ_CHECK(mem);
	writer_init(&w, mem, len);
	roster_write_header(&w, &roster.header);
	for (int i = 0; i < ROSTER_LISTS; i++)
		write_list(&roster, (enum roster_list)i, &w);
	FUZZ_CHECK(!w.failed && writer_len(&w) == len && !memcmp(mem, data, len));
	free(mem);
}

static struct identity person(uint8_t n)
{
	struct secret secret = {.bytes = {n}};
	struct identity identity;

	FUZZ_CHECK(!id_from_secret(curve(), &secret, &identity));
	return identity;
}

static void check_sealed(const uint8_t *data, size_t len)
{
	const struct identity admin = person(1), in = person(2), out = person(3);
	const uint8_t seed[ROSTERFILE_SEED_LEN] = {4};
	uint8_t xonly[XONLY_LEN], *file;
	struct rosterfile opened;
	struct roster roster;
	const char *why;
	size_t file_len;

	if (len > SEALED_MAX || roster_parse(data, len, &roster))
		return;
	id_xonly(&admin.key, xonly);
	for (int encrypted = 0; encrypted < 2; encrypted++) {
		/* a file that anybody can read has no secret */
		if (!encrypted && roster.header.epoch.number) {
			FUZZ_CHECK(rosterfile_seal(curve(), &admin.secret, data, len, NULL, 0, seed,
						   &file, &file_len) == -EINVAL);
			continue;
		}
		FUZZ_CHECK(!rosterfile_seal(curve(), &admin.secret, data, len,
					    encrypted ? &in.key : NULL, (size_t)encrypted, seed,
					    &file, &file_len));
		FUZZ_CHECK(rosterfile_open(curve(), &in, &roster.header.dnet, xonly, file, file_len,
					   &opened, &why) == ROSTER_GOOD);
		FUZZ_CHECK(opened.len == len && !memcmp(opened.body, data, len));
		rosterfile_done(&opened);
		if (encrypted)
			FUZZ_CHECK(rosterfile_open(curve(), &out, &roster.header.dnet, xonly, file,
						   file_len, &opened, &why) == ROSTER_NOT_OURS);
		free(file);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct identity admin = person(1), node = person(2);
	struct object_id dnet = {{0}};
	uint8_t xonly[XONLY_LEN];
	struct rosterfile opened;
	const char *why;

	check_body(data, len);
	check_sealed(data, len);
	id_xonly(&admin.key, xonly);
	/* the secret of this admin key is in no input */
	if (rosterfile_open(curve(), &node, &dnet, xonly, data, len, &opened, &why) == ROSTER_GOOD)
		rosterfile_done(&opened);
	return 0;
}
