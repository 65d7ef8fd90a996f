#include "node/ifname.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

bool ifname_parse(const char *name, const char *prefix, uint32_t *ret_number)
{
	size_t len = strlen(prefix);
	if (strncmp(name, prefix, len) != 0)
		return false;
	const char *number = name + len;
	size_t digits = strspn(number, "0123456789");
	if (digits < 1 || digits > IFNAME_DIGITS_MAX || number[digits] != '\0')
		return false;
	if (ret_number)
		*ret_number = (uint32_t)strtoul(number, NULL, 10);
	return true;
}
