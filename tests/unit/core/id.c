#include "fixture/test.h"

#include "core/error.h"
#include "core/id.h"

#include <sodium.h>
#include <string.h>

static struct id *id;

static int setup(void **state)
{
	static const uint8_t seed[ID_SEED_LEN] = {1};

	id = id_new(seed);
	return id ? 0 : -1;
}

static int teardown(void **state)
{
	id_free(id);
	return 0;
}

static void unhex(const char *hex, void *dst, size_t len)
{
	size_t got;

	assert_int_equal(sodium_hex2bin(dst, len, hex, strlen(hex), NULL, &got, NULL), 0);
	assert_int_equal(got, len);
}

/* bitcoin/bips, bip-0340/test-vectors.csv: all with a message of 32 bytes. */
static void signatures_are_those_of_bip340(void **state)
{
	static const struct {
		const char *secret, *key, *aux, *msg, *sig;
		bool ok;
	} table[] = {
		{"0000000000000000000000000000000000000000000000000000000000000003",
		 "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
		 "0000000000000000000000000000000000000000000000000000000000000000",
		 "0000000000000000000000000000000000000000000000000000000000000000",
		 "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
		 "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0",
		 true},
		{"b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
		 "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
		 "0000000000000000000000000000000000000000000000000000000000000001",
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341"
		 "8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a",
		 true},
		{"c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b14e5c9",
		 "dd308afec5777e13121fa72b9cc1b7cc0139715309b086c960e18fd969774eb8",
		 "c87aa53824b4d7ae2eb035a2b5bbbccc080e76cdc6d1692c4b0b62d798e6d906",
		 "7e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a508b75c",
		 "5831aaeed7b44bb74e5eab94ba9d4294c49bcf2a60728d8b4c200f50dd313c1b"
		 "ab745879a5ad954a72c45a91c3a51d3c7adea98d82f8481e0e1e03674a6f3fb7",
		 true},
		{"0b432b2677937381aef05bb02a66ecd012773062cf3fa2549e44f58ed2401710",
		 "25d1dff95105f5253c4022f628a996ad3a0d95fbf21d468a1b33f8c160d8f517",
		 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		 "7eb0509757e246f19449885651611cb965ecc1a187dd51b64fda1edc9637d5ec"
		 "97582b9cb13db3933705b32ba982af5af25fd78881ebb32771fc5922efc66ea3",
		 true}, /* the message is not reduced modulo p or n */
		{NULL, "d69c3509bb99e412e68b0fe8544e72837dfa30746d8be2aa65975f29d22dc7b9", NULL,
		 "4df3c3f68fcc83b27e9d42c90431a72499f17875c81a599b566c9889b9696703",
		 "00000000000000000000003b78ce563f89a0ed9414f5aa28ad0d96d6795f9c63"
		 "76afb1548af603b3eb45c9f8207dee1060cb71c04e80f593060b07d28308d7f4",
		 true},
		{NULL, "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769"
		 "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
		 false}, /* public key not on the curve */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "fff97bd5755eeea420453a14355235d382f6472f8568a18b2f057a1460297556"
		 "3cc27944640ac607cd107ae10923d9ef7a73c643e166be5ebeafa34b1ac553e2",
		 false}, /* has_even_y(R) is false */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "1fa62e331edbc21c394792d2ab1100a7b432b013df3f6ff4f99fcb33e0e1515f"
		 "28890b3edb6e7189b630448b515ce4f8622a954cfe545735aaea5134fccdb2bd",
		 false}, /* negated message */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769"
		 "961764b3aa9b2ffcb6ef947b6887a226e8d7c93e00c5ed0c1834ff0d0c2e6da6",
		 false}, /* negated s value */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "0000000000000000000000000000000000000000000000000000000000000000"
		 "123dda8328af9c23a94c1feecfd123ba4fb73476f0d594dcb65c6425bd186051",
		 false}, /* sG - eP is infinite */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "0000000000000000000000000000000000000000000000000000000000000001"
		 "7615fbaf5ae28864013c099742deadb4dba87f11ac6754f93780d5a1837cf197",
		 false}, /* sG - eP is infinite */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "4a298dacae57395a15d0795ddbfd1dcb564da82b0f269bc70a74f8220429ba1d"
		 "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
		 false}, /* sig[0:32] is not an X coordinate on the curve */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"
		 "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
		 false}, /* sig[0:32] is equal to field size */
		{NULL, "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769"
		 "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
		 false}, /* sig[32:64] is equal to curve order */
		{NULL, "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30", NULL,
		 "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		 "6cff5c3ba86c69ea4b7376f31a9bcb4f74c1976089b2d9963da2e5543e177769"
		 "69e89b4c5564d00349106b8497785dd7d1d713a8ae82b32fa79d5f7fc407d39b",
		 false}, /* public key exceeds the field size */
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint8_t key[XONLY_LEN], msg[HASH_LEN], sig[SCHNORR_LEN];

		unhex(table[i].key, key, sizeof(key));
		unhex(table[i].msg, msg, sizeof(msg));
		unhex(table[i].sig, sig, sizeof(sig));
		if (table[i].secret) {
			uint8_t aux[HASH_LEN], made[SCHNORR_LEN], xonly[XONLY_LEN];
			struct identity self;
			struct secret secret;

			unhex(table[i].secret, secret.bytes, SECRET_LEN);
			unhex(table[i].aux, aux, sizeof(aux));
			assert_int_equal(id_from_secret(id, &secret, &self), 0);
			id_xonly(&self.key, xonly);
			assert_memory_equal(xonly, key, sizeof(key));
			assert_true(id_sign(id, &secret, msg, aux, made));
			assert_memory_equal(made, sig, sizeof(sig));
		}
		assert_int_equal(id_verify(id, key, msg, sizeof(msg), sig), table[i].ok);
		sig[40] ^= 1;
		assert_false(id_verify(id, key, msg, sizeof(msg), sig));
	}
}

