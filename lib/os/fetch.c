#include "os/fetch.h"

#include "os/base.h"
#include "os/file.h"
#include "os/loop.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* The thread owns its job until it has written the pointer into the pipe. When nobody reads there
 * any more, it frees the job itself: so a server that hangs keeps nobody from stopping. */
struct job {
	char *location, *ca_file, *etag, *modified;
	size_t max;
	int fd; /* to send to; -1: none */
	size_t room;
	bool too_long;
	struct fetch_result result;
};

struct fetch {
	int fd; /* to receive from */
	struct loop_fd *watch;
	fetch_cb cb;
	void *arg;
};

enum { CONNECT_MS = 10000, STACK_BYTES = 1 << 20 };

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void init_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	free(j->result.bytes);
	free(j->location);
	free(j->ca_file);
	free(j->etag);
	free(j->modified);
	free(j);
}

static struct job *job_new(const struct fetch_request *request)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->fd = -1;
	j->location = xstrdup(request->location);
	j->ca_file = xstrdup(request->ca_file);
	j->etag = xstrdup(request->etag);
	j->modified = xstrdup(request->modified);
	j->max = request->max;
	return j;
}

static bool is_url(const char *location)
{
	return !strncmp(location, "http://", 7) || !strncmp(location, "https://", 8);
}

bool fetch_location_ok(const char *location)
{
	size_t len = strlen(location);

	if (len >= FETCH_LOCATION_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)location[i] <= ' ' || location[i] == 0x7f)
			return false;
	if (is_url(location))
		return strchr(location, ':')[3] != '\0' && strchr(location, ':')[3] != '/';
	return location[0] == '/';
}

/* ---- A path ---- */

static void read_path(struct job *j)
{
	struct fetch_result *to = &j->result;
	char *bytes;
	int r = file_read(j->location, j->max, &bytes, &to->len);

	if (r == 0)
		to->bytes = (uint8_t *)bytes;
	else if (r == -EFBIG)
		snprintf(to->error, sizeof(to->error), "%s is larger than %zu bytes", j->location,
			 j->max);
	else
		snprintf(to->error, sizeof(to->error), "cannot read %s: %s", j->location,
			 strerror(-r));
}

/* ---- A URL ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct job *j = arg;
	struct fetch_result *to = &j->result;
	size_t len = size * count;

	if (len > j->max - to->len) {
		j->too_long = true;
		return 0;
	}
	if (to->len + len > j->room) {
		j->room = MIN(MAX(2 * j->room, to->len + len + 4096), j->max);
		to->bytes = xrealloc(to->bytes, j->room);
	}
	memcpy(to->bytes + to->len, data, len);
	to->len += len;
	return len;
}

/* "name: value" and perhaps a line end. */
static void take_header(const char *line, size_t len, const char *name,
			char ret[static FETCH_TAG_MAX])
{
	size_t skip = strlen(name);

	if (len <= skip || strncasecmp(line, name, skip) != 0)
		return;
	while (skip < len && (line[skip] == ' ' || line[skip] == '\t'))
		skip++;
	while (len > skip && (unsigned char)line[len - 1] <= ' ')
		len--;
	ret[0] = '\0';
	if (len - skip >= FETCH_TAG_MAX)
		return;
	for (size_t i = skip; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			return;
	memcpy(ret, line + skip, len - skip);
	ret[len - skip] = '\0';
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
	struct job *j = arg;
	size_t len = size * count;

	/* of the last answer, when there were redirects */
	if (len > 5 && !strncasecmp(data, "HTTP/", 5))
		j->result.etag[0] = j->result.modified[0] = '\0';
	take_header(data, len, "etag:", j->result.etag);
	take_header(data, len, "last-modified:", j->result.modified);
	return len;
}

static struct curl_slist *add(struct curl_slist *list, const char *name, const char *value)
{
	_cleanup_(freep) char *line = *value ? xasprintf("%s: %s", name, value) : NULL;

	return line ? curl_slist_append(list, line) : list;
}

static void set_options(struct job *j, CURL *curl, struct curl_slist *headers, char *error)
{
	bool https = !strncmp(j->location, "https://", 8);

	curl_easy_setopt(curl, CURLOPT_URL, j->location);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)FETCH_REDIRECTS_MAX);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (*j->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, j->ca_file);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)FETCH_TIMEOUT_MS);
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)j->max);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "dnet");
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, j);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, j);
}

