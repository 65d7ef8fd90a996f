/* main() of a fuzz target without libFuzzer: runs it over its corpus and prints TAP. Each file is
 * also tried cut at every length and with every bit flipped, as far as that is quick. Arguments
 * are files to run instead: for an input that a fuzzer found. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FILE_MAX = 1 << 20,
	VARIED_MAX = 2048, /* bytes; longer files run as they are */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* In memory of exactly that size, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, data, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void run_varied(uint8_t *data, size_t len)
{
	run(data, len);
	for (size_t cut = 0; len <= VARIED_MAX && cut < len; cut++)
		run(data, cut);
	for (size_t bit = 0; len <= VARIED_MAX && bit < 8 * len; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		run(data, len);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static int run_file(const char *path)
{
	static uint8_t data[FILE_MAX];
	FILE *f = fopen(path, "rb");
	size_t len;

	if (!f)
		return 0;
	len = fread(data, 1, sizeof(data), f);
	fclose(f);
	run_varied(data, len);
	return 1;
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir"), *name = strrchr(argv[0], '/');
	char folder[2048], path[4096];
	struct dirent **list;
	int count, failed = 0;

	for (int i = 1; i < argc; i++) {
		if (!run_file(argv[i]))
			return 1;
	}
	if (argc > 1)
		return 0;
	name = name ? name + 1 : argv[0];
	if (!strncmp(name, "fuzz_", 5))
		name += 5;
	snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", top ? top : ".", name);
	count = scandir(folder, &list, is_file, alphasort);
	if (count <= 0) {
		printf("1..1\nnot ok 1 - %s has no files; set top_srcdir to the source tree\n",
		       folder);
		return 1;
	}
	printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		int ok;

		snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
		ok = run_file(path);
		failed += !ok;
		printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return failed != 0;
}
