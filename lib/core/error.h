#ifndef CORE_ERROR_H
#define CORE_ERROR_H

/* Errors of our own, which no errno names. Functions return 0, -errno or -DNET_E…. */

#define DNET_ERRORS(X)                                                                             \
	X(DNET_EFORMAT, 1000, "not in the expected format")                                        \
	X(DNET_EAUTH, 1001, "authentication failed")                                               \
	X(DNET_EREPLAY, 1002, "already seen")                                                      \
	X(DNET_ENOTMEMBER, 1003, "the key is not a member")                                        \
	X(DNET_ENOSESSION, 1004, "no session")                                                     \
	X(DNET_ENOROUTE, 1005, "no route")                                                         \
	X(DNET_EPOLICY, 1006, "refused by policy")                                                 \
	X(DNET_ENOTOWNER, 1007, "the transaction does not spend the seal")                         \
	X(DNET_EREORG, 1008, "the reorganisation is deeper than what is kept")                     \
	X(DNET_ENETWORK, 1009, "another chain network")

enum dnet_error {
#define X(name, value, text) name = value,
	DNET_ERRORS(X)
#undef X
};

/* Text for a return value of 0, -errno or -DNET_E…; never NULL, static. */
const char *error_text(int result);

#endif
