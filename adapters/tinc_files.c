#include "adapters/tinc_files.h"

#include "os/base.h"
#include "os/clock.h"
#include "os/file.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, NAME_HASH_LEN = 20 };

/* tinc.conf.
 *   TunnelServer   Tells no node of another one. Without it, session keys of tinc's old protocol
 *                  travel through whoever is between, who can read them; and each member learns
 *                  where each other one is. Implies StrictSubnets: addresses are those of hosts/,
 *                  whatever a node says.
 *   DirectOnly     Nothing goes through a node that is neither its owner nor the hub.
 *   Forwarding     A member is no router for others; a hub is nothing else.
 *   Cipher …       Of packets to this node. MACLength: tinc's own choice would be 4 bytes.
 *   MaxTimeout     Seconds between attempts to connect; tinc's own choice would be 15 minutes. */
static const char common_options[] = "Mode = router\n"
				     "TunnelServer = yes\n"
				     "StrictSubnets = yes\n"
				     "Broadcast = no\n"
				     "AutoConnect = no\n"
				     "LocalDiscovery = no\n"
				     "Cipher = aes-256-cbc\n"
				     "Digest = sha256\n"
				     "MACLength = 16\n"
				     "Compression = 0\n"
				     "ReplayWindow = 1024\n"
				     "PingInterval = 10\n"
				     "PingTimeout = 5\n"
				     "MaxTimeout = 30\n"
				     "ScriptsInterpreter = /bin/sh\n";

static const char event_mark[] = "dnet-host-";

static const char head[] = "# Written by dnet. Changes are taken back.\n";

/* ---- Texts ---- */

struct text {
	char *data; /* owned */
	size_t len, size;
};

static _printf_(2, 3) void add(struct text *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (t->len + (size_t)n + 1 > t->size) {
		t->size = 2 * (t->len + (size_t)n + 1);
		t->data = xrealloc(t->data, t->size);
	}
	va_start(args, format);
	vsnprintf(t->data + t->len, t->size - t->len, format, args);
	va_end(args);
	t->len += (size_t)n;
}

static void add_config(struct text *t, const struct tinc_net *net)
{
	add(t, "%sName = %s\n", head, net->name);
	if (net->interface)
		add(t, "Interface = %s\nForwarding = off\nDirectOnly = yes\n", net->interface);
	else
		add(t, "DeviceType = dummy\nForwarding = internal\n");
	add(t, "Port = %u\n%s", net->port, common_options);
	for (size_t i = 0; i < net->host_count; i++) {
		const struct tinc_host *host = &net->hosts[i];
		if (host->endpoint_count > 0 && strcmp(host->name, net->name) != 0)
			add(t, "ConnectTo = %s\n", host->name);
	}
}

static void add_host(struct text *t, const struct tinc_host *host)
{
	char address[ADDRESS_TEXT_MAX];
	add(t, "%s", head);
	for (size_t i = 0; i < host->endpoint_count; i++)
		add(t, "Address = %s %u\n", address_format(&host->endpoints[i].addr, address),
		    host->endpoints[i].port);
	for (size_t i = 0; i < host->subnet_count; i++) {
		add(t, "Subnet = %s/%u", address_format(&host->subnets[i], address),
		    address_bits(&host->subnets[i]));
		if (host->weight)
			add(t, "#%u", host->weight);
		add(t, "\n");
	}
	add(t, "%s", host->key);
}

static void add_script(struct text *t, const char *what)
{
	/* tincd's output is dnet's to read, and a script inherits it. */
	add(t, "#!/bin/sh\n%secho \"%s%s $NODE $REMOTEADDRESS $REMOTEPORT\"\n", head, event_mark,
	    what);
}

/* ---- Files ---- */

/* Not synced: a file that a power cut ate is written again. */
static int replace(const char *folder, const char *name, const struct text *text, mode_t mode,
		   const struct timespec *mtime)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	const struct timespec times[] = {*mtime, *mtime};
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	/* In the same folder, as the sandbox has it; no name of a node has a dot. */
	snprintf(temporary, sizeof(temporary), "%s/%s.new", folder, name);
	(void)unlink(temporary);
	_cleanup_(closep) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text->data, text->len);
	if (n != (ssize_t)text->len)
		return n < 0 ? -errno : -ENOSPC;
	if (fchmod(fd, mode) || futimens(fd, times) || rename(temporary, path))
		return -errno;
	return 0;
}

