"""A light chainwatch that knows no peer: the names of its profile's DNS seeds are looked up at a real resolver (dnsmasq), in a
network of its own where two litecoinds have public addresses."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import apart  # noqa: E402
import lightlib  # noqa: E402
import live  # noqa: E402
import testlib as lib  # noqa: E402

lib.need_litecoind()
live.need_namespaces()
if not os.access(apart.DNSMASQ, os.X_OK):
    print("SKIP: %s is missing: apt-get install dnsmasq-base" % apart.DNSMASQ)
    sys.exit(77)

PORT = 19444
PUBLIC = ["51.15.77.1", "62.210.9.2"]  # of networks that peers of a public chain have
PRIVATE = "10.7.7.7"


class Node(lib.Litecoind):
    """On an address of its own, at the port of its chain: what a seed tells is an address alone."""

    def __init__(self, folder, address, extra=()):
        super().__init__(folder, lightlib.FILTERS + ["-bind=%s:%d" % (address, PORT)] + list(extra))


class Dns:
    """names: {name: [address, …]}; what is asked is in the log. No name: it says that there is none."""

    def __init__(self, folder, names):
        self.log = os.path.join(folder, "dns.log")
        self.process = lib.Process([apart.DNSMASQ, "--keep-in-foreground", "--no-resolv", "--no-hosts", "--log-queries",
                                    "--log-facility=-", "--listen-address=127.0.0.1", "--bind-interfaces", "--user=root",
                                    "--pid-file=", "--conf-file=/dev/null"] +
                                   ["--host-record=%s,%s" % (name, address) for name, all_ in names.items() for address in all_],
                                   self.log)

    def asked(self):
        return {line.split("] ")[1].split()[0] for line in self.process.log().splitlines() if "query[" in line}

    def stop(self):
        self.process.stop()


class Light(lightlib.Light):
    """Its resolver is the one of this world."""

    def argv(self, *extra):
        resolver = os.path.join(self.folder, "resolv.conf")
        with open(resolver, "w") as f:
            f.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        os.chmod(resolver, 0o644)
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolver] + super().argv(*extra)


@pytest.fixture(scope="module")
def world():
    space = live.Namespace("seeds")
    for address in PUBLIC + [PRIVATE]:
        space.run("ip", "addr", "add", address + "/32", "dev", "lo")
    try:
        with lib.Folder() as folder, space.inside():
            nodes = []
            try:
                nodes.append(Node(os.path.join(folder, "a"), PUBLIC[0]).start())
                nodes[0].wallet(5)
                nodes.append(Node(os.path.join(folder, "b"), PUBLIC[1], ["-connect=%s:%d" % (PUBLIC[0], PORT)]).start())
                lightlib.both_at_tip(nodes)
                yield nodes
            finally:
                for node in nodes:
                    node.stop()
    finally:
        space.remove()  # with what is in it: this process is not any more


def start(folder, seeds):
    profile = os.path.join(folder, "profile")
    with open(profile, "w") as f:
        f.write("dns-seeds = %s\np2p-port = %d\npeers = none\n" % (seeds, PORT))
    return Light(folder, None, [], chain_file=profile).start()


def test_peers_are_found_by_the_seeds(world):
    """One seed that does not exist, one that tells a private address too, which no peer of a public chain has."""
    nodes = world
    with lib.Folder() as folder:
        dns = Dns(folder, {"one.seed.test": [PUBLIC[0], PRIVATE], "two.seed.test": [PUBLIC[1]]})
        watch = None
        try:
            watch = start(folder, "none.seed.test one.seed.test two.seed.test")
            watch.node = nodes[0]
            watch.wait_tip()
            peers = {p["peer"] for p in watch.light()["peers"]}
            assert peers == {"%s:%d" % (a, PORT) for a in PUBLIC}, peers
            assert dns.asked() == {"none.seed.test", "one.seed.test", "two.seed.test"}
            assert watch.light()["known_tried"] == 2
            # they are in the book: nobody is asked any more
            watch.stop()
            dns.stop()
            watch.start()
            watch.wait_tip()
        finally:
            if watch:
                watch.stop()
            dns.stop()


def test_without_a_resolver_it_waits_and_says_so(world):
    with lib.Folder() as folder:
        watch = start(folder, "one.seed.test two.seed.test")
        try:
            status = watch.wait_state("waiting", "no peer of the chain answers")
            assert "check the network, proxy and peer" in status["error"]
            assert watch.process.alive()
        finally:
            watch.stop()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
