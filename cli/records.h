#ifndef CLI_RECORDS_H
#define CLI_RECORDS_H

/* Records as JSON, and endpoints as URLs. */

#include "wire/record.h"

#include <jansson.h>

enum {
	ENDPOINT_URL_MAX = 96,
};

json_t *record_json(const struct record *record);
/* "udp://HOST:PORT". */
void endpoint_url(const struct record_endpoint *endpoint, char ret[static ENDPOINT_URL_MAX]);
bool endpoint_url_parse(const char *text, struct record_endpoint *ret_endpoint);

#endif
