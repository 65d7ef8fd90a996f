"""source = rpc://A, rpc://B and blocks:/FOLDER, rpc://A: who is asked when, against real nodes."""

import http.server
import json
import os
import signal
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

lib.need_litecoind()

MANY = ["-maxconnections=40"]  # fewer are all kept for connections outwards


def url(node):
    return "rpc://%s:%s@127.0.0.1:%d" % (node.user, node.password, node.port)


def shown(node):
    return "rpc://127.0.0.1:%d" % node.port


def follow(folder, *sources, **options):
    options.setdefault("source-return", "500ms")
    return lib.Chainwatch(folder, None, source=", ".join(sources), **options)


def wait_at(watch, node, seconds=20):
    """It stands at the tip of this node, which is the one that is asked."""
    def there():
        s = watch.try_status()
        return s and s["source"] == shown(node) and s["hash"] == node.getbestblockhash() and \
            s["state"] == "following" and s
    try:
        return lib.wait_for(there, "at the tip of " + shown(node), seconds)
    except AssertionError as e:
        raise AssertionError("%s; %s; %s" % (e, watch.try_status(), watch.process.log()[-3000:]))


def part(watch, n):
    return watch.status()["sources"][n]


def connect(a, b):
    for one, other in ((a, b), (b, a)):
        one.addnode("127.0.0.1:%d" % other.p2p, "onetry")
    lib.wait_for(lambda: a.getbestblockhash() == b.getbestblockhash(), "both nodes agree")


class Between:
    """A server before a node, whose JSON-RPC goes through change(method, answer)."""

    def __init__(self, node, change):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                many = body if isinstance(body, list) else [body]
                answers = [change(r["method"], dict(node.post(r), id=r["id"])) for r in many]
                out = json.dumps(answers if isinstance(body, list) else answers[0]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)

    def url(self):
        return "rpc://127.0.0.1:%d" % self.server.server_port

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def pair():
    """Two nodes that know the same chain; they are connected."""
    with lib.Folder() as folder:
        nodes = [lib.Litecoind(os.path.join(folder, n), MANY) for n in "ab"]
        try:
            for node in nodes:
                node.start()
            mine(nodes[0], 10)
            connect(*nodes)
            yield nodes
        finally:
            for node in nodes:
                node.stop()


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


def apart(*nodes):
    for node in nodes:
        node.setnetworkactive(False)


KEYS = ["0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"]


def mine(node, count, key=0):
    """Without a wallet; what two nodes mine with other keys is never the same."""
    descriptor = node.getdescriptorinfo("wpkh(%s)" % KEYS[key])["descriptor"]
    node.generatetoaddress(count, node.deriveaddresses(descriptor)[0])


def test_the_second_takes_over_and_the_first_comes_back(pair, folder):
    a, b = pair
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        wait_at(watch, a)
        assert part(watch, 1)["state"] == "not asked"
        a.stop()
        mine(b, 2)
        status = wait_at(watch, b)
        assert "failed: " in status["sources"][1]["why"], status
        assert status["error"] is None and status["sources"][0]["state"] == "failed"
        a.start()  # behind b, until it has heard of the blocks
        connect(a, b)
        status = wait_at(watch, a)
        assert "answers again" in status["sources"][0]["why"]
        assert status["sources"][1]["state"] == "ready"
        assert "secret" not in str(status) and "secret" not in watch.process.log()
    finally:
        watch.stop()


def test_a_silent_node_is_left(pair, folder):
    a, b = pair
    watch = follow(folder, url(a), url(b), rpc_timeout="300ms")
    try:
        watch.start()
        wait_at(watch, a)
        os.kill(a.process.pid, signal.SIGSTOP)
        try:
            assert "no answer" in wait_at(watch, b)["sources"][0]["why"]
        finally:
            os.kill(a.process.pid, signal.SIGCONT)
        wait_at(watch, a)
    finally:
        watch.stop()


def test_one_with_less_work_is_not_followed_back(pair, folder):
    a, b = pair
    apart(a, b)
    mine(a, 5)
    mine(b, 3, 1)
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        wait_at(watch, a)
        tip = watch.status()["hash"]
        a.stop()
        lib.wait_for(lambda: watch.status()["state"] == "waiting", "nobody is left")
        status = watch.status()
        assert status["hash"] == tip
        assert "does not know our tip" in part(watch, 1)["why"], status
        assert status["counters"]["reorgs"] == 0
        mine(b, 3, 1)  # now it has more
        assert wait_at(watch, b)["counters"]["reorgs"] == 1
    finally:
        watch.stop()


