#ifndef OS_RPC_H
#define OS_RPC_H

/* JSON-RPC to a chain node of the Bitcoin family, over HTTP (libcurl). Both habits are understood:
 * 1.x (an error comes with HTTP 500 or 404) and 2.0 (an error comes with HTTP 200). Calls block;
 * one rpc belongs to one thread at a time. */

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc;

enum { RPC_TIMEOUT_MS = 30000 };

/* What a node said or why there is no answer. */
enum rpc_error_kind {
	RPC_OK,
	RPC_DOWN,    /* no connection, or it broke */
	RPC_TIMEOUT, /* connected, and no answer in time */
	RPC_AUTH,    /* 401 or 403: wrong user, password or cookie, or an address that is barred */
	RPC_GARBAGE, /* an answer that is not JSON-RPC, or longer than the limit */
	RPC_WARMUP,  /* the node says that it is starting (code -28) */
	RPC_NODE,    /* an error object; the code is the node's */
	RPC_CANCELLED, /* *cancel became true */
	RPC_CONFIG,    /* the cookie file cannot be read, or the URL is not one */
};

struct rpc_error {
	enum rpc_error_kind kind;
	int code;	  /* the node's code with RPC_NODE and RPC_WARMUP, else 0 */
	long http_status; /* 0 without an answer */
	char text[320];	  /* names the cause and the next step; never has credentials */
};

/* All strings are copied. */
struct rpc_config {
	const char *url;      /* http://host:port/ or http://host:port/wallet/NAME */
	const char *user;     /* NULL or "" with a cookie file */
	const char *password; /* NULL or "" with a cookie file */
	/* "user:password", as the node writes it; read again after a 401. */
	const char *cookie_file;
	uint32_t timeout_ms;	   /* of a whole call; 0: RPC_TIMEOUT_MS */
	size_t max_answer;	   /* bytes; 0: 64 MiB */
	const atomic_bool *cancel; /* borrowed, outlives the rpc; NULL: cannot be cancelled */
};

enum {
	/* Codes of the node (Bitcoin Core, protocol.h), as far as callers look at them. */
	RPC_CODE_MISC = -1,
	RPC_CODE_NOT_FOUND = -5,
	RPC_CODE_INVALID_PARAMETER = -8,
	RPC_CODE_VERIFY_REJECTED = -26,
	RPC_CODE_ALREADY_IN_CHAIN = -27,
	RPC_CODE_WARMUP = -28,
	RPC_CODE_NO_METHOD = -32601,
};

/* 0, -ENOMEM or -EINVAL (no URL). Connects with the first call. */
int rpc_new(const struct rpc_config *config, struct rpc **ret_rpc);
void rpc_free(struct rpc *rpc);
/* Of the calls that follow. */
void rpc_set_timeout(struct rpc *rpc, uint32_t timeout_ms);

/* Calls method with params (a JSON array or object, NULL: none); the reference of params is
 * stolen, also on failure. *ret_result is the caller's to json_decref().
 * 0, or -ECONNREFUSED (RPC_DOWN), -ETIMEDOUT, -EACCES (RPC_AUTH), -EPROTO (RPC_GARBAGE), -EAGAIN
 * (RPC_WARMUP), -EREMOTEIO (RPC_NODE), -ECANCELED, -EINVAL (RPC_CONFIG), -ENOMEM; rpc_error() has
 * the rest. */
int rpc_call(struct rpc *rpc, const char *method, json_t *params, json_t **ret_result);

/* The same with params in jansson's pack notation: rpc_callf(rpc, &r, "getblock", "[si]", hash, 0).
 */
int rpc_callf(struct rpc *rpc, json_t **ret_result, const char *method, const char *format, ...);

/* Many calls of one method in one request. params[i] (stolen) gives ret_results[i], NULL where the
 * node answered that one with an error. Errors as rpc_call() where the request as a whole failed.
 */
int rpc_batch(struct rpc *rpc, const char *method, json_t **params, size_t count,
	      json_t **ret_results);

/* What the node's host and port answer to an HTTP GET of this path ("/rest/…"), asked with the same
 * credentials on the same connection; *ret_data is borrowed until the next call. Errors as
 * rpc_call(); -EPROTO is any HTTP status but 200, which rpc_error() has. */
int rpc_get(struct rpc *rpc, const char *path, const uint8_t **ret_data, size_t *ret_len);

/* Of the last call; borrowed until the next one. */
const struct rpc_error *rpc_error(const struct rpc *rpc);

/* The last call failed, and there is another way: rpc_error() is as after a success. */
void rpc_forget_error(struct rpc *rpc);

/* Requests since rpc_new(), for status. */
uint64_t rpc_calls(const struct rpc *rpc);

#endif
