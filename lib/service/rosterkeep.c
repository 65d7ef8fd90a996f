#include "service/rosterkeep.h"

#include "core/secret.h"
#include "os/base.h"
#include "os/file.h"
#include "os/log.h"
#include "wire/hash.h"
#include "wire/hex.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* roster-HEX.bin, the hex digits being the dnet's id: magic 8, SHA-256 of what follows 32, admin
 * key 32, the file as it came. The key is there because a later one would not verify the signature.
 */

static const char magic[8] = {'d', 'n', 'k', 'e', 'p', 't', '0', '1'};

enum { SUM_AT = 8, KEY_AT = SUM_AT + HASH_LEN, FILE_AT = KEY_AT + XONLY_LEN };

static char *path_of(const char *folder, const struct object_id *dnet)
{
	char hex[2 * OBJECT_ID_LEN + 1];
	hex_format(dnet->bytes, OBJECT_ID_LEN, hex);
	return xasprintf("%s/roster-%s.bin", folder, hex);
}

void rosterkeep_remove(const char *folder, const struct object_id *dnet)
{
	_cleanup_(freep) char *path = path_of(folder, dnet);
	(void)unlink(path);
}

void rosterkeep_init(struct rosterkeep *k, const char *folder, const struct id *id,
		     const struct identity *node, const struct object_id *dnet)
{
	*k = (struct rosterkeep){.folder = folder, .id = id, .node = node, .dnet = *dnet};
	secret_lock(k, sizeof(*k));
}

void rosterkeep_done(struct rosterkeep *k)
{
	rosterfile_done(&k->in_force);
	free(k->file);
	free(k->early);
	k->file = k->early = NULL;
	k->have = false;
}

void rosterkeep_save(struct rosterkeep *k)
{
	if (!k->unsaved || !k->loaded)
		return;
	_cleanup_(freep) char *path = path_of(k->folder, &k->dnet);
	_cleanup_(freep) uint8_t *bytes = xmalloc(FILE_AT + k->file_len);
	struct hash256 sum;
	memcpy(bytes, magic, sizeof(magic));
	memcpy(bytes + KEY_AT, k->admin_key, XONLY_LEN);
	memcpy(bytes + FILE_AT, k->file, k->file_len);
	hash_sha256(bytes + KEY_AT, XONLY_LEN + k->file_len, &sum);
	memcpy(bytes + SUM_AT, sum.bytes, HASH_LEN);
	int r = file_replace(path, bytes, FILE_AT + k->file_len, 0600);
	if (r < 0) {
		log_limited(LOG_LEVEL_WARN, 6,
			    "cannot keep the roster in %s: %s; it is tried again", path,
			    strerror(-r));
		return;
	}
	k->unsaved = false;
	free(k->file);
	k->file = NULL;
}

static void take(struct rosterkeep *k, struct rosterfile *opened, const uint8_t *file, size_t len,
		 const uint8_t admin_key[static XONLY_LEN])
{
	rosterfile_done(&k->in_force);
	k->in_force = *opened;
	secret_wipe(opened, sizeof(*opened)); /* it may have a PSK, and stands on a stack */
	k->have = true;
	free(k->file);
	k->file = memcpy(xmalloc(len), file, len);
	k->file_len = len;
	memcpy(k->admin_key, admin_key, XONLY_LEN);
	k->unsaved = true;
}

static bool load_bytes(struct rosterkeep *k, const uint8_t *bytes, size_t len)
{
	struct rosterfile opened;
	struct hash256 sum;
	const char *why;
	if (len <= FILE_AT || memcmp(bytes, magic, sizeof(magic)) != 0)
		return false;
	hash_sha256(bytes + KEY_AT, len - KEY_AT, &sum);
	if (memcmp(bytes + SUM_AT, sum.bytes, HASH_LEN) != 0)
		return false;
	if (rosterfile_open(k->id, k->node, &k->dnet, bytes + KEY_AT, bytes + FILE_AT,
			    len - FILE_AT, &opened, &why) != ROSTER_GOOD)
		return false;
	take(k, &opened, bytes + FILE_AT, len - FILE_AT, bytes + KEY_AT);
	return true;
}

