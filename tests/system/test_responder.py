"""dnetd begins, and what answers it is wrong: altered, cut, of another handshake, of another key, twice. It accepts nothing,
sends no data, counts each, and is connected by the right answer afterwards. The responder is written from doc/protocol.md."""

import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import make_handshake as curve  # noqa: E402
import spec_protocol as spec  # noqa: E402
import testlib as lib  # noqa: E402

live.need_namespaces()


class Called(live.World):
    """dnetd knows where the member is, and has something for it."""

    def options(self):
        self.member_key = spec.curve.pub(self.secret)
        return "--peer-endpoint", "%s 198.51.100.1:%d" % (self.member_key.hex(), self.member_port)

    def start(self):
        super().start()
        self.answerer = spec.Answerer(self.member.socket, self.secret, self.raw_id)
        self.flow = self.namespaces[1].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.flow.connect(("10.77.0.2", 9))
        self.number, self.made, self.made_cookie = 0, None, None

    def stop(self):
        try:
            super().stop()
        finally:
            self.flow.close()

    def begin(self):
        """dnetd has sent an initiation, of a handshake that it began just now."""
        self.number += 1
        self.flow.send(b"packet %d" % self.number)
        self.answerer.initiations()

    def right(self):
        """The right response to the newest initiation; the same as long as that is the newest."""
        if self.made != self.answerer.mac1:
            self.made, self.response = self.answerer.mac1, self.answerer.response()
        return self.response

    def cookie(self, cookie):
        if self.made_cookie != self.answerer.mac1:
            self.made_cookie, self.reply = self.answerer.mac1, self.answerer.cookie_reply(cookie)
        return self.reply

    def newest(self):
        """The newest initiation is taken, and nothing but initiations has come. Whether there was a new one."""
        new, seen = False, self.answerer
        while True:
            try:
                seen.receive(0.0005)
            except (TimeoutError, BlockingIOError):
                break
        assert seen.packets == [] and seen.frames == [], "dnetd sends data to somebody who has proven nothing"
        for message in seen.others:
            assert message[0] == spec.INITIATION, message.hex()
            new |= seen.take_initiation(message)
        seen.others.clear()
        return new

    def refused(self, make, counters, what):
        """One wrong message to the newest initiation, one refusal. When dnetd made a new one meanwhile: again."""
        while True:
            self.newest()
            message, before = make(), self.dnetd.refusals()
            self.answerer.socket.send(message)
            risen = lib.wait_for(lambda: self.dnetd.risen(before), "%s is counted" % (what,))
            if not self.newest():
                break
        assert sum(risen.values()) == 1 and set(risen) <= set(counters), (what, risen)

    def finish(self):
        """The right answer; what waited comes. When dnetd made a new initiation meanwhile: again."""
        while not self.answerer.packets:
            self.newest()
            right = self.answerer.response()
            self.answerer.socket.send(right)
            self.answerer.until(lambda: self.answerer.packets or self.answerer.others)
        assert self.answerer.packets[0].endswith(b"packet %d" % self.number)
        assert [p["state"] for p in self.dnetd.call("peers")] == ["connected"]
        return right

    def part(self):
        """So that the next handshake is a new one."""
        self.answerer.socket.send(self.answerer.seal(bytes([spec.BYE, 1])))
        lib.wait_for(lambda: [p["state"] for p in self.dnetd.call("peers")] != ["connected"], "it has heard BYE")
        try:
            while True:
                self.answerer.receive(0.0005)
        except (TimeoutError, BlockingIOError):
            self.answerer.attach(self.answerer.socket)


@pytest.fixture(scope="module")
def world():
    made = Called()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def called(world):
    """A handshake under way, that ends well whatever was tried."""
    world.begin()
    yield world
    world.finish()
    world.part()


def flipped(message, bit):
    altered = bytearray(message)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


SHAPE = ("datagram_truncated", "datagram_unknown")
WRONG = ("handshake_mac1_wrong", "handshake_invalid")


def test_an_altered_response_is_refused_at_every_bit(called):
    for bit in range(81 * 8):  # mac2 behind it says nothing as long as there is no load
        called.refused(lambda: flipped(called.right(), bit), SHAPE if bit < 32 else WRONG, "bit %d" % bit)


def test_a_response_altered_under_a_right_mac1_is_refused(called):
    """mac1 can be made by anybody who knows the key. Bug table: no associated data in the handshake."""
    answerer = called.answerer
    for bit in range(32, 65 * 8):
        called.refused(lambda: spec.again_with_macs(flipped(called.right(), bit), answerer.initiator),
                       ("handshake_invalid",), "bit %d" % bit)


