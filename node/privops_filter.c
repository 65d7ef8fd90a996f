#include "core/filter.h"
#include "node/nft.h"
#include "node/privops_parts.h"
#include "os/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A filter goes to the helper in parts that are kept there until the request that puts it in
 * force: services and elements for a whole one, elements alone for a change. */

/* ---- The privileged side ---- */

struct privfilter {
	struct nft *nft; /* owned; NULL: this kernel has none */
	int result;	 /* why */
	/* What came for this interface since the last one was put in force. */
	uint32_t index;
	struct filter pending; /* its lists are owned */
	size_t service_room, element_room;
};

struct privfilter *privfilter_open(void)
{
	struct privfilter *f = xcalloc(1, sizeof(*f));
	f->result = nft_open(&f->nft);
	if (f->result < 0)
		log_warn("no nftables: %s", strerror(-f->result));
	return f;
}

static void drop_pending(struct privfilter *f)
{
	free(f->pending.services);
	free(f->pending.elements);
	f->pending = (struct filter){0};
	f->service_room = f->element_room = 0;
	f->index = 0;
}

void privfilter_close(struct privfilter *f)
{
	if (!f)
		return;
	drop_pending(f);
	nft_free(f->nft);
	free(f);
}

void privfilter_forget(struct privfilter *f, const char *name)
{
	if (f && f->nft)
		(void)nft_delete(f->nft, name);
}

/* NULL: it may be. */
static const char *wrong_prefix(const struct prefix *p, uint8_t family)
{
	struct prefix masked = *p;
	if (p->bits == 0)
		return NULL;
	if (p->addr.family != family || p->bits > address_bits(&p->addr))
		return "a prefix of another family";
	prefix_mask(&masked);
	return prefix_equal(&masked, p) ? NULL : "a prefix with host bits";
}

static const char *wrong_service(const struct filter_service *s)
{
	const char *wrong = wrong_prefix(&s->peer, s->family);
	bool ports = s->port_low != 0 || s->port_high != UINT16_MAX;
	if (s->direction > FILTER_OUT || (s->family != ADDR_V4 && s->family != ADDR_V6) ||
	    s->nodes > 1)
		return "a service of no direction or family";
	if (s->protocol > ACL_ALL_PROTOCOLS || s->port_low > s->port_high)
		return "a service of no protocol or port";
	if (ports && s->protocol != 6 && s->protocol != 17)
		return "ports of a protocol that has none";
	if (s->label[ACL_LABEL_MAX] != '\0')
		return "a label without end";
	return wrong ? wrong : wrong_prefix(&s->own, s->family);
}

/* Of the ranges that overlay prefixes may come from. */
static const char *wrong_element(const struct filter_element *e)
{
	if (e->set >= FILTER_SETS_MAX || e->removed > 1)
		return "an element of no set";
	if (e->address.family == ADDR_V6 && e->address.bytes[0] == 0xfd)
		return NULL;
	if (priv_ipv4_prefix_ok(&(struct prefix){e->address, 32}))
		return NULL;
	return "an address outside the ranges of overlays";
}

/* What nft(8) shows between quotes. */
static void clean_label(char *label)
{
	for (; *label; label++) {
		if (*label < ' ' || *label > '~' || *label == '"' || *label == '\\')
			*label = '?';
	}
}

static void *grow(void *items, size_t *room, size_t wanted, size_t size)
{
	if (wanted <= *room)
		return items;
	*room = MAX(wanted, 2 * *room);
	return xrealloc(items, *room * size);
}

static int take_services(struct privfilter *f, const struct priv_message *m, size_t len,
			 struct priv_reply *reply)
{
	size_t n = len / sizeof(m->services[0]);
	if (len % sizeof(m->services[0]) || n > FILTER_SERVICES_MAX - f->pending.service_count)
		return priv_refuse(reply, "more than %d services", FILTER_SERVICES_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *wrong = wrong_service(&m->services[i]);
		if (wrong)
			return priv_refuse(reply, "%s", wrong);
	}
	f->pending.services = grow(f->pending.services, &f->service_room,
				   f->pending.service_count + n, sizeof(m->services[0]));
	for (size_t i = 0; i < n; i++) {
		struct filter_service *s = &f->pending.services[f->pending.service_count++];
		*s = m->services[i];
		clean_label(s->label);
	}
	return 0;
}

static int take_elements(struct privfilter *f, const struct priv_message *m, size_t len,
			 struct priv_reply *reply)
{
	size_t n = len / sizeof(m->elements[0]);
	if (len % sizeof(m->elements[0]) || n > FILTER_ELEMENTS_MAX - f->pending.element_count)
		return priv_refuse(reply, "more than %d addresses", FILTER_ELEMENTS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char *wrong = wrong_element(&m->elements[i]);
		if (wrong)
			return priv_refuse(reply, "%s", wrong);
	}
	f->pending.elements = grow(f->pending.elements, &f->element_room,
				   f->pending.element_count + n, sizeof(m->elements[0]));
	if (n)
		memcpy(&f->pending.elements[f->pending.element_count], m->elements, len);
	f->pending.element_count += n;
	return 0;
}

/* number: enum privfilter_commit */
static int commit(struct privfilter *f, const struct priv_request *request, const char *name,
		  struct priv_reply *reply)
{
	struct filter *p = &f->pending;
	if (request->number > PRIVFILTER_WHOLE_OPEN)
		return priv_refuse(reply, "no way to put a filter in force");
	if (request->number == PRIVFILTER_CHANGE)
		return nft_change(f->nft, name, p->elements, p->element_count);
	for (size_t i = 0; i < p->element_count; i++) {
		size_t service = (size_t)p->elements[i].set - FILTER_SET_SERVICES;
		if (p->elements[i].removed ||
		    (p->elements[i].set >= FILTER_SET_SERVICES &&
		     (service >= p->service_count || !p->services[service].nodes)))
			return priv_refuse(reply, "an element of no set");
	}
	p->open = request->number == PRIVFILTER_WHOLE_OPEN;
	return nft_replace(f->nft, name, request->index, p);
}

