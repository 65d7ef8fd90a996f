"""Blocks and headers by REST, from a litecoind with -rest; without it, and past one that lies, by JSON-RPC."""

import http.client
import http.server
import os
import struct
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

lib.need_litecoind()

MWEB_FROM = 432  # the first block with an extension block on regtest
BIG = 40_000     # bytes of a block that is worth a request of its own


class Proxy:
    """Stands before a node and hands everything on; what REST answers goes through change(path, status, body)."""

    def __init__(self, node):
        proxy = self
        self.change = lambda path, status, body: (status, body)
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def hand_on(self, body=None):
                connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
                connection.request(self.command, self.path, body, {"Authorization": self.headers["Authorization"] or ""})
                answer = connection.getresponse()
                status, out = answer.status, answer.read()
                connection.close()
                if self.command == "GET":
                    proxy.asked.append(self.path)
                    status, out = proxy.change(self.path, status, out)
                self.send_response(status)
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def do_GET(self):
                self.hand_on()

            def do_POST(self):
                self.hand_on(self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self):
        return "http://127.0.0.1:%d/" % self.server.server_port

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def of(self, kind):
        return [path for path in self.asked if path.startswith("/rest/%s/" % kind)]


def anybody(node):
    return node.getdescriptorinfo("raw(51)")["descriptor"]


