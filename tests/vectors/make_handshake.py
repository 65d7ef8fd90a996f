#!/usr/bin/env python3
"""Writes handshake.txt and handshake_psk.txt from doc/protocol.md, without any code of lib and without libraries of ciphers or curves.

Run it in this folder after a change of the protocol: python3 make_handshake.py
"""
import hashlib
import hmac
import struct

# secp256k1 (SEC 2, 2.4.1): y² = x³ + 7 over P, generator G.
P = 2**256 - 2**32 - 977
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = 3 * a[0] * a[0] * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(secret, point):
    n, result = int.from_bytes(secret, "big"), None
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def compress(point):
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")


def decompress(key):
    x = int.from_bytes(key[1:], "big")
    y = pow(x**3 + 7, (P + 1) // 4, P)
    assert y * y % P == (x**3 + 7) % P
    return x, y if y & 1 == key[0] & 1 else P - y


def sha256(data):
    return hashlib.sha256(data).digest()


def pub(secret):
    return compress(multiply(secret, G))


def dh(secret, key):
    return sha256(compress(multiply(secret, decompress(key))))


# ChaCha20-Poly1305 (RFC 8439) and XChaCha20 (draft-irtf-cfrg-xchacha-03).
def rounds(words):
    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            words[x] = (words[x] + words[y]) & 0xFFFFFFFF
            t = words[z] ^ words[x]
            words[z] = (t << turn | t >> 32 - turn) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, i + 4, i + 8, i + 12)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return words


def chacha_start(key, last16):
    return list(struct.unpack("<16L", b"expand 32-byte k" + key + last16))