static void a_secret_out_of_range_is_refused(void **state)
{
	static const struct {
		const char *secret;
		int result;
	} table[] = {
		{"0000000000000000000000000000000000000000000000000000000000000000", -DNET_EFORMAT},
		{"0000000000000000000000000000000000000000000000000000000000000001", 0},
		{"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", 0},
		{"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", -DNET_EFORMAT},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint8_t hash[HASH_LEN] = {7}, sig[SCHNORR_LEN], der[ECDSA_DER_MAX];
		struct identity self = {0};
		struct secret secret;
		bool ok = !table[i].result;
		size_t len;

		unhex(table[i].secret, secret.bytes, SECRET_LEN);
		assert_int_equal(id_from_secret(id, &secret, &self), table[i].result);
		assert_int_equal(id_key_valid(id, &self.key), ok);
		assert_int_equal(id_sign(id, &secret, hash, hash, sig), ok);
		assert_int_equal(id_sign_ecdsa(id, &secret, hash, der, &len), ok);
	}
}

/* BOLT 8, appendix "Act One": the ephemeral key of the initiator with the static of the responder.
 */
static void ecdh_is_that_of_bolt8(void **state)
{
	uint8_t want[ID_SHARED_LEN], got[ID_SHARED_LEN];
	struct secret secret;
	struct node_key key;

	memset(secret.bytes, 0x12, SECRET_LEN);
	unhex("028d7500dd4c12685d1f568b4c2b5048e8534b873319f3a8daa612b469132ec7f7", key.bytes,
	      PUBKEY_LEN);
	unhex("1e2fb3c8fe8fb9f262f649f64d26ecf0f2c0a805a767cf02dc2d77a6ef1fdcc3", want,
	      sizeof(want));
	assert_true(id_ecdh(id, &secret, &key, got));
	assert_memory_equal(got, want, sizeof(want));
	key.bytes[0] = 4;
	assert_false(id_ecdh(id, &secret, &key, got));
	key.bytes[0] = 2;
	memset(secret.bytes, 0, SECRET_LEN);
	assert_false(id_ecdh(id, &secret, &key, got));
}

static void a_point_that_is_not_on_the_curve_is_no_key(void **state)
{
	uint8_t xonly[XONLY_LEN];
	struct node_key key = {.bytes = {2}};

	unhex("eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34", xonly,
	      sizeof(xonly));
	assert_false(id_xonly_valid(id, xonly));
	memcpy(key.bytes + 1, xonly, sizeof(xonly));
	assert_false(id_key_valid(id, &key));
	unhex("f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9", xonly,
	      sizeof(xonly));
	assert_true(id_xonly_valid(id, xonly));
}

/* Computed with Python's hmac and hashlib. */
static void derived_keys_are_as_documented(void **state)
{
	uint8_t want[SECRET_LEN];
	struct object_id dnet, other;
	struct identity self, again;
	struct secret master;

	memset(master.bytes, 1, SECRET_LEN);
	for (uint8_t i = 0; i < OBJECT_ID_LEN; i++)
		dnet.bytes[i] = i;
	id_node_identity(id, &master, &dnet, &self);
	unhex("225c98df03a9474e68e743c89362f0e9613865dc7c4f55bd34316872c671f99d", want, SECRET_LEN);
	assert_memory_equal(self.secret.bytes, want, SECRET_LEN);
	id_admin_identity(id, &master, &again);
	unhex("d421f5585d65aee00f26c5fee96e8607a97a90c5dcb876b4b6ca067a6fcb08ff", want, SECRET_LEN);
	assert_memory_equal(again.secret.bytes, want, SECRET_LEN);

	other = dnet;
	other.bytes[19] ^= 1;
	id_node_identity(id, &master, &other, &again);
	assert_false(node_key_equal(&self.key, &again.key));
}

static void ecdsa_signatures_are_low_s_and_verify(void **state)
{
	struct secret secret = {.bytes = {[31] = 5}};
	struct identity self;

	assert_int_equal(id_from_secret(id, &secret, &self), 0);
	for (unsigned i = 0; i < 64; i++) {
		uint8_t hash[HASH_LEN] = {(uint8_t)i, 9}, der[ECDSA_DER_MAX];
		const uint8_t *s;
		size_t len;

		assert_true(id_sign_ecdsa(id, &secret, hash, der, &len));
		assert_true(id_verify_ecdsa(id, &self.key, hash, der, len));
		/* 30 len 02 len r 02 len s: a high s would need a zero byte in front or have its
		 * first byte over 0x7f. */
		s = der + 4 + der[3];
		assert_int_equal(s[0], 2);
		assert_true(s[1] <= 32);
		hash[0] ^= 0x80;
		assert_false(id_verify_ecdsa(id, &self.key, hash, der, len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signatures_are_those_of_bip340),
		cmocka_unit_test(a_secret_out_of_range_is_refused),
		cmocka_unit_test(ecdh_is_that_of_bolt8),
		cmocka_unit_test(a_point_that_is_not_on_the_curve_is_no_key),
		cmocka_unit_test(derived_keys_are_as_documented),
		cmocka_unit_test(ecdsa_signatures_are_low_s_and_verify),
	};

	return cmocka_run_group_tests_name("core/id", tests, setup, teardown);
}
