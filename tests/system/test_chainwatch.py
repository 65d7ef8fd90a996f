"""chainwatch against a real litecoind on regtest: records, reorganisations, the mempool, trouble."""

import http.server
import os
import signal
import sqlite3
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

from testlib import *  # noqa: E402,F403
import testlib as lib  # noqa: E402

lib.need_litecoind()


@pytest.fixture(scope="module")
def node():
    """One node for all tests that do not hurt it; each takes up where the last one left."""
    with lib.started(lib.Litecoind) as node:
        node.wallet()
        yield node


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


@pytest.fixture
def watch(node, folder):
    """A chainwatch of its own, at the tip."""
    watch = lib.Chainwatch(folder, node)
    try:
        watch.start()
        watch.wait_tip()
        yield watch
    finally:
        watch.stop()


def make_dnet(node, name="office"):
    owner = lib.Owner(node)
    owner.send(lib.dnet_create(name, ("10.9.0.0", 24)))
    node.mine()
    return owner


def names_in_force(watch):
    return sorted(name for name, in watch.query("SELECT name FROM node_in_force"))


def ids_by_name(watch, name):
    return [i for i, in watch.query("SELECT id FROM object WHERE name = ? AND to_height IS NULL",
                                    name)]


def test_records_are_mined_and_extracted(node, watch):
    owner = make_dnet(node)
    owner.send(lib.node_put(1, "alice", "10.9.0.1"))
    node.mine()
    helper = lib.Owner(node)
    helper.send(lib.ovc_create("meet"))
    node.mine()
    watch.wait_tip()
    (dnet,), (ovc,) = ids_by_name(watch, "office"), ids_by_name(watch, "meet")
    helper.send(lib.endpoint_put("192.0.2.1", 7000), lib.grant(lib.bech32m_data(dnet), rate=5000))
    owner.send(lib.link(lib.bech32m_data(ovc), priority=3))
    node.mine()
    watch.wait_tip()
    assert dnet.startswith("dnet1") and ovc.startswith("ovc1")
    assert names_in_force(watch) == ["alice"]
    assert watch.query("SELECT dnet, helper, priority, rate_kbit FROM helper_in_use") == [
        (dnet, ovc, 3, 5000)]
    assert watch.query("SELECT transport, host, port FROM endpoint_in_force WHERE helper = ?",
                       ovc) == [("udp", "192.0.2.1", 7000)]
    assert watch.query("SELECT count(*) FROM record_log WHERE refused IS NOT NULL") == [(0,)]
    assert [s for s, in watch.query("SELECT sequence FROM seal WHERE object = ? ORDER BY 1",
                                    dnet)] == [0, 1, 2]
    assert watch.query("SELECT count(*) FROM seal WHERE object = ? AND to_height IS NULL",
                       dnet) == [(1,)]


def test_a_script_prefix_carries_records_too(node, watch):
    owner = make_dnet(node, "prefix")
    # not standard: mined without the mempool
    raw, vout = owner.build(lib.payload(lib.node_put(2, "pre")), carrier="b")
    node.generateblock(node.getnewaddress(), [raw])
    watch.wait_tip()
    assert names_in_force(watch).count("pre") == 1
    txid = node.decoderawtransaction(raw)["txid"]
    assert watch.query("SELECT count(*) FROM seal WHERE txid = ? AND vout = ? AND to_height IS NULL",
                       txid, vout) == [(1,)]


def test_a_stranger_cannot_write(node, watch):
    make_dnet(node, "mine")
    stranger = lib.Owner(node)
    stranger.send(lib.node_put(66, "mallory"))
    node.mine()
    watch.wait_tip()
    assert "mallory" not in names_in_force(watch)
    (refused,), = watch.query("SELECT refused FROM record_log WHERE text LIKE '%mallory%'")
    assert "spends no live seal" in refused


def test_odd_payloads_are_kept_and_named(node, watch):
    owner = make_dnet(node, "odd")
    odd = [lib.payload(lib.node_put(3, "late"), version=2),
           lib.payload(lib.record(0x7f, b"?"), lib.node_put(4, "after")),
           lib.payload(lib.record(lib.NODE_PUT, b"short")),
           lib.payload(lib.node_del(99)),
           lib.payload(lib.endpoint_put("192.0.2.9", 9))]
    for data in odd:
        raw, vout = owner.build(data)
        owner.took(node.sendrawtransaction(raw), vout, {})
    node.mine()
    watch.wait_tip()
    (dnet,) = ids_by_name(watch, "odd")
    log = watch.query("SELECT type, refused FROM record_log WHERE object = ? AND sequence > 0"
                      " ORDER BY n", dnet)
    assert [t for t, _ in log] == ["PAYLOAD", "TYPE_7f", "NODE_PUT", "NODE_PUT", "NODE_DEL",
                                   "ENDPOINT_PUT"]
    assert [bool(r) for _, r in log] == [True, True, False, True, True, True]
    # the seal moved on with each of them
    assert watch.query("SELECT max(sequence) FROM seal WHERE object = ?", dnet) == [(5,)]