/* What is there and cannot be read now is tried again, and not replaced before. */
static void load(struct rosterkeep *k)
{
	_cleanup_(freep) char *path = path_of(k->folder, &k->dnet);
	_cleanup_(freep) char *bytes = NULL;
	size_t len;
	if (k->loaded)
		return;
	int r = file_read(path, FILE_AT + ROSTERFILE_MAX, &bytes, &len);
	k->loaded = r == 0 || r == -ENOENT || r == -EFBIG;
	if (r < 0 && r != -ENOENT)
		log_limited(LOG_LEVEL_WARN, 6, "cannot read %s: %s", path, strerror(-r));
	if (r < 0)
		return;
	if (k->have)
		return; /* a newer one came while it could not be read */
	if (!load_bytes(k, (const uint8_t *)bytes, len)) {
		log_warn("%s is damaged and not used", path);
		return;
	}
	k->unsaved = false;
	free(k->file);
	k->file = NULL;
}

/* ROSTER 4: A ROSTER record that goes back […] takes no roster out of force */
static bool is_anchored(const struct rosterkeep *k, const struct netmap *map)
{
	return k->have && map->has_roster &&
	       memcmp(k->in_force.root.bytes, map->roster_root.bytes, HASH_LEN) == 0;
}

static bool goes_back(const struct rosterkeep *k, const struct netmap *map)
{
	return k->have &&
	       (!map->has_roster || map->roster_sequence < k->in_force.roster.header.sequence);
}

bool rosterkeep_is_wanting(const struct rosterkeep *k, const struct netmap *map)
{
	return map->has_roster && !is_anchored(k, map) && !goes_back(k, map);
}

static void keep_early(struct rosterkeep *k, const uint8_t *file, size_t len, uint32_t sequence)
{
	uint8_t *copy = memcpy(xmalloc(len), file, len); /* file may be the one that is kept */
	free(k->early);
	k->early = copy;
	k->early_len = len;
	k->early_sequence = sequence;
}

static enum roster_verdict judge(struct rosterkeep *k, const struct netmap *map,
				 const uint8_t *file, size_t len, uint64_t now_s)
{
	struct rosterfile opened;
	enum roster_verdict verdict = rosterfile_open(k->id, k->node, &k->dnet, map->admin_key,
						      file, len, &opened, &k->why);
	k->last_sequence = 0;
	if (verdict != ROSTER_GOOD)
		return verdict;
	k->last_sequence = opened.roster.header.sequence;
	verdict = rosterfile_judge(&opened, map->has_roster ? map->roster_sequence : 0,
				   &map->roster_root, now_s);
	/* the one in force comes again: good also when it has expired there, or the chain went back
	 */
	if (k->have && memcmp(opened.root.bytes, k->in_force.root.bytes, HASH_LEN) == 0) {
		rosterfile_done(&opened);
		return verdict == ROSTER_REPLAY || verdict == ROSTER_FORK ? verdict : ROSTER_GOOD;
	}
	if (verdict == ROSTER_EARLY)
		keep_early(k, file, len, k->last_sequence);
	if (verdict == ROSTER_GOOD && goes_back(k, map))
		verdict = ROSTER_REPLAY; /* the chain went back, and this one with it */
	if (verdict == ROSTER_GOOD)
		take(k, &opened, file, len, map->admin_key);
	else
		rosterfile_done(&opened);
	return verdict;
}

bool rosterkeep_offer(struct rosterkeep *k, const struct netmap *map, const uint8_t *file,
		      size_t len, uint64_t now_s)
{
	struct hash256 before = k->in_force.root;
	bool had = k->have;
	if (!map->exists)
		return false;
	enum roster_verdict verdict = judge(k, map, file, len, now_s);
	k->counts[verdict]++;
	if (verdict != k->last && verdict != ROSTER_GOOD)
		log_warn("a roster was refused: %s", roster_verdict_text(verdict));
	k->last = verdict;
	bool changed = k->have && (!had || memcmp(&before, &k->in_force.root, sizeof(before)) != 0);
	if (changed)
		log_notice("the roster of sequence %" PRIu32 " is in force",
			   k->in_force.roster.header.sequence);
	rosterkeep_save(k);
	return changed;
}

int rosterkeep_apply(struct rosterkeep *k, struct netmap *map, const struct netmap_input *input,
		     uint64_t now_s)
{
	load(k);
	if (k->early && map->has_roster && map->roster_sequence >= k->early_sequence) {
		_cleanup_(freep) uint8_t *file = steal(k->early);
		(void)rosterkeep_offer(k, map, file, k->early_len, now_s);
	}
	rosterkeep_save(k);
	if (k->have)
		return netmap_add_roster(map, input, &k->in_force.roster, now_s);
	if (map->has_roster)
		return netmap_close_policy(map);
	map->has_policy = true; /* members may talk to members */
	return 0;
}