def test_what_the_other_node_took_back_is_not_taken_back(pair, folder):
    a, b = pair
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        tip = wait_at(watch, a)["hash"]
        b.invalidateblock(tip)
        a.stop()
        lib.wait_for(lambda: "no more work than ours" in part(watch, 1)["why"], "it is refused")
        assert watch.status()["hash"] == tip and watch.status()["counters"]["reorgs"] == 0
        b.reconsiderblock(tip)
        wait_at(watch, b)
    finally:
        watch.stop()


def test_what_the_other_node_took_back_is_not_taken_back_after_a_restart(pair, folder):
    a, b = pair
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        tip = wait_at(watch, a)["hash"]
        watch.stop()
        a.stop()
        b.invalidateblock(tip)
        watch.start()
        lib.wait_for(lambda: "no more work than ours" in str(watch.status()["sources"]), "it is refused")
        assert watch.status()["hash"] == tip, watch.status()
        mine(b, 2, 1)
        wait_at(watch, b)
    finally:
        watch.stop()


def test_a_node_that_begins_anew_is_left_for_the_other(pair, folder):
    a, b = pair
    watch = follow(folder, url(a), url(b))
    fresh = lib.Litecoind(os.path.join(folder, "fresh"))
    try:
        watch.start()
        wait_at(watch, a)
        a.stop()
        fresh.port = a.port
        fresh.start()  # at height 0
        status = wait_at(watch, b)
        lib.wait_for(lambda: "it is behind" in part(watch, 0)["why"], "it is looked at")
        assert status["counters"]["reorgs"] == 0
    finally:
        watch.stop()
        fresh.stop()


DAYS = 2 * 24 * 3600


@pytest.fixture
def behind(folder):
    """a knows 20 blocks of two days ago and says that it is still syncing, b has 5 new ones; they are not connected."""
    a, b = [lib.Litecoind(os.path.join(folder, n), MANY + ["-connect=0", "-mocktime=%d" % (time.time() - DAYS)]) for n in "ab"]
    try:
        a.start()
        b.start()
        mine(b, 20)
        hand_over(b, a)
        for node in (a, b):
            node.stop()
            node.extra.pop()
            node.start()
        assert a.getblockchaininfo()["initialblockdownload"] and b.getblockchaininfo()["initialblockdownload"]
        yield a, b
    finally:
        a.stop()
        b.stop()


def hand_over(source, sink):
    for height in range(sink.getblockcount() + 1, source.getblockcount() + 1):
        sink.submitblock(source.getblock(source.getblockhash(height), 0))
    assert sink.getbestblockhash() == source.getbestblockhash()


def test_one_that_is_still_syncing_gives_way_to_one_that_is_not(behind, folder):
    a, b = behind
    mine(b, 5)
    assert not b.getblockchaininfo()["initialblockdownload"]
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        status = wait_at(watch, b)
        assert status["sources"][0]["syncing"] and "still reading its own chain" in part(watch, 0)["why"], status
        assert "still reading its own chain, at height 20" in status["sources"][1]["why"], status
        hand_over(b, a)  # it has come to the tip
        assert "answers again" in wait_at(watch, a)["sources"][0]["why"]
        assert not part(watch, 0)["syncing"] and watch.status()["counters"]["reorgs"] == 0
    finally:
        watch.stop()


def test_the_first_is_asked_when_all_are_still_syncing(behind, folder):
    a, b = behind
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        lib.wait_for(lambda: wait_at(watch, a) and part(watch, 1).get("height"), "the other was looked at")
        assert part(watch, 0)["syncing"] and part(watch, 1)["syncing"] and part(watch, 0)["state"] == "in use"
        mine(b, 1)  # the chain goes on, and not for the first one
        wait_at(watch, b)
    finally:
        watch.stop()


def test_one_that_was_left_behind_by_more_than_ten_blocks_gives_way(pair, folder):
    a, b = pair
    apart(a, b)
    mine(b, 10)
    watch = follow(folder, url(a), url(b))
    try:
        watch.start()
        lib.wait_for(lambda: wait_at(watch, a) and part(watch, 1).get("height") == 20, "the other was looked at")
        assert part(watch, 0)["state"] == "in use"
        watch.stop()
        mine(b, 1)
        watch.start()
        status = wait_at(watch, b)
        assert not status["sources"][0]["syncing"] and "is behind, at height 10" in status["sources"][1]["why"], status
    finally:
        watch.stop()


def test_a_longer_chain_with_less_work_is_not_preferred(pair, folder):
    """Regtest has one difficulty, so the other node says more of its height than there is, through a server before it."""
    a, b = pair

    def boast(method, answer):
        if method == "getblockchaininfo":
            answer["result"].update(blocks=10**6)
        return answer
    with Between(b, boast) as server:
        watch = follow(folder, url(a), server.url())
        try:
            watch.start()
            lib.wait_for(lambda: wait_at(watch, a) and part(watch, 1).get("height") == 10**6, "it was looked at")
            assert part(watch, 0)["state"] == "in use" and part(watch, 1)["state"] == "not asked"
        finally:
            watch.stop()


