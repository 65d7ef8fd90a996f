#!/usr/bin/env python3
"""Writes a small chain.db as chainwatch does (doc/chain-db.md), for tests of its readers.

chaindb.py FILE init                          an empty chain at height 100
chaindb.py FILE dnet NAME [IPV4/BITS [ADMIN]] prints its id
chaindb.py FILE ovc NAME KEY | ovr NAME KEY   prints its id
chaindb.py FILE node DNET KEY NAME [IPV4]     adds or changes a node
chaindb.py FILE del DNET KEY                  revokes it, as seen in the mempool
chaindb.py FILE grant HELPER DNET [EXPIRY [KBIT/S [MIB]]]
chaindb.py FILE link DNET HELPER | endpoint HELPER IPV4-OR-NAME PORT
chaindb.py FILE roster DNET SEQUENCE ROOT     anchors it
chaindb.py FILE close OBJECT
chaindb.py FILE height N
"""
import hashlib
import ipaddress
import os
import sqlite3
import sys
import time

STATE = ("sequence INTEGER NOT NULL, from_height INTEGER NOT NULL, to_height INTEGER, txid TEXT NOT NULL,"
         " tx_index INTEGER NOT NULL, vout INTEGER NOT NULL, pos INTEGER NOT NULL")
ROWS = {
    "node": "key TEXT NOT NULL, name TEXT NOT NULL, ipv4 TEXT, ipv6 TEXT, flags INTEGER",
    "link": "kind TEXT NOT NULL, helper TEXT NOT NULL, priority INTEGER, weight INTEGER",
    "roster": "number INTEGER NOT NULL, root TEXT NOT NULL",
    "endpoint": "transport TEXT NOT NULL, port INTEGER NOT NULL, host TEXT NOT NULL",
    "grant_": "dnet TEXT NOT NULL, expiry INTEGER, rate_kbit INTEGER, volume_mib INTEGER",
    "transfer": "admin_key TEXT NOT NULL",
}
SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE block (height INTEGER PRIMARY KEY, hash TEXT NOT NULL, time INTEGER NOT NULL);"
    "CREATE TABLE object (id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,"
    f" ipv4_prefix TEXT, record BLOB NOT NULL, {STATE});"
    "CREATE TABLE seal (object TEXT NOT NULL, txid TEXT NOT NULL, vout INTEGER NOT NULL, value INTEGER NOT NULL,"
    " script BLOB NOT NULL, sequence INTEGER NOT NULL, tx_index INTEGER NOT NULL, from_height INTEGER NOT NULL,"
    " to_height INTEGER, PRIMARY KEY (txid, vout));"
    "CREATE TABLE revocation (object TEXT NOT NULL, type TEXT NOT NULL, subject BLOB NOT NULL, sequence INTEGER NOT NULL,"
    " txid TEXT NOT NULL, vout INTEGER NOT NULL, pos INTEGER NOT NULL, seen INTEGER NOT NULL, height INTEGER,"
    " source TEXT NOT NULL, text TEXT NOT NULL);"
    + "".join(f"CREATE TABLE {name} (object TEXT NOT NULL, {columns}, subject BLOB NOT NULL, record BLOB NOT NULL,"
              f" {STATE});" for name, columns in ROWS.items()))

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
KINDS = {"dnet": 1, "ovc": 2, "ovr": 3}


def polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= g if top >> i & 1 else 0
    return check


def expand(hrp):
    return [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]


def id_text(kind, raw):
    """BIP350."""
    number = int.from_bytes(raw, "big")
    data = [number >> 5 * i & 31 for i in range(31, -1, -1)]
    check = polymod(expand(kind) + data + [0] * 6) ^ 0x2BC830A3
    return kind + "1" + "".join(CHARSET[d] for d in data + [check >> 5 * (5 - i) & 31 for i in range(6)])


def id_raw(text):
    kind, data = text.split("1", 1)
    number = 0
    for char in data[:32]:
        number = number << 5 | CHARSET.index(char)
    return KINDS[kind], number.to_bytes(20, "big")


def record(kind, body):
    return bytes([kind, len(body)]) + body


