"""Lane datagrams that the kernel joins into bursts, at ovrd and dnetd: of a burst only what is unwanted is refused, and counted
once; the rest passes as if each had come alone. The same where a machine can neither join nor cut, nor take many at once.

The stage is stage.py."""

import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import spec_protocol as spec  # noqa: E402
import stage as stages  # noqa: E402
import testlib as lib  # noqa: E402

live.need_namespaces()

UDP_SEGMENT = 103
COUNT, BAD = 20, 7  # of a burst, and the one of them that is wrong


UDP = {  # options and environment
    "all": ((), ""),
    "without GSO": (("--udp-gso=no",), ""),
    "one by one": (("--udp-gro=no",), "norecvmmsg"),
}


@pytest.fixture(scope="module", params=UDP)
def stage(request):
    options, environment = UDP[request.param]
    with stages.staged(*options, DNET_UDP=environment) as world:
        world.joins = request.param != "one by one"
        yield world


def burst(sock, datagrams):
    """In one send: all as long as the first, the last may be shorter."""
    size = struct.pack("=H", len(datagrams[0]))
    assert sock.sendmsg([b"".join(datagrams)], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)]) == sum(map(len, datagrams))


def lane_between(stage):
    """The two ends, and what a datagram begins with at each."""
    ends = [stage.session("ovrd/%d" % i) for i in range(2)]
    ends[1].frames.clear()
    given = ends[0].ask(b"\x20" + stages.key_of(stage, 1), spec.LANE_GIVEN, spec.LANE_REFUSED)
    assert given[0] == spec.LANE_GIVEN
    theirs = ends[1].until(lambda: next((f for f in ends[1].frames if f[0] == spec.LANE_GIVEN), None))
    return ends, [bytes([spec.LANE, 0, 0, 0]) + f[34:42] for f in (given, theirs)]


def inside(number, size=100):
    return bytes([spec.DATA, number]) + os.urandom(size - 14)


WRONG = {  # what becomes of one of them, and what that is counted as
    "nothing": (lambda d: d, None),
    "an id that nobody has": (lambda d: d[:4] + os.urandom(8) + d[12:], "dropped_unknown_lane"),
    "a reserved byte": (lambda d: d[:3] + b"\1" + d[4:], "dropped_malformed"),
    "not a lane": (lambda d: b"\x17" + d[1:], "datagram_unknown"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("last", (100, 13, 12))
def test_a_burst_at_an_ovr(stage, what, last):
    ends, heads = lane_between(stage)
    ovrd, (alter, counter) = stage.daemons["ovrd"], WRONG[what]
    insides = [inside(n) for n in range(COUNT)]
    sent = [heads[0] + i for i in insides]
    wanted = [heads[1] + i for i in insides]
    sent[-1], wanted[-1] = sent[-1][:last], wanted[-1][:last]
    refused = {} if last > 12 else {"dropped_malformed": 1}
    if counter:
        sent[BAD] = alter(sent[BAD])
        refused[counter] = refused.get(counter, 0) + 1
    wanted = [d for n, d in enumerate(wanted) if len(d) > 12 and not (counter and n == BAD)]
    refusals, before = ovrd.refusals(), ovrd.counters()
    ends[1].others.clear()
    burst(ends[0].socket, sent)
    ends[1].until(lambda: len(ends[1].others) >= len(wanted))
    lib.wait_for(lambda: ovrd.risen(refusals) == refused, "each is counted once")
    after = ovrd.counters()
    assert ends[1].others == wanted
    assert after["forwarded_datagrams"] - before["forwarded_datagrams"] == len(wanted)
    assert after["forwarded_bytes"] - before["forwarded_bytes"] == sum(map(len, wanted))
    assert after["udp_read_datagrams"] - before["udp_read_datagrams"] == COUNT
    if stage.joins:
        assert after["udp_reads"] - before["udp_reads"] == 1, "as one message"


def test_a_burst_from_elsewhere_is_refused_whole(stage):
    ends, heads = lane_between(stage)
    ovrd, stranger = stage.daemons["ovrd"], stage.socket_to("ovrd")
    refusals, forwarded = ovrd.refusals(), ovrd.counters()["forwarded_bytes"]
    burst(stranger, [heads[0] + inside(n) for n in range(COUNT)])
    lib.wait_for(lambda: ovrd.risen(refusals) == {"dropped_wrong_source": COUNT}, "all are refused")
    assert ovrd.counters()["forwarded_bytes"] == forwarded


@pytest.mark.parametrize("size", (14, 1400))
def test_datagrams_that_come_one_by_one_leave_in_order(stage, size):
    """They may leave together: nothing is lost, and none overtakes another."""
    ends, heads = lane_between(stage)
    sent = [inside(n, size) for n in range(100)]
    ends[1].others.clear()
    for at in range(0, 100, 25):
        for one in sent[at:at + 25]:
            ends[0].socket.send(heads[0] + one)
        ends[1].until(lambda at=at: len(ends[1].others) >= at + 25)
    assert ends[1].others == [heads[1] + one for one in sent]


def test_a_burst_at_a_member(stage):
    ovr, member, dnetd = stage.session("ovr"), stage.session("member"), stage.dnetd
    lane = os.urandom(8)
    ovr.socket.send(ovr.seal(b"\x21" + member.key + lane))
    ovr.ping()
    head, packet = bytes([spec.LANE, 0, 0, 0]) + lane, stages.packet6(stage)
    alter = {"lane_foreign": lambda d: d[:4] + os.urandom(8) + d[12:], "lane_malformed": lambda d: d[:2] + b"\1" + d[3:],
             "data_invalid": lambda d: d[:-1] + bytes([d[-1] ^ 1]), "datagram_unknown": lambda d: b"\x17" + d[1:],
             "data_no_session": lambda d: d[:16] + os.urandom(4) + d[20:]}
    for counter, change in alter.items():
        sent = [head + member.seal(packet) for _ in range(COUNT)]
        sent[BAD] = change(sent[BAD])
        sent[-1] = sent[-1][:12]  # of a lane, with nothing in it
        refusals, packets = dnetd.refusals(), dnetd.counters()["in_packets"]
        wanted = {counter: 1, "lane_malformed": 1 + (counter == "lane_malformed")}
        burst(ovr.socket, sent)
        lib.wait_for(lambda: dnetd.counters()["in_packets"] == packets + COUNT - 2, counter)
        lib.wait_for(lambda: dnetd.risen(refusals) == wanted, counter)


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
