"""A second reader of records, written from doc/records.md alone: raw blocks in; records, objects and what stands out.

Nothing of lib is used. What it needs and the document does not say is a fault of the document."""

import hashlib
import ipaddress
import struct

MAGIC = b"DN"
CREATES = {0x01: 1, 0x02: 2, 0x03: 3}  # type: kind of the object that it makes
KINDS = {1: "dnet", 2: "ovc", 3: "ovr"}
TRANSPORTS = {1: "udp", 2: "tcp", 3: "tls", 4: "ws", 5: "wss", 6: "quic"}
OP_RETURN, OP_DROP, OP_2DROP = 0x6A, 0x75, 0x6D


class Malformed(Exception):
    pass


class Bytes:
    """Reads from the front; a read past the end is malformed."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Malformed("ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "little")

    def left(self):
        return len(self.data) - self.at


def sha256(data):
    return hashlib.sha256(data).digest()


def hash160(data):
    return hashlib.new("ripemd160", sha256(data)).digest()


# Records 4: bodies.

def name(body, low):
    raw = body.take(body.left())
    if not low <= len(raw) <= 32 or any(c not in b"abcdefghijklmnopqrstuvwxyz0123456789-" for c in raw):
        raise Malformed("name")
    if raw.startswith(b"-") or raw.endswith(b"-"):
        raise Malformed("name")
    return raw.decode()


def public_key(body):
    key = body.take(33)
    if key[0] not in (2, 3):
        raise Malformed("public key")
    return key.hex()


def zero(value):
    if value:
        raise Malformed("reserved bits")


def ip(body, count):
    return str(ipaddress.ip_address(body.take(count)))


def dnet_create(body):
    fields = {"admin": body.take(32).hex(), "ipv4": None}
    flags = body.number(1)
    zero(flags & ~1)
    if flags & 1:
        address, bits = body.take(4), body.number(1)
        if not 8 <= bits <= 30 or int.from_bytes(address, "big") & (1 << 32 - bits) - 1:
            raise Malformed("prefix")
        fields["ipv4"] = "%s/%d" % (ipaddress.ip_address(address), bits)
    return dict(fields, name=name(body, 1))


def helper_create(body):
    fields = {"key": public_key(body)}
    zero(body.number(1))
    return dict(fields, name=name(body, 1))


def node_put(body):
    fields = {"key": public_key(body), "flags": body.number(1), "ipv4": None, "ipv6": None}
    zero(fields["flags"] & 0x30)
    if fields["flags"] & 0x40:
        fields["ipv4"] = ip(body, 4)
    if fields["flags"] & 0x80:
        fields["ipv6"] = ip(body, 16)
        if not fields["ipv6"].startswith("fd"):
            raise Malformed("IPv6 outside of fd00::/8")
    return dict(fields, name=name(body, 0))


def helper_id(body):
    kind = body.number(1)
    if kind not in (2, 3):
        raise Malformed("kind")
    return {"kind": KINDS[kind], "id": body.take(20).hex()}


def link(body):
    return dict(helper_id(body), priority=body.number(1), weight=body.number(1))


def endpoint(body):
    transport, port, form = body.number(1), body.number(2), body.number(1)
    if transport not in TRANSPORTS or not port or form not in (4, 6, 104):
        raise Malformed("endpoint")
    if form == 104:
        host = body.take(body.left())
        if not 1 <= len(host) <= 64 or any(c not in b"abcdefghijklmnopqrstuvwxyz0123456789-." for c in host):
            raise Malformed("host name")
        host = host.decode()
    else:
        host = ip(body, {4: 4, 6: 16}[form])
    return {"transport": TRANSPORTS[transport], "host": host, "port": port}


def grant(body):
    return {"dnet": body.take(20).hex(), "expiry": body.number(4), "rate": body.number(4), "volume": body.number(4)}


TYPES = {
    0x01: ("DNET_CREATE", (), dnet_create),
    0x02: ("OVC_CREATE", (), helper_create),
    0x03: ("OVR_CREATE", (), helper_create),
    0x10: ("NODE_PUT", (1,), node_put),
    0x11: ("NODE_DEL", (1,), lambda body: {"key": public_key(body)}),
    0x12: ("LINK", (1,), link),
    0x13: ("UNLINK", (1,), helper_id),
    0x14: ("ROSTER", (1,), lambda body: {"sequence": body.number(4), "root": body.take(32).hex()}),
    0x20: ("ENDPOINT_PUT", (2, 3), endpoint),
    0x21: ("ENDPOINT_DEL", (2, 3), endpoint),
    0x22: ("GRANT", (2, 3), grant),
    0x23: ("REVOKE", (2, 3), lambda body: {"dnet": body.take(20).hex()}),
    0x30: ("TRANSFER", (1, 2, 3), lambda body: {"admin": body.take(32).hex() if body.left() else None}),
    0x31: ("CLOSE", (1, 2, 3), lambda body: {}),
}


class Record:
    """pos: place in its payload; reason: why it is ignored, None where its form is right."""

    def __init__(self, pos, raw, reason=None):
        self.pos, self.raw, self.type, self.fields = pos, raw, raw[0] if raw else None, {}
        self.reason = reason or self.decode()

    def decode(self):
        if self.type not in TYPES:
            return "unknown type"
        body = Bytes(self.raw[2:])
        try:
            self.fields = TYPES[self.type][2](body)
        except Malformed as e:
            return "malformed: %s" % e
        return "malformed: longer than its fields" if body.left() else None

    @property
    def name(self):
        return TYPES[self.type][0]


def payload(data):
    """Section 1: the records of a payload; of one that says nothing, one record with the whole of it."""
    if len(data) > 80 or len(data) < 4 or data[2] != 1:
        return [Record(0, data, "says nothing")]
    records, at = [], 3
    while at < len(data):
        end = at + 2 + data[at + 1] if at + 1 < len(data) else len(data) + 1
        if end > len(data) or data[at + 1] > 75:
            return records + [Record(len(records), data[at:], "malformed: runs past the payload")]
        records.append(Record(len(records), data[at:end]))
        at = end
    return records


# Section 2: carriers.

def push(script, at):
    """The data of the push at this place and where it ends; None: it is none of the three forms."""
    head = script[at:at + 1]
    if head and 1 <= head[0] <= 75:
        size, at = head[0], at + 1
    elif head == b"\x4c" and at + 1 < len(script):
        size, at = script[at + 1], at + 2
    elif head == b"\x4d" and at + 2 < len(script):
        size, at = int.from_bytes(script[at + 1:at + 3], "little"), at + 3
    else:
        return None
    return (script[at:at + size], at + size) if at + size <= len(script) else None


def op_return(script):
    found = push(script, 1) if script[:1] == bytes([OP_RETURN]) else None
    return found[0] if found and found[1] == len(script) and found[0].startswith(MAGIC) else None


def prefix(script):
    """(b): the pushes in front of the owner's script."""
    data, at = b"", 0
    while True:
        one = push(script, at)
        two = push(script, one[1]) if one else None
        if one and script[one[1]:one[1] + 1] == bytes([OP_DROP]):
            data, at = data + one[0], one[1] + 1
        elif two and script[two[1]:two[1] + 1] == bytes([OP_2DROP]):
            data, at = data + one[0] + two[0], two[1] + 1
        else:
            return data if at < len(script) and data.startswith(MAGIC) else None