def test_a_mempool_revocation_is_there_within_a_second_and_stays(node, watch):
    owner = make_dnet(node, "revoke")
    owner.send(lib.node_put(5, "bob"))
    node.mine()
    watch.wait_tip()
    start = time.monotonic()
    txid = owner.send(lib.node_del(5))
    lib.wait_for(lambda: "bob" not in names_in_force(watch), "bob is out", 2)
    assert time.monotonic() - start < 1.0
    assert watch.query("SELECT source, height FROM revocation WHERE txid = ?", txid) == [
        ("mempool", None)]
    # mined, undone, and replaced by an empty branch: it stays counted
    node.mine()
    watch.wait_tip()
    node.invalidateblock(node.getbestblockhash())
    watch.wait_tip()
    assert "bob" not in names_in_force(watch)
    node.mine()
    watch.wait_tip()


def test_pending_transactions_follow_each_other(node, watch):
    owner = make_dnet(node, "chained")
    owner.send(lib.node_put(6, "fay"))
    second = owner.send(lib.node_del(6))
    lib.wait_for(lambda: watch.query("SELECT 1 FROM revocation WHERE txid = ?", second),
                 "the revocation of a node that is itself pending")
    rows = watch.query("SELECT sequence, seal_txid, spent_txid FROM pending ORDER BY sequence")
    assert [r[0] for r in rows] == [1, 2] and rows[1][2] == rows[0][1]
    node.mine()
    watch.wait_tip()
    lib.wait_for(lambda: not watch.query("SELECT 1 FROM pending"), "nothing is pending")


def test_a_spent_seal_ends_the_object_in_the_mempool(node, watch):
    owner = make_dnet(node, "lost")
    watch.wait_tip()
    (dnet,) = ids_by_name(watch, "lost")
    raw = lib.raw_tx([owner.seal], [(lib.SEAL - 5000, owner.script())])
    txid = node.sendrawtransaction(node.signrawtransactionwithwallet(raw)["hex"])
    lib.wait_for(lambda: watch.query("SELECT 1 FROM revocation WHERE object = ? AND type = 'CLOSE'"
                                     " AND txid = ?", dnet, txid), "the seal is lost", 2)
    node.mine()
    watch.wait_tip()
    assert ids_by_name(watch, "lost") == []


def test_a_reorganisation_is_undone_and_done_again(node, watch):
    subscriber = lib.Subscriber(watch.socket)
    owner = make_dnet(node, "reorg")
    watch.wait_tip()
    before = watch.dump()
    base = node.getblockcount()
    owner.send(lib.node_put(7, "gus"))
    first = node.mine(3)[0]
    watch.wait_tip()
    assert "gus" in names_in_force(watch)
    node.invalidateblock(first)
    watch.wait_tip()
    assert watch.status()["height"] == base
    after = watch.dump()
    assert after == before
    # the transaction is in the mempool again and is mined elsewhere
    node.mine(5)
    watch.wait_tip()
    assert "gus" in names_in_force(watch)
    lib.wait_for(lambda: subscriber.next()["reason"] == "reorg", "a reorg was published")
    subscriber.close()
    with lib.Folder() as other:
        fresh = lib.Chainwatch(other, node).start()
        try:
            fresh.wait_tip()
            assert fresh.dump() == watch.dump()
        finally:
            fresh.stop()


def test_a_reorganisation_past_what_is_kept_stops_with_an_error(node, folder):
    watch = lib.Chainwatch(folder, node, keep_headers=10)
    try:
        watch.start()
        deep = node.mine(20)[0]
        watch.wait_tip()
        before = watch.dump()
        node.invalidateblock(deep)
        node.mine(25)
        status = watch.wait_state("stopped", "shares none of the")
        assert "--rescan" in status["error"]
        assert watch.dump() == before
    finally:
        watch.stop()


def test_wrong_credentials_are_named(node, folder):
    watch = lib.Chainwatch(folder, node, rpc_password="wrong")
    try:
        watch.start()
        status = watch.wait_state("waiting", "HTTP 401")
        assert status["trouble"] == "denied" and "rpc-password" in status["error"]
        assert "wrong" not in status["error"].replace("wrong-", "")
        assert watch.query("SELECT count(*) FROM block") == [(0,)]
    finally:
        watch.stop()


def test_another_network_is_refused_and_nothing_touched(node, folder):
    watch = lib.Chainwatch(folder, node, chain="bitcoin-regtest")
    try:
        watch.start()
        status = watch.wait_state("stopped", "another network")
        assert lib.GENESIS[:16] in status["error"]
        assert watch.query("SELECT count(*) FROM block") == [(0,)]
    finally:
        watch.stop()


