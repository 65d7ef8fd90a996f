#!/usr/bin/env python3
"""Writes roster.txt from doc/roster.md, without any code of lib: a second writer of rosters.

Run it in this folder after a change of the format: python3 make_roster.py
"""
import hashlib
import hmac
import struct

import make_handshake as curve
import make_statements as bip340

DNET = hashlib.sha256(b"a dnet").digest()[:20]
ADMIN = hashlib.sha256(b"an admin key").digest()
SECRETS = [hashlib.sha256(b"node %d" % i).digest() for i in range(3)]
KEYS = sorted(curve.pub(s) for s in SECRETS)
EPHEMERAL = hashlib.sha256(b"ephemeral").digest()
CONTENT = hashlib.sha256(b"content key").digest()


def text(name):
    return bytes([len(name)]) + name.encode()


def header(sequence=7, previous=bytes(32), issued=1_700_000_000, expires=1_800_000_000, epochs=bytes(4), salt=bytes(16), dnet=DNET):
    return dnet + struct.pack("<I", sequence) + previous + struct.pack("<QQ", issued, expires) + epochs + salt


def epochs(number, psk=b"\x44" * 32, before=0, before_psk=bytes(32), since=1_700_000_000):
    return struct.pack("<IQ", number, since) + psk + struct.pack("<I", before) + before_psk


def node(key, flags=0, body=b"", name="", groups=()):
    return key + bytes([flags]) + body + text(name) + bytes([len(groups)]) + b"".join(struct.pack("<H", g) for g in groups)


def rule(name, src, dst, protocol=256, low=0, high=65535):
    return text(name) + src + dst + struct.pack("<HHH", protocol, low, high)


def prefix(family, bits, address):
    return bytes([family, bits]) + address


ALL = b"\0"


def of_node(key):
    return b"\1" + key


def of_group(number):
    return b"\2" + struct.pack("<H", number)


def of_prefix(*args):
    return b"\3" + prefix(*args)


def body(head=None, groups=(), nodes=(), routes=(), rules=(), names=(), raw=False):
    """raw: in the order that is given."""
    parts = [header() if head is None else head]
    for count, entries in zip("HIHHH", (groups, nodes, routes, rules, names)):
        parts.append(struct.pack("<" + count, len(entries)) + b"".join(entries if raw else sorted(entries)))
    return b"".join(parts)


FULL = dict(
    groups=[text("web"), text("staff")],
    nodes=[
        node(KEYS[0], 0x40, bytes([10, 77, 0, 2]), "alice", (0, 1)),
        node(KEYS[1], 0xA1, b"\xfd" + bytes(14) + b"\x02" + struct.pack("<Q", 1_750_000_000), "bob", (1,)),
        node(KEYS[2]),
    ],
    routes=[prefix(4, 24, bytes([10, 9, 0, 0])) + struct.pack("<H", 10) + KEYS[0],
            prefix(6, 32, b"\xfd\1\2\3" + bytes(12)) + struct.pack("<H", 0) + KEYS[1]],
    rules=[rule("web", of_group(1), of_node(KEYS[1]), 6, 80, 80), rule("ping", ALL, ALL, 58),
           rule("lan", of_prefix(4, 8, bytes([10, 0, 0, 0])), of_group(0), 256, 1, 1023)],
    names=[text("www") + b"\1" + KEYS[1], text("www") + b"\4" + bytes([10, 77, 0, 9]), text("nas") + b"\6" + b"\xfd" + bytes(15)],
)


def good_bodies():
    yield body(header(sequence=1, expires=0))
    yield body(header(sequence=0xFFFFFFFF, previous=b"\x11" * 32, salt=b"\x22" * 16))
    yield body(header(epochs=epochs(1)))
    yield body(header(epochs=epochs(0xFFFFFFFF, before=0xFFFFFFFE, before_psk=b"\x55" * 32, since=0)), **FULL)
    yield body(**FULL)