/* ---- What is wrong ---- */

static const char *in_force_text(const struct rosterkeep *k, char text[static 96])
{
	if (k->have)
		snprintf(text, 96, "the last good one (sequence %" PRIu32 ") stays in force",
			 k->in_force.roster.header.sequence);
	else
		snprintf(text, 96, "until it comes members may not talk to each other");
	return text;
}

static const char *next_step(enum roster_verdict verdict)
{
	switch (verdict) {
	case ROSTER_GOOD:
		return "";
	case ROSTER_MALFORMED:
	case ROSTER_WRONG_DNET:
	case ROSTER_SIGNATURE:
		return "check the location, or ask the owner to put the right file there";
	case ROSTER_NOT_OURS:
		return "ask the owner to publish again with --encrypt, this node included";
	case ROSTER_REPLAY:
		return "ask the owner to put the newest file there";
	case ROSTER_FORK:
		return "ask the owner which one is right: dnet policy publish makes a new sequence";
	case ROSTER_EARLY:
		return "wait for blocks";
	case ROSTER_EXPIRED:
		return "ask the owner to publish a new one";
	case ROSTER_VERDICT_COUNT:
		break;
	}
	return "";
}

static void say_wanting(const struct rosterkeep *k, const struct netmap *map, const char *location,
			const char *fetch_error, char text[static ROSTERKEEP_TEXT_MAX])
{
	char rest[96];
	in_force_text(k, rest);
	if (!*location && k->last == ROSTER_GOOD)
		snprintf(text, ROSTERKEEP_TEXT_MAX,
			 "the roster of sequence %" PRIu32 " is wanted, and no location is known: "
			 "set roster in dnetd.conf; %s",
			 map->roster_sequence, rest);
	else if (*fetch_error)
		snprintf(text, ROSTERKEEP_TEXT_MAX,
			 "the roster of sequence %" PRIu32 " is wanted: %.160s; %s",
			 map->roster_sequence, fetch_error, rest);
	else if (k->last != ROSTER_GOOD && k->last != ROSTER_EARLY)
		snprintf(text, ROSTERKEEP_TEXT_MAX, "%s%s%s: %s; %s", roster_verdict_text(k->last),
			 k->last == ROSTER_MALFORMED ? ": " : "",
			 k->last == ROSTER_MALFORMED && k->why ? k->why : "", next_step(k->last),
			 rest);
	else
		snprintf(text, ROSTERKEEP_TEXT_MAX,
			 "the roster of sequence %" PRIu32 " is being fetched; %s",
			 map->roster_sequence, rest);
}

const char *rosterkeep_trouble(const struct rosterkeep *k, const struct netmap *map,
			       const char *location, const char *fetch_error, uint64_t now_s,
			       char text[static ROSTERKEEP_TEXT_MAX])
{
	const struct roster_header *h = &k->in_force.roster.header;
	text[0] = '\0';
	if (rosterkeep_is_wanting(k, map)) {
		say_wanting(k, map, location, fetch_error, text);
	} else if (goes_back(k, map)) {
		snprintf(text, ROSTERKEEP_TEXT_MAX,
			 "the chain has gone back behind the roster of sequence %" PRIu32
			 ", which stays in force: see dnet chain",
			 h->sequence);
	} else if (k->have && h->expires && h->expires <= now_s) {
		snprintf(text, ROSTERKEEP_TEXT_MAX,
			 "the roster of sequence %" PRIu32
			 " has expired and stays in force: ask the "
			 "owner to publish a new one (dnet policy publish)",
			 h->sequence);
	} else if (k->last == ROSTER_EARLY) {
		snprintf(text, ROSTERKEEP_TEXT_MAX,
			 "a roster of sequence %" PRIu32
			 " waits for its ROSTER record to be in force",
			 k->last_sequence);
	} else if (k->last != ROSTER_GOOD) {
		snprintf(text, ROSTERKEEP_TEXT_MAX, "what is served is not used: %s: %s",
			 roster_verdict_text(k->last), next_step(k->last));
	}
	return text;
}