def test_a_database_of_another_chain_is_refused(node, watch, folder):
    watch.stop()
    watch.options["chain"] = "bitcoin-regtest"
    watch.start(wait=False)
    assert watch.process.child.wait(10) == 1
    assert "is of the chain litecoin-regtest" in watch.process.log()


def test_a_newer_schema_is_refused(watch):
    watch.stop()
    db = sqlite3.connect(watch.db)
    db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.commit()
    db.close()
    watch.start(wait=False)
    assert watch.process.child.wait(10) == 1
    assert "has schema 99" in watch.process.log() and "update dnet" in watch.process.log()


def test_a_damaged_database_is_named(watch):
    watch.stop()
    with open(watch.db, "wb") as f:
        f.write(b"this is no database, and long enough to be read as one" * 100)
    for end in ("-wal", "-shm"):
        if os.path.exists(watch.db + end):
            os.unlink(watch.db + end)
    watch.start(wait=False)
    assert watch.process.child.wait(10) == 1
    assert "not a database" in watch.process.log()


def test_a_killed_sync_ends_in_the_same_state(node, watch, folder):
    owner = make_dnet(node, "killed")
    for n in range(10):
        owner.send(lib.node_put(100 + n, "k%d" % n))
        if n % 3 == 2:
            node.mine()
    node.mine(30)
    watch.wait_tip()
    with lib.Folder() as other:
        victim = lib.Chainwatch(other, node)
        try:
            for _ in range(4):
                victim.start(wait=False)
                seen = lib.wait_for(lambda: os.path.exists(victim.db) or not
                                    victim.process.alive(), "the database is there")
                assert seen
                lib.wait_for(lambda: height_of(victim) >= 0, "some blocks")
                victim.stop(signal.SIGKILL)
            victim.start()
            victim.wait_tip()
            assert victim.dump() == watch.dump()
        finally:
            victim.stop()


def height_of(watch):
    try:
        return watch.query("SELECT coalesce(max(height), -1) FROM block")[0][0]
    except sqlite3.OperationalError:
        return -1


def test_a_transaction_is_handed_on_by_the_control_socket(node, watch):
    owner = lib.Owner(node)
    raw, vout = owner.build(lib.payload(lib.dnet_create("sent")))
    answer = watch.call("submit", {"tx": raw})
    assert answer["txid"] in node.getrawmempool()
    with pytest.raises(AssertionError, match="TX decode failed"):
        watch.call("submit", {"tx": "00"})
    node.mine()
    watch.wait_tip()
    assert len(ids_by_name(watch, "sent")) == 1


def test_the_configuration_is_checked_without_starting(node, folder):
    watch = lib.Chainwatch(folder, node)
    good = lib.Process(watch.argv("-n"), os.path.join(folder, "n.log"))
    assert good.child.wait(10) == 0
    watch.options["chain"] = "dogecoin"
    bad = lib.Process(watch.argv("-n"), os.path.join(folder, "n.log"))
    assert bad.child.wait(10) == 2
    assert "dogecoin" in bad.log()
    watch.options["chain"] = "litecoin-regtest"
    watch.options["pool"] = "1s"
    unknown = lib.Process(watch.argv("-n"), os.path.join(folder, "n.log"))
    assert unknown.child.wait(10) == 2
    assert "chainwatch.conf:" in unknown.log() and "pool" in unknown.log()


