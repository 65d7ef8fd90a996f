/* Handshakes of one core: two real engines, joined by memory.
 *
 *	tests/bench/handshake [SECONDS]
 *
 * Prints how many a second: whole ones, the initiator's part, the responder's part; CPU time. A
 * whole one is initiation, response and confirmation, with MACs, timestamps and sessions made, at
 * both ends. */

#include "fixture/test.h"

#include "fixture/duo.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { INITIATOR, RESPONDER };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2, used[DUO_NODES] = {0};
	static struct duo duo;
	uint64_t done;

	duo_init(&duo);
	while (used[INITIATOR] + used[RESPONDER] < seconds) {
		double begin = now_s();

		duo.now += DUO_S; /* nobody is flooded */
		peer_reconnect(duo.nodes[INITIATOR].peers[RESPONDER], duo.now);
		used[INITIATOR] += now_s() - begin;
		while (!TAILQ_EMPTY(&duo.wire)) {
			unsigned to = TAILQ_FIRST(&duo.wire)->to;

			begin = now_s();
			duo_deliver(&duo);
			used[to] += now_s() - begin;
		}
	}
	done = duo_count(&duo, INITIATOR, ENGINE_handshake_response_in);
	assert_int_equal(done, duo_count(&duo, INITIATOR, ENGINE_handshake_initiation_out));
	assert_int_equal(duo_refusals(&duo, INITIATOR) + duo_refusals(&duo, RESPONDER), 0);
	printf("%.0f whole handshakes a second; initiator %.0f, responder %.0f\n",
	       (double)done / (used[INITIATOR] + used[RESPONDER]), (double)done / used[INITIATOR],
	       (double)done / used[RESPONDER]);
	duo_done(&duo);
	return 0;
}
