"""What the tests of the light source share: nodes that serve filters, a light chainwatch, a dnet to follow."""

import os

import pytest

import lying_peer as peers
import testlib as lib

FILTERS = ["-maxconnections=40", "-blockfilterindex=1", "-peerblockfilters=1", "-whitelist=noban@127.0.0.1"]


def make_node(folder, *others, extra=(), mweb=False):
    return lib.Litecoind(folder, FILTERS + ["-connect=127.0.0.1:%d" % o.p2p for o in others] + list(extra), mweb=mweb).start()


@pytest.fixture(scope="module")
def nodes():
    """Two nodes of one chain, the second fed by the first; each test takes up where the last one left."""
    with lib.Folder() as folder:
        made = []
        try:
            made.append(make_node(os.path.join(folder, "a")))
            made[0].wallet()
            made.append(make_node(os.path.join(folder, "b"), made[0]))
            both_at_tip(made)
            yield made
        finally:
            for node in made:
                node.stop()


def both_at_tip(nodes):
    lib.wait_for(lambda: len({n.getbestblockhash() for n in nodes}) == 1, "the nodes agree")


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


class Light(lib.Chainwatch):
    """peers: nodes, lying peers or names."""

    def __init__(self, folder, node, peers, follow=(), **options):
        super().__init__(folder, None, source="light", **dict({"peer_timeout": "2s", "poll": "50ms"}, **options))
        self.node, self.peers, self.follow = node, list(peers), list(follow)

    def argv(self, *extra):
        argv = super().argv(*extra)
        with open(argv[2], "a") as f:
            for peer in self.peers:
                if not isinstance(peer, str):
                    peer = "127.0.0.1:%d" % (peer.port if isinstance(peer, peers.LyingPeer) else peer.p2p)
                f.write("peer = %s\n" % peer)
            for name in self.follow:
                f.write("follow = %s\n" % name)
        return argv

    def light(self):
        return self.status()["light"]

    def wait_ban(self, peer, words, seconds=20):
        def there():
            s = self.try_status()
            return s and s["light"] and [b for b in s["light"]["bans"] if b["peer"] == peer.name and words in b["reason"]]
        try:
            return lib.wait_for(there, "%s is banned: %s" % (peer.name, words), seconds)
        except AssertionError as e:
            raise AssertionError("%s\n%s\n%s" % (e, self.try_status(), self.process.log()[-3000:]))

    def wait_left(self, name, words, seconds=20):
        def there():
            s = self.try_status()
            return s and s["light"] and [e for e in s["light"]["left"] if e["peer"] == name and words in e["what"]]
        try:
            return lib.wait_for(there, "%s left: %s" % (name, words), seconds)
        except AssertionError as e:
            raise AssertionError("%s\n%s" % (e, self.try_status()))

    def wait_names(self, *names, seconds=20):
        def there():
            try:
                return sorted(n for n, in self.query("SELECT name FROM node_in_force")) == sorted(names)
            except lib.sqlite3.Error:
                return False
        try:
            lib.wait_for(there, "nodes in force: %s" % ", ".join(names), seconds)
        except AssertionError as e:
            raise AssertionError("%s; %s %s" % (e, self.query("SELECT name FROM node_in_force"), self.try_status()))


class Dnet:
    """A dnet with its id and the height of the block that made it."""

    def __init__(self, node, folder, name="office"):
        self.node, self.owner = node, lib.Owner(node)
        self.owner.send(lib.dnet_create(name, ("10.9.0.0", 24)))
        node.mine()
        self.height = node.getblockcount()
        os.makedirs(os.path.join(folder, "full"), exist_ok=True)
        full = lib.Chainwatch(os.path.join(folder, "full"), node, birth_height=self.height)
        try:
            full.start()
            full.wait_tip()
            self.id = full.query("SELECT id FROM object WHERE name = ?", name)[-1][0]
        finally:
            full.stop()
        self.follow = "%s@%d" % (self.id, self.height)

    def put(self, n, name):
        self.owner.send(lib.node_put(n, name, "10.9.0.%d" % n))
        self.node.mine()
        return self.node.getbestblockhash()


@pytest.fixture
def dnet(nodes, folder):
    return Dnet(nodes[0], folder)