def chacha20(key, nonce, counter, data):
    out = b""
    for at in range(0, len(data), 64):
        start = chacha_start(key, struct.pack("<L", counter + at // 64) + nonce)
        stream = struct.pack("<16L", *((a + b) & 0xFFFFFFFF for a, b in zip(rounds(list(start)), start)))
        out += bytes(a ^ b for a, b in zip(data[at : at + 64], stream))
    return out


def hchacha20(key, nonce):
    words = rounds(chacha_start(key, nonce))
    return struct.pack("<8L", *words[:4], *words[12:])


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def seal(key, nonce, aad, plain):
    sealed = chacha20(key, nonce, 1, plain)
    text = b"".join(part + bytes(-len(part) % 16) for part in (aad, sealed))
    text += struct.pack("<QQ", len(aad), len(sealed))
    return sealed + poly1305(chacha20(key, nonce, 0, bytes(32)), text)


def seal_x(key, nonce, aad, plain):
    return seal(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], aad, plain)


def nonce_of(n):
    return bytes(4) + struct.pack("<Q", n)


def hkdf(chaining_key, data, outputs):
    temp, out = hmac.digest(chaining_key, data, "sha256"), [b""]
    for i in range(outputs):
        out.append(hmac.digest(temp, out[-1] + bytes([i + 1]), "sha256"))
    return out[1:]


class Noise:
    """The symmetric state of noiseprotocol.org rev. 34, section 5.2."""

    def __init__(self, prologue, responder):
        self.h = self.ck = sha256(b"Noise_IKpsk2_secp256k1_ChaChaPoly_SHA256")
        self.mix_hash(prologue)
        self.mix_hash(responder)

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def mix_key(self, data):
        self.ck, self.key = hkdf(self.ck, data, 2)
        self.n = 0

    def mix_key_and_hash(self, data):
        self.ck, mixed, self.key = hkdf(self.ck, data, 3)
        self.mix_hash(mixed)
        self.n = 0

    def ephemeral(self, key):
        self.mix_hash(key)
        self.mix_key(key)
        return key

    def encrypt(self, plain):
        sealed = seal(self.key, nonce_of(self.n), self.h, plain)
        self.n += 1
        self.mix_hash(sealed)
        return sealed


def mac(key, data):
    return hashlib.blake2b(data, digest_size=16, key=key).digest()


def mac1_key(receiver):
    return sha256(b"dnet/mac1/1" + receiver)


def with_macs(message, receiver, cookie=None):
    message += mac(mac1_key(receiver), message)
    return message + (mac(cookie, message) if cookie else bytes(16))


def data(key, receiver, counter, content):
    header = struct.pack("<BBHLQ", 0xD4, 0, 0, receiver, counter)
    return header + seal(key, nonce_of(counter), header, content)


def fields(epoch, psk):
    # What both sides hold.
    secret_i, secret_r = bytes([0x11] * 32), bytes([0x21] * 32)
    ephemeral_i, ephemeral_r = bytes([0x12] * 32), bytes([0x22] * 32)
    pub_i, pub_r = pub(secret_i), pub(secret_r)
    kind, realm = 1, bytes(range(20))
    index_i, index_r = 0x01020304, 0x0A0B0C0D
    timestamp = bytes.fromhex("40000000659e1f0a075bcd15")
    offered, chosen, mtu_i, mtu_r = 3, 1, 1420, 1380

    # -> e, es, s, ss, {payload}
    message = struct.pack("<BBHL", 0xD1, 1, 0, index_i)
    prologue = b"dnet/1" + bytes([kind]) + realm + struct.pack("<L", epoch) + message
    noise = Noise(prologue, pub_r)
    message += noise.ephemeral(pub(ephemeral_i))
    noise.mix_key(dh(ephemeral_i, pub_r))
    message += noise.encrypt(pub_i)
    noise.mix_key(dh(secret_i, pub_r))
    message += noise.encrypt(timestamp + struct.pack("<BBH", offered, 0, mtu_i) + realm)
    initiation = with_macs(message, pub_r)

    # A cookie in between: the same message again, with mac2.
    cookie_secret, cookie_nonce = bytes([0x31] * 32), bytes(range(0x40, 0x58))
    address = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 7])
    port = 51820
    cookie = mac(cookie_secret, address + struct.pack("<H", port))
    reply = struct.pack("<BBHL", 0xD3, 0, 0, index_i) + cookie_nonce
    reply += seal_x(sha256(b"dnet/cookie/1" + pub_r), cookie_nonce, initiation[-32:-16], cookie)
    initiation_cookie = with_macs(message, pub_r, cookie)

    # <- e, ee, se, psk, {payload}
    message = struct.pack("<BBHLL", 0xD2, 1, 0, index_r, index_i)
    noise.mix_hash(message)
    message += noise.ephemeral(pub(ephemeral_r))
    noise.mix_key(dh(ephemeral_r, pub(ephemeral_i)))
    noise.mix_key(dh(ephemeral_r, pub_i))
    noise.mix_key_and_hash(psk)
    message += noise.encrypt(struct.pack("<BBH", chosen, 0, mtu_r))
    response = with_macs(message, pub_i)
    key_i, key_r = hkdf(noise.ck, b"", 2)

    # The first data message of each side: a ping (RFC 791, 792) and a keepalive.
    packet = bytes.fromhex("4500001c00010000400166dc0a0100010a010002" + "0800f7fd00010001")
    assert len(packet) == 28

    return (
        ("initiator_secret", secret_i),
        ("initiator_key", pub_i),
        ("initiator_ephemeral", ephemeral_i),
        ("initiator_index", struct.pack("<L", index_i)),
        ("responder_secret", secret_r),
        ("responder_key", pub_r),
        ("responder_ephemeral", ephemeral_r),
        ("responder_index", struct.pack("<L", index_r)),
        ("prologue", prologue),
        ("psk", psk),
        ("timestamp", timestamp),
        ("dnet", realm),
        ("offered_aead_mtu", struct.pack("<BH", offered, mtu_i)),
        ("chosen_aead_mtu", struct.pack("<BH", chosen, mtu_r)),
        ("initiation", initiation),
        ("cookie_secret", cookie_secret),
        ("cookie_nonce", cookie_nonce),
        ("initiator_address", address[12:]),
        ("initiator_port", struct.pack("<H", port)),
        ("cookie_reply", reply),
        ("initiation_with_cookie", initiation_cookie),
        ("response", response),
        ("handshake_hash", noise.h),
        ("initiator_data_key", key_i),
        ("responder_data_key", key_r),
        ("packet", packet),
        ("initiator_data", data(key_i, index_r, 0, packet)),
        ("responder_keepalive", data(key_r, index_i, 0, b"")),
    )


def main():
    for name, made in (("handshake.txt", fields(0, bytes(32))), ("handshake_psk.txt", fields(7, bytes([0x44] * 32)))):
        with open(name, "w", encoding="ascii") as f:
            f.write("# Made by make_handshake.py from doc/protocol.md: one handshake in the realm of a dnet, with a cookie in between, and\n")
            f.write("# the first data message of each side. Integers are little-endian.\n")
            for what, value in made:
                f.write(f"{what} {value.hex()}\n")


if __name__ == "__main__":
    main()
