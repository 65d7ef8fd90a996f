#!/usr/bin/env python3
"""Writes records.txt and ids.txt from doc/records.md, without any code of lib/wire: a second encoder.

Run it in this folder after a change of the format: python3 make_records.py
"""
import hashlib
import ipaddress
import struct


def sha256(data):
    return hashlib.sha256(data).digest()


def hash160(data):
    return hashlib.new("ripemd160", sha256(data)).digest()


CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m(hrp, data):
    def polymod(values):
        chk = 1
        for v in values:
            top = chk >> 25
            chk = (chk & 0x1FFFFFF) << 5 ^ v
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                chk ^= g if top >> i & 1 else 0
        return chk

    bits = "".join(f"{b:08b}" for b in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[i : i + 5], 2) for i in range(0, len(bits), 5)]
    head = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    chk = polymod(head + values + [0] * 6) ^ 0x2BC830A3
    values += [chk >> 5 * (5 - i) & 31 for i in range(6)]
    return hrp + "1" + "".join(CHARSET[v] for v in values)


KEY = b"\x02" + bytes(range(32))
KEY3 = b"\x03" + bytes(range(32, 64))
XONLY = bytes(range(100, 132))
ID = bytes(range(20))
IP6 = ipaddress.ip_address("fd11:2233:4455::7").packed
IP4 = bytes([10, 1, 0, 2])
NAME32 = b"abcdefghijklmnopqrstuvwxyz-01234"
HOST64 = b"a" * 30 + b".b-c." + b"d" * 25 + b".org"


def rec(kind, body):
    return bytes([kind, len(body)]) + body


def payload(*records, version=1):
    return b"DN" + bytes([version]) + b"".join(records)


out = []


def good(record, text):
    out.append(f"payload {payload(record).hex()}")
    out.append(f"record 0 {text}")


def bad(kind, body, reason):
    out.append(f"payload {payload(rec(kind, body)).hex()}")
    out.append(f"refused 0 {reason}")


def comment(text):
    out.append("")
    out.append("# " + text)


k, k3, x, i = KEY.hex(), KEY3.hex(), XONLY.hex(), ID.hex()
out.append("# Made by make_records.py from doc/records.md. A payload or a transaction (with the opcode byte of")
out.append("# carrier b'), then what it holds; reasons are the names in lib/wire/record.h.")
comment("each type")
good(rec(1, XONLY + b"\0" + b"office"), f"DNET_CREATE admin={x} ipv4=none name=office")
good(rec(1, XONLY + b"\1" + bytes([10, 1, 0, 0, 16]) + b"o"), f"DNET_CREATE admin={x} ipv4=10.1.0.0/16 name=o")
good(rec(1, XONLY + b"\1" + bytes([10, 0, 0, 0, 8]) + NAME32), f"DNET_CREATE admin={x} ipv4=10.0.0.0/8 name={NAME32.decode()}")
good(rec(1, XONLY + b"\1" + bytes([10, 0, 0, 252, 30]) + b"a-b"), f"DNET_CREATE admin={x} ipv4=10.0.0.252/30 name=a-b")
good(rec(2, KEY + b"\0" + b"meet"), f"OVC_CREATE key={k} name=meet")
good(rec(3, KEY3 + b"\0" + b"relay-1"), f"OVR_CREATE key={k3} name=relay-1")
good(rec(0x10, KEY + b"\0"), f"NODE_PUT key={k} flags=00 ipv4=none ipv6=none name=")
good(rec(0x10, KEY + b"\x4f" + IP4 + b"alice"), f"NODE_PUT key={k} flags=4f ipv4=10.1.0.2 ipv6=none name=alice")
good(rec(0x10, KEY3 + b"\x80" + IP6 + b"bob"), f"NODE_PUT key={k3} flags=80 ipv4=none ipv6=fd11:2233:4455::7 name=bob")
good(rec(0x10, KEY + b"\xc1" + IP4 + IP6 + b"a" * 21), f"NODE_PUT key={k} flags=c1 ipv4=10.1.0.2 ipv6=fd11:2233:4455::7 name={'a' * 21}")
good(rec(0x11, KEY), f"NODE_DEL key={k}")
good(rec(0x12, b"\2" + ID + b"\1\x64"), f"LINK ovc {i} priority=1 weight=100")
good(rec(0x13, b"\3" + ID), f"UNLINK ovr {i}")
good(rec(0x14, struct.pack("<I", 0x01020304) + XONLY), f"ROSTER sequence=16909060 root={x}")
good(rec(0x20, b"\1" + struct.pack("<H", 4242) + b"\4" + bytes([192, 0, 2, 1])), "ENDPOINT_PUT udp 192.0.2.1 4242")
good(rec(0x20, b"\6" + struct.pack("<H", 443) + b"\6" + IP6), "ENDPOINT_PUT quic fd11:2233:4455::7 443")
good(rec(0x21, b"\5" + struct.pack("<H", 65535) + b"h" + HOST64), f"ENDPOINT_DEL wss {HOST64.decode()} 65535")
good(rec(0x20, b"\2" + struct.pack("<H", 1) + b"h" + b"a"), "ENDPOINT_PUT tcp a 1")
good(rec(0x22, ID + struct.pack("<III", 1, 2, 0xFFFFFFFF)), f"GRANT {i} expiry=1 rate=2 volume=4294967295")
good(rec(0x23, ID), f"REVOKE {i}")
good(rec(0x30, b""), "TRANSFER admin=none")
good(rec(0x30, XONLY), f"TRANSFER admin={x}")
good(rec(0x31, b""), "CLOSE")

