"""Every message of the protocol, against each daemon that takes it: altered at every bit, cut at every length, longer, late by
4,096, doubled, from somebody else. What is wrong is one refusal and nothing else; what is right and late counts once.

The stage is stage.py."""

import os
import re
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import spec_protocol as spec  # noqa: E402
import stage as stages  # noqa: E402
import testlib as lib  # noqa: E402
from stage import CHUNK, DAEMONS, STUN, key_of, packet6  # noqa: E402

live.need_namespaces()

@pytest.fixture(scope="module")
def stage():
    with stages.staged() as made:
        yield made


def flips(message, first=0, last=None):
    found = []
    for bit in range(first * 8, (len(message) if last is None else last) * 8):
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        found.append(bytes(altered))
    return found


def cuts(message, first=0):
    return [message[:size] for size in range(first, len(message))]


# What is sealed. Of each row: the frame's name, in which session, how its body is made, and what answers it.

def endpoint(port):
    return b"\4\xc6\x33\x64\1" + bytes(12) + struct.pack("<H", port)


TO_ALL = ("member", "ovc", "ovr", "ovcd/0", "ovrd/0")
SEALED = [("empty", session, lambda s: b"", ()) for session in TO_ALL]
SEALED += [("an IP packet", "member", packet6, ())]
SEALED += [("PING", session, lambda s: b"\1" + bytes(8), (spec.PONG,)) for session in TO_ALL]
SEALED += [("PONG", session, lambda s: b"\2" + bytes(27), ()) for session in TO_ALL]
SEALED += [
    ("CANDIDATES", "member", lambda s: b"\3\1" + endpoint(7), ()),
    ("OFFER", "member", lambda s: spec.offer_frames([(spec.NATIVE, 7, [], b"")])[0], (spec.OFFER_ACK,)),
    ("OFFER_ACK", "member", lambda s: b"\6" + bytes(8), ()),
    ("CARRY", "member", lambda s: b"\7\2a datagram", ()),
    ("REGISTER", "ovcd/0", lambda s: b"\x10\1" + endpoint(7), (spec.REGISTERED,)),
    ("REGISTERED", "ovc", lambda s: b"\x11" + endpoint(7) + b"\1\0", ()),
    ("INTRODUCE", "ovcd/0", lambda s: b"\x12" + key_of(s, 1), (spec.INTRODUCTION,)),
    ("INTRODUCTION", "ovc", lambda s: b"\x13" + s.carol_key + b"\2\1" + endpoint(7), ()),
    ("NOT_HERE", "ovc", lambda s: b"\x14" + s.carol_key + b"\2", ()),
    ("PUBLISH", "ovcd/0", lambda s: b"\x15" + s.statement(s.secrets[0], s.other), ()),
    ("STATEMENT", "ovc", lambda s: b"\x16" + s.carol_key + bytes(2) + s.statement(s.carol_secret, s.id), ()),
    ("LANE_OPEN", "ovrd/0", lambda s: b"\x20" + key_of(s, 1), (spec.LANE_GIVEN,)),
    ("LANE", "ovr", lambda s: b"\x21" + s.carol_key + b"\5" * 8, ()),
    ("LANE_REFUSED", "ovr", lambda s: b"\x22" + s.carol_key + b"\2", ()),
    ("LANE_CLOSED", "ovr", lambda s: b"\x23" + b"\5" * 8 + b"\1", ()),
]
# The message is right; what it says (a statement that nobody signed, a backend that is not here) may be refused, once.
REFUSED_INSIDE = ("OFFER", "OFFER_ACK", "CARRY", "PUBLISH", "STATEMENT")
PREPARE = {  # the other member is there
    "INTRODUCE": lambda s: [s.session("ovcd/%d" % i).ask(b"\x10\1" + endpoint(7), spec.REGISTERED) for i in range(2)],
    "LANE_OPEN": lambda s: s.session("ovrd/1"),
}
SEALED += [("BYE", session, lambda s: b"\4\1", ()) for session in TO_ALL]  # last: it ends the session


