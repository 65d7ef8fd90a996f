#include "cli/keys.h"

#include "core/chainparams.h"
#include "core/error.h"
#include "os/file.h"
#include "os/rand.h"
#include "wire/bech32.h"
#include "wire/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum {
	PASSPHRASE_MAX = 1024,
	SEALS_MAX = 1 << 20,
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

/* One line without echo. False: no terminal, or the end of it. */
static bool ask_terminal(const char *question, char *dst, size_t size)
{
	struct termios old, quiet;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	size_t len = 0;
	bool ok;

	if (fd < 0 || tcgetattr(fd, &old)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &quiet);
	ok = dprintf(fd, "%s: ", question) > 0;
	while (ok && len + 1 < size) {
		ok = read(fd, dst + len, 1) == 1;
		if (ok && dst[len] == '\n')
			break;
		len++;
	}
	dst[ok ? len : 0] = '\0';
	tcsetattr(fd, TCSAFLUSH, &old);
	dprintf(fd, "\n");
	close(fd);
	return ok;
}

static int ask_passphrase(struct cli *cli, bool fresh)
{
	char first[PASSPHRASE_MAX], again[PASSPHRASE_MAX];
	int r = 0;

	if (*cli->conf.keyfile)
		return read_keyfile(cli);
	if (!ask_terminal(fresh ? "New passphrase for the keystore" : "Passphrase of the keystore",
			  first, sizeof(first)))
		return cli_error(cli, CLI_DENIED,
				 "put the passphrase in a file and name it with --keyfile or "
				 "DNET_KEYFILE",
				 "the keystore %s needs a passphrase and there is no terminal",
				 cli->conf.keystore);
	if (fresh &&
	    (!ask_terminal("The same again", again, sizeof(again)) || strcmp(first, again)))
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
		return cli_error(cli, CLI_FAILED, NULL, "cannot open the keystore %s: %s", path,
				 error_text(r));
	}
}

int keys_load(struct cli *cli, struct keystore *ret_keystore)
{
	char *file = NULL;
	size_t len;
	int r;

	memset(ret_keystore, 0, sizeof(*ret_keystore));
	if (!*cli->conf.keystore)
		return cli_error(cli, CLI_USAGE, "set HOME, or give --keystore FILE",
				 "there is no place for the keystore");
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

int keys_save(struct cli *cli, const struct keystore *keystore)
{
	uint8_t random[KEYSTORE_RANDOM_LEN], *file;
	size_t len;
	int r;

	r = cli->passphrase ? 0 : ask_passphrase(cli, true);
	if (!r)
		r = make_folder(cli, cli->conf.keystore);
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

static char *seals_path(const struct cli *cli)
{
	char *path;

	return asprintf(&path, "%s.seals", cli->conf.keystore) < 0 ? NULL : path;
}

/* An object of text → object; empty when the file is not there; NULL after an error was printed. */
static json_t *read_seals(struct cli *cli)
{
	_cleanup_(freep) char *path = seals_path(cli);
	_cleanup_(freep) char *text = NULL;
	json_error_t error;
	json_t *all;
	size_t len;
	int r = path ? file_read(path, SEALS_MAX, &text, &len) : -ENOMEM;

	if (r == -ENOENT)
		return json_object();
	all = r ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(all))
		return all;
	json_decref(all);
	cli_error(cli, CLI_FAILED, "move the file away: it is made again from chain.db",
		  "cannot read %s: %s", path, r ? error_text(r) : "not as dnet writes it");
	return NULL;
}

static bool read_known(const json_t *value, struct known_seal *ret)
{
	const char *id, *label, *txid;
	json_int_t amount, sequence;
	struct known_seal known = {0};
	int vout, closed;

	if (json_unpack((json_t *)value, "{s:s, s:s, s:s, s:i, s:I, s:I, s:b}", "id", &id, "label",
			&label, "txid", &txid, "vout", &vout, "value", &amount, "sequence",
			&sequence, "closed", &closed))
		return false;
	if (!object_id_parse(id, &known.kind, &known.id) ||
	    !hash_parse(txid, &known.outpoint.txid) || strlen(label) >= sizeof(known.label) ||
	    vout < 0 || amount < 0 || sequence < 0 || sequence > UINT32_MAX)
		return false;
	snprintf(known.label, sizeof(known.label), "%s", label);
	known.outpoint.vout = (uint32_t)vout;
	known.value = (uint64_t)amount;
	known.sequence = (uint32_t)sequence;
	known.closed = closed;
	*ret = known;
	return true;
}

int known_visit(struct cli *cli, known_cb cb, void *arg)
{
	struct known_seal known;
	json_t *all, *value;
	const char *key;
	int r = cli_params(cli);

	if (r)
		return r;
	all = read_seals(cli);
	if (!all)
		return CLI_FAILED;
	json_object_foreach(json_object_get(all, cli->params->name), key, value)
	{
		if (read_known(value, &known) && cb(arg, &known))
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

int known_put(struct cli *cli, const struct known_seal *known)
{
	char id[OBJECT_ID_TEXT_SIZE], txid[HASH_TEXT_SIZE];
	_cleanup_(freep) char *path = seals_path(cli);
	_cleanup_(freep) char *text = NULL;
	json_t *all, *chain;
	int r;

	r = make_folder(cli, cli->conf.keystore);
	all = r ? NULL : read_seals(cli);
	if (!all)
		return CLI_FAILED;
	chain = json_object_get(all, cli->params->name);
	if (!json_is_object(chain)) {
		json_object_set_new(all, cli->params->name, json_object());
		chain = json_object_get(all, cli->params->name);
	}
	object_id_format(known->kind, &known->id, id);
	hash_format(&known->outpoint.txid, txid);
	json_object_set_new(chain, id,
			    json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b}", "id", id, "label",
				      known->label, "txid", txid, "vout",
				      (json_int_t)known->outpoint.vout, "value",
				      (json_int_t)known->value, "sequence",
				      (json_int_t)known->sequence, "closed", known->closed));
	text = json_dumps(all, JSON_INDENT(1));
	r = text && path ? file_replace(path, text, strlen(text), 0600) : -ENOMEM;
	json_decref(all);
	if (r)
		return cli_error(cli, CLI_FAILED, NULL, "cannot write %s: %s", path ? path : "",
				 error_text(r));
	return 0;
}