comment("several records: unknown and malformed ones do not hide those after them")
out.append("payload " + payload(rec(0x11, KEY), rec(0x7F, b"what"), rec(0x11, KEY[:32]), rec(0x31, b"")).hex())
out += [f"record 0 NODE_DEL key={k}", "refused 1 RECORD_UNKNOWN_TYPE", "refused 2 RECORD_LENGTH", "record 3 CLOSE"]
out.append("payload " + (payload(rec(0x31, b"")) + b"\x11\x21" + KEY[:32]).hex())
out += ["record 0 CLOSE", "refused 1 RECORD_TRUNCATED"]
out.append("payload " + (payload(rec(0x31, b"")) + b"\x31").hex())
out += ["record 0 CLOSE", "refused 1 RECORD_TRUNCATED"]

comment("payloads that say nothing")
for raw, reason in (
    (payload(rec(0x31, b""), version=2), "RECORD_VERSION"),
    (payload(rec(0x31, b""), version=0), "RECORD_VERSION"),
    (b"DN", "RECORD_PAYLOAD_LENGTH"),
    (b"DN\1", "RECORD_TRUNCATED"),
    (payload(rec(0x7F, b"x" * 74)) + b"\x31\x00", "RECORD_PAYLOAD_LENGTH"),
    (b"dn\1\x31\0", "RECORD_NO_MAGIC"),
    (b"D", "RECORD_NO_MAGIC"),
):
    out += [f"payload {raw.hex()}", f"refused 0 {reason}"]
out.append("payload " + payload(rec(0x7F, b"x" * 75)).hex())
out.append("refused 0 RECORD_UNKNOWN_TYPE")

comment("malformed bodies")
bad(1, XONLY + b"\0", "RECORD_NAME")
bad(1, XONLY, "RECORD_LENGTH")
bad(1, XONLY + b"\2" + b"o", "RECORD_RESERVED")
bad(1, XONLY + b"\1" + bytes([10, 1, 0, 0]), "RECORD_LENGTH")
bad(1, XONLY + b"\1" + bytes([10, 0, 0, 0, 7]) + b"o", "RECORD_PREFIX")
bad(1, XONLY + b"\1" + bytes([10, 0, 0, 0, 31]) + b"o", "RECORD_PREFIX")
bad(1, XONLY + b"\1" + bytes([10, 1, 0, 1, 16]) + b"o", "RECORD_PREFIX")
bad(1, XONLY + b"\0" + NAME32 + b"5", "RECORD_NAME")
for name in (b"-a", b"a-", b"A", b"a.b", b"a\0", b"a b", b"\xc3\xa4", b"_"):
    bad(1, XONLY + b"\0" + name, "RECORD_NAME")