@pytest.mark.parametrize("name,where,make,answers", SEALED, ids=["%s-%s" % row[:2] for row in SEALED])
def test_what_is_sealed(stage, name, where, make, answers):
    end = stage.session(where)
    daemon = where.split("/")[0] if where.endswith(("/0", "/1")) else "dnetd"
    asked, stranger = stage.daemons[daemon], stage.socket_to(daemon)
    if name in PREPARE:
        PREPARE[name](stage)
    message = end.seal(make(stage))
    end.frames.clear()
    stage.all_refused(daemon, end.socket, flips(message), "altered")
    stage.all_refused(daemon, end.socket, cuts(message) + [message + b"\0"], "cut, or longer")
    # Late by 4,096: right, and the first time.
    end.counter += 4096
    end.ping()
    assert [f for f in end.frames if f[0] in answers] == []
    before = asked.refusals()
    end.socket.send(message)
    if answers:
        end.until(lambda: any(f[0] in answers for f in end.frames))
    if name == "BYE":
        stage.all_refused(daemon, end.socket, [message] * 3 + [end.seal(b"")], "after BYE", ["data_no_session"])
        assert asked.risen(before) == {"data_no_session": 4}
        end.send_key = None
        return
    end.ping()
    assert set(asked.risen(before).values()) <= ({1} if name in REFUSED_INSIDE else set()), asked.risen(before)
    stage.all_refused(daemon, end.socket, [message] * 3, "again", ["data_replayed"])
    stage.all_refused(daemon, stranger, [message] * 3, "again, from elsewhere", ["data_replayed"])
    old = end.seal(make(stage))
    end.counter += 8192
    end.ping()
    stage.all_refused(daemon, end.socket, [old], "older than the window", ["data_replayed"])
    nobody_answers(stranger)


def nobody_answers(sock):
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        raise AssertionError("a stranger was answered: %s" % sock.recv(65535).hex())


@pytest.mark.parametrize("daemon", DAEMONS)
def test_initiations(stage, daemon):
    stranger, sock = stage.socket_to(daemon), stage.socket_to(daemon)
    older, newer = stage.initiator(daemon), stage.initiator(daemon)
    first, second = older.initiation(), newer.initiation()
    # mac2 behind it says nothing as long as there is no load.
    stage.all_refused(daemon, stranger, flips(second, 0, 158), "altered")
    altered = [spec.again_with_macs(flips(second, at, at + 1)[at % 8], newer.responder) for at in range(4, 142, 4)]
    stage.all_refused(daemon, stranger, altered, "altered under a right mac1", ["handshake_invalid"])
    stage.all_refused(daemon, stranger, cuts(second) + [second + b"\0"], "cut, or longer")
    nobody_answers(stranger)
    sock.send(second)
    sock.settimeout(5)
    assert newer.take_response(sock.recv(65535))
    stage.all_refused(daemon, sock, [first, second, second], "late, and again", ["handshake_replayed"])
    stage.all_refused(daemon, stranger, [first, second], "from elsewhere", ["handshake_replayed"])
    nobody_answers(stranger)
    if daemon == "dnetd":
        stage.member.send_key = None


@pytest.mark.parametrize("daemon", DAEMONS)
def test_responses_and_cookies_that_nobody_waits_for(stage, daemon):
    """Those that somebody waits for: test_responder.py, and only dnetd begins."""
    sock = stage.socket_to(daemon)
    response = spec.with_macs(bytes([spec.RESPONSE, 1, 0, 0]) + os.urandom(61), stage.initiator(daemon).responder)
    cookie = bytes([spec.COOKIE, 0, 0, 0]) + os.urandom(60)
    for message, name in ((response, "handshake_invalid"), (cookie, "cookie_invalid")):
        stage.all_refused(daemon, sock, [message] * 3, "as it is", [name])
        stage.all_refused(daemon, sock, flips(message), "altered")
        stage.all_refused(daemon, sock, cuts(message) + [message + b"\0"], "cut, or longer")
    nobody_answers(sock)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_punches(stage, daemon):
    sock, punch = stage.socket_to(daemon), bytes([spec.PUNCH, 0, 0, 0])
    before = stage.daemons[daemon].refusals()
    for _ in range(3):
        sock.send(punch)
    stage.all_refused(daemon, sock, flips(punch), "altered", ["datagram_truncated", "datagram_unknown"])
    assert sum(stage.daemons[daemon].risen(before).values()) == 32, "punches themselves are nothing"
    stage.all_refused(daemon, sock, cuts(punch) + [punch + b"\0"], "cut, or longer")
    nobody_answers(sock)


