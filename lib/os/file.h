#ifndef OS_FILE_H
#define OS_FILE_H

/* Files: atomic replacement, reading with a limit, folders, one owner of a state folder. All
 * functions return 0 or -errno. */

#include <stddef.h>
#include <sys/types.h>

/* The file has the old content or the new, also after a power cut: written beside it, synced,
 * renamed, folder synced. The new file has this mode. */
int file_replace(const char *path, const void *data, size_t len, mode_t mode);

/* Removes what killed processes left of their file_replace() in this folder: only while nobody
 * else may write there, as with its lock. */
int file_sweep(const char *folder);
/* The same for one file, in a folder that has others' too: only while nobody else may write it. */
int file_sweep_one(const char *path);

/* Reads all of it; -EFBIG when it has more than max bytes. *ret_data is the caller's (free) and has
 * a NUL after ret_len bytes. ret_len may be NULL. */
int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len);

/* Fills dst with all that comes from fd, and a NUL behind it; -EFBIG when that has more than size -
 * 1 bytes. ret_len may be NULL. For what must not stand anywhere else, as secrets. */
int file_read_into(int fd, char *dst, size_t size, size_t *ret_len);

/* Gives a folder and what is in it (not deeper; links themselves) to this user and group, before
 * the process becomes that user. */
int file_give_folder(const char *path, uid_t uid, gid_t gid);
/* Removes a folder and all in it, links themselves; no deeper than it has to be (FILE_DEPTH_MAX). A
 * folder that is not there is removed. */
enum { FILE_DEPTH_MAX = 8 };
int file_remove_folder(const char *path);
/* The folder that a file of this path is in; the caller's (free). */
char *file_folder_of(const char *path);
/* mkdir -p: makes what is missing, all with this mode; -ENOTDIR when something else is there. */
int file_make_folder(const char *path, mode_t mode);

/* Takes the lock file for this process and writes its pid in it. When another one has it: -EBUSY,
 * and *ret_pid is its pid (0 when unknown). The lock ends with file_unlock() or the process,
 * however that ends; it is kept over fork. */
int file_lock(const char *path, int *ret_fd, pid_t *ret_pid);
void file_unlock(int fd);

#endif