static int filter_result(struct privfilter *f, struct priv_reply *reply, int r)
{
	if (r < 0 && !reply->error[0])
		snprintf(reply->error, sizeof(reply->error), "%s", nft_error_text(f->nft));
	return r;
}

static int serve_filter(struct privfilter *f, const struct priv_message *m, size_t len,
			const char *name, struct priv_reply *reply)
{
	int r;
	switch (m->request.op) {
	case PRIV_FILTER_SERVICES:
		return take_services(f, m, len, reply);
	case PRIV_FILTER_ELEMENTS:
		return take_elements(f, m, len, reply);
	case PRIV_FILTER_COMMIT:
		r = filter_result(f, reply, commit(f, &m->request, name, reply));
		drop_pending(f);
		return r;
	case PRIV_FILTER_GET:
		return filter_result(f, reply, nft_counters(f->nft, name, reply->counters));
	default:
		r = nft_delete(f->nft, name);
		return filter_result(f, reply, r == -ENOENT ? 0 : r);
	}
}

int privfilter_serve(struct privfilter *f, const struct priv_message *m, size_t len,
		     const char *name, struct priv_reply *reply)
{
	if (!f)
		return priv_refuse(reply, "no backend here needs a packet filter");
	if (!f->nft) {
		snprintf(reply->error, sizeof(reply->error),
			 "this kernel has no nftables (%s): load nf_tables (modprobe nf_tables), "
			 "or set backend = native",
			 strerror(-f->result));
		return f->result;
	}
	bool takes = m->request.op == PRIV_FILTER_SERVICES || m->request.op == PRIV_FILTER_ELEMENTS;
	if (len > 0 && !takes)
		return priv_refuse(reply, "a request of another form");
	/* A list that was not put in force is forgotten, and so is one that was refused. */
	if (f->index != m->request.index)
		drop_pending(f);
	f->index = m->request.index;
	int r = serve_filter(f, m, len, name, reply);
	if (r < 0)
		drop_pending(f);
	return r;
}

/* ---- The engine's side ---- */

struct sender {
	struct priv *priv;
	struct priv_message message;
	size_t count;
	int result;
};

static void begin(struct sender *s, struct priv *priv, uint32_t index)
{
	*s = (struct sender){.priv = priv};
	s->message.request.index = index;
}

static void flush(struct sender *s, enum priv_op op, size_t size)
{
	struct priv_reply reply;
	s->message.request.op = op;
	if (s->result == 0)
		s->result = priv_call_bytes(
			s->priv, &s->message,
			offsetof(struct priv_message, services) + s->count * size, &reply, NULL);
	s->count = 0;
}

static void send_element(void *ctx, const struct filter_element *element)
{
	struct sender *s = ctx;
	s->message.elements[s->count++] = *element;
	if (s->count == ARRAY_SIZE(s->message.elements))
		flush(s, PRIV_FILTER_ELEMENTS, sizeof(*element));
}

static int put_in_force(struct sender *s, enum privfilter_commit how)
{
	if (s->count > 0)
		flush(s, PRIV_FILTER_ELEMENTS, sizeof(s->message.elements[0]));
	s->message.request.number = how;
	flush(s, PRIV_FILTER_COMMIT, 0);
	return s->result;
}

static int change(struct priv *priv, uint32_t index, const struct filter *old,
		  const struct filter *new)
{
	struct sender s;
	begin(&s, priv, index);
	filter_diff(old, new, send_element, &s);
	return put_in_force(&s, PRIVFILTER_CHANGE);
}

static int replace(struct priv *priv, uint32_t index, const struct filter *filter)
{
	struct sender s;
	begin(&s, priv, index);
	for (size_t i = 0; i < filter->service_count; i++) {
		s.message.services[s.count++] = filter->services[i];
		if (s.count == ARRAY_SIZE(s.message.services) || i + 1 == filter->service_count)
			flush(&s, PRIV_FILTER_SERVICES, sizeof(s.message.services[0]));
	}
	for (size_t i = 0; i < filter->element_count; i++)
		send_element(&s, &filter->elements[i]);
	return put_in_force(&s, filter->open ? PRIVFILTER_WHOLE_OPEN : PRIVFILTER_WHOLE);
}

int priv_filter_set(struct priv *priv, uint32_t index, const struct filter *old,
		    const struct filter *filter)
{
	/* What does not fit to what is there is replaced. */
	if (old && filter_same_services(old, filter) && change(priv, index, old, filter) == 0)
		return 0;
	return replace(priv, index, filter);
}

int priv_filter_get(struct priv *priv, uint32_t index, uint64_t ret_packets[FILTER_COUNTER_COUNT])
{
	struct priv_reply reply;
	const struct priv_request request = {.op = PRIV_FILTER_GET, .index = index};
	int r = priv_call(priv, &request, &reply, NULL);
	if (r == 0)
		memcpy(ret_packets, reply.counters, sizeof(reply.counters));
	return r;
}

int priv_filter_clear(struct priv *priv, uint32_t index)
{
	struct priv_reply reply;
	const struct priv_request request = {.op = PRIV_FILTER_CLEAR, .index = index};
	return priv_call(priv, &request, &reply, NULL);
}