enum kept { KEPT, KEPT_QUIETLY, KEPT_NEWLY }; /* as it was; written; written, and to be read */

/* The lines behind the addresses, and those from the key on. */
static const char *part_from(const char *text, const char *mark)
{
	const char *part = strstr(text, mark);
	return part ? part : "";
}

static bool part_is_same(const char *a, const char *b, const char *mark)
{
	return strcmp(part_from(a, mark), part_from(b, mark)) == 0;
}

/* tincd closes a connection when it reads its files again and a host's is newer than the last time
 * that it did, or missing. That is wanted when the key is another one; other addresses are for the
 * next connection. So files are as old as can be, or a second ahead: its clock has whole ones. */
static struct timespec choose_time(const char *before, const char *text)
{
	struct timespec old = {0}, newer = {.tv_sec = (time_t)clock_wall_s() + 1};
	return before && !part_is_same(before, text, "-----BEGIN") ? newer : old;
}

static bool is_as_wanted(const char *path, const char *before, size_t before_len,
			 const struct text *text, mode_t mode)
{
	struct stat st;
	return before && before_len == text->len && memcmp(before, text->data, text->len) == 0 &&
	       lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == mode;
}

/* enum kept or -errno. Frees the text. quiet: of a host that is connected. */
static int keep(const char *folder, const char *name, struct text *text, mode_t mode, bool quiet)
{
	_cleanup_(freep) char *before = NULL;
	_cleanup_(freep) char *wanted = text->data;
	char path[PATH_MAX];
	size_t len = 0;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	(void)file_read(path, FILE_MAX, &before, &len);
	if (is_as_wanted(path, before, len, text, mode))
		return KEPT;
	struct timespec mtime = choose_time(before, wanted);
	int r = replace(folder, name, text, mode, &mtime);
	if (r < 0)
		return r;
	return quiet && before && part_is_same(before, wanted, "Subnet") ? KEPT_QUIETLY
									 : KEPT_NEWLY;
}

static void count(struct tinc_changes *changes, int *result, int r)
{
	if (r < 0)
		*result = r;
	changes->quiet += r == KEPT_QUIETLY;
	changes->written += r == KEPT_NEWLY;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What is in hosts/ and not of this net. */
static int remove_strangers(const char *hosts, const char **names, size_t count_of_names,
			    struct tinc_changes *changes)
{
	int r = 0;
	DIR *dir = opendir(hosts);
	if (!dir)
		return -errno;
	for (struct dirent *entry; (entry = readdir(dir));) {
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (count_of_names &&
		    bsearch(&name, names, count_of_names, sizeof(*names), compare_names))
			continue;
		if (unlinkat(dirfd(dir), name, 0))
			r = -errno;
		else
			changes->removed++;
	}
	closedir(dir);
	return r;
}

static int write_hosts(const char *folder, const struct tinc_net *net, struct tinc_changes *changes)
{
	char hosts[PATH_MAX], file[sizeof("hosts/") + TINC_NAME_SIZE];
	const char **names = xcalloc(net->host_count + 1, sizeof(*names));
	int result = 0;
	snprintf(hosts, sizeof(hosts), "%s/hosts", folder);
	if (mkdirat(AT_FDCWD, hosts, 0700) && errno != EEXIST)
		result = -errno;
	for (size_t i = 0; i < net->host_count; i++)
		names[i] = net->hosts[i].name;
	qsort(names, net->host_count, sizeof(*names), compare_names);
	/* Who is gone is cut even if nothing else can be done. */
	int r = remove_strangers(hosts, names, net->host_count, changes);
	if (r < 0)
		result = r;
	for (size_t i = 0; i < net->host_count; i++) {
		struct text text = {0};
		add_host(&text, &net->hosts[i]);
		snprintf(file, sizeof(file), "hosts/%s", net->hosts[i].name);
		count(changes, &result, keep(folder, file, &text, 0600, net->hosts[i].connected));
	}
	free(names);
	return result;
}

/* As the kernel has it, and no word that could be another line of tinc.conf. */
static bool is_interface_name(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len < IF_NAMESIZE &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") ==
		       len;
}

int tinc_files_write(const char *folder, const struct tinc_net *net,
		     struct tinc_changes *ret_changes)
{
	static const struct {
		const char *name, *what;
	} scripts[] = {{"host-up", "up"}, {"host-down", "down"}};
	struct text config = {0};
	*ret_changes = (struct tinc_changes){0};
	if (net->interface && !is_interface_name(net->interface))
		return -EINVAL;
	int result = write_hosts(folder, net, ret_changes);
	add_config(&config, net);
	count(ret_changes, &result, keep(folder, "tinc.conf", &config, 0600, false));
	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		struct text script = {0};
		add_script(&script, scripts[i].what);
		count(ret_changes, &result, keep(folder, scripts[i].name, &script, 0700, false));
	}
	return result;
}

