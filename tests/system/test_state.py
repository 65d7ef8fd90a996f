"""The state of chainwatch as a whole: --verify, --rescan, --export and --import, with a litecoind."""

import hashlib
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

lib.need_litecoind()

KEEP = 20


@pytest.fixture(scope="module")
def node():
    """Something of every kind, on a chain that is longer than what is kept."""
    with lib.started(lambda folder: lib.Litecoind(folder, ["-mempoolreplacement=1"])) as node:
        node.wallet(110)
        fill(node)
        yield node


def fill(node):
    with lib.Folder() as folder:
        watch = lib.Chainwatch(folder, node, poll="20ms")
        watch.start()
        try:
            office, meet = lib.Owner(node), lib.Owner(node)
            office.send(lib.dnet_create("office", ("10.9.0.0", 24)))
            meet.send(lib.ovc_create("meet"), lib.endpoint_put("192.0.2.1", 4242))
            node.mine()
            watch.wait_tip()
            ids = dict(watch.query("SELECT name, id FROM object"))
        finally:
            watch.stop()
    office.send(lib.link(lib.bech32m_data(ids["meet"])))
    meet.send(lib.grant(lib.bech32m_data(ids["office"])))
    for number in range(12):
        office.send(lib.node_put(number, "n%d" % number, "10.9.0.%d" % (number + 1)))
        if number % 5 == 4:
            node.mine()
    office.send(lib.node_del(3))
    office.send(lib.record(lib.ROSTER, struct.pack("<I", 1) + bytes(32)))
    node.mine(KEEP + 5)
    office.send(lib.record(lib.TRANSFER, bytes(32)))
    lib.Owner(node).send(lib.node_put(99, "mallory"))
    closing = lib.Owner(node)
    closing.send(lib.dnet_create("closing"))
    node.mine(2)
    closing.send(lib.record(lib.CLOSE))
    office.send(lib.node_del(4))
    node.mine(3)


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


@pytest.fixture
def watch(node, folder):
    watch = lib.Chainwatch(folder, node, poll="20ms", keep_headers=KEEP)
    try:
        watch.start()
        watch.wait_tip()
        yield watch
    finally:
        watch.stop()


@pytest.fixture
def other(node):
    """One that has not begun."""
    with lib.Folder() as folder:
        watch = lib.Chainwatch(folder, node, poll="20ms", keep_headers=KEEP)
        try:
            yield watch
        finally:
            watch.stop()


