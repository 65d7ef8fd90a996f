#include "os/clock.h"

#include "wire/buf.h"

#include <assert.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec t;
	int result = clock_gettime(id, &t);

	assert(!result);
	(void)result;
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_boottime_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t clock_wall_s(void)
{
	return clock_wall_ns() / NS_PER_S;
}

void clock_tai64n(uint64_t wall_ns, uint8_t ret_stamp[static CLOCK_TAI64N_LEN])
{
	uint64_t seconds = 0x400000000000000aULL + wall_ns / NS_PER_S;

	store_u32be(ret_stamp, (uint32_t)(seconds >> 32));
	store_u32be(ret_stamp + 4, (uint32_t)seconds);
	store_u32be(ret_stamp + 8, (uint32_t)(wall_ns % NS_PER_S));
}
