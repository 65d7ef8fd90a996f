#include "fixture/test.h"

#include "os/fetch.h"
#include "os/loop.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A server on the loopback that says to each request what its path asks for. */
struct server {
	int fd;
	uint16_t port;
	pthread_t thread;
	char request[4096]; /* the last one */
};

static struct server server;

static void answer(int fd, const char *path)
{
	static const char moved[] = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ";
	char text[8192];
	int hops;

	if (!strncmp(path, "/hops/", 6)) {
		hops = atoi(path + 6);
		if (hops)
			snprintf(text, sizeof(text), "%s/hops/%d\r\n\r\n", moved, hops - 1);
		else
			snprintf(text, sizeof(text),
				 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"e1\"\r\n"
				 "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT\r\n\r\nbody");
	} else if (!strcmp(path, "/file")) {
		snprintf(text, sizeof(text), "%sfile:///etc/passwd\r\n\r\n", moved);
	} else if (!strcmp(path, "/same")) {
		snprintf(text, sizeof(text), "HTTP/1.1 304 Not Modified\r\n\r\n");
	} else if (!strcmp(path, "/long")) {
		snprintf(text, sizeof(text),
			 "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n%01001d", 0);
	} else if (!strcmp(path, "/endless")) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%02000d",
			 0);
	} else if (!strcmp(path, "/empty")) {
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	} else {
		snprintf(text, sizeof(text), "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	}
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		size_t len = 0;
		char path[256] = "";
		ssize_t n;

		while (len + 1 < sizeof(s->request) &&
		       (n = recv(fd, s->request + len, sizeof(s->request) - 1 - len, 0)) > 0) {
			len += (size_t)n;
			s->request[len] = '\0';
			if (strstr(s->request, "\r\n\r\n")) {
				sscanf(s->request, "GET %255s", path);
				answer(fd, path);
				break;
			}
		}
		close(fd);
	}
	return NULL;
}

static int start(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	server.fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(server.fd, (struct sockaddr *)&a, len) || listen(server.fd, 8) ||
	    getsockname(server.fd, (struct sockaddr *)&a, &len))
		return -1;
	server.port = ntohs(a.sin_port);
	return pthread_create(&server.thread, NULL, serve, &server);
}

static int stop(void **state)
{
	shutdown(server.fd, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.fd);
	return 0;
}

static struct fetch_result get(const char *path, size_t max, const char *etag)
{
	struct fetch_result result;
	char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", server.port, path);
	fetch_now(
		&(struct fetch_request){
			.location = url, .max = max, .ca_file = "", .etag = etag, .modified = ""},
		&result);
	return result;
}

static void redirects_are_followed_three_times_and_to_http_alone(void **state)
{
	for (int hops = 0; hops < 5; hops++) {
		char path[16];
		struct fetch_result r;

		snprintf(path, sizeof(path), "/hops/%d", hops);
		r = get(path, 1000, "");
		assert_int_equal(r.error[0] == '\0', hops <= FETCH_REDIRECTS_MAX);
		if (r.bytes) {
			assert_int_equal(r.len, 4);
			assert_memory_equal(r.bytes, "body", 4);
			assert_string_equal(r.etag, "\"e1\"");
			assert_string_equal(r.modified, "Sat, 01 Jan 2022 00:00:00 GMT");
		}
		free(r.bytes);
	}
	struct fetch_result r = get("/file", 1000, "");
	assert_null(r.bytes);
	assert_true(r.error[0]);
}

static void sizes_are_bounded_whatever_is_announced(void **state)
{
	static const char *const paths[] = {"/long", "/endless"};

	for (int i = 0; i < 2; i++) {
		struct fetch_result r = get(paths[i], 1000, "");

		assert_null(r.bytes);
		assert_non_null(strstr(r.error, "larger than 1000 bytes"));
	}
	struct fetch_result r = get("/long", 1001, "");
	assert_int_equal(r.len, 1001);
	free(r.bytes);
}

static void what_is_not_newer_and_what_is_wrong_is_said(void **state)
{
	struct fetch_result r = get("/same", 1000, "\"e1\"");

	assert_true(r.unchanged);
	assert_null(r.bytes);
	assert_non_null(strstr(server.request, "If-None-Match: \"e1\"\r\n"));
	r = get("/none", 1000, "");
	assert_non_null(strstr(r.error, "404"));
	r = get("/empty", 1000, "");
	assert_non_null(strstr(r.error, "empty"));
	fetch_now(&(struct fetch_request){.location = "/nowhere/at/all",
					  .max = 9,
					  .ca_file = "",
					  .etag = "",
					  .modified = ""},
		  &r);
	assert_non_null(strstr(r.error, "cannot read /nowhere/at/all"));
}

static void locations_are_paths_and_urls(void **state)
{
	static const char *const good[] = {"/a", "http://a", "https://a/b?c"};
	static const char *const bad[] = {"",		"a",	      "ftp://a",   "http://",
					  "https:///a", "http://a b", "file:///a", "HTTP://a"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(fetch_location_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(fetch_location_ok(bad[i]));
}

struct waiting {
	struct loop *loop;
	unsigned calls;
	struct fetch_result result;
};

static void on_done(void *arg, struct fetch_result *result)
{
	struct waiting *w = arg;

	w->calls++;
	w->result = *result;
	result->bytes = NULL;
	loop_stop(w->loop);
}

static void an_answer_comes_on_the_loop_and_none_after_cancelling(void **state)
{
	struct waiting w = {.loop = loop_new()};
	char url[64];
	struct fetch_request request = {
		.location = url, .max = 9, .ca_file = "", .etag = "", .modified = ""};

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/hops/0", server.port);
	for (int i = 0; i < 20; i++) {
		struct fetch *f = fetch_start(w.loop, &request, on_done, &w);

		assert_non_null(f);
		fetch_cancel(f);
	}
	assert_non_null(fetch_start(w.loop, &request, on_done, &w));
	loop_run(w.loop);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.result.len, 4);
	free(w.result.bytes);
	loop_free(w.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redirects_are_followed_three_times_and_to_http_alone),
		cmocka_unit_test(sizes_are_bounded_whatever_is_announced),
		cmocka_unit_test(what_is_not_newer_and_what_is_wrong_is_said),
		cmocka_unit_test(locations_are_paths_and_urls),
		cmocka_unit_test(an_answer_comes_on_the_loop_and_none_after_cancelling),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
