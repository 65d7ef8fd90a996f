#include "os/file.h"

#include "os/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Between a file's name and six characters of mkostemp(3). */
#define TEMPORARY ".new-"

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A rename is only as durable as the folder that has it. */
static int sync_folder_of(const char *path)
{
	_cleanup_(freep) char *folder = strdup(path);
	_cleanup_(closep) int fd = -1;
	char *slash;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return -errno;
	return 0;
}

static int fill_file(int fd, const void *data, size_t len, mode_t mode)
{
	int result = write_all(fd, data, len);

	if (result)
		return result;
	/* Not at open(): the umask has no say in it. */
	if (fchmod(fd, mode) || fsync(fd))
		return -errno;
	return 0;
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	char temporary[PATH_MAX];
	int fd, result, n;

	n = snprintf(temporary, sizeof(temporary), "%s" TEMPORARY "XXXXXX", path);
	if (n < 0 || (size_t)n >= sizeof(temporary))
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = fill_file(fd, data, len, mode);
	if (close(fd) && !result)
		result = -errno;
	if (!result && rename(temporary, path))
		result = -errno;
	if (result) {
		unlink(temporary);
		return result;
	}
	return sync_folder_of(path);
}

/* Of the file with this name; NULL: of any. */
static bool is_temporary(const char *name, const char *of)
{
	size_t len = strlen(name), tail = strlen(TEMPORARY "XXXXXX");

	return len > tail && strncmp(name + len - tail, TEMPORARY, strlen(TEMPORARY)) == 0 &&
	       (!of || (strlen(of) == len - tail && strncmp(name, of, len - tail) == 0));
}

static int sweep(const char *folder, const char *of)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		/* unlink() removes no folder */
		if (is_temporary(entry->d_name, of) && unlinkat(dirfd(dir), entry->d_name, 0))
			result = -errno;
	}
	closedir(dir);
	return result;
}

int file_sweep(const char *folder)
{
	return sweep(folder, NULL);
}

int file_sweep_one(const char *path)
{
	_cleanup_(freep) char *folder = file_folder_of(path);
	const char *slash = strrchr(path, '/');

	return sweep(folder, slash ? slash + 1 : path);
}

/* Reads up to max + 1 bytes, so that one too many is seen. */
static int read_up_to(int fd, size_t max, char **ret_data, size_t *ret_len)
{
	_cleanup_(freep) char *data = NULL;
	size_t len = 0, size = 0;

	for (;;) {
		ssize_t n;

		if (size - len < 2) {
			size = size ? MIN(size * 2, max + 2) : MIN((size_t)4096, max + 2);
			char *grown = realloc(data, size);

			if (!grown)
				return -ENOMEM;
			data = grown;
		}
		n = read(fd, data + len, size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
		if (len > max)
			return -EFBIG;
	}
	data[len] = 0;
	*ret_data = steal(data);
	*ret_len = len;
	return 0;
}

int file_read_into(int fd, char *dst, size_t size, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n = 1;

	while (n && len < size) {
		n = read(fd, dst + len, size - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	if (len == size)
		return -EFBIG;
	dst[len] = 0;
	if (ret_len)
		*ret_len = len;
	return 0;
}

int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *data = NULL;
	size_t len = 0;
	int result;

	if (fd < 0)
		return -errno;
	result = read_up_to(fd, max, &data, &len);
	if (result)
		return result;
	*ret_data = data;
	if (ret_len)
		*ret_len = len;
	return 0;
}

static int remove_beneath(int parent, const char *name, int depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int result = 0;

	if (!dir) {
		result = -errno;
		closep(&fd);
		return result;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		int r = 0;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0))
			r = errno != EISDIR ? -errno
			    : depth == 0    ? -ELOOP
					    : remove_beneath(fd, entry->d_name, depth - 1);
		if (r)
			result = r;
	}
	closedir(dir);
	if (!result && unlinkat(parent, name, AT_REMOVEDIR))
		result = -errno;
	return result;
}

int file_remove_folder(const char *path)
{
	int result = remove_beneath(AT_FDCWD, path, FILE_DEPTH_MAX);

	return result == -ENOENT ? 0 : result;
}

char *file_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return xstrdup(".");
	return xasprintf("%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int make_one_folder(const char *path, mode_t mode)
{
	struct stat st;

	if (!mkdir(path, mode))
		return chmod(path, mode) ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int file_make_folder(const char *path, mode_t mode)
{
	_cleanup_(freep) char *part = strdup(path);
	int result;

	if (!part)
		return -ENOMEM;
	for (char *p = part + 1; part[0] && *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		result = make_one_folder(part, mode);
		*p = '/';
		if (result)
			return result;
	}
	return make_one_folder(path, mode);
}

static pid_t read_pid(int fd)
{
	char text[16];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = 0;
	pid = strtol(text, NULL, 10);
	return pid > 0 && pid < INT_MAX ? (pid_t)pid : 0;
}

/* A disk that is full or read-only takes no pid: the lock is good all the same, and who comes up on
 * such a machine can serve from what it has. */
static void write_pid(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) == 0)
		(void)write_all(fd, text, (size_t)len);
}

int file_lock(const char *path, int *ret_fd, pid_t *ret_pid)
{
	_cleanup_(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno == EROFS)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (ret_pid)
			*ret_pid = read_pid(fd);
		return -EBUSY;
	}
	write_pid(fd);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* The file stays: unlinking it would let two others lock two files of the same name. */
void file_unlock(int fd)
{
	if (fd >= 0)
		close(fd);
}

int file_give_folder(const char *path, uid_t uid, gid_t gid)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r;

	if (!dir)
		return -errno;
	r = fchown(dirfd(dir), uid, gid) < 0 ? -errno : 0;
	while (!r && (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (fchownat(dirfd(dir), entry->d_name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
	}
	closedir(dir);
	return r;
}
