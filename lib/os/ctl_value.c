#include "os/ctl_value.h"

#include "wire/addr.h"

void ctl_append_address(json_t *array, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	if (address->family != ADDR_NONE)
		json_array_append_new(array, json_string(address_format(address, text)));
}
