#include "cli/keys.h"

#include "core/chainparams.h"
#include "core/error.h"
#include "core/id.h"
#include "core/secret.h"
#include "os/file.h"
#include "os/rand.h"
#include "wire/hex.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum {
	PASSPHRASE_MAX = 1024,
	SEALS_MAX = 1 << 20,
	LOCK_POLL_MS = 20,
	LOCK_SAY_MS = 1000,
	LOCK_WAIT_MS = 60000,
};

static void keep_passphrase(struct cli *cli, const char *text, size_t len)
{
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	cli->passphrase = sodium_malloc(len ? len : 1);
	if (!cli->passphrase) {
		fputs("dnet: no memory for the passphrase\n", stderr);
		exit(CLI_FAILED);
	}
	memcpy(cli->passphrase, text, len);
	cli->passphrase_len = len;
}

static int read_keyfile(struct cli *cli)
{
	char *text;
	size_t len;
	int r = file_read(cli->conf.keyfile, PASSPHRASE_MAX, &text, &len);

	if (r)
		return cli_error(
			cli, CLI_DENIED, "give another file with --keyfile or DNET_KEYFILE",
			"cannot read the keyfile %s: %s", cli->conf.keyfile, error_text(r));
	keep_passphrase(cli, text, len);
	secret_wipe(text, len);
	free(text);
	if (!cli->passphrase_len)
		return cli_error(cli, CLI_DENIED, "write a passphrase into it",
				 "the keyfile %s is empty", cli->conf.keyfile);
	return 0;
}

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

/* Up to the end of the line. A signal ends it too; then nothing of it stays. */
static bool read_line(int fd, char *dst, size_t size)
{
	size_t len = 0;
	bool ok = true;

	while (ok && len + 1 < size) {
		ok = !caught && read(fd, dst + len, 1) == 1;
		if (ok && dst[len] == '\n')
			break;
		len++;
	}
	if (ok)
		dst[len] = '\0';
	else
		secret_wipe(dst, size);
	return ok;
}

/* One line. False: no terminal, or the end of it. A signal that ends the process does so when the
 * echo is back. */
bool keys_ask(const char *question, bool echo, char *dst, size_t size)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_signal}, before[ARRAY_SIZE(numbers)];
	_cleanup_(closep) int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct termios old, quiet;
	bool ok;

	if (fd < 0 || tcgetattr(fd, &old))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &action, &before[i]);
	quiet = old;
	if (!echo)
		quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &quiet);
	dprintf(fd, "%s: ", question);
	ok = read_line(fd, dst, size);
	tcsetattr(fd, TCSAFLUSH, &old);
	if (!echo)
		dprintf(fd, "\n");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		sigaction(numbers[i], &before[i], NULL);
	if (caught)
		raise(caught);
	return ok;
}

static int ask_passphrase(struct cli *cli, bool fresh)
{
	char first[PASSPHRASE_MAX], again[PASSPHRASE_MAX];
	int r = 0;

	secret_lock(first, sizeof(first));
	secret_lock(again, sizeof(again));
	if (*cli->conf.keyfile)
		return read_keyfile(cli);
	if (!keys_ask(fresh ? "New passphrase for the keystore" : "Passphrase of the keystore",
		      false, first, sizeof(first)))
		return cli_error(cli, CLI_DENIED,
				 "put the passphrase in a file and name it with --keyfile or "
				 "DNET_KEYFILE",
				 "the keystore %s needs a passphrase and there is no terminal",
				 cli->conf.keystore);
	if (fresh &&
	    (!keys_ask("The same again", false, again, sizeof(again)) || strcmp(first, again)))
		r = cli_error(cli, CLI_DENIED, NULL, "the two passphrases differ");
	else if (!*first)
		r = cli_error(cli, CLI_DENIED, NULL, "the passphrase is empty");
	else
		keep_passphrase(cli, first, strlen(first));
	secret_wipe(first, sizeof(first));
	secret_wipe(again, sizeof(again));
	return r;
}

