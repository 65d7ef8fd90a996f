"""doc/protocol.md stands alone: a member written from it in Python (spec_protocol) speaks with a real dnetd over real UDP.

    python ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── dnetd, dnet0 10.77.0.1
"""

import ipaddress
import os
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import spec_protocol as spec  # noqa: E402
import testlib as lib  # noqa: E402

live.need_namespaces()


@pytest.fixture
def world():
    made = live.World()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_handshake_and_a_packet_go_through(world):
    member = world.member
    member.connect()
    echo = struct.pack(">HH", 7, 1) + b"written from the document"
    member.socket.send(member.seal(spec.icmp6(world.ours, world.theirs, 128, 0, echo)))
    answer = member.until(lambda: next((p for p in member.packets if p[6] == 58 and p[40] == 129), None))
    assert answer[8:40] == world.theirs + world.ours
    assert answer[44:] == echo
    upper = answer[40:]
    assert spec.checksum(spec.pseudo6(world.theirs, world.ours, upper, 58) + upper) == 0
    member.packets.clear()
    member.socket.send(member.seal(spec.icmp4(bytes([10, 77, 0, 2]), bytes([10, 77, 0, 1]), 8, 0, echo)))
    answer = member.until(lambda: next((p for p in member.packets if p[0] == 0x45 and p[9] == 1), None))
    assert answer[12:20] == bytes([10, 77, 0, 1, 10, 77, 0, 2]) and answer[20] == 0 and answer[24:] == echo


def test_pings_are_answered_and_asked(world):
    member = world.member
    member.connect()
    observed = member.ping()[9:]
    address, port = member.socket.getsockname()
    assert observed == b"\4" + ipaddress.ip_address(address).packed + bytes(12) + struct.pack("<H", port)
    # PROTOCOL 7.2: data received on a new path starts a PING there.
    ping = member.until(lambda: next((f for f in member.frames if f[0] == spec.PING), None))
    assert len(ping) == 9
    member.socket.send(member.seal(bytes([spec.PONG]) + ping[1:] + bytes(19)))
    lib.wait_for(lambda: member.ping() and [p["state"] for p in world.dnetd.call("peers")] == ["connected"], "connected")


def test_a_session_follows_the_next_and_the_first_one_stays_good_for_a_while(world):
    member = world.member
    member.connect()
    member.ping()
    again = spec.Member(member.socket, member.secret, world.key, world.raw_id)
    again.connect()
    again.ping()
    # Each data message counts in its own session.
    member.socket.send(member.seal(spec.icmp6(world.ours, world.theirs, 128, 0, struct.pack(">HH", 8, 1))))
    again.until(lambda: again.packets)


def test_the_owner_removes_the_member_and_it_hears_bye(world):
    member = world.member
    member.connect()
    member.ping()
    world.chain.call("del", world.id, member.key.hex())
    bye = member.until(lambda: next((f for f in member.frames if f[0] == spec.BYE), None))
    assert bye == bytes([spec.BYE, 2])
    # And is a stranger from now on.
    before = world.dnetd.counters()
    member.socket.send(member.seal(b""))
    member.socket.send(member.initiation())
    lib.wait_for(lambda: world.dnetd.counters()["handshake_not_member"] == before["handshake_not_member"] + 1, "refused")
    assert world.dnetd.counters()["data_no_session"] == before["data_no_session"] + 1
    member.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            assert member.open(member.socket.recv(65535)) is not None


def test_under_load_it_asks_for_a_cookie_and_takes_it(world):
    member = world.member
    member.connect()
    load = [spec.Initiator(os.urandom(32), world.key, world.raw_id).initiation() for _ in range(8)]
    for i in range(80):
        member.socket.send(load[i % 8])
    second = spec.Member(member.socket, member.secret, world.key, world.raw_id)
    second.connect()
    assert second.cookie, "no cookie was asked for"
    second.ping()
    counters = world.dnetd.counters()
    assert counters["cookie_sent"] >= 1 and counters["handshake_response_out"] == 2


def test_the_statements_of_the_vectors():
    """What the document says of them, and lib does in tests/unit/core/book.c."""
    with open(os.path.join(live.SOURCE, "tests/vectors/statements.txt")) as f:
        lines = [line.split() for line in f if line.strip() and line[0] != "#"]
    kinds = {"good": 0, "unsigned": 0, "malformed": 0}
    for (word, text), verdict in zip(lines[::2], lines[1::2]):
        assert word == "statement"
        kinds[verdict[0]] += 1
        if verdict[0] == "malformed":
            with pytest.raises(ValueError):
                spec.Statement(bytes.fromhex(text))
        else:
            assert spec.Statement(bytes.fromhex(text)).is_signed() == (verdict[0] == "good")
    assert min(kinds.values()) >= 5


def test_an_offer_is_acknowledged_and_a_wrong_key_in_it_refused(world):
    member, now = world.member, int(time.time())
    member.connect()
    endpoint = b"\4" + bytes([192, 0, 2, 7]) + bytes(12) + struct.pack("<H", 51820)

    def refused():
        return world.dnetd.call("counters")["statement_refused"]

    def alive():
        """What was sent is looked at, and the path is confirmed (7.5): else nothing would come back."""
        member.ping()
        for frame in [f for f in member.frames if f[0] == spec.PING]:
            member.frames.remove(frame)
            member.socket.send(member.seal(bytes([spec.PONG]) + frame[1:] + bytes(19)))
        return True

    def offered(statement, digest=None):
        """Whether it is acknowledged; repeated as 9.4 says, since offers count once in a second."""
        frames = spec.offer_frames([(spec.WIREGUARD, 51820, [endpoint], statement), (spec.NATIVE, 0, [], b"")])
        want = digest or frames[0][1:9]
        for _ in range(3):
            began = time.monotonic()
            for frame in reversed(frames):
                member.socket.send(member.seal(frame[:1] + want + frame[9:]))
            alive()
            if bytes([spec.OFFER_ACK]) + want in member.frames:
                return True
            lib.wait_for(lambda: alive() and time.monotonic() > began + 1.1, "a second")
        return False

    good = spec.make_statement(member.secret, member.dnet, spec.WIREGUARD, os.urandom(32), now)
    assert spec.Statement(good).counts(member.dnet, member.key, now)
    assert offered(good) and refused() == 0
    assert not offered(good, b"\1" * 8), "the digest is not that of the offer"
    wrong = {
        "older": spec.make_statement(member.secret, member.dnet, spec.WIREGUARD, os.urandom(32), now - 1),
        "of the same date": spec.make_statement(member.secret, member.dnet, spec.WIREGUARD, os.urandom(32), now),
        "altered": good[:56] + struct.pack("<Q", now + 5) + good[64:],
        "too far ahead": spec.make_statement(member.secret, member.dnet, spec.WIREGUARD, os.urandom(32), now + 90000),
        "of another dnet": spec.make_statement(member.secret, bytes(20), spec.WIREGUARD, os.urandom(32), now + 5),
        "by somebody else": spec.make_statement(os.urandom(32), member.dnet, spec.WIREGUARD, os.urandom(32), now + 5),
    }
    for name, statement in wrong.items():
        before = refused()
        assert not spec.Statement(statement).counts(member.dnet, member.key, now, spec.Statement(good)), name
        # The offer is there all the same: it is the key that does not count.
        assert offered(statement), name
        assert refused() > before, name
    before = refused()
    assert offered(spec.make_statement(member.secret, member.dnet, spec.WIREGUARD, os.urandom(32), now + 6))
    assert refused() == before


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
