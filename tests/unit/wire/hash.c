#include "fixture/test.h"

#include "wire/hash.h"
#include "wire/hex.h"

#include <string.h>

static void assert_hex(const void *data, size_t len, const char *want)
{
	char text[2 * HASH_LEN + 1];

	hex_format(data, len, text);
	assert_string_equal(text, want);
}

/* FIPS 180-2, appendix B; the RIPEMD-160 paper, appendix B. */
static void published_digests_come_out(void **state)
{
	struct hash256 hash;
	uint8_t short_hash[HASH160_LEN];

	hash_sha256("abc", 3, &hash);
	assert_hex(hash.bytes, HASH_LEN,
		   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	hash_sha256("", 0, &hash);
	assert_hex(hash.bytes, HASH_LEN,
		   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hash_ripemd160("", 0, short_hash);
	assert_hex(short_hash, HASH160_LEN, "9c1185a5c5e9fc54612808977ee8f548b2258d31");
	hash_ripemd160("abc", 3, short_hash);
	assert_hex(short_hash, HASH160_LEN, "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc");
	hash_sha256d("hello", 5, &hash);
	assert_hex(hash.bytes, HASH_LEN,
		   "9595c9df90075148eb06860365df33584b75bff782a510c6cd4883a419833d50");
}

/* BIP143, native P2WPKH: key and its hash in the witness program. */
static void hash160_of_a_public_key_is_its_witness_program(void **state)
{
	uint8_t key[PUBKEY_LEN], hash[HASH160_LEN];

	assert_true(hex_parse("025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee6357",
			      key, sizeof(key)));
	hash_hash160(key, sizeof(key), hash);
	assert_hex(hash, sizeof(hash), "1d0f172a0ecb48aee1be1f2687d2963ae33f71a1");
}

static void parts_give_the_hash_of_the_whole(void **state)
{
	struct hash256 whole, parts;
	uint8_t data[300];
	struct sha256 h;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	hash_sha256d(data, sizeof(data), &whole);
	sha256_init(&h);
	for (size_t at = 0, len = 1; at < sizeof(data); at += len, len = len * 2 + 1) {
		if (len > sizeof(data) - at)
			len = sizeof(data) - at;
		sha256_update(&h, data + at, len);
	}
	sha256_final_double(&h, &parts);
	assert_memory_equal(&whole, &parts, sizeof(whole));
}

/* BIP340: the tag's hash twice, then the data. */
static void a_tagged_hash_begins_with_its_tag_twice(void **state)
{
	struct hash256 tag, want, got;
	uint8_t mem[2 * HASH_LEN + 3];

	hash_sha256("BIP0340/challenge", 17, &tag);
	memcpy(mem, tag.bytes, HASH_LEN);
	memcpy(mem + HASH_LEN, tag.bytes, HASH_LEN);
	memcpy(mem + 2 * HASH_LEN, "abc", 3);
	hash_sha256(mem, sizeof(mem), &want);
	hash_tagged("BIP0340/challenge", "abc", 3, &got);
	assert_memory_equal(&want, &got, sizeof(want));
	/* the midstate constant that BIP340 implementations carry is over this hash */
	assert_hex(tag.bytes, HASH_LEN,
		   "7bb52d7a9fef58323eb1bf7a407db382d2f3f2d81bb1224f49fe518f6d48d37c");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_digests_come_out),
		cmocka_unit_test(hash160_of_a_public_key_is_its_witness_program),
		cmocka_unit_test(parts_give_the_hash_of_the_whole),
		cmocka_unit_test(a_tagged_hash_begins_with_its_tag_twice),
	};

	return cmocka_run_group_tests_name("wire/hash", tests, NULL, NULL);
}