def original(script, op_node):
    """(b'): the payload that it stands for, and the dnet that it names."""
    if not op_node or script[:1] != bytes([op_node]):
        return None
    parts, at = [], 1
    for sizes in ((20,), (4, 16), (33,)):
        found = push(script, at)
        if not found or len(found[0]) not in sizes:
            return None
        parts.append(found[0])
        at = found[1]
    if script[at:at + 2] != bytes([OP_2DROP, OP_DROP]) or at + 2 == len(script):
        return None
    dnet, address, key = parts
    body = key + bytes([0x40 if len(address) == 4 else 0x80]) + address
    return MAGIC + b"\x01\x10" + bytes([len(body)]) + body, dnet


class Carrier:
    """payloads: (output, bytes) each; seal: output, None: there is none; dnet: what (b') names."""

    def __init__(self, form, payloads, seal, dnet=None):
        self.form, self.payloads, self.seal, self.dnet = form, payloads, seal, dnet


def carrier(scripts, op_node=0):
    if scripts and op_return(scripts[0]) is not None:
        found = [(i, op_return(s)) for i, s in enumerate(scripts) if op_return(s) is not None]
        can_spend = len(scripts) > 1 and scripts[1][:1] != bytes([OP_RETURN])
        return Carrier("a", found, 1 if can_spend else None)
    for i, script in enumerate(scripts):
        if prefix(script) is not None:
            return Carrier("b", [(i, prefix(script))], i)
        if original(script, op_node):
            data, dnet = original(script, op_node)
            return Carrier("node", [(i, data)], i, dnet)
    return None


# Section 0: blocks and transactions.

def compact(data):
    first = data.number(1)
    return first if first < 0xFD else data.number({0xFD: 2, 0xFE: 4, 0xFF: 8}[first])


class Transaction:
    """inputs: (txid in wire order, vout); outputs: (value, script)."""

    def __init__(self, data):
        start = data.at
        version = data.take(4)
        flags = 0
        if data.data[data.at:data.at + 1] == b"\0":
            data.take(1)
            flags = data.number(1)
        begin = data.at
        self.inputs = []
        for _ in range(compact(data)):
            self.inputs.append((data.take(32), data.number(4)))
            data.take(compact(data))
            data.take(4)
        self.outputs = []
        for _ in range(compact(data)):
            value = data.number(8)
            self.outputs.append((value, data.take(compact(data))))
        middle = data.data[begin:data.at]
        if flags & 1:
            for _ in self.inputs:
                for _ in range(compact(data)):
                    data.take(compact(data))
        if flags & 8 and data.number(1):
            data.take(data.left() - 4)  # by itself only: it goes on to the lock time
        self.txid = sha256(sha256(version + middle + data.take(4)))
        self.raw = data.data[start:data.at]

    @property
    def coinbase(self):
        return self.inputs[0] == (bytes(32), 0xFFFFFFFF)


