"""A second reader of rosters, written from doc/roster.md alone: files in, members and rules out, or why not.

Nothing of lib is used; the curve's arithmetic is that of tests/vectors/make_handshake.py. What it needs and the document
does not say is a fault of the document."""

import hmac
import ipaddress
import os
import re
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors"))
import make_handshake as curve  # noqa: E402
import make_statements as bip340  # noqa: E402


class Malformed(Exception):
    pass


class Refused(Exception):
    """Its text is the verdict of section 4.2."""


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Malformed("ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")


def need(truth, what):
    if not truth:
        raise Malformed(what)


def name(b, empty=False):
    raw = b.take(b.number(1))
    good = re.fullmatch(rb"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", raw) or (empty and not raw)
    need(good, "name")
    return raw.decode()


def key(b):
    raw = b.take(33)
    need(raw[0] in (2, 3), "key")
    return raw.hex()


def address(b, family):
    return str(ipaddress.ip_address(b.take({4: 4, 6: 16}[family])))


def prefix(b):
    family, bits = b.number(1), b.number(1)
    need(family in (4, 6) and bits <= (32 if family == 4 else 128), "prefix")
    try:
        return str(ipaddress.ip_network("%s/%d" % (address(b, family), bits)))
    except ValueError:
        raise Malformed("host bits")


def subject(b):
    kind = b.number(1)
    need(kind < 4, "subject")
    return [lambda: "all", lambda: key(b), lambda: b.number(2), lambda: prefix(b)][kind]()


def node(b):
    n = {"key": key(b), "flags": b.number(1), "ipv4": None, "ipv6": None, "expires": 0}
    need(n["flags"] & 0x1C == 0, "flags")
    if n["flags"] & 0x40:
        n["ipv4"] = address(b, 4)
    if n["flags"] & 0x80:
        n["ipv6"] = address(b, 6)
        need(n["ipv6"].startswith("fd"), "fd00::/8")
    if n["flags"] & 0x20:
        n["expires"] = b.number(8)
        need(n["expires"], "expires")
    n["name"] = name(b, empty=True)
    count = b.number(1)
    need(count <= 64, "groups")
    n["groups"] = [b.number(2) for _ in range(count)]
    need(n["groups"] == sorted(set(n["groups"])), "order of groups")
    return n


def route(b):
    return {"prefix": prefix(b), "priority": b.number(2), "via": key(b)}


def rule(b):
    r = {"name": name(b), "src": subject(b), "dst": subject(b)}
    r["protocol"], r["low"], r["high"] = b.number(2), b.number(2), b.number(2)
    need(r["protocol"] <= 256 and r["low"] <= r["high"], "rule")
    need(r["protocol"] in (6, 17, 256) or (r["low"], r["high"]) == (0, 65535), "ports")
    return r


def dns(b):
    n, form = name(b), b.number(1)
    need(form in (1, 4, 6), "form")
    return {"name": n, "to": key(b) if form == 1 else address(b, form)}


LISTS = (("groups", 2, 4096, name), ("nodes", 4, 65536, node), ("routes", 2, 4096, route), ("rules", 2, 16384, rule),
         ("names", 2, 16384, dns))


def epochs(b):
    """((number, since, psk), (number, psk)), or Nones."""
    number = b.number(4)
    if not number:
        return None, None
    epoch, before = (number, b.number(8), b.take(32)), (b.number(4), b.take(32))
    need(before[0] < number and any(epoch[2]) and any(before[1]) == (before[0] > 0), "epochs")
    return epoch, before


def parse(body):
    """Section 2."""
    need(len(body) <= 8 << 20, "8 MiB")
    b = Bytes(body)
    r = {"dnet": b.take(20), "sequence": b.number(4), "previous": b.take(32), "issued": b.number(8), "expires": b.number(8)}
    need(r["sequence"] and (not r["expires"] or r["expires"] > r["issued"]), "header")
    r["epoch"], r["before"] = epochs(b)
    r["salt"] = b.take(16)
    for what, size, most, read in LISTS:
        count = b.number(size)
        need(count <= most, what)
        r[what], raw = [], []
        for _ in range(count):
            at = b.at
            r[what].append(read(b))
            raw.append(body[at:b.at])
        need(all(x < y for x, y in zip(raw, raw[1:])), "order of " + what)
    need(b.at == len(body), "something behind it")
    need(len({n["key"] for n in r["nodes"]}) == len(r["nodes"]), "a key twice")
    used = [g for n in r["nodes"] for g in n["groups"]]
    used += [s for x in r["rules"] for s in (x["src"], x["dst"]) if isinstance(s, int)]
    need(all(g < len(r["groups"]) for g in used), "no such group")
    return r


def root(body):
    return bip340.tagged(b"dnet/roster/1", body)


def rounded(n, least):
    step = max(least, 2 ** (n.bit_length() - 1 - 3)) if n.bit_length() > 3 else least
    return n if n % step == 0 else n + step - n % step


def unseal(content_key, data, sealed):
    try:
        return ChaCha20Poly1305(curve.hchacha20(content_key, bytes(16))).decrypt(bytes(12), sealed, data)
    except InvalidTag:
        return None


def decrypt(file, dnet, secret):
    """Section 3. The signature, and the body."""
    b = Bytes(file)
    b.take(10)
    ephemeral, count = b.take(33), b.number(4)
    need(count and rounded(count, 16) == count, "number of wraps")
    wraps = [b.take(56) for _ in range(count)]
    need(all(x < y for x, y in zip(wraps, wraps[1:])), "order of wraps")
    if secret is None:
        raise Refused("not_ours")
    info = dnet + ephemeral + curve.pub(secret)
    prk = hmac.digest(b"dnet/roster/wrap/1", curve.dh(secret, ephemeral), "sha256")
    t1 = hmac.digest(prk, info + b"\1", "sha256")
    t2 = hmac.digest(prk, t1 + info + b"\2", "sha256")
    mine = [w for w in wraps if w[:8] == t2[:8]]
    content = next(filter(None, (unseal(t1, b"", w[8:]) for w in mine)), None)
    if content is None:
        raise Refused("not_ours")
    inner = unseal(content, file[:b.at], file[b.at:])
    need(inner is not None, "sealed")
    length = int.from_bytes(inner[64:68], "little")
    need(len(inner) == rounded(68 + length, 1024) and not any(inner[68 + length:]), "padding")
    return inner[:64], inner[68:68 + length]


def read(file, dnet, admin, secret=None):
    """(roster, root), or Refused."""
    try:
        need(file[:9] == b"dnetrost\1" and len(file) >= 74 and file[9] < 2, "magic")
        signature, body = decrypt(file, dnet, secret) if file[9] else (file[-64:], file[10:-64])
        found = parse(body)
    except Malformed as e:
        raise Refused("malformed") from e
    if found["epoch"] and not file[9]:
        raise Refused("malformed")
    if found["dnet"] != dnet:
        raise Refused("wrong_dnet")
    if not bip340.verify(admin, root(body), signature):
        raise Refused("signature")
    return found, root(body)
