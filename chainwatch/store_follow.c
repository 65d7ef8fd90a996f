#include "chainwatch/store_private.h"

#include "chainwatch/agreement.h"
#include "chainwatch/source.h"
#include "os/base.h"
#include "os/chaindb_private.h"
#include "os/log.h"
#include "wire/bech32.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What a source that is given the seals needs, and what it leaves behind: a chain.db that knows
 * only what was followed, and says so in meta. And what the last one held best. */

struct seals {
	struct source_seal *list; /* owned, and each script */
	size_t count, room;
};

static int add_seal(struct seals *seals, const struct source_seal *seal)
{
	struct source_seal *grown;
	uint8_t *script;

	if (seals->count == seals->room) {
		grown = reallocarray(seals->list, 2 * seals->room + 16, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		seals->list = grown;
		seals->room = 2 * seals->room + 16;
	}
	script = malloc(seal->script.len + 1);
	if (!script)
		return -ENOMEM;
	if (seal->script.len > 0)
		memcpy(script, seal->script.data, seal->script.len);
	seals->list[seals->count] = *seal;
	seals->list[seals->count++].script.data = script;
	return 0;
}

static int read_seals(struct store *store, struct seals *seals)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	struct source_seal seal;
	int code, result = 0;

	if (sqlite3_prepare_v2(store->db,
			       "SELECT txid, vout, value, script FROM seal WHERE to_height IS NULL",
			       -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	while (!result && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!chaindb_read_hash(statement, 0, &seal.outpoint.txid) ||
		    !chaindb_read_u32(statement, 1, &seal.outpoint.vout)) {
			snprintf(store->error, sizeof(store->error),
				 "chain.db: damaged: a seal is no outpoint; remove it to read the "
				 "chain anew");
			return -EBADMSG;
		}
		seal.value = (uint64_t)sqlite3_column_int64(statement, 2);
		seal.script.data = sqlite3_column_blob(statement, 3);
		seal.script.len = (size_t)sqlite3_column_bytes(statement, 3);
		result = add_seal(seals, &seal);
	}
	if (result)
		return result;
	return code == SQLITE_DONE ? 0 : store_fail(store, "cannot read");
}

int store_tell_seals(struct store *store, struct source *source, bool beside)
{
	struct seals seals = {.list = NULL};
	int result = read_seals(store, &seals);

	if (!result)
		result = source->ops->watch(source, beside ? SOURCE_READER_BESIDE : SOURCE_READER,
					    seals.list, seals.count);
	for (size_t i = 0; i < seals.count; i++)
		free((void *)seals.list[i].script.data);
	free(seals.list);
	return result;
}

static void follow_name(const struct light_follow *follow, char name[static 96])
{
	char id[OBJECT_ID_TEXT_SIZE];

	object_id_format(follow->kind, &follow->object, id);
	snprintf(name, 96, "follow %s@%u", id, follow->height);
}

/* Whether a query with a text as its only parameter finds anything. */
static int finds(struct store *store, const char *sql, const char *text, bool *ret_finds)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;
	int code;

	if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot read");
	sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
	code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return store_fail(store, "cannot read");
	*ret_finds = code == SQLITE_ROW;
	return 0;
}

static int meta_has(struct store *store, const char *name, bool *ret_has)
{
	return finds(store, "SELECT 1 FROM meta WHERE name = ?", name, ret_has);
}

int store_tell_unmade(struct store *store, const struct light_follow *follows, size_t count,
		      uint32_t above, uint32_t height)
{
	char id[OBJECT_ID_TEXT_SIZE];

	for (size_t i = 0; i < count; i++) {
		const struct light_follow *f = &follows[i];
		uint32_t last = f->height + LIGHT_FOLLOW_SPAN - 1;
		bool has;
		int result;

		if (last <= above || last > height)
			continue;
		object_id_format(f->kind, &f->object, id);
		result = finds(store, "SELECT 1 FROM object WHERE id = ?", id, &has);
		if (result)
			return result;
		if (!has)
			log_warn("nothing made %s in the blocks %u to %u: look at the height that "
				 "it is followed from",
				 id, f->height, last);
	}
	return 0;
}

static int meta_put(struct store *store, const char *name)
{
	_cleanup_(chaindb_finalizep) sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(store->db, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, 1)",
			       -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "cannot write");
	sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
	return store_step(store, statement);
}

int store_is_partial(struct store *store, bool *ret_partial)
{
	return meta_has(store, "partial", ret_partial);
}

int store_find_uncovered(struct store *store, const struct light_follow *follows, size_t count,
			 uint32_t *ret_height)
{
	char name[96];
	bool covered;
	int result;

	*ret_height = UINT32_MAX;
	for (size_t i = 0; i < count; i++) {
		follow_name(&follows[i], name);
		result = meta_has(store, name, &covered);
		if (result)
			return result;
		if (!covered && follows[i].height < *ret_height)
			*ret_height = follows[i].height;
	}
	return 0;
}

int store_put_coverage(struct store *store, const struct light_follow *follows, size_t count)
{
	char name[96];
	int result = meta_put(store, "partial");

	for (size_t i = 0; !result && i < count; i++) {
		follow_name(&follows[i], name);
		result = meta_put(store, name);
	}
	return result;
}

int store_note_coverage(struct store *store, const struct light_follow *follows, size_t count)
{
	int result = store_begin(store);

	if (!result)
		result = store_put_coverage(store, follows, count);
	if (!result)
		result = store_commit(store);
	if (result)
		store_rollback(store);
	return result;
}

int store_put_agreement(struct store *store, const struct agreement *agreement)
{
	char tip[HASH_TEXT_SIZE], work[2 * HASH_LEN + 1];
	int result;

	hash_format(&agreement->tip, tip);
	hex_format(agreement->work, sizeof(agreement->work), work);
	result = store_write_meta(store, "agreed", "%s %s %s", tip, work, agreement->who);
	store->dirty = false;
	return result;
}

int store_read_agreement(struct store *store, struct agreement *ret_agreement)
{
	enum { WORK_AT = HASH_TEXT_SIZE, WHO_AT = WORK_AT + HASH_TEXT_SIZE };
	_cleanup_(sqlite3_freep) char *text = NULL;
	struct agreement a = {.who = ""};
	int result = store_read_meta(store, "agreed", &text);

	if (result || !text || strlen(text) < WHO_AT || text[WORK_AT - 1] != ' ' ||
	    text[WHO_AT - 1] != ' ')
		return result;
	snprintf(a.who, sizeof(a.who), "%s", text + WHO_AT);
	text[WORK_AT - 1] = text[WHO_AT - 1] = '\0';
	if (hash_parse(text, &a.tip) && hex_parse(text + WORK_AT, a.work, sizeof(a.work)))
		*ret_agreement = a;
	return 0;
}