class Chain:
    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None, timeout=5)
        self.db.execute("PRAGMA journal_mode = WAL")

    def height(self):
        return self.db.execute("SELECT max(height) FROM block").fetchone()[0]

    def changed(self):
        self.db.execute("UPDATE meta SET value = value + 1 WHERE name = 'change'")

    def block(self, height):
        digest = hashlib.sha256(b"%d" % height).hexdigest()
        self.db.execute("INSERT OR REPLACE INTO block VALUES (?, ?, ?)", (height, digest, int(time.time())))

    def next_sequence(self, object_id):
        found = self.db.execute("SELECT max(sequence) FROM (SELECT sequence FROM seal WHERE object = ?1"
                                " UNION ALL SELECT sequence FROM revocation WHERE object = ?1)", (object_id,)).fetchone()[0]
        return 0 if found is None else found + 1

    def seal(self, object_id):
        """A transaction that moves the seal: its sequence and txid."""
        sequence, txid = self.next_sequence(object_id), os.urandom(32).hex()
        self.db.execute("INSERT INTO seal VALUES (?, ?, 1, 10000, x'51', ?, 0, ?, NULL)",
                        (object_id, txid, sequence, self.height()))
        return sequence, txid

    def add(self, table, object_id, values, subject, raw):
        sequence, txid = self.seal(object_id)
        self.db.execute(f"UPDATE {table} SET to_height = ? WHERE object = ? AND subject = ? AND to_height IS NULL",
                        (self.height(), object_id, subject))
        marks = ", ".join("?" * len(values))
        self.db.execute(f"INSERT INTO {table} VALUES (?, {marks}, ?, ?, ?, ?, NULL, ?, 0, 0, 0)",
                        (object_id, *values, subject, raw, sequence, self.height(), txid))
        self.changed()

    def create(self, kind, name, key, raw, prefix=None):
        object_id = id_text(kind, os.urandom(20))
        sequence, txid = self.seal(object_id)
        self.db.execute("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, 0, 0, 0)",
                        (object_id, kind, name, key, prefix, raw, sequence, self.height(), txid))
        self.changed()
        print(object_id)

    def revoke(self, object_id, kind, subject):
        self.db.execute("INSERT INTO revocation VALUES (?, ?, ?, ?, ?, 0, 0, ?, NULL, 'mempool', '')",
                        (object_id, kind, subject, self.next_sequence(object_id), os.urandom(32).hex(), int(time.time())))
        self.changed()


def cmd_init(chain):
    chain.db.executescript(SCHEMA)
    chain.db.executemany("INSERT INTO meta VALUES (?, ?)", (("schema", 1), ("chain", "litecoin-regtest"), ("change", 1)))
    chain.block(100)


def cmd_dnet(chain, name, prefix=None, admin="01".zfill(64)):
    admin = bytes.fromhex(admin)
    net = ipaddress.ip_network(prefix) if prefix else None
    body = admin + (b"\1" + net.network_address.packed + bytes([net.prefixlen]) if net else b"\0") + name.encode()
    chain.create("dnet", name, admin.hex(), record(0x01, body), prefix)


def cmd_ovc(chain, name, key):
    chain.create("ovc", name, key, record(0x02, bytes.fromhex(key) + b"\0" + name.encode()))


def cmd_ovr(chain, name, key):
    chain.create("ovr", name, key, record(0x03, bytes.fromhex(key) + b"\0" + name.encode()))


def cmd_node(chain, dnet, key, name, ipv4=None):
    raw = bytes.fromhex(key)
    flags, address = (0x40, ipaddress.ip_address(ipv4).packed) if ipv4 else (0, b"")
    chain.add("node", dnet, (key, name, ipv4, None, flags), raw, record(0x10, raw + bytes([flags]) + address + name.encode()))


def cmd_del(chain, dnet, key):
    chain.revoke(dnet, "NODE_DEL", bytes.fromhex(key))


def cmd_link(chain, dnet, helper):
    kind, raw = id_raw(helper)
    subject = bytes([kind]) + raw
    chain.add("link", dnet, (helper.split("1")[0], helper, 10, 1), subject, record(0x12, subject + bytes([10, 1])))


def cmd_grant(chain, helper, dnet, expiry=0, rate=0, volume=0):
    raw, limits = id_raw(dnet)[1], (int(expiry), int(rate), int(volume))
    chain.add("grant_", helper, (dnet, *limits), raw, record(0x22, raw + b"".join(n.to_bytes(4, "little") for n in limits)))


def cmd_endpoint(chain, helper, host, port):
    body = b"\1" + int(port).to_bytes(2, "little")
    body += b"h" + host.encode() if host.upper() != host else b"\4" + ipaddress.ip_address(host).packed
    chain.add("endpoint", helper, ("udp", int(port), host), body, record(0x20, body))


def cmd_roster(chain, dnet, sequence, root):
    body = int(sequence).to_bytes(4, "little") + bytes.fromhex(root)
    chain.add("roster", dnet, (int(sequence), root), b"", record(0x14, body))


def cmd_close(chain, object_id):
    chain.revoke(object_id, "CLOSE", b"")


def cmd_height(chain, height):
    chain.db.execute("DELETE FROM block WHERE height > ?", (int(height),))
    chain.block(int(height))


def main():
    if len(sys.argv) < 3 or "cmd_" + sys.argv[2] not in globals():
        sys.exit(__doc__)
    chain = Chain(sys.argv[1])
    chain.db.execute("BEGIN") if sys.argv[2] != "init" else None
    globals()["cmd_" + sys.argv[2]](chain, *sys.argv[3:])
    chain.db.execute("COMMIT") if sys.argv[2] != "init" else None


if __name__ == "__main__":
    main()