static int open_failed(struct cli *cli, int r)
{
	const char *path = cli->conf.keystore;

	switch (-r) {
	case DNET_EAUTH:
		return cli_error(cli, CLI_DENIED, "nothing was changed; try again",
				 "wrong passphrase for the keystore %s (or the file was damaged)",
				 path);
	case DNET_EFORMAT:
		return cli_error(cli, CLI_FAILED, "name the right file with --keystore",
				 "%s is not a keystore, or it was cut off", path);
	case ENOTSUP:
		return cli_error(cli, CLI_FAILED, "use a newer dnet",
				 "the keystore %s was made by a later version", path);
	case E2BIG:
		return cli_error(cli, CLI_FAILED, NULL,
				 "the keystore %s asks for more memory or work than dnet gives",
				 path);
	default:
		return cli_error(cli, CLI_FAILED, "name the right file with --keystore",
				 "cannot open the keystore %s: %s", path, error_text(r));
	}
}

static int no_place(struct cli *cli)
{
	return cli_error(cli, CLI_USAGE, "set HOME, or give --keystore FILE",
			 "there is no place for the keystore");
}

int keys_load(struct cli *cli, struct keystore *ret_keystore)
{
	char *file = NULL;
	size_t len;
	int r;

	memset(ret_keystore, 0, sizeof(*ret_keystore));
	if (!*cli->conf.keystore)
		return no_place(cli);
	r = file_read(cli->conf.keystore, KEYSTORE_FILE_MAX, &file, &len);
	if (r == -ENOENT)
		return 0;
	if (r)
		return open_failed(cli, r);
	if (!cli->passphrase)
		r = ask_passphrase(cli, false);
	if (!r) {
		r = keystore_open((const uint8_t *)file, len, cli->passphrase, cli->passphrase_len,
				  ret_keystore);
		if (r)
			r = open_failed(cli, r);
	}
	free(file);
	return r;
}

static int make_folder(struct cli *cli, const char *file)
{
	_cleanup_(freep) char *copy = strdup(file);
	int r = copy ? file_make_folder(dirname(copy), 0700) : -ENOMEM;

	if (r)
		return cli_error(cli, CLI_FAILED, "name another place with --keystore",
				 "cannot make the folder of %s: %s", file, error_text(r));
	return 0;
}

static char *seals_path(const struct cli *cli)
{
	char *path;

	return asprintf(&path, "%s.seals", cli->conf.keystore) < 0 ? NULL : path;
}

/* What a dnet that was killed while it wrote left behind. */
static void sweep(const struct cli *cli)
{
	_cleanup_(freep) char *seals = seals_path(cli);

	(void)file_sweep_one(cli->conf.keystore);
	if (seals)
		(void)file_sweep_one(seals);
}

int keys_lock(struct cli *cli)
{
	const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
	_cleanup_(freep) char *path = NULL;
	unsigned waited_ms = 0;
	pid_t pid = 0;
	int r;

	if (!*cli->conf.keystore)
		return no_place(cli);
	r = make_folder(cli, cli->conf.keystore);
	if (r)
		return r;
	if (asprintf(&path, "%s.lock", cli->conf.keystore) < 0)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	while ((r = file_lock(path, &cli->lock, &pid)) == -EBUSY && waited_ms < LOCK_WAIT_MS) {
		if (waited_ms == LOCK_SAY_MS)
			cli_note(cli,
				 "waiting for another dnet (process %d) that uses the keystore %s",
				 (int)pid, cli->conf.keystore);
		nanosleep(&pause, NULL);
		waited_ms += LOCK_POLL_MS;
	}
	if (r == -EBUSY)
		return cli_error(cli, CLI_FAILED,
				 "let it end (it may wait for an answer at its terminal), and run "
				 "this again",
				 "another dnet (process %d) uses the keystore %s; nothing was sent",
				 (int)pid, cli->conf.keystore);
	if (r)
		return cli_error(cli, CLI_FAILED, "name another place with --keystore",
				 "cannot lock %s: %s", path, error_text(r));
	sweep(cli);
	return 0;
}

void keys_unlock(struct cli *cli)
{
	file_unlock(cli->lock);
	cli->lock = -1;
}

