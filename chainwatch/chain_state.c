#include "chainwatch/chain.h"

const char *chain_state_name(enum chain_state state)
{
	switch (state) {
	case CHAIN_STARTING:
		return "starting";
	case CHAIN_SYNCING:
		return "syncing";
	case CHAIN_FOLLOWING:
		return "following";
	case CHAIN_WAITING:
		return "waiting";
	case CHAIN_STOPPED:
		return "stopped";
	}
	return "?";
}
