#include "fuzz/fuzz.h"

#include "core/netmap.h"
#include "service/chain.h"
#include "service/inputcopy.h"

#include <string.h>

/* Of the two netmaps only what the second one is made of may differ: nothing. */
static void on_step(void *ctx, const struct netmap_step *step)
{
	FUZZ_CHECK(!step);
}

static void check_netmap(const struct netmap_input *input, const struct netmap_input *again)
{
	struct netmap *one, *two;

	if (netmap_build(input, &one))
		return;
	FUZZ_CHECK(one->node_count <= input->row_count && one->helper_count <= input->row_count);
	for (size_t i = 1; i < one->node_count; i++)
		FUZZ_CHECK(memcmp(&one->nodes[i - 1].key, &one->nodes[i].key,
				  sizeof(one->nodes[i].key)) < 0);
	FUZZ_CHECK(!netmap_build(again, &two));
	netmap_diff(one, two, on_step, NULL);
	netmap_free(one);
	netmap_free(two);
}

/* The copy in the state folder, and the netmap of any rows and revocations: what was read is
 * written so that it reads and means the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	json_t *json = json_loadb((const char *)data, len, 0, NULL), *written, *twice;
	struct netmap_input input, again;

	if (json && input_from_json(json, &input)) {
		written = input_to_json(&input);
		FUZZ_CHECK(written && input_from_json(written, &again));
		twice = input_to_json(&again);
		FUZZ_CHECK(json_equal(written, twice));
		check_netmap(&input, &again);
		json_decref(twice);
		json_decref(written);
		input_free(&again);
		input_free(&input);
	}
	json_decref(json);
	return 0;
}