def test_lanes_at_an_ovr(stage):
    """What is inside is not the OVR's to judge: it is forwarded to the one other side, and refused there."""
    ends = [stage.session("ovrd/%d" % i) for i in range(2)]
    for _ in range(2):
        given = ends[0].ask(b"\x20" + key_of(stage, 1), spec.LANE_GIVEN, spec.LANE_REFUSED)
    assert given[0] == spec.LANE_GIVEN and given[1:34] == key_of(stage, 1)
    theirs = ends[1].until(lambda: next((f for f in ends[1].frames if f[0] == spec.LANE_GIVEN), None))
    inside = bytes([spec.DATA]) + os.urandom(40)
    head = bytes([spec.LANE, 0, 0, 0])
    message = head + given[34:] + inside
    asked, stranger = stage.daemons["ovrd"], stage.socket_to("ovrd")
    stage.all_refused("ovrd", ends[0].socket, flips(message, 0, 12), "altered")
    stage.all_refused("ovrd", ends[0].socket, cuts(message[:13]), "cut")
    stage.all_refused("ovrd", stranger, [message] * 3 + flips(message, 0, 12), "of somebody else")
    stage.all_refused("ovrd", ends[1].socket, [message] * 3, "of the other side", ["dropped_wrong_source"])
    ends[1].others.clear()
    before, forwarded = asked.refusals(), asked.counters()["forwarded_bytes"]
    sent = [message] * 3 + flips(message, 12)[::7] + cuts(message, 13)
    for at in range(0, len(sent), CHUNK):
        for one in sent[at:at + CHUNK]:
            ends[0].socket.send(one)
        ends[1].until(lambda: len(ends[1].others) >= min(at + CHUNK, len(sent)))
    assert ends[1].others == [head + theirs[34:] + one[12:] for one in sent]
    assert asked.risen(before) == {}
    assert asked.counters()["forwarded_bytes"] - forwarded == sum(map(len, sent))
    nobody_answers(stranger)


def test_lanes_at_a_member(stage):
    ovr, member = stage.session("ovr"), stage.session("member")
    lane = os.urandom(8)
    ovr.socket.send(ovr.seal(b"\x21" + member.key + lane))
    ovr.ping()
    head, stranger = bytes([spec.LANE, 0, 0, 0]) + lane, stage.socket_to("dnetd")
    message = head + member.seal(packet6(stage))
    for what, sock in (("of somebody else", stranger), ("of the member itself", member.socket)):
        stage.all_refused("dnetd", sock, [message] * 3, what, ["lane_foreign"])
    stage.all_refused("dnetd", ovr.socket, flips(message), "altered")
    stage.all_refused("dnetd", ovr.socket, cuts(message) + [message + b"\0"], "cut, or longer")
    member.counter += 4096
    member.ping()
    before, packets = stage.dnetd.refusals(), stage.dnetd.counters()["in_packets"]
    ovr.socket.send(message)
    lib.wait_for(lambda: stage.dnetd.counters()["in_packets"] == packets + 1, "it is delivered")
    assert stage.dnetd.risen(before) == {}
    stage.all_refused("dnetd", ovr.socket, [message] * 3, "again", ["data_replayed"])
    stage.all_refused("dnetd", member.socket, [message[12:]] * 3, "again, directly", ["data_replayed"])
    # A lane of somebody else's leads to nobody of ours; nor does one that is closed.
    stage.all_refused("dnetd", ovr.socket, [bytes([spec.LANE, 0, 0, 0]) + os.urandom(8) + message[12:]], "another", ["lane_foreign"])
    ovr.socket.send(ovr.seal(b"\x23" + lane + b"\1"))
    ovr.ping()
    stage.all_refused("dnetd", ovr.socket, [head + member.seal(b"")], "closed", ["lane_foreign"])
    nobody_answers(stranger)


