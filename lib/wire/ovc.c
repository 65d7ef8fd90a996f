#include "wire/ovc.h"

/* A small number from 1 to max. */
static uint8_t read_choice(struct reader *r, uint8_t max)
{
	uint8_t value = reader_u8(r);

	if (!value || value > max)
		r->failed = true;
	return value;
}

static struct span read_statement(struct reader *r)
{
	struct span bytes = {.len = reader_left(r)};

	bytes.data = reader_bytes(r, bytes.len);
	if (bytes.len < STATEMENT_MIN || bytes.len > STATEMENT_MAX)
		r->failed = true;
	return bytes;
}

static void write_statement(struct writer *w, const struct span *bytes)
{
	if (bytes->len < STATEMENT_MIN || bytes->len > STATEMENT_MAX)
		w->failed = true;
	writer_copy(w, bytes->data, bytes->len);
}

bool ovc_frame_parse(const void *data, size_t len, struct ovc_frame *ret)
{
	struct ovc_frame frame = {0};
	struct reader r;

	reader_init(&r, data, len);
	frame.type = reader_u8(&r);
	switch (frame.type) {
	case FRAME_REGISTER:
		frame_read_endpoints(&r, FRAME_CANDIDATES_MAX, &frame.local);
		break;
	case FRAME_REGISTERED:
		frame_read_endpoint(&r, &frame.registered.observed);
		frame.registered.members = reader_u16(&r);
		break;
	case FRAME_INTRODUCE:
		frame_read_key(&r, &frame.introduce);
		break;
	case FRAME_INTRODUCTION:
		frame_read_key(&r, &frame.introduction.key);
		frame.introduction.role = read_choice(&r, INTRODUCTION_ANSWER);
		frame_read_endpoints(&r, FRAME_INTRODUCED_MAX, &frame.introduction.endpoints);
		break;
	case FRAME_NOT_HERE:
		frame_read_key(&r, &frame.not_here.key);
		frame.not_here.reason = read_choice(&r, NOT_HERE_TOO_OFTEN);
		break;
	case FRAME_PUBLISH:
		frame.publish = read_statement(&r);
		break;
	case FRAME_STATEMENT:
		frame_read_key(&r, &frame.statement.key);
		frame.statement.port = reader_u16(&r);
		frame.statement.statement = read_statement(&r);
		break;
	default:
		return false;
	}
	if (!reader_done(&r))
		return false;
	*ret = frame;
	return true;
}

void ovc_frame_write(struct writer *w, const struct ovc_frame *frame)
{
	writer_u8(w, frame->type);
	switch (frame->type) {
	case FRAME_REGISTER:
		frame_write_endpoints(w, FRAME_CANDIDATES_MAX, &frame->local);
		break;
	case FRAME_REGISTERED:
		frame_write_endpoint(w, &frame->registered.observed);
		writer_u16(w, frame->registered.members);
		break;
	case FRAME_INTRODUCE:
		writer_copy(w, frame->introduce.bytes, PUBKEY_LEN);
		break;
	case FRAME_INTRODUCTION:
		writer_copy(w, frame->introduction.key.bytes, PUBKEY_LEN);
		writer_u8(w, frame->introduction.role);
		frame_write_endpoints(w, FRAME_INTRODUCED_MAX, &frame->introduction.endpoints);
		break;
	case FRAME_NOT_HERE:
		writer_copy(w, frame->not_here.key.bytes, PUBKEY_LEN);
		writer_u8(w, frame->not_here.reason);
		break;
	case FRAME_PUBLISH:
		write_statement(w, &frame->publish);
		break;
	case FRAME_STATEMENT:
		writer_copy(w, frame->statement.key.bytes, PUBKEY_LEN);
		writer_u16(w, frame->statement.port);
		write_statement(w, &frame->statement.statement);
		break;
	default:
		w->failed = true;
	}
}
