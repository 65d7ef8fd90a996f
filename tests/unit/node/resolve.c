#include "fixture/test.h"

#include "node/resolve.h"
#include "os/loop.h"

#include <stdbool.h>

static struct answer {
	bool came, loopback, failed;
} answer;

static void on_answer(void *arg, const struct address *addresses, size_t count, const char *error)
{
	(void)arg;
	assert_false(answer.came);
	answer.came = true;
	answer.failed = error != NULL;
	for (size_t i = 0; i < count; i++) {
		if (addresses[i].family == ADDR_V4 && addresses[i].bytes[0] == 127)
			answer.loopback = true;
	}
}

static void ask(const char *host)
{
	struct loop *loop = loop_new();
	answer = (struct answer){0};
	assert_non_null(resolve_start(loop, host, on_answer, NULL));
	while (!answer.came)
		loop_step(loop, true);
	loop_free(loop);
}

static void a_name_that_libc_knows_is_found(void **state)
{
	(void)state;
	ask("127.0.0.1"); /* numbers are names to the resolver; no file or network is needed */
	assert_true(answer.loopback);
	assert_false(answer.failed);
}

static void a_name_that_cannot_be_is_an_error(void **state)
{
	(void)state;
	ask("256.256.256.256.256 ");
	assert_true(answer.failed);
}

static void a_cancelled_one_is_not_called_back(void **state)
{
	(void)state;
	struct loop *loop = loop_new();
	answer = (struct answer){0};
	for (int i = 0; i < 20; i++)
		resolve_cancel(resolve_start(loop, "127.0.0.1", on_answer, NULL));
	resolve_cancel(NULL);
	loop_free(loop);
	assert_false(answer.came);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_libc_knows_is_found),
		cmocka_unit_test(a_name_that_cannot_be_is_an_error),
		cmocka_unit_test(a_cancelled_one_is_not_called_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