@pytest.mark.parametrize("daemon", ("dnetd", "ovrd"))
def test_stun_where_nobody_answers_it(stage, daemon):
    sock = stage.socket_to(daemon)
    stage.all_refused(daemon, sock, [STUN] * 3 + flips(STUN) + cuts(STUN) + [STUN + bytes(4)], "STUN", ["datagram_unknown"])
    nobody_answers(sock)


def test_stun_at_an_ovc(stage):
    """10 at once are answered to each source, so each comes from another one."""
    def ask(messages):
        for i, message in enumerate(messages):
            with stage.namespaces[0].socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("203.0.113.%d" % (1 + i % 250), 4000))
                sock.connect(("198.51.100.2", 4242))
                sock.settimeout(5)
                sock.send(message)
                answer = sock.recv(100)
                assert answer[:8] == bytes.fromhex("0101000c2112a442") and answer[8:20] == message[8:]
                assert struct.unpack(">H", answer[26:28])[0] ^ 0x2112 == 4000

    ask(flips(STUN, 8) + [STUN] * 3)
    for i, messages in enumerate((flips(STUN, 0, 2), flips(STUN, 2, 4), flips(STUN, 4, 8), cuts(STUN), [STUN + bytes(4)])):
        for at in range(0, len(messages), 8):
            sock = stage.socket_to("ovcd", "203.0.113.%d" % (200 + i * 8 + at // 8))
            stage.all_refused("ovcd", sock, messages[at:at + 8], "altered", ["stun_refused", "datagram_unknown"])
            nobody_answers(sock)


def test_a_wrong_key_from_an_ovc_is_shown_in_status(stage):
    end, before = stage.session("ovc"), stage.dnetd.counters()["statement_refused"]
    statement = stage.statement(os.urandom(32), stage.id)
    end.socket.send(end.seal(b"\x16" + stage.carol_key + bytes(2) + statement))
    end.ping()
    assert stage.dnetd.counters()["statement_refused"] == before + 1
    helpers = {h["kind"]: h["refused"] for h in stage.dnetd.call("status")["dnets"][0]["helpers"]}
    said = "gave a wrong key for carol: it is signed with another key than the records give"
    assert helpers == {"ovc": said, "ovr": None}
    argv = [lib.program("dnet"), "-c", "/dev/null", "--dnetd", stage.dnetd.socket, "status"]
    assert "python gave a wrong key for carol" in subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_no_message_of_the_document_is_missing(stage):
    """A type or frame that is new in doc/protocol.md needs its row here."""
    with open(os.path.join(live.SOURCE, "doc/protocol.md")) as f:
        text = f.read()
    types = re.findall(r"^\| d\d \| ([a-z ]+) \|", text, re.M)
    assert types == ["initiation", "response", "cookie reply", "data", "lane", "punch"], "each has a test above"
    frames = dict(re.findall(r"^\| [012]\d \| ([A-Z_]+) \| .* \| (.*) \|$", text, re.M))
    takers = {"all": set(TO_ALL), "members": {"member"}, "member → OVC": {"ovcd/0"}, "OVC → member": {"ovc"},
              "member → OVR": {"ovrd/0"}, "OVR → member": {"ovr"}}
    assert len(frames) == 18
    for name, between in frames.items():
        assert {row[1] for row in SEALED if row[0] == name} == takers[between], name


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
