#ifndef OVC_OVC_H
#define OVC_OVC_H

/* What an OVC decides (PROTOCOL 8.1, 8.2): which members are here and where, and who is introduced
 * to whom. Tenants (dnets) never see each other. No I/O. */

#include "core/engine.h"
#include "core/hub.h"
#include "wire/statement.h"

struct ovc;

/* engine and hub are borrowed. seed: random bytes. NULL: out of memory. */
struct ovc *ovc_new(struct engine *engine, const struct hub *hub, const struct engine_io *io);
/* After its realm is removed. */
void ovc_free(struct ovc *ovc);

/* The operations of the OVC's realm; its ctx is the struct ovc. */
extern const struct realm_ops ovc_realm_ops;
/* Once, before any datagram comes in. */
void ovc_set_realm(struct ovc *ovc, struct realm *realm);
/* A hub_removed: the member is cut at once. */
void ovc_member_removed(void *ovc, const struct object_id *dnet, const struct node_key *key);

/* Answers a STUN Binding request; true: it was STUN. */
bool ovc_input_stun(struct ovc *ovc, const struct endpoint *source, const uint8_t *bytes,
		    size_t len, uint64_t now);

/* Statements of our own, told to the members of that dnet with each REGISTERED: a hub of that
 * backend listens on that port of ours. 0, -ENOMEM, or -EINVAL: a statement that cannot be written,
 * or too many. */
enum { OVC_HUBS_MAX = 4096 };
int ovc_add_hub(struct ovc *ovc, const struct object_id *dnet, uint16_t port,
		const struct statement *statement);
void ovc_clear_hubs(struct ovc *ovc);
/* The same for one whose key was given by its own program: it replaces the one of that dnet and
 * backend. */
int ovc_set_hub(struct ovc *ovc, const struct object_id *dnet, uint16_t port,
		const struct statement *statement);
/* The one of that dnet and backend; NULL: none. Borrowed bytes of the statement. */
const uint8_t *ovc_hub(const struct ovc *ovc, const struct object_id *dnet, uint8_t backend,
		       uint16_t *ret_port, size_t *ret_len);
/* The statements of that backend that members of a dnet who are here have published: not verified,
 * but of the member and the dnet that they say. */
typedef void ovc_visit_statement(void *ctx, const struct node_key *key, const uint8_t *bytes,
				 size_t len);
void ovc_visit_statements(const struct ovc *ovc, const struct object_id *dnet, uint8_t backend,
			  ovc_visit_statement *visit, void *ctx);
/* What a dnet's nodes and these statements are, as a word: another one when there are others than
 * before, or our hubs have to be told anew, or this is another run. */
enum { OVC_CHANGE_SIZE = 34 };
void ovc_change(const struct ovc *ovc, const struct object_id *dnet,
		char ret_text[static OVC_CHANGE_SIZE]);
/* Replaces all of them by what a file says (ovc/hubs.c); self: our id. 0; -EBADMSG: a line is
 * wrong, its number and why (static text), and nothing changed; -ENOMEM. */
int ovc_read_hubs(struct ovc *ovc, const char *text, const struct object_id *self,
		  unsigned *ret_line, const char **ret_why);
/* Borrowed: the curve, and our service key. */
const struct id *ovc_curve(const struct ovc *ovc);
const struct node_key *ovc_key(const struct ovc *ovc);

/* Members of that dnet that are registered now. */
size_t ovc_registered(const struct ovc *ovc, const struct object_id *dnet, uint64_t now);

#define OVC_COUNTERS(X)                                                                            \
	X(register_in)                                                                             \
	X(introduce_in)                                                                            \
	X(introduced)                                                                              \
	X(introduce_not_member)                                                                    \
	X(introduce_not_registered)                                                                \
	X(introduce_too_often)                                                                     \
	X(publish_in)                                                                              \
	X(publish_refused)                                                                         \
	X(statement_out)                                                                           \
	X(stun_answered)                                                                           \
	X(stun_refused)                                                                            \
	X(frame_malformed)                                                                         \
	X(frame_unexpected)

enum ovc_counter {
#define X(name) OVC_##name,
	OVC_COUNTERS(X)
#undef X
		OVC_COUNTER_COUNT
};
uint64_t ovc_counter(const struct ovc *ovc, enum ovc_counter counter);
const char *ovc_counter_name(enum ovc_counter counter);

#endif
