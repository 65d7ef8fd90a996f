#include "core/error.h"

#include <string.h>

const char *error_text(int result)
{
	switch (-result) {
#define X(name, value, text)                                                                       \
	case name:                                                                                 \
		return text;
		DNET_ERRORS(X)
#undef X
	}
	return strerror(-result);
}