bad(2, b"\4" + KEY[1:] + b"\0" + b"a", "RECORD_PUBKEY")
bad(2, KEY + b"\1" + b"a", "RECORD_RESERVED")
bad(3, KEY + b"\0", "RECORD_NAME")
bad(3, KEY, "RECORD_LENGTH")
bad(0x10, KEY, "RECORD_LENGTH")
bad(0x10, b"\0" + KEY[1:] + b"\0", "RECORD_PUBKEY")
bad(0x10, KEY + b"\x10", "RECORD_RESERVED")
bad(0x10, KEY + b"\x20", "RECORD_RESERVED")
bad(0x10, KEY + b"\x40" + IP4[:3], "RECORD_LENGTH")
bad(0x10, KEY + b"\x80" + b"\xfc" + IP6[1:], "RECORD_IPV6")
bad(0x10, KEY + b"\x80" + IP6[:15], "RECORD_LENGTH")
bad(0x10, KEY + b"\0" + NAME32 + b"5", "RECORD_NAME")
bad(0x11, KEY + b"\0", "RECORD_LENGTH")
bad(0x11, b"\5" + KEY[1:], "RECORD_PUBKEY")
bad(0x12, b"\1" + ID + b"\0\0", "RECORD_KIND")
bad(0x12, b"\4" + ID + b"\0\0", "RECORD_KIND")
bad(0x12, b"\2" + ID + b"\0", "RECORD_LENGTH")
bad(0x13, b"\2" + ID + b"\0", "RECORD_LENGTH")
bad(0x14, b"\0" * 35, "RECORD_LENGTH")
bad(0x14, b"\0" * 37, "RECORD_LENGTH")
bad(0x20, b"\0\1\0\4" + IP4, "RECORD_TRANSPORT")
bad(0x20, b"\7\1\0\4" + IP4, "RECORD_TRANSPORT")
bad(0x20, b"\1\0\0\4" + IP4, "RECORD_PORT")
bad(0x20, b"\1\1\0\5" + IP4, "RECORD_FORM")
bad(0x20, b"\1\1\0\4" + IP4 + b"\0", "RECORD_LENGTH")
bad(0x20, b"\1\1\0\6" + IP6[:15], "RECORD_LENGTH")
bad(0x20, b"\1\1\0h", "RECORD_HOST")
bad(0x20, b"\1\1\0h" + HOST64 + b"x", "RECORD_HOST")
bad(0x21, b"\1\1\0hA", "RECORD_HOST")
bad(0x21, b"\1\1\0", "RECORD_LENGTH")
bad(0x22, ID + b"\0" * 11, "RECORD_LENGTH")
bad(0x22, ID + b"\0" * 13, "RECORD_LENGTH")
bad(0x23, ID + b"\0", "RECORD_LENGTH")
bad(0x30, XONLY[:31], "RECORD_LENGTH")
bad(0x30, XONLY + b"\0", "RECORD_LENGTH")
bad(0x31, b"\0", "RECORD_LENGTH")

P2WPKH = b"\0\x14" + bytes(20)
TXID = bytes(range(200, 232))


def tx(*scripts):
    raw = struct.pack("<I", 2) + b"\1" + TXID + struct.pack("<I", 7) + b"\0" + b"\xff\xff\xff\xff"
    raw += bytes([len(scripts)])
    for s in scripts:
        size = bytes([len(s)]) if len(s) < 0xFD else b"\xfd" + struct.pack("<H", len(s))
        raw += struct.pack("<Q", 1000) + size + s
    return raw + struct.pack("<I", 0)


def push(data):
    return bytes([len(data)]) + data if len(data) < 76 else b"\x4c" + bytes([len(data)]) + data


def carrier(scripts, *lines, op_node=0):
    out.append(f"tx {tx(*scripts).hex()} {op_node:02x}")
    out.extend("carrier " + line for line in lines)


close = payload(rec(0x31, b""))
close2 = payload(rec(0x30, b""))
longest = payload(rec(0x7F, b"y" * 75))
c, c2, lng = close.hex(), close2.hex(), longest.hex()
RET = b"\x6a"
comment("carrier (a): form, output of the payload, output of the seal, payload")
carrier([RET + push(close), P2WPKH], f"a 0 1 {c}")
carrier([RET + b"\x4c" + push(close), P2WPKH], f"a 0 1 {c}")
carrier([RET + b"\x4d" + struct.pack("<H", len(close)) + close, P2WPKH], f"a 0 1 {c}")
carrier([RET + b"\x4e" + struct.pack("<I", len(close)) + close, P2WPKH], "none")
carrier([RET + push(longest), P2WPKH], f"a 0 1 {lng}")
carrier([RET + push(longest + b"z"), P2WPKH], f"a 0 1 {lng}7a")
carrier([RET + push(close)], f"a 0 none {c}")
carrier([RET + push(close), RET + push(close2), P2WPKH], f"a 0 none {c}", f"a 1 none {c2}")
carrier([RET + push(close), P2WPKH, RET + push(b"other"), RET + push(close2)], f"a 0 1 {c}", f"a 3 1 {c2}")
carrier([RET + push(close) + b"\x00", P2WPKH], "none")
carrier([RET + push(close)[:-1], P2WPKH], "none")
carrier([RET, P2WPKH], "none")
carrier([b"", P2WPKH], "none")
carrier([P2WPKH, RET + push(close)], "none")
carrier([RET + push(b"hello"), P2WPKH], "none")