def bad_bodies():
    good = body(**FULL)
    yield good + b"\0"
    yield good[:-1]
    yield body(header(sequence=0))
    yield body(header(issued=5, expires=5))
    yield body(header(epochs=epochs(1))[:-1])
    yield body(header(epochs=epochs(1, psk=bytes(32))))
    yield body(header(epochs=epochs(1, before_psk=b"\x55" * 32)))
    yield body(header(epochs=epochs(2, before=1)))
    yield body(header(epochs=epochs(2, before=2, before_psk=b"\x55" * 32)))
    yield body(header(epochs=b"\1\0\0\0"))
    for entry in ("A", "-a", "a-", "", "a" * 33, "a.b"):
        yield body(groups=[text(entry)])
    yield body(groups=[text("b"), text("a")], raw=True)
    yield body(groups=[text("a"), text("a")], raw=True)
    yield body(nodes=[node(KEYS[1]), node(KEYS[0])], raw=True)
    yield body(nodes=[node(KEYS[0]), node(KEYS[0], name="x")])
    yield body(nodes=[node(b"\4" + KEYS[0][1:])])
    yield body(nodes=[node(KEYS[0], 2 << 2)])
    yield body(nodes=[node(KEYS[0], 0x20, bytes(8))])
    yield body(nodes=[node(KEYS[0], 0x80, b"\xfe" + bytes(15))])
    yield body(nodes=[node(KEYS[0], groups=(0,))])
    yield body(groups=[text("a"), text("b")], nodes=[node(KEYS[0], groups=(1, 0))])
    yield body(groups=[text("a")], nodes=[node(KEYS[0], groups=(0, 0))])
    many = [text(chr(97 + i // 26) + chr(97 + i % 26)) for i in range(65)]
    yield body(groups=many, nodes=[node(KEYS[0], groups=tuple(range(65)))])
    yield body(routes=[prefix(4, 24, bytes([10, 9, 0, 1])) + bytes(2) + KEYS[0]])
    yield body(routes=[prefix(4, 33, bytes([10, 9, 0, 1])) + bytes(2) + KEYS[0]])
    yield body(routes=[prefix(5, 24, bytes([10, 9, 0, 0])) + bytes(2) + KEYS[0]])
    yield body(rules=[rule("a", ALL, ALL, 257)])
    yield body(rules=[rule("a", ALL, ALL, 6, 2, 1)])
    yield body(rules=[rule("a", ALL, ALL, 1, 0, 1)])
    yield body(rules=[rule("a", ALL, of_group(0))])
    yield body(rules=[rule("a", b"\4", ALL)])
    yield body(rules=[rule("", ALL, ALL)])
    yield body(names=[text("a") + b"\2" + KEYS[0]])


def root_of(plain):
    return bip340.tagged(b"dnet/roster/1", plain)


def sign(plain, admin=ADMIN):
    return bip340.sign(admin, root_of(plain))


def plain_file(plain, admin=ADMIN):
    return b"dnetrost\1\0" + plain + sign(plain, admin)


def rounded(n, step):
    step = max(step, 1 << max(n.bit_length() - 4, 0))
    return -(-n // step) * step


def hkdf(shared, info):
    prk = hmac.digest(b"dnet/roster/wrap/1", shared, "sha256")
    first = hmac.digest(prk, info + b"\1", "sha256")
    return (first + hmac.digest(prk, first + info + b"\2", "sha256"))[:40]


def encrypted_file(plain, keys, admin=ADMIN, dnet=DNET):
    ephemeral = curve.pub(EPHEMERAL)
    wraps = []
    for key in keys:
        out = hkdf(curve.dh(EPHEMERAL, key), dnet + ephemeral + key)
        wraps.append(out[32:] + curve.seal_x(out[:32], bytes(24), b"", CONTENT))
    while len(wraps) < rounded(len(keys), 16):
        wraps.append(hashlib.sha512(b"wrap %d" % len(wraps)).digest()[:56])
    head = b"dnetrost\1\1" + ephemeral + struct.pack("<I", len(wraps)) + b"".join(sorted(wraps))
    inner = sign(plain, admin) + struct.pack("<I", len(plain)) + plain
    inner += bytes(rounded(len(inner), 1024) - len(inner))
    return head + curve.seal_x(CONTENT, bytes(24), head, inner)


def main():
    with open("roster.txt", "w", encoding="ascii") as f:
        f.write("# Written by make_roster.py; do not edit.\n")
        for plain in good_bodies():
            f.write("body %s\n" % plain.hex())
            f.write("good root=%s\n" % root_of(plain).hex())
        for plain in bad_bodies():
            f.write("body %s\nmalformed\n" % plain.hex())
        full = body(header(salt=b"\x33" * 16), **FULL)
        f.write("dnet %s\nadmin %s\n" % (DNET.hex(), curve.pub(ADMIN)[1:].hex()))
        f.write("secrets %s\n" % " ".join(s.hex() for s in SECRETS))
        two = [curve.pub(s) for s in SECRETS[:2]]
        secret = body(header(salt=b"\x33" * 16, epochs=epochs(7, before=3, before_psk=b"\x55" * 32)), **FULL)
        bad = bytearray(encrypted_file(full, two))
        bad[-1] ^= 1
        for verdict, made in (
            ("good good", plain_file(full)),
            ("good not_ours", encrypted_file(full, two)),
            ("good not_ours", encrypted_file(secret, two)),
            ("malformed malformed", plain_file(secret)),
            ("signature signature", plain_file(full, SECRETS[0])),
            ("signature not_ours", encrypted_file(full, two, SECRETS[0])),
            ("wrong_dnet wrong_dnet", plain_file(body(header(dnet=bytes(20))))),
            ("malformed malformed", plain_file(full + b"\0")),
            ("malformed not_ours", bytes(bad)),
        ):
            f.write("file %s\n%s\n" % (made.hex(), verdict))


if __name__ == "__main__":
    main()
