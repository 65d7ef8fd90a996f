#include "fuzz/fuzz.h"

#include "adapters/exec_message.h"
#include "adapters/lines.h"
#include "os/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A program of the exec backend that says anything. The input is its output; what is taken has to
 * be inside the bounds of the protocol. */

static void check(const struct exec_message *m)
{
	if (m->bytes_len > EXEC_BYTES_MAX || m->endpoint_count > EXEC_ENDPOINTS_MAX ||
	    m->peer_count > EXEC_PEERS_MAX || strlen(m->text) >= EXEC_TEXT_MAX)
		abort();
	if ((m->type == EXEC_KEY || m->type == EXEC_DATAGRAM) && m->bytes_len == 0)
		abort();
	if (m->type == EXEC_KEY && m->bytes_len > ADAPTER_KEY_MAX)
		abort();
	for (size_t i = 0; i < m->peer_count; i++) {
		if (i > 0 && node_key_compare(&m->peers[i - 1].key, &m->peers[i].key) > 0)
			abort();
		for (const char *c = m->peers[i].reason; *c; c++) {
			if (*c < ' ' || *c > '~')
				abort();
		}
	}
}

static void on_line(void *ctx, char *line, size_t len, bool cut)
{
	size_t *lines = ctx;
	struct exec_message m;
	const char *why = NULL;
	(*lines)++;
	if (line[len] != '\0')
		abort();
	if (cut)
		return;
	if (exec_message_parse(line, len, &m, &why)) {
		check(&m);
		exec_message_done(&m);
	} else if (!why) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t lines = 0, expected = 0;
	const struct lines_io io = {&lines, on_line};
	int ends[2];
	if (size > 60000 || pipe(ends)) /* a pipe's room */
		return 0;
	struct loop *loop = loop_new();
	struct lines *in = lines_new(loop, ends[0], 4096, &io);
	if (!in || write(ends[1], data, size) != (ssize_t)size)
		abort();
	close(ends[1]);
	lines_drain(in);
	for (size_t i = 0; i < size; i++)
		expected += data[i] == '\n' || (i + 1 == size && data[i] != '\n');
	if (lines != expected)
		abort();
	lines_free(in);
	loop_free(loop);
	return 0;
}
