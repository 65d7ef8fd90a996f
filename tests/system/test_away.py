"""Chain node, chainwatch, DNS, OVC, OVR and the network itself go away and come back, one by one and together, while
traffic runs (tests/system/apart.py). What is away is named; who needs it not loses nothing."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import apart  # noqa: E402
import live  # noqa: E402
import testlib as lib  # noqa: E402

lib.need_litecoind()
live.need_namespaces()
if not os.access(apart.DNSMASQ, os.X_OK):
    print("SKIP: %s is missing: apt-get install dnsmasq-base" % apart.DNSMASQ)
    sys.exit(77)

SILENT = "it (has stopped answering|does not answer)"
BACK = 5.0  # seconds after the network is back


@pytest.fixture(scope="module")
def world():
    with lib.started(apart.World) as w:
        yield w


@pytest.fixture
def well(world):
    world.wait_well()
    return world


def test_the_chain_node_away(well):
    start = time.time()
    well.node.stop()
    well.wait_said("chainwatch says: ")
    well.node.start()
    lib.wait_for(lambda: "chainwatch says" not in well.said(), "no word of it any more", 20, 0.1)
    assert [pair.lost(start) for pair in well.pairs] == [0, 0]


def test_chainwatch_away(well):
    start = time.time()
    well.watch.stop(signal.SIGKILL)
    well.wait_said("chainwatch does not answer")
    well.watch.start()
    lib.wait_for(lambda: "chainwatch does not" not in well.said(), "no word of it any more", 20, 0.1)
    assert [pair.lost(start) for pair in well.pairs] == [0, 0]


def test_the_ovc_away(well):
    start = time.time()
    well.daemon["meet"].stop(signal.SIGTERM)
    well.wait_said(r"ovc +meet .*" + SILENT)
    well.daemon["meet"].start()
    well.wait_said(r"ovc +meet +registered")
    assert [pair.lost(start) for pair in well.pairs] == [0, 0]


def test_everything_but_the_network_away_at_once(well):
    """Also the relay that is not in use, if there is one. Who starts now needs the name of the OVC, and says that he cannot find it."""
    start = time.time()
    idle = {"relay-h", "relay-g"} - well.relays()
    well.stop_dns()
    well.node.stop()
    well.watch.stop(signal.SIGKILL)
    for name in ("meet", *idle):
        well.daemon[name].stop(signal.SIGKILL)
    well.daemon["b"].call("down", id=well.id)
    well.daemon["b"].call("up", id=well.id)
    well.direct.wait_flow(seconds=20)
    back = time.time()
    lib.wait_for(lambda: "cannot resolve " + apart.OVC_NAME in (well.helper("b", "meet")["error"] or ""), "DNS is named", 20)
    for words in ("chainwatch does not answer", r"ovc +meet .*" + SILENT, *(r"ovr +%s .*" % name + SILENT for name in idle)):
        well.wait_said(words)
    assert well.relayed.lost(start) == 0
    assert well.direct.lost(back) == 0
    well.node.start()
    well.watch.start()
    well.start_dns()
    for name in ("meet", *idle):
        well.daemon[name].start()
    lib.wait_for(lambda: well.helper("b", "meet")["state"] == "registered", "b has found the OVC", 30, 0.1)


def test_the_relay_in_use_away(well):
    used = well.relays().pop()
    start = time.time()
    well.daemon[used].stop(signal.SIGKILL)
    lib.wait_for(lambda: well.relays() and used not in well.relays(), "another relay", 10)
    well.relayed.wait_flow()
    print("another relay carries: no answer for %.2f s at most" % well.relayed.pause(start))
    assert well.relayed.pause(start) < 5 * lib.PATIENCE
    well.wait_said(r"ovr +%s .*" % used + SILENT)
    assert well.direct.lost(start) == 0
    well.daemon[used].start()


def away_link(w):
    w.space["a"].run("ip", "link", "set", "eth0", "down")


def back_link(w):
    w.space["a"].run("ip", "link", "set", "eth0", "up")
    w.space["a"].run("ip", "route", "add", "default", "via", "203.0.113.254")


def away_address(w):
    w.space["a"].run("ip", "addr", "flush", "dev", "eth0")


def back_address(w):
    w.number_a()


def away_default(w):
    w.space["a"].run("ip", "route", "del", "default")


def back_default(w):
    w.space["a"].run("ip", "route", "add", "default", "via", "203.0.113.254")


def back_elsewhere(w):
    w.number_a("192.0.2")


def back_home(w):
    w.number_a()


def away_interface(w):
    w.space["a"].run("ip", "link", "del", "eth0")


def back_interface(w):
    w.plug("a", "edge")
    w.address_edge()
    w.number_a()


NO_NETWORK, NO_WAY = "no network", r"ovc +meet .*" + SILENT


@pytest.mark.parametrize("away, back, words", [
    (away_link, back_link, NO_NETWORK),
    (away_default, back_default, NO_WAY),
    (away_address, back_address, NO_NETWORK),
    (away_address, back_elsewhere, NO_NETWORK),
    (away_address, back_home, NO_NETWORK),
    (away_interface, back_interface, NO_NETWORK),
])
def test_the_network_away(well, away, back, words):
    away(well)
    well.wait_said(words)
    back(well)
    start = time.time()
    took = [pair.wait_flow(since=start, seconds=BACK) for pair in well.pairs]
    print("%s: direct %.2f s, relayed %.2f s after the network was back" % (back.__name__[5:], *took))
    lib.wait_for(lambda: well.path("b") == "direct", "direct again", BACK)


def test_everything_away_at_once(well):
    well.stop_dns()
    well.node.stop()
    well.watch.stop(signal.SIGKILL)
    for name in ("meet", "relay-h", "relay-g"):
        well.daemon[name].stop(signal.SIGKILL)
    away_link(well)
    well.wait_said("no network")
    well.wait_said("chainwatch does not answer")
    back_link(well)
    start = time.time()
    print("direct %.2f s after the network was back" % well.direct.wait_flow(since=start, seconds=BACK))
    start = time.time()
    for name in ("meet", "relay-h", "relay-g"):
        well.daemon[name].start()
    print("relayed %.2f s after the helpers were" % well.relayed.wait_flow(since=start, seconds=15))
    well.start_dns()
    well.node.start()
    well.watch.start()
    well.wait_well()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", "-x", __file__]))