def test_another_network_is_left_for_the_other(pair, folder):
    a, b = pair
    other = lib.Litecoind(os.path.join(folder, "other"), network="test")
    watch = follow(folder, url(other), url(b))
    try:
        other.start()
        watch.start()
        status = wait_at(watch, b)
        assert "another network" in status["sources"][0]["why"]
        b.stop()
        watch.wait_state("stopped", "none of 2 sources can be used")
    finally:
        watch.stop()
        other.stop()


def test_a_new_cookie_and_a_warming_up_node(folder):
    node = lib.Litecoind(os.path.join(folder, "node"))
    node.user = ""
    watch = follow(folder, "rpc://127.0.0.1:%d?cookie=%s" % (node.port, node.cookie_file),
                   "rpc://127.0.0.1:%d" % lib.free_port())
    try:
        node.start()
        mine(node, 3)
        watch.start()
        lib.wait_for(lambda: watch.status()["hash"] == node.getbestblockhash(), "the tip")
        node.stop()
        lib.wait_for(lambda: watch.status()["error"], "it is noticed")
        node.start()
        mine(node, 1)
        lib.wait_for(lambda: watch.status()["hash"] == node.getbestblockhash(), "the new tip")
        assert watch.status()["error"] is None
    finally:
        watch.stop()
        node.stop()


def test_a_pruned_block_comes_from_the_other(pair, folder):
    """-prune needs hundreds of MB before it does anything: the node answers as one that has pruned
    to the first getblock, through a server that stands before it."""
    a, b = pair

    def prune(method, answer):
        if method == "getblock":
            answer.update(result=None, error={"code": -1, "message": "Block not available (pruned data)"})
        return answer
    with Between(a, prune) as server:
        watch = follow(folder, server.url(), url(b), source_return="1h")
        try:
            watch.start()
            assert "is it pruned?" in wait_at(watch, b)["sources"][1]["why"]
        finally:
            watch.stop()


def test_block_files_first_and_then_the_node(folder):
    """600 blocks from the files, what the node has beside it from the node; nothing twice."""
    node = lib.Litecoind(os.path.join(folder, "node"))
    try:
        node.start()
        node.wallet()
        owner = lib.Owner(node)
        owner.send(lib.dnet_create("office"))
        node.mine(520)
        owner.send(lib.node_put(1, "alice"))
        node.mine(1)
        blocks = os.path.join(node.folder, "regtest", "blocks")
        watch = follow(folder, "blocks:" + blocks, url(node))
        watch.start()
        try:
            status = wait_at(watch, node)
            assert status["sources"][0]["state"] == "read", status
            assert "is read" in status["sources"][1]["why"], status
            assert status["counters"]["blocks"] == node.getblockcount(), status["counters"]
            assert status["counters"]["reorgs"] == 0
            assert watch.query("SELECT name FROM node_in_force") == [("alice",)]
            owner.send(lib.node_put(2, "bob"))
            node.mine(1)
            wait_at(watch, node)
            dump = watch.dump()
            # near the tip the files are not worth their index
            watch.stop()
            watch.start()
            status = wait_at(watch, node)
            assert status["sources"][0]["state"] == "not asked"
        finally:
            watch.stop()
        os.mkdir(os.path.join(folder, "rpc"))
        plain = lib.Chainwatch(os.path.join(folder, "rpc"), node)
        plain.start()
        try:
            plain.wait_tip()
            assert plain.dump() == dump
        finally:
            plain.stop()
        # the node is away: the files alone
        node.stop()
        os.mkdir(os.path.join(folder, "alone"))
        watch = follow(os.path.join(folder, "alone"), "blocks:" + blocks, url(node))
        watch.start()
        try:
            lib.wait_for(lambda: watch.try_status()["height"] ==
                         max(h for h, _, _ in dump["block"]), "the end of the files")
            lib.wait_for(lambda: watch.status()["error"], "then the node is missed")
            assert watch.dump() == dump
        finally:
            watch.stop()
    finally:
        node.stop()


def test_nobody_answers(folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        watch = follow(folder, "rpc://127.0.0.1:%d" % s.getsockname()[1],
                       "rpc://127.0.0.1:%d" % lib.free_port(), chain="litecoin-regtest")
        try:
            watch.start()
            watch.wait_state("waiting", "none of 2 sources can be used; rpc://127.0.0.1")
        finally:
            watch.stop()
