#ifndef WIRE_DESCRIBE_H
#define WIRE_DESCRIBE_H

/* Records in one line for people: the log, history, --dry-run. */

#include "wire/record.h"

enum { RECORD_TEXT_SIZE = 256 };

/* "NODE_PUT alice 02ab… IPv4 10.0.0.2 gateway". Returns ret. */
char *record_describe(const struct record *record, char ret[static RECORD_TEXT_SIZE]);
/* "udp 192.0.2.1:7000", "wss relay.example.org:443"; the same text for a PUT and its DEL. */
char *record_endpoint_describe(const struct record_endpoint *endpoint,
			       char ret[static RECORD_TEXT_SIZE]);

#endif