int keys_save(struct cli *cli, const struct keystore *keystore)
{
	uint8_t random[KEYSTORE_RANDOM_LEN], *file;
	size_t len;
	int r;

	assert(cli->lock >= 0);
	r = cli->passphrase ? 0 : ask_passphrase(cli, true);
	if (r)
		return r;
	rand_bytes(random, sizeof(random));
	r = keystore_seal(keystore, cli->passphrase, cli->passphrase_len, NULL, random, &file,
			  &len);
	if (!r) {
		r = file_replace(cli->conf.keystore, file, len, 0600);
		free(file);
	}
	if (r)
		return cli_error(cli, CLI_FAILED, "nothing was sent",
				 "cannot write the keystore %s: %s", cli->conf.keystore,
				 error_text(r));
	return 0;
}

int keys_add(struct cli *cli, struct keystore *keystore, struct keystore_entry *entry)
{
	int r = cli_id(cli);

	if (r)
		return r;
	if (!keystore->has_seed) {
		rand_bytes(keystore->seed.bytes, SECRET_LEN);
		keystore->has_seed = true;
	}
	snprintf(entry->chain, sizeof(entry->chain), "%s", cli->params->name);
	entry->number = keystore_next_number(keystore, entry->chain);
	keystore_derive(keystore, cli->id, entry->chain, entry->number, &entry->secret);
	if (keystore_put(keystore, entry))
		return cli_error(cli, CLI_FAILED, "use another one: --keystore FILE",
				 "the keystore %s is full", cli->conf.keystore);
	return 0;
}

int keys_change_passphrase(struct cli *cli, const char *path)
{
	char *copy = strdup(path ? path : "");

	if (!copy)
		return cli_error(cli, CLI_FAILED, NULL, "out of memory");
	sodium_free(cli->passphrase);
	cli->passphrase = NULL;
	cli->passphrase_len = 0;
	free(cli->conf.keyfile);
	cli->conf.keyfile = copy;
	return ask_passphrase(cli, true);
}

pid_t keys_lock_holder(struct cli *cli)
{
	_cleanup_(freep) char *path = NULL;
	pid_t pid = 0;
	int fd;

	if (asprintf(&path, "%s.lock", cli->conf.keystore) < 0 || access(path, F_OK))
		return 0;
	if (file_lock(path, &fd, &pid))
		return pid;
	file_unlock(fd);
	return 0;
}

/* Empty when the file is not there. 0, or -errno: -EBADMSG for what dnet has not written. */
static int read_seals(const struct cli *cli, json_t **ret_all)
{
	_cleanup_(freep) char *path = seals_path(cli);
	_cleanup_(freep) char *text = NULL;
	size_t len;
	int r = path ? file_read(path, SEALS_MAX, &text, &len) : -ENOMEM;

	if (r && r != -ENOENT)
		return r == -EFBIG ? -EBADMSG : r;
	*ret_all = r ? json_object() : seals_parse(text, len);
	return *ret_all ? 0 : -EBADMSG;
}

static int seals_failed(struct cli *cli, int r)
{
	_cleanup_(freep) char *path = seals_path(cli);

	if (r == -EBADMSG)
		return cli_error(cli, CLI_FAILED, "move the file away: chain.db has the same",
				 "cannot read %s: not as dnet writes it", path ? path : "");
	return cli_error(cli, CLI_FAILED, "nothing was sent; see to the disk, and run it again",
			 "cannot read %s: %s", path ? path : "", error_text(r));
}

int known_visit(struct cli *cli, known_cb cb, void *arg)
{
	struct known_seal known;
	json_t *all, *value;
	const char *key;
	int r = cli_params(cli);

	if (r)
		return r;
	r = read_seals(cli, &all);
	if (r)
		return seals_failed(cli, r);
	json_object_foreach(json_object_get(all, cli->params->name), key, value)
	{
		if (seals_read(value, &known) && cb(arg, &known))
			break;
	}
	json_decref(all);
	return 0;
}

struct find_id {
	const struct object_id *id;
	struct known_seal *ret;
	bool found;
};

static bool same_id(void *arg, const struct known_seal *known)
{
	struct find_id *find = arg;

	if (!object_id_equal(&known->id, find->id))
		return false;
	*find->ret = *known;
	find->found = true;
	return true;
}

bool known_find(struct cli *cli, const struct object_id *id, struct known_seal *ret_known)
{
	struct find_id find = {id, ret_known, false};

	return !known_visit(cli, same_id, &find) && find.found;
}