def test_a_response_of_another_length_is_refused(called):
    for size in range(97):
        called.refused(lambda: called.right()[:size], SHAPE, size)
    for more in (1, 16, 77, 1000):
        called.refused(lambda: called.right() + bytes(more), SHAPE, 97 + more)


def test_a_response_by_or_for_somebody_else_is_refused(world):
    answerer = world.answerer
    world.begin()
    old = world.finish()
    world.part()
    world.begin()

    def with_chaining_key():
        keep, answerer.noise.ck = answerer.noise.ck, os.urandom(32)
        message = answerer.response()
        answerer.noise.ck = keep
        return message

    def with_ephemeral(key):
        message = answerer.response()
        return spec.again_with_macs(message[:12] + key + message[45:], answerer.initiator)

    for what, make, counters in (
            ("that was right in the last handshake", lambda: old, ("handshake_invalid",)),
            ("for another index", lambda: answerer.response(receiver=os.urandom(4)), ("handshake_invalid",)),
            ("by one who has not the key", with_chaining_key, ("handshake_invalid",)),
            ("with another psk", lambda: answerer.response(psk=b"\1" * 32), ("handshake_invalid",)),
            ("with mac1 for somebody else", lambda: spec.again_with_macs(answerer.response(), answerer.key),
             ("handshake_mac1_wrong",)),
            ("that chooses no cipher", lambda: answerer.response(aead=0), ("handshake_invalid",)),
            ("that chooses two", lambda: answerer.response(aead=3), ("handshake_invalid",)),
            ("that chooses one of the future", lambda: answerer.response(aead=4), ("handshake_invalid",)),
            ("with a flag", lambda: answerer.response(flags=1), ("handshake_invalid",)),
            ("with a key that is no point", lambda: with_ephemeral(b"\2" + b"\xff" * 32), ("handshake_invalid",)),
            ("with a key of another form", lambda: with_ephemeral(b"\4" + curve.pub(bytes(31) + b"\1")[1:]),
             ("handshake_invalid",)),
            ("with the initiator's own ephemeral key", lambda: with_ephemeral(answerer.remote_ephemeral),
             ("handshake_invalid",)),
            ("data of no session", lambda: spec.DATA.to_bytes(1, "big") + bytes(3) + answerer.receiver + bytes(24),
             ("data_no_session",))):
        world.refused(make, counters, what)
    right = world.finish()
    # And once only.
    before = world.dnetd.refusals()
    for _ in range(3):
        answerer.socket.send(right)
    answerer.ping()
    assert world.dnetd.risen(before) == {"handshake_invalid": 3}
    world.part()


def test_an_altered_cookie_reply_is_refused(called):
    answerer, cookie = called.answerer, os.urandom(16)
    for bit in range(64 * 8):
        called.refused(lambda: flipped(called.cookie(cookie), bit), SHAPE if bit < 32 else ("cookie_invalid",), bit)
    for size in range(64):
        called.refused(lambda: called.cookie(cookie)[:size], SHAPE, size)
    called.refused(lambda: called.cookie(cookie) + b"\0", SHAPE, "longer")
    called.refused(lambda: answerer.cookie_reply(cookie, mac1=os.urandom(16)), ("cookie_invalid",), "to another message")
    called.refused(lambda: answerer.cookie_reply(cookie, key=called.key), ("cookie_invalid",), "by another key")


def test_the_right_cookie_counts_once(world):
    answerer, cookie = world.answerer, os.urandom(16)
    world.begin()
    while True:  # again when dnetd made a new initiation meanwhile
        world.newest()
        before, taken = world.dnetd.refusals(), world.dnetd.counters()["cookie_received"]
        reply = answerer.cookie_reply(cookie)
        answerer.socket.send(reply)
        answerer.socket.send(reply)
        lib.wait_for(lambda: world.dnetd.risen(before), "the second one is counted")
        if world.dnetd.counters()["cookie_received"] != taken:
            break
    assert world.dnetd.risen(before) == {"cookie_invalid": 1}
    # The next initiation carries it (4.1).
    while True:
        message = answerer.receive(10)
        if message[0] == spec.INITIATION and message[158:] == curve.mac(cookie, message[:158]):
            break
        assert message[0] == spec.INITIATION and message[158:] == bytes(16), message.hex()
    answerer.take_initiation(message)
    world.finish()
    world.part()


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