comment("carrier (b)")
carrier([push(close) + b"\x75" + P2WPKH], f"b 0 0 {c}")
carrier([P2WPKH, push(close) + b"\x75" + P2WPKH, push(close2) + b"\x75" + P2WPKH], f"b 1 1 {c}")
carrier([push(close[:2]) + push(close[2:]) + b"\x6d" + P2WPKH], f"b 0 0 {c}")
carrier([push(close[:1]) + b"\x75" + push(close[1:3]) + push(close[3:]) + b"\x6d" + P2WPKH], f"b 0 0 {c}")
carrier([push(longest) + b"\x75" + P2WPKH], f"b 0 0 {lng}")
carrier([push(longest) + b"\x75" + push(b"z") + b"\x75" + P2WPKH], f"b 0 0 {lng}7a")
carrier([push(longest) + b"\x75" + push(b"zz") + b"\x75" + P2WPKH], f"b 0 0 {lng}7a")
carrier([push(close) + b"\x75"], "none")
carrier([push(close) + b"\x6d" + P2WPKH], "none")
carrier([push(close) + P2WPKH], "none")
carrier([push(b"other") + b"\x75" + P2WPKH], "none")
carrier([RET + push(close), push(close2) + b"\x75" + P2WPKH], f"a 0 1 {c}")
carrier([RET + push(b"hello"), push(close) + b"\x75" + P2WPKH], f"b 1 1 {c}")

comment("carrier (b')")
node4 = payload(rec(0x10, KEY + b"\x40" + IP4))
node6 = payload(rec(0x10, KEY + b"\x80" + IP6))
noder = payload(rec(0x10, b"\4" + KEY[1:] + b"\x40" + IP4))


def node(ip=IP4, key=KEY, dnet=ID, tail=b"\x6d\x75" + P2WPKH):
    return b"\xb9" + push(dnet) + push(ip) + push(key) + tail


carrier([P2WPKH, node()], f"node 1 1 {node4.hex()} {i}", op_node=0xB9)
carrier([node(ip=IP6)], f"node 0 0 {node6.hex()} {i}", op_node=0xB9)
carrier([node(key=b"\4" + KEY[1:])], f"node 0 0 {noder.hex()} {i}", op_node=0xB9)
carrier([node()], "none")
carrier([node()], "none", op_node=0xBA)
carrier([node(ip=IP4 + b"\0")], "none", op_node=0xB9)
carrier([node(key=KEY[:32])], "none", op_node=0xB9)
carrier([node(dnet=ID[:19])], "none", op_node=0xB9)
carrier([node(tail=b"\x6d\x75")], "none", op_node=0xB9)
carrier([node(tail=b"\x75\x6d" + P2WPKH)], "none", op_node=0xB9)
carrier([node(), push(close) + b"\x75" + P2WPKH], f"node 0 0 {node4.hex()} {i}", op_node=0xB9)

with open("records.txt", "w", encoding="ascii") as f:
    f.write("\n".join(out) + "\n")

ids = [
    "# Made by make_records.py from doc/records.md.",
    "# id: txid as chain nodes show it, vout, the id",
    "# node: dnet id, node key, prefix of the dnet, address of the node",
]
for kind, hrp in ((1, "dnet"), (2, "ovc"), (3, "ovr")):
    for txid, vout in ((TXID, 0), (TXID, 1), (bytes(32), 0xFFFFFFFF), (sha256(b"a"), 258)):
        ident = hash160(b"dnet/id/1" + bytes([kind]) + txid + struct.pack("<I", vout))
        ids.append(f"id {txid[::-1].hex()} {vout} {bech32m(hrp, ident)}")
        if kind == 1:
            for key in (KEY, KEY3):
                prefix = b"\xfd" + sha256(b"dnet/prefix/1" + ident)[:5] + b"\0\0"
                addr = prefix + sha256(b"dnet/addr/1" + ident + key)[:8]
                ids.append(
                    f"node {bech32m(hrp, ident)} {key.hex()} "
                    f"{ipaddress.ip_address(prefix + bytes(8))}/64 {ipaddress.ip_address(addr)}"
                )
with open("ids.txt", "w", encoding="ascii") as f:
    f.write("\n".join(ids) + "\n")