/* Releases all; changed: it has what was to be put. 0, or -errno. */
static int write_seals(const struct cli *cli, json_t *all, bool changed)
{
	_cleanup_(freep) char *path = seals_path(cli);
	_cleanup_(freep) char *text = changed ? json_dumps(all, JSON_INDENT(1)) : NULL;

	json_decref(all);
	return text && path ? file_replace(path, text, strlen(text), 0600) : -ENOMEM;
}

static int write_failed(struct cli *cli, const char *next, int r)
{
	_cleanup_(freep) char *path = seals_path(cli);

	return cli_error(cli, CLI_FAILED, next, "cannot write %s: %s", path ? path : "",
			 error_text(r));
}

int known_check(struct cli *cli)
{
	json_t *all = NULL;
	int r = read_seals(cli, &all);

	if (r)
		return seals_failed(cli, r);
	r = write_seals(cli, all, true);
	return r ? write_failed(cli, "nothing was sent; make room, or make the folder writable", r)
		 : 0;
}

int known_put(struct cli *cli, const struct known_seal *known)
{
	_cleanup_(freep) char *path = seals_path(cli);
	json_t *all = NULL;
	int r = read_seals(cli, &all);

	if (!r)
		r = write_seals(cli, all, seals_put(all, cli->params->name, known));
	if (r)
		return cli_error(
			cli, CLI_FAILED,
			"see dnet history; when chainwatch has seen it, dnet goes on from it",
			"the transaction was sent, but dnet cannot write %s: %s", path ? path : "",
			error_text(r));
	return 0;
}

bool known_multisig(struct cli *cli, const uint8_t *script, size_t len,
		    struct multisig *ret_multisig)
{
	uint8_t witness[MULTISIG_SCRIPT_MAX], p2wsh[P2WSH_LEN];
	char text[2 * P2WSH_LEN + 1];
	const char *found;
	size_t found_len;
	json_t *all;
	bool ok;

	if (len != P2WSH_LEN)
		return false;
	if (read_seals(cli, &all))
		return false;
	hex_format(script, len, text);
	found = seals_find_script(all, text);
	ok = found && hex_parse_any(found, witness, sizeof(witness), &found_len);
	json_decref(all);
	if (!ok)
		return false;
	multisig_p2wsh(witness, found_len, p2wsh);
	return !memcmp(p2wsh, script, len) && multisig_parse(witness, found_len, ret_multisig);
}

int known_put_multisig(struct cli *cli, struct multisig *multisig)
{
	char script[2 * P2WSH_LEN + 1], witness[2 * MULTISIG_SCRIPT_MAX + 1];
	uint8_t raw[MULTISIG_SCRIPT_MAX], p2wsh[P2WSH_LEN];
	size_t len = multisig_write(multisig, raw);
	json_t *all = NULL;
	int r = read_seals(cli, &all);

	if (r)
		return seals_failed(cli, r);
	multisig_p2wsh(raw, len, p2wsh);
	hex_format(p2wsh, sizeof(p2wsh), script);
	hex_format(raw, len, witness);
	r = write_seals(cli, all, seals_put_script(all, script, witness));
	return r ? write_failed(cli, "make room, or let this user write there", r) : 0;
}

/* As seals.h has a request. */
struct denied {
	char dnet[OBJECT_ID_TEXT_SIZE], key[2 * PUBKEY_LEN + 1];
};

static struct denied denied_of(const struct object_id *dnet, const struct node_key *key)
{
	struct denied denied;

	object_id_format(OBJECT_DNET, dnet, denied.dnet);
	hex_format(key->bytes, PUBKEY_LEN, denied.key);
	return denied;
}

bool known_denied(struct cli *cli, const struct object_id *dnet, const struct node_key *key)
{
	struct denied denied = denied_of(dnet, key);
	json_t *all = NULL;
	bool is = !read_seals(cli, &all) && seals_is_denied(all, denied.dnet, denied.key);

	json_decref(all);
	return is;
}

int known_put_denied(struct cli *cli, const struct object_id *dnet, const struct node_key *key,
		     bool is)
{
	struct denied denied = denied_of(dnet, key);
	json_t *all = NULL;
	int r = read_seals(cli, &all);

	if (r)
		return seals_failed(cli, r);
	r = write_seals(cli, all, seals_put_denied(all, denied.dnet, denied.key, is));
	return r ? write_failed(cli, "make room, or let this user write there", r) : 0;
}