class Odd(http.server.BaseHTTPRequestHandler):
    """Answers what no chain node answers."""
    status, body, requests = 200, b"", 0

    def do_POST(self):
        Odd.requests += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(Odd.status)
        self.send_header("Content-Length", str(len(Odd.body)))
        self.end_headers()
        self.wfile.write(Odd.body)

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("status,body,trouble,words", [
    (200, b"<html>hello</html>", "garbage", "no JSON"),
    (200, b"", "garbage", "empty answer"),
    (200, b"{}", "garbage", "neither result nor error"),
    (200, b"[]", "garbage", "neither result nor error"),
    (200, b'{"result":17,"error":null,"id":0}', "garbage", "not a hash"),
    (200, b'{"result":"zz","error":null,"id":0}', "garbage", "not a hash"),
    (200, b'{"result":null,"error":{"code":-28,"message":"Loading"},"id":0}', "starting",
     "starting: Loading"),
    (500, b'{"result":null,"error":{"code":-28,"message":"Loading"},"id":0}', "starting",
     "starting: Loading"),
    (200, b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":0}',
     "error", "Method not found"),
    (404, b'{"result":null,"error":{"code":-32601,"message":"Method not found"},"id":0}',
     "error", "Method not found"),
    (404, b"not found", "garbage", "HTTP 404"),
    (500, b"", "garbage", "HTTP 500"),
    (503, b"Work queue depth exceeded", "down", "HTTP 503"),
    (401, b"", "denied", "HTTP 401"),
    (403, b"", "denied", "rpcallowip"),
])
def test_strange_answers_change_nothing(folder, status, body, trouble, words):
    Odd.status, Odd.body = status, body
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    watch = lib.Chainwatch(folder, None, rpc_url="http://127.0.0.1:%d/" % server.server_port)
    try:
        watch.start()
        got = watch.wait_state("waiting", words)
        assert got["trouble"] == trouble
        assert watch.query("SELECT count(*) FROM block") == [(0,)]
    finally:
        watch.stop()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_node_that_is_away_is_waited_for(folder):
    """Down, up with another cookie, wiped: the last good state stays."""
    node = lib.Litecoind(os.path.join(folder, "node"))
    node.user = None  # cookie
    watch = None
    try:
        node.start()
        node.wallet(110)
        watch = lib.Chainwatch(folder, node)
        watch.start()
        make_dnet(node, "stays")
        watch.wait_tip()
        before = watch.dump()
        tip = node.getbestblockhash()
        node.stop()
        status = watch.wait_state("waiting", "cannot reach the chain node")
        assert status["trouble"] == "down" and status["hash"] == tip
        assert watch.dump() == before
        node.start()
        node.loadwallet("w") if "w" not in node.listwallets() else None
        watch.wait_tip()
        assert watch.dump() == before
        node.mine()
        watch.wait_tip()
        before = watch.dump()
        # the node loses its chain: nothing it does not know is taken for undone
        node.stop(signal.SIGKILL)
        lib.shutil.rmtree(os.path.join(node.folder, "regtest"))
        node.start()
        watch.wait_state("waiting", "does not know our tip")
        assert watch.dump() == before
    finally:
        if watch:
            watch.stop()
        node.stop(signal.SIGKILL)


class Publisher:
    """ZMQ as a node of Core's kind has it, for litecoind of Debian, which has none."""

    def __init__(self, node):
        import zmq
        self.node = node
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PUB)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.counters = {}

    def send(self, topic, body):
        counter = self.counters.get(topic, 0)
        self.counters[topic] = counter + 1
        self.socket.send_multipart([topic.encode(), body, struct.pack("<I", counter)])

    def block(self, ident):
        raw = bytes.fromhex(self.node.getblock(ident, 0))
        self.send("sequence", bytes.fromhex(ident) + b"C")
        self.send("hashblock", bytes.fromhex(ident))
        self.send("rawblock", raw)

    def transaction(self, txid):
        self.send("sequence", bytes.fromhex(txid) + b"A" + struct.pack("<Q", 1))

    def close(self):
        self.socket.close(0)
        self.context.term()


def test_zmq_wakes_it_before_the_poll_would(node, folder):
    publisher = Publisher(node)
    watch = lib.Chainwatch(folder, node, zmq="tcp://127.0.0.1:%d" % publisher.port, poll="1h",
                           poll_zmq="1h")
    try:
        watch.start()
        watch.wait_tip()

        # subscribing takes a moment: until then what is published reaches nobody
        def heard():
            publisher.send("hashblock", b"\0" * 32)
            return watch.status()["zmq"]["messages"] > 0
        lib.wait_for(heard, "the feed is connected")
        for ident in node.mine(2):
            publisher.block(ident)
        watch.wait_tip(5)
        owner = lib.Owner(node)
        txid = owner.send(lib.dnet_create("zmq"))
        publisher.transaction(txid)
        lib.wait_for(lambda: watch.query("SELECT 1 FROM pending WHERE txid = ?", txid),
                     "the mempool was looked at", 5)
        assert watch.status()["zmq"]["transactions"]
        # a message that was lost, and one that is none
        publisher.counters["hashblock"] += 3
        publisher.socket.send_multipart([b"hashblock", b"only two parts"])
        for ident in node.mine(1):
            publisher.block(ident)
        watch.wait_tip(5)
        zmq = watch.status()["zmq"]
        assert zmq["lost"] == 3 and zmq["odd"] == 1
    finally:
        watch.stop()
        publisher.close()


def test_the_profiles_of_litecoin_have_the_genesis_of_litecoind(folder):
    for network, chain in (("main", "litecoin"), ("test", "litecoin-testnet")):
        node = lib.Litecoind(os.path.join(folder, network), network=network)
        watch = lib.Chainwatch(os.path.join(folder, network), node, chain=chain)
        try:
            node.start()
            watch.start()
            status = watch.wait_state("waiting", "has not come to height")
            assert status["trouble"] == "none"
        finally:
            watch.stop()
            node.stop(signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