def run(watch, *task):
    return subprocess.run(watch.argv(*task), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def verify(watch, status=0):
    done = run(watch, "--verify")
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def change(watch, *statements):
    db = sqlite3.connect(watch.db)
    for sql in statements:
        db.execute(sql)
    db.commit()
    db.close()


# ---- Verify ----

def test_what_a_running_chainwatch_has_is_what_the_chain_says(node, watch):
    said = verify(watch)
    assert "0 differences" in said and "height %d" % node.getblockcount() in said
    assert "cannot be checked" not in said
    assert watch.status()["state"] == "following"  # beside the daemon, which was not disturbed


def test_a_chain_db_of_the_schema_before_is_verified_too(watch):
    watch.stop()
    change(watch, "UPDATE meta SET value = '1' WHERE name = 'schema'")
    verify(watch)
    change(watch, "UPDATE meta SET value = '99' WHERE name = 'schema'")
    done = run(watch, "--verify")
    assert done.returncode == 1 and "update dnet" in done.stderr


DAMAGE = {
    "object": "UPDATE object SET name = 'mine' WHERE name = 'office'",
    "seal": "UPDATE seal SET value = value + 1 WHERE to_height IS NULL",
    "node": "DELETE FROM node WHERE name = 'n1'",
    "link": "UPDATE link SET weight = 99",
    "roster": "UPDATE roster SET root = '%s'" % ("77" * 32),
    "endpoint": "INSERT INTO endpoint SELECT object, 'udp', 7, '192.0.2.9', x'01', record, sequence, from_height, to_height,"
                " txid, tx_index, vout, pos FROM endpoint",
    "grant_": "UPDATE grant_ SET to_height = 120",
    "transfer": "UPDATE transfer SET to_height = NULL, from_height = from_height - 1",
    "record_log": "INSERT INTO record_log (height, tx_index, vout, pos, txid, time, object, sequence, type, text, refused,"
                  " raw) SELECT height, tx_index, vout, pos, txid, time, object, sequence, type, text, refused, raw"
                  " FROM record_log LIMIT 1",
    "block": "UPDATE block SET time = 7 WHERE height = (SELECT max(height) - 3 FROM block)",
    "revocation": "DELETE FROM revocation WHERE type = 'NODE_DEL'",
}


@pytest.mark.parametrize("table", sorted(DAMAGE))
def test_a_row_that_is_not_of_the_chain_is_named(watch, table):
    watch.stop()
    change(watch, DAMAGE[table])
    said = verify(watch, 3)
    lines = [line for line in said.splitlines() if line.startswith(("missing ", "not on the chain "))]
    assert lines and all((" %s: " % table) in line for line in lines), said
    assert "--rescan" in said


def test_what_no_block_has_is_said_and_no_difference(node, watch):
    owner = lib.Owner(node)
    owner.send(lib.dnet_create("fleeting"))
    node.mine()
    owner.send(lib.node_put(1))
    node.mine()
    seal = owner.seal
    first, _ = owner.build(lib.payload(lib.node_del(1)), fee=20_000, vin=[seal])
    second, _ = owner.build(lib.payload(lib.node_put(2)), fee=90_000, vin=[seal])
    node.sendrawtransaction(first)
    lib.wait_for(lambda: watch.query("SELECT 1 FROM revocation WHERE source = 'mempool'"), "it is seen", 5)
    node.sendrawtransaction(second)
    node.mine()
    watch.wait_tip()
    assert "1 revocations were seen in the mempool" in verify(watch)


def test_what_cannot_be_verified_says_why(node, watch, other):
    done = run(other, "--verify")
    assert done.returncode == 1 and "start chainwatch" in done.stderr
    watch.options["chain"] = "litecoin-testnet"
    done = run(watch, "--verify")
    assert done.returncode == 1 and "is of the chain litecoin-regtest" in done.stderr
    watch.options["chain"] = "litecoin-regtest"
    watch.options["rpc-url"] = "http://127.0.0.1:1/"
    done = run(watch, "--verify")
    assert done.returncode == 1 and "127.0.0.1:1" in done.stderr
    for wrong in (("--verify=1",), ("--rescan",), ("--rescan", "x"), ("--rescan", "-1"), ("--export",),
                  ("--verify", "--rescan", "1")):
        assert run(watch, *wrong).returncode == 2, wrong


def test_a_part_of_the_state_is_not_taken_for_all_of_it(node, watch, folder):
    path = os.path.join(folder, "state.dnet")
    before = watch.dump()
    watch.stop()
    change(watch, "INSERT INTO meta VALUES ('partial', 1)", "INSERT INTO meta VALUES ('follow dnet1x@7', 1)")
    for task in (("--verify",), ("--export", path)):
        done = run(watch, *task)
        assert done.returncode == 1 and "source = light" in done.stderr
    assert not os.path.exists(path)
    rescanned(watch, 1)  # by a source that has everything
    assert watch.query("SELECT * FROM meta WHERE name = 'partial' OR name LIKE 'follow%'") == []
    assert watch.dump() == before
    verify(watch)
    watch.stop()
    for name in ("rpc-url", "rpc-user", "rpc-password"):
        del watch.options[name]
    watch.options.update({"source": "light", "peer": "127.0.0.1:1"})
    for task in (("--verify",), ("--export", path), ("--import", path)):
        done = run(watch, *task)
        assert done.returncode in (1, 2) and "rpc or blocks" in done.stderr, (task, done.returncode, done.stderr)


# ---- Rescan ----

def rescanned(watch, height):
    """Takes back, reads on, and is at the tip again."""
    argv = watch.argv
    watch.argv = lambda: argv("--rescan", str(height))
    try:
        watch.start()
    finally:
        watch.argv = argv
    watch.wait_tip()
    assert "taken back" in watch.process.log()


@pytest.mark.parametrize("back", (0, 5, KEEP - 1))
def test_what_was_taken_back_is_read_again(node, watch, back):
    before = watch.dump()
    watch.stop()
    change(watch, "UPDATE node SET name = 'wrong' WHERE from_height >= %d" % (node.getblockcount() - back))
    rescanned(watch, node.getblockcount() - back)
    assert watch.dump() == before
    verify(watch)


def test_from_the_beginning_everything_is_read_again_and_revocations_stay(node, watch):
    before, revoked = watch.dump(), watch.query("SELECT object, type, subject FROM revocation")
    watch.stop()
    change(watch, "UPDATE node SET name = 'wrong'", "DELETE FROM seal",
           "INSERT INTO revocation SELECT object, type, x'99', 7, txid, vout, pos, seen, NULL, 'mempool', text"
           " FROM revocation LIMIT 1")
    rescanned(watch, 1)
    assert watch.dump() == before
    assert set(revoked) < set(watch.query("SELECT object, type, subject FROM revocation"))
    assert "1 revocations were seen in the mempool" in verify(watch)


def test_what_cannot_be_taken_back_is_refused_and_nothing_changes(node, watch):
    before, height = watch.dump(), node.getblockcount()
    done = run(watch, "--rescan", "1")
    assert done.returncode == 1 and "is used by process" in done.stderr  # it runs
    watch.stop()
    done = run(watch, "--rescan", str(height - KEEP))
    assert done.returncode == 1
    assert "from height %d on" % (height - KEEP + 1) in done.stderr and "--rescan 1" in done.stderr
    done = run(watch, "--rescan", str(height + 1))
    assert done.returncode == 1 and "nothing to take back" in done.stderr
    assert watch.dump() == before


# ---- Export and import ----

def export(watch, path):
    done = run(watch, "--export", path)
    assert done.returncode == 0, (done.stdout, done.stderr)
    with open(path, "rb") as f:
        return f.read()


def take(watch, path, status=0):
    done = run(watch, "--import", path)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_an_exported_state_is_that_of_who_read_the_chain(node, watch, other, folder):
    path = os.path.join(folder, "state.dnet")
    done = run(watch, "--export", path)
    count = re.search(r"\d+ transactions of \d+ blocks", done.stdout)
    taken = take(other, path)
    assert "in a block of the chain node's own chain" in taken and count[0] in taken
    want = watch.dump()
    assert other.dump() == want
    assert other.query("SELECT object, type, subject, sequence, txid FROM revocation") == watch.query(
        "SELECT object, type, subject, sequence, txid FROM revocation WHERE source = 'block'")
    # It goes on, and back, as the one who read it all.
    other.start()
    other.wait_tip()
    assert other.status()["imported"] == node.getblockcount()
    owner = lib.Owner(node)
    owner.send(lib.dnet_create("later"))
    node.mine()
    node.invalidateblock(node.getblockhash(node.getblockcount() - 4))
    for _ in range(6):
        node.generateblock(node.getnewaddress(), [])
    node.mine()
    watch.wait_tip()
    other.wait_tip()
    assert other.dump() == watch.dump()
    verify(other)


def test_a_state_is_not_imported_over_another_nor_exported_over_a_file(node, watch, folder):
    path = os.path.join(folder, "state.dnet")
    data = export(watch, path)
    done = run(watch, "--export", path)
    assert done.returncode == 1 and "exists" in done.stderr
    watch.stop()
    before = watch.dump()
    assert "has blocks up to height" in take(watch, path, 1)
    assert watch.dump() == before
    with open(path, "rb") as f:
        assert f.read() == data


def fields(data):
    """Where things stand in it, read by the document."""
    assert data[:10] == b"DNETSTAT\1\0"
    at = 11 + data[10] + 32
    op_node, birth, height = struct.unpack_from("<BII", data, at)
    times_at = at + 9 + 32 + 4
    times, = struct.unpack_from("<I", data, times_at - 4)
    at = times_at + 4 * times
    count_at, (count,) = at, struct.unpack_from("<I", data, at)
    at += 4
    blocks = []
    for _ in range(count):
        start = at
        block_height, = struct.unpack_from("<I", data, at)
        txs, = struct.unpack_from("<I", data, at + 84)
        at += 88
        found = []
        for _ in range(txs):
            tx_at = at
            index, depth = struct.unpack_from("<IB", data, at)
            length, = struct.unpack_from("<I", data, at + 5 + 32 * depth)
            raw_at = at + 9 + 32 * depth
            at = raw_at + length
            found.append((tx_at, index, depth, raw_at, at))
        blocks.append((start, block_height, found, at))
    assert at + 32 == len(data)
    return {"birth": birth, "height": height, "times_at": times_at, "count_at": count_at, "count": count,
            "blocks": blocks, "op_node": op_node}


def sealed(body):
    return bytes(body) + hashlib.sha256(bytes(body)).digest()


def test_a_file_that_was_changed_is_refused_and_what_was_left_out_is_found(node, watch, other, folder):
    data = export(watch, os.path.join(folder, "state.dnet"))
    f = fields(data)
    body = data[:-32]
    start, height, txs, end = f["blocks"][1]
    tx_at, index, depth, raw_at, tx_end = txs[-1]

    def patched(at, new):
        return sealed(body[:at] + new + body[at + len(new):])

    birth_at = data.index(struct.pack("<II", f["birth"], f["height"]))
    wrong = {
        "its checksum is wrong": data[:-40] + b"\0" + data[-39:],
        "it is no exported state": b"SQLite format 3\0" + data,
        "ends before its last field": data[:30],
        "update dnet": patched(8, b"\2"),
        "wrong: it was cut": data[:-1],
        "is of the chain": patched(11, b"x"),
        "set birth-height = 2": patched(birth_at, b"\2"),
        "does not lead from the transaction": patched(raw_at + 20, bytes([data[raw_at + 20] ^ 1])),
        "another block at height %d" % height: patched(start + 4, b"\7"),
        "not in order": patched(start, struct.pack("<I", f["height"] + 1)),
        "does not begin with the coinbase": sealed(body[:start + 84] + struct.pack("<I", len(txs) - 1) +
                                                   body[start + 88:txs[0][0]] + body[txs[1][0]:]),
        "does not know block": patched(birth_at + 8, b"\7" * 32),
        "ends before its last field, or goes": sealed(body + b"\0"),
    }
    for words, bad in wrong.items():
        path = os.path.join(folder, "bad")
        with open(path, "wb") as out:
            out.write(bad)
        assert words in take(other, path, 1), words
        assert other.query("SELECT count(*) FROM block") == [(0,)], words
        assert other.query("SELECT count(*) FROM object") == [(0,)], words
    # One block less is a state, too: nothing in the file shows it, reading the chain does.
    last = f["blocks"][-1]
    less = body[:f["count_at"]] + struct.pack("<I", f["count"] - 1) + body[f["count_at"] + 4:last[0]] + body[last[3]:]
    path = os.path.join(folder, "less")
    with open(path, "wb") as out:
        out.write(sealed(less))
    take(other, path)
    said = verify(other, 3)
    assert "missing record_log: height=%d" % last[1] in said


def test_block_files_serve_too(node, watch, other, folder):
    path = os.path.join(folder, "state.dnet")
    for each in (watch, other):
        del each.options["rpc-url"]
        each.options["source"] = "blocks:%s/regtest/blocks, rpc://127.0.0.1:%d" % (node.folder, node.port)
    verify(watch)
    export(watch, path)
    take(other, path)
    assert other.dump() == watch.dump()


def blocks_of(watch):
    """How many a killed one left; 0 also where it came to no table."""
    if not os.path.exists(watch.db):
        return 0
    db = sqlite3.connect(watch.db)  # may write: what was being made when it was killed is rolled back
    try:
        made = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return db.execute("SELECT count(*) FROM block").fetchone()[0] if made else 0
    finally:
        db.close()


def test_killed_at_its_import_it_begins_anew(node, watch, other, folder):
    path = os.path.join(folder, "state.dnet")
    export(watch, path)
    for wait in (0.01, 0.03, 0.05, 0.08, 0.12):
        child = subprocess.Popen(other.argv("--import", path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            child.wait(wait)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        left = blocks_of(other)
        assert left in (0, KEEP + 1)
        if left:
            break
    else:
        take(other, path)
    assert other.dump() == watch.dump()


def test_every_proof_leads_to_the_block_that_the_node_has(node, watch, folder):
    """Read by the document alone."""
    def twice(data):
        return hashlib.sha256(hashlib.sha256(data).digest()).digest()

    data = export(watch, os.path.join(folder, "state.dnet"))
    seen = 0
    for start, height, txs, _ in fields(data)["blocks"]:
        block = node.getblock(node.getblockhash(height))
        assert twice(data[start + 4:start + 84])[::-1].hex() == block["hash"]
        for tx_at, index, depth, raw_at, tx_end in txs:
            root = twice(data[raw_at:tx_end])
            assert root[::-1].hex() == block["tx"][index]
            for level in range(depth):
                sibling = data[tx_at + 5 + 32 * level:tx_at + 37 + 32 * level]
                root = twice(sibling + root if index >> level & 1 else root + sibling)
            assert root[::-1].hex() == block["merkleroot"]
            seen += 1
    assert seen > 20


def test_a_state_is_taken_by_who_has_another_node(node, watch, folder):
    with lib.Folder() as place:
        theirs = lib.Litecoind(place)
        try:
            theirs.start()
            path = os.path.join(folder, "state.dnet")
            export(watch, path)
            mover = lib.Chainwatch(place, theirs, poll="20ms", keep_headers=KEEP)
            assert "wait until it has come there" in take(mover, path, 1)
            best = node.getblockcount()
            for height in range(1, best + 1):
                theirs.submitblock(node.getblock(node.getblockhash(height), 0))
            assert theirs.getblockcount() == best
            take(mover, path)
            assert mover.dump() == watch.dump()
        finally:
            theirs.stop()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