def transactions(block):
    data = Bytes(block)
    data.take(80)
    return [Transaction(data) for _ in range(compact(data))]


# Section 3: identity; section 6: addresses.

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m(hrp, raw):
    """BIP350."""
    def polymod(values):
        check = 1
        for value in values:
            top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= g if top >> i & 1 else 0
        return check
    number = int.from_bytes(raw, "big")
    data = [number >> 5 * i & 31 for i in range(31, -1, -1)]
    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(expanded + data + [0] * 6) ^ 0x2BC830A3
    return hrp + "1" + "".join(CHARSET[d] for d in data + [check >> 5 * (5 - i) & 31 for i in range(6)])


def object_id(kind, outpoint):
    return hash160(b"dnet/id/1" + bytes([kind]) + outpoint[0] + struct.pack("<L", outpoint[1]))


def prefix_of(dnet):
    return b"\xfd" + sha256(b"dnet/prefix/1" + dnet)[:5] + bytes(2)


def address_of(dnet, key):
    return ipaddress.ip_address(prefix_of(dnet) + sha256(b"dnet/addr/1" + dnet + key)[:8])


# Sections 3 and 4: who may say what; what stands after the last block.

class Object:
    def __init__(self, kind, ident, record):
        self.kind, self.id, self.fields = kind, ident, record.fields
        self.sequence, self.closed, self.seal = 0, False, None
        self.parts = {}  # (what, key): the record that is in force

    @property
    def text(self):
        return bech32m(KINDS[self.kind], self.id)


def endpoint_key(record):
    return "endpoint", record.raw[2:]


ADDS = {
    "NODE_PUT": lambda r: ("node", r.fields["key"]),
    "LINK": lambda r: ("link", r.fields["kind"], r.fields["id"]),
    "ROSTER": lambda r: ("roster",),
    "ENDPOINT_PUT": endpoint_key,
    "GRANT": lambda r: ("grant", r.fields["dnet"]),
}
REMOVES = {
    "NODE_DEL": lambda r: ("node", r.fields["key"]),
    "UNLINK": lambda r: ("link", r.fields["kind"], r.fields["id"]),
    "ENDPOINT_DEL": endpoint_key,
    "REVOKE": lambda r: ("grant", r.fields["dnet"]),
}


class Claim:
    """A record and what became of it; refused: why it does not count."""

    def __init__(self, place, record, owner, refused):
        self.place, self.record, self.object, self.refused = place, record, owner, refused


class Registry:
    def __init__(self, op_node=0):
        self.op_node = op_node
        self.objects, self.seals, self.claims = {}, {}, []

    def block(self, height, raw):
        for index, tx in enumerate(transactions(raw)):
            self.transaction(height, index, tx)

    def transaction(self, height, index, tx):
        found = carrier([script for _, script in tx.outputs], self.op_node)
        touched = [self.seals.pop(i) for i in tx.inputs if i in self.seals]
        owner = touched[0] if touched and touched[0].seal == tx.inputs[0] else None
        for one in touched:
            if one is not owner or not found or found.seal is None:
                one.closed, one.sequence = True, one.sequence + 1  # RECORDS 3.4
        records = [(vout, r) for vout, data in found.payloads for r in payload(data)] if found else []
        live = found and found.seal is not None
        if owner and live:
            owner.sequence += 1
        for number, (vout, record) in enumerate(records):
            refused = record.reason
            if not owner and not number and live and not tx.coinbase and not refused and record.type in CREATES:
                kind = CREATES[record.type]
                owner = Object(kind, object_id(kind, tx.inputs[0]), record)
                self.objects[owner.id] = owner
            elif not refused:
                refused = self.apply(owner, record, found.dnet) if owner and live else "not the owner"
            self.claims.append(Claim((height, index, vout, record.pos), record, owner, refused))
        if owner and live and not owner.closed:
            owner.seal = (tx.txid, found.seal)
            self.seals[owner.seal] = owner

    def apply(self, owner, record, named):
        """None: it counts."""
        if owner.closed:
            return "closed"  # RECORDS 4.4
        if record.type in CREATES:
            return "a CREATE in an update"  # RECORDS 3.3
        if owner.kind not in TYPES[record.type][1]:
            return "for another kind"
        if named is not None and named != owner.id:
            return "malformed: names another dnet"
        if record.name == "ROSTER":
            before = owner.parts.get(("roster",))
            if before and record.fields["sequence"] <= before.fields["sequence"]:
                return "an older roster"  # RECORDS 4.3
        if record.name == "TRANSFER" and record.fields["admin"] and owner.kind != 1:
            return "an admin key for a helper"
        if record.name in ADDS:
            owner.parts[ADDS[record.name](record)] = record
        elif record.name in REMOVES:
            if owner.parts.pop(REMOVES[record.name](record), None) is None:
                return "not there"  # RECORDS 4.2
        elif record.name == "CLOSE":
            owner.closed = True
        elif record.fields["admin"]:
            owner.fields["admin"] = record.fields["admin"]
        return None