def mine_big(node, count):
    """Blocks of BIG bytes: each spends a coinbase that anybody may spend, into many outputs."""
    coins = [node.getblock(h)["tx"][0] for h in node.generatetodescriptor(count, anybody(node))]
    node.generatetodescriptor(100, anybody(node))
    outs = b"".join(struct.pack("<QBBBI16x", 0, 22, 0, 20, n) for n in range(BIG // 31))
    for coin in coins:
        raw = (struct.pack("<I", 2) + b"\1" + bytes.fromhex(coin)[::-1] + struct.pack("<IBI", 0, 0, 0xffffffff) +
               struct.pack("<BH", 0xfd, BIG // 31) + outs + bytes(4))
        node.generateblock(anybody(node), [raw.hex()])


def mine_mweb(node):
    for _ in range(4):
        node.sendtoaddress(node.getnewaddress("", "mweb"), 0.1)
    block, = node.generatetodescriptor(1, anybody(node))
    assert node.getblock(block, 2)["mweb"] and node.getblock(block)["size"] > 1000
    return block


@pytest.fixture(scope="module")
def node():
    """Records, small and large blocks, and at the end MWEB."""
    with lib.started(lambda folder: lib.Litecoind(os.path.join(folder, "node"), ["-rest=1"], mweb=True)) as node:
        node.wallet()
        owner = lib.Owner(node)
        owner.send(lib.dnet_create("office"))
        mine_big(node, 8)
        owner.send(lib.node_put(1, "alice"))
        node.generatetodescriptor(MWEB_FROM - 1 - node.getblockcount(), anybody(node))
        mine_mweb(node)
        owner.send(lib.node_put(2, "bob"))
        mine_mweb(node)
        yield node


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


@pytest.fixture
def proxy(node):
    proxy = Proxy(node)
    yield proxy
    proxy.stop()


def read_all(folder, node, **options):
    """A chain.db that was read from the begin: what is in it, and how."""
    os.makedirs(folder, exist_ok=True)
    watch = lib.Chainwatch(folder, node, **options)
    try:
        watch.start()
        watch.wait_tip()
        assert watch.status()["counters"]["reorgs"] == 0
        return watch.dump(), watch.status()["sources"][0]["fetch"]
    finally:
        watch.stop()


def read_without(node):
    """What is read by JSON-RPC alone: nobody answers REST there."""
    proxy = Proxy(node)
    proxy.change = lambda *_: (404, b"")
    try:
        with lib.Folder() as folder:
            dump, how = read_all(folder, node, rpc_url=proxy.url())
            assert how == "JSON-RPC: the node does not answer REST, which its -rest=1 turns on (HTTP 404)"
            assert len(proxy.asked) == 1, proxy.asked
            return dump
    finally:
        proxy.stop()


@pytest.fixture(scope="module")
def want(node):
    return read_without(node)


def test_large_blocks_and_headers_come_by_rest_and_say_the_same(node, proxy, folder, want):
    dump, how = read_all(folder, node, rpc_url=proxy.url())
    assert how == "REST" and dump == want
    assert len(proxy.of("block")) >= 8 and len(proxy.of("headers")) > 4, proxy.asked
    # small ones are many to an answer
    assert len(proxy.of("block")) < 60, len(proxy.of("block"))


def test_a_node_that_is_started_with_rest_later_is_asked_by_it(folder):
    node = lib.Litecoind(os.path.join(folder, "node"))
    watch = lib.Chainwatch(folder, node)
    try:
        node.start()
        watch.start()
        watch.wait_tip()
        assert "-rest=1" in watch.status()["sources"][0]["fetch"]
        node.stop()
        watch.wait_state("waiting")
        node.extra = ["-rest=1"]
        node.start()
        lib.wait_for(lambda: watch.status()["sources"][0]["fetch"] == "REST", "it is asked again")
        # in the list too
        watch.stop()
        for name in ("rpc-url", "rpc-user", "rpc-password"):
            del watch.options[name]
        watch.options["source"] = "rpc://%s:%s@127.0.0.1:%d, rpc://127.0.0.1:1" % (node.user, node.password, node.port)
        watch.start()
        lib.wait_for(lambda: watch.status()["sources"][0]["fetch"] == "REST", "it is asked in a list")
    finally:
        watch.stop()
        node.stop()


def other_block(node):
    return bytes.fromhex(node.getblock(node.getblockhash(5), 0))


LIES = {
    "no blocks": lambda node, path, body: (404, b"Not found\r\n") if "/block/" in path else (200, body),
    "another block": lambda node, path, body: (200, other_block(node)) if "/block/" in path else (200, body),
    "a header alone": lambda node, path, body: (200, body[:79]) if "/block/" in path else (200, body),
    "no header": lambda node, path, body: (200, b"") if "/headers/" in path else (200, body),
    "another chain": lambda node, path, body: (200, bytes(len(body))) if "/headers/" in path else (200, body),
    "no chain": lambda node, path, body: (200, body[:-160] + body[-80:] + body[-160:-80]),
    "busy": lambda node, path, body: (503, b"Work queue depth exceeded") if "/block/" in path else (200, body),
    "denied": lambda node, path, body: (403, b"") if "/block/" in path else (200, body),
}


@pytest.mark.parametrize("lie", sorted(LIES))
def test_what_rest_does_not_give_json_rpc_does(node, proxy, folder, want, lie):
    proxy.change = lambda path, status, body: LIES[lie](node, path, body)
    dump, how = read_all(folder, node, rpc_url=proxy.url())
    assert dump == want
    assert how.startswith("JSON-RPC: "), how


def test_a_cut_block_is_no_block(node, proxy, folder, want):
    """Its header is right, its end is missing: the block cannot be read, and nothing is taken from it."""
    cut = []

    def once(path, status, body):
        if "/block/" in path and not cut:
            cut.append(path)
            return status, body[:-10]
        return status, body
    proxy.change = once
    dump, _ = read_all(folder, node, rpc_url=proxy.url())
    assert cut and dump == want


def test_a_reorganisation_is_followed(folder):
    node = lib.Litecoind(os.path.join(folder, "node"), ["-rest=1"])
    watch = lib.Chainwatch(folder, node, poll="20ms")
    try:
        node.start()
        node.wallet()
        mine_big(node, 6)
        watch.start()
        watch.wait_tip()
        for depth in (1, 3):
            node.invalidateblock(node.getblockhash(node.getblockcount() - depth + 1))
            node.generatetoaddress(depth + 1, node.getnewaddress())
            watch.wait_tip()
        status = watch.status()
        assert status["counters"]["reorgs"] == 2 and status["sources"][0]["fetch"] == "REST"
    finally:
        watch.stop()
        node.stop()


def test_blocks_with_mweb_come_by_rest(node, proxy, folder):
    watch = lib.Chainwatch(folder, node, rpc_url=proxy.url())
    try:
        watch.start()
        watch.wait_tip()
        blocks = []
        for _ in range(2):
            blocks.append(mine_mweb(node))
            watch.wait_tip()
        assert "/rest/block/%s.bin" % blocks[1] in proxy.asked
        assert watch.dump()["record_log"] == read_without(node)["record_log"]
    finally:
        watch.stop()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
