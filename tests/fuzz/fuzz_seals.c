#include "cli/seals.h"
#include "fuzz/fuzz.h"

#include <string.h>

/* What is read is put back as it was. */
static void check(const json_t *value)
{
	struct known_seal known, again;
	json_t *all;
	void *row;

	if (!seals_read(value, &known))
		return;
	FUZZ_CHECK(strlen(known.label) < sizeof(known.label));
	all = json_object();
	FUZZ_CHECK(all && seals_put(all, "litecoin", &known));
	row = json_object_iter(json_object_get(all, "litecoin"));
	FUZZ_CHECK(row && seals_read(json_object_iter_value(row), &again));
	FUZZ_CHECK(!strcmp(known.label, again.label) && known.value == again.value &&
		   known.sequence == again.sequence && known.closed == again.closed &&
		   outpoint_equal(&known.outpoint, &again.outpoint));
	json_decref(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	json_t *all = seals_parse((const char *)data, len), *chain, *value;
	const char *name, *id;

	json_object_foreach(all, name, chain)
	{
		json_object_foreach(chain, id, value) check(value);
	}
	json_decref(all);
	return 0;
}
