"""Daemons in a namespace, and python outside of it, for tests of what they take from the network.

    python ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── dnetd, ovcd, ovrd

dnetd is a member of a dnet with an OVC and an OVR in Python; ovcd and ovrd serve another one with two members in Python."""

import contextlib
import os
import socket
import time
from unittest import mock

import live
import spec_protocol as spec
import testlib as lib

DAEMONS = ("dnetd", "ovcd", "ovrd")
STUN = bytes.fromhex("000100002112a442") + bytes(range(12))
CHUNK = 48  # datagrams at once, so that no socket's buffer is too small


class Stage(live.World):
    udp = ()  # options of each daemon

    def options(self):
        return self.udp

    def start(self):
        self.sockets, self.daemons = [], {}
        super().start()
        self.daemons["dnetd"] = self.dnetd
        self.carol_secret = os.urandom(32)
        self.carol_key = spec.curve.pub(self.carol_secret)
        self.chain.call("node", self.id, self.carol_key.hex(), "carol", "10.77.0.3")
        self.answerers = {name: self.answerer(name, kind) for name, kind in (("ovc", spec.OVC), ("ovr", spec.OVR))}
        self.other = self.chain.call("dnet", "other")
        self.secrets = [os.urandom(32) for _ in range(2)]
        for i, secret in enumerate(self.secrets):
            self.chain.call("node", self.other, spec.curve.pub(secret).hex(), "node%d" % i)
        for kind, port in (("ovc", 4242), ("ovr", 4243)):
            self.daemons[kind + "d"] = live.Helper(kind, self.folder.path, self.namespaces[1], self.chain, port,
                                                   *self.udp)
            self.allow(self.other, self.daemons[kind + "d"].id)
        self.chain.call("height", "130")
        for daemon in ("ovcd", "ovrd"):
            lib.wait_for(lambda: [t["members"] for t in self.daemons[daemon].call("status")["tenants"]] == [2], "a tenant")
        self.members = {}
        # Any address of 203.0.113.0/24 is in the outside too.
        self.namespaces[0].run("ip", "route", "add", "local", "203.0.113.0/24", "dev", "lo")
        self.namespaces[1].run("ip", "route", "add", "203.0.113.0/24", "via", "198.51.100.1")

    def stop(self):
        try:
            for daemon in ("ovcd", "ovrd"):
                if daemon in self.daemons:
                    self.daemons[daemon].stop()
        finally:
            for sock in self.sockets:
                sock.close()
            super().stop()

    def allow(self, dnet, helper):
        self.chain.call("link", dnet, helper)
        self.chain.call("grant", helper, dnet)

    def socket_to(self, daemon, source="198.51.100.1"):
        port = self.daemons[daemon].port if daemon != "dnetd" else self.member.socket.getpeername()[1]
        sock = self.namespaces[0].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sockets.append(sock)
        sock.bind((source, 0))
        sock.connect(("198.51.100.2", port))
        return sock

    def answerer(self, name, kind):
        sock, secret = self.socket_to("dnetd"), os.urandom(32)
        helper = self.chain.call(name, "python", spec.curve.pub(secret).hex())
        self.allow(self.id, helper)
        self.chain.call("endpoint", helper, "198.51.100.1", str(sock.getsockname()[1]))
        return spec.Answerer(sock, secret, lib.bech32m_data(helper), kind)

    @staticmethod
    def statement(secret, dnet):
        return spec.make_statement(secret, lib.bech32m_data(dnet), spec.TINC, b"a key", 1700000000)

    def initiator(self, daemon, number=0):
        """Of the key that has the session there, without a socket."""
        if daemon == "dnetd":
            return spec.Initiator(self.secret, self.key, self.raw_id)
        helper = self.daemons[daemon]
        kind = spec.OVC if daemon == "ovcd" else spec.OVR
        return spec.Initiator(self.secrets[number], helper.key, lib.bech32m_data(self.other), kind, helper.raw_id)

    def session(self, name):
        """Between us and a daemon, alive."""
        if name == "member":
            end, connect = self.member, self.member.connect
        elif name in self.answerers:
            end = self.answerers[name]
            connect = end.answer
        else:
            daemon, number = name.split("/")
            if name not in self.members:
                model = self.initiator(daemon, int(number))
                self.members[name] = spec.Member(self.socket_to(daemon), model.secret, model.responder, model.dnet, model.kind,
                                                 model.realm)
            end = self.members[name]
            connect = end.connect
        try:
            assert end.send_key
            end.ping(1)
        except (AssertionError, TimeoutError):
            connect()
            end.ping()
        return end

    def all_refused(self, daemon, sock, messages, what, names=None):
        """Each of them one refusal, of these names."""
        asked, before, sent = self.daemons[daemon], self.daemons[daemon].refusals(), 0
        for at in range(0, len(messages), CHUNK):
            for message in messages[at:at + CHUNK]:
                sock.send(message)
                sent += 1
            end = time.monotonic() + 5 * lib.PATIENCE
            while sum(asked.risen(before).values()) < sent:
                assert time.monotonic() < end, (what, sent, asked.risen(before))
        risen = asked.risen(before)
        assert sum(risen.values()) == sent, (what, sent, risen)
        assert not names or set(risen) <= set(names), (what, risen)


@contextlib.contextmanager
def staged(*udp, **environment):
    """A stage whose daemons have these options for UDP, and this in their environment."""
    made = Stage()
    made.udp = udp
    try:
        with mock.patch.dict(os.environ, environment):
            made.start()
        yield made
    finally:
        made.stop()


def packet6(stage):
    return spec.ip6(stage.ours, stage.theirs, spec.udp(9, 9, b"a packet"), 17)


def key_of(stage, number):
    return spec.curve.pub(stage.secrets[number])