static void fail(struct job *j, const char *why)
{
	struct fetch_result *to = &j->result;

	free(to->bytes);
	to->bytes = NULL;
	to->len = 0;
	snprintf(to->error, sizeof(to->error), "cannot get %s: %s", j->location, why);
}

static void read_url(struct job *j)
{
	char error[CURL_ERROR_SIZE] = "", text[64];
	struct curl_slist *headers = NULL;
	CURL *curl;
	CURLcode code;
	long status = 0;

	pthread_once(&curl_once, init_curl);
	curl = curl_easy_init();
	if (!curl) {
		fail(j, "out of memory");
		return;
	}
	headers = add(headers, "If-None-Match", j->etag);
	headers = add(headers, "If-Modified-Since", j->modified);
	set_options(j, curl, headers, error);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_FILESIZE_EXCEEDED || j->too_long) {
		snprintf(text, sizeof(text), "it is larger than %zu bytes", j->max);
		fail(j, text);
	} else if (code != CURLE_OK) {
		fail(j, error[0] ? error : curl_easy_strerror(code));
	} else if (status == 304) {
		j->result.unchanged = true;
	} else if (status != 200) {
		snprintf(text, sizeof(text), "the server answers with HTTP status %ld", status);
		fail(j, text);
	} else if (!j->result.bytes) {
		fail(j, "it is empty");
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
}

static void run(struct job *j)
{
	if (is_url(j->location))
		read_url(j);
	else
		read_path(j);
}

void fetch_now(const struct fetch_request *request, struct fetch_result *ret)
{
	struct job *j = job_new(request);

	run(j);
	*ret = j->result;
	j->result.bytes = NULL;
	job_free(j);
}

/* ---- The thread ---- */

static void *job_main(void *arg)
{
	struct job *j = arg;

	run(j);
	if (send(j->fd, &j, sizeof(j), MSG_NOSIGNAL) != sizeof(j))
		job_free(j);
	return NULL;
}

static void on_done(void *arg, int fd, unsigned events)
{
	struct fetch *f = arg;
	struct job *j;
	fetch_cb cb = f->cb;
	void *cb_arg = f->arg;

	(void)events;
	if (recv(fd, &j, sizeof(j), MSG_DONTWAIT) != sizeof(j))
		return;
	fetch_cancel(f);
	cb(cb_arg, &j->result);
	j->result.bytes = NULL;
	job_free(j);
}

struct fetch *fetch_start(struct loop *loop, const struct fetch_request *request, fetch_cb cb,
			  void *arg)
{
	pthread_attr_t attributes;
	pthread_t thread;
	struct fetch *f;
	struct job *j;
	int fds[2], failed;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return NULL;
	j = job_new(request);
	j->fd = fds[1];
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	failed = pthread_create(&thread, &attributes, job_main, j);
	pthread_attr_destroy(&attributes);
	if (failed) {
		job_free(j);
		close(fds[0]);
		return NULL;
	}
	f = xcalloc(1, sizeof(*f));
	f->fd = fds[0];
	f->cb = cb;
	f->arg = arg;
	f->watch = loop_fd_new(loop, fds[0], LOOP_READ, on_done, f);
	return f;
}

void fetch_cancel(struct fetch *f)
{
	struct job *j;

	if (!f)
		return;
	loop_fd_free(f->watch);
	/* From here on the thread cannot send any more; what it has sent is ours to free. */
	shutdown(f->fd, SHUT_RD);
	if (recv(f->fd, &j, sizeof(j), MSG_DONTWAIT) == sizeof(j))
		job_free(j);
	close(f->fd);
	free(f);
}