static void hash_number(struct sha256 *h, uint64_t number)
{
	sha256_update(h, &number, sizeof(number));
}

static void hash_text(struct sha256 *h, const char *text)
{
	sha256_update(h, text, strlen(text) + 1);
}

static void hash_address(struct sha256 *h, const struct address *address)
{
	hash_number(h, address->family);
	sha256_update(h, address->bytes, address_bits(address) / 8);
}

static void hash_host(struct sha256 *h, const struct tinc_host *host)
{
	hash_text(h, host->name);
	hash_text(h, host->key);
	hash_number(h, host->weight);
	hash_number(h, host->subnet_count);
	for (size_t i = 0; i < host->subnet_count; i++)
		hash_address(h, &host->subnets[i]);
	hash_number(h, host->endpoint_count);
	for (size_t i = 0; i < host->endpoint_count; i++) {
		hash_address(h, &host->endpoints[i].addr);
		hash_number(h, host->endpoints[i].port);
	}
}

void tinc_net_hash(const struct tinc_net *net, struct hash256 *ret_hash)
{
	struct sha256 h;
	sha256_init(&h);
	hash_text(&h, net->name);
	hash_text(&h, net->interface ? net->interface : "");
	hash_number(&h, net->port);
	for (size_t i = 0; i < net->host_count; i++)
		hash_host(&h, &net->hosts[i]);
	sha256_final(&h, ret_hash);
}

/* ---- Names and events ---- */

void tinc_node_name(const struct node_key *key, char ret[static TINC_NAME_SIZE])
{
	struct hash256 hash;
	hash_tagged("dnet/tinc/name/1", key->bytes, sizeof(key->bytes), &hash);
	ret[0] = 'n';
	hex_format(hash.bytes, NAME_HASH_LEN, ret + 1);
}

void tinc_hub_name(const struct object_id *ovc, char ret[static TINC_NAME_SIZE])
{
	ret[0] = 'h';
	hex_format(ovc->bytes, sizeof(ovc->bytes), ret + 1);
}

bool tinc_event_parse(const char *line, struct tinc_event *ret_event)
{
	char what[5], name[TINC_NAME_SIZE + 1], address[ADDRESS_TEXT_MAX + 1] = "", port[6] = "";
	struct tinc_event event = {0};
	size_t mark = strlen(event_mark);
	if (strncmp(line, event_mark, mark) != 0)
		return false;
	int n = sscanf(line + mark, "%4s %42s %46s %5s", what, name, address, port);
	event.up = n >= 1 && strcmp(what, "up") == 0;
	if (n < 2 || (!event.up && strcmp(what, "down") != 0) || strlen(name) >= TINC_NAME_SIZE)
		return false;
	memcpy(event.name, name, strlen(name) + 1);
	if (!address_parse(address, &event.endpoint.addr) ||
	    !port_parse(port, &event.endpoint.port))
		event.endpoint = (struct endpoint){0};
	*ret_event = event;
	return true;
}
