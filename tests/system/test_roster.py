"""A policy that the owner publishes holds at both ends, a change takes effect within seconds, and nothing else does.

    a 198.51.100.1 (alice: roster from https) ══╗
    b 198.51.100.2 (bob: roster from a path)  ══╬══ switch
    w 198.51.100.3 (web server)               ══╝
"""

import errno
import hashlib
import http.server
import os
import signal
import socket
import ssl
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import clilib  # noqa: E402
import live  # noqa: E402
import testlib as lib  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors"))
import make_roster  # noqa: E402

lib.need_litecoind()
live.need_namespaces()

SECONDS = 5  # from the block on
INI = """
[dnet]
id = %s
expires = 30d
[policy web]
from = alice
to = bob
allow = tcp/80
"""


class Web:
    """A web server with ETag, If-None-Match and a redirect, over TLS."""

    def __init__(self, folder, sock):
        self.body, self.etag, self.log, self.down = b"", 0, [], False
        cert, key = os.path.join(folder, "web", "cert.pem"), os.path.join(folder, "web", "key.pem")
        os.mkdir(os.path.dirname(cert))
        live.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                 "-subj", "/CN=web", "-addext", "subjectAltName=IP:198.51.100.3")
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                web.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def get_request(self):
                connection, address = self.socket.accept()
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

            def handle_error(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.ca = cert
        self.server = Server(("", 0), Handler, bind_and_activate=False)
        self.server.socket.close()
        self.server.socket = sock
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def put(self, body):
        self.body, self.etag = body, self.etag + 1

    def answer(self, request):
        tag = '"%d"' % self.etag
        if self.down:
            status = 503
        elif request.path == "/old":
            status = 302
        elif request.headers.get("If-None-Match") == tag:
            status = 304
        else:
            status = 200
        self.log.append(status)
        request.send_response(status)
        if status == 302:
            request.send_header("Location", "/roster")
        request.send_header("ETag", tag)
        request.send_header("Content-Length", str(len(self.body) if status == 200 else 0))
        request.end_headers()
        if status == 200:
            request.wfile.write(self.body)

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.socket.close()


class Member(live.Restartable):
    END = signal.SIGTERM

    def __init__(self, world, name, namespace, *options):
        super().__init__(world, name, namespace, "dnetd", "--port", "4242", "--roster-poll", "1s", *options)

    def roster(self):
        return self.call("status")["dnets"][0]["roster"]

    def sequence(self):
        return (self.roster()["in_force"] or {}).get("sequence")

    def epoch(self):
        return self.roster()["in_force"]["psk_epoch"]

    def listen(self, port):
        s = self.namespace.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", port))
        s.listen(8)
        return s


class World:
    def __init__(self, folder):
        self.folder, self.web, self.watch, self.members = folder, None, None, []
        self.namespaces = []
        self.node = lib.Litecoind(os.path.join(folder, "node"))

    def start(self):
        self.node.start()
        self.node.wallet(120)
        self.watch = lib.Chainwatch(self.folder, self.node, poll="100ms")
        self.watch.start()
        self.watch.wait_tip()
        self.tool = clilib.Tool(self.folder, self.node, self.watch)
        self.id = self.tool.write_ok("create", "office")["id"]
        self.networks()
        sock = self.nw.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind(("198.51.100.3", 8443))
        sock.listen(8)
        self.web = Web(self.folder, sock)
        self.file = os.path.join(self.folder, "web", "bob.roster")
        self.start_members()

    def networks(self):
        self.switch, self.na, self.nb, self.nw = self.namespaces = [live.Namespace(n) for n in ("s", "a", "b", "w")]
        live.join_by_switch(self.switch, {1: self.na, 2: self.nb, 3: self.nw})

    def start_members(self):
        self.a = Member(self, "alice", self.na, "--roster", self.id + " https://198.51.100.3:8443/old", "--roster-ca", self.web.ca)
        self.b = Member(self, "bob", self.nb, "--roster", self.id + " " + self.file)
        # as many as there may be
        for i in range(63):
            folder = os.path.join(self.folder, "r%d" % i)
            os.mkdir(folder)
            self.b.options += ["--roster", self.id + " " + folder + "/none"]
        self.members = [self.a, self.b]
        for member in self.members:
            member.start()
            member.key = member.call("id", dnet=self.id)["key"]
            member.ipv6 = member.call("id", dnet=self.id)["ipv6"]
        self.a.stop()
        self.a.options += ["--peer-endpoint", self.b.key + " 198.51.100.2:4242"]
        self.a.start()
        self.tool.write_ok("node", "add", self.id, self.a.key + "=alice", self.b.key + "=bob")
        self.mine()
        for member in self.members:
            member.call("join", id=self.id)
        lib.wait_for(lambda: all(m.call("status")["dnets"][0]["state"] == "up" for m in self.members), "both are up")
        self.wait_reaches(self.a, self.b, 81, "without a policy members may talk to members")

    def mine(self):
        self.node.mine()
        self.watch.wait_tip()

    def reaches(self, src, dst, port):
        """A TCP connection with an answer on it."""
        listener = dst.listen(port)
        out = src.namespace.socket(socket.AF_INET6, socket.SOCK_STREAM)
        try:
            listener.settimeout(1)
            out.settimeout(1)
            try:
                out.connect((dst.ipv6, port))
            except OSError as e:
                assert isinstance(e, socket.timeout) or e.errno in (errno.EACCES, errno.EHOSTUNREACH, errno.ECONNREFUSED,
                                                                   errno.ENETUNREACH), e
                return False
            there, _ = listener.accept()
            with there:
                there.settimeout(5)
                out.settimeout(5)
                out.sendall(b"ask")
                assert there.recv(3) == b"ask"
                there.sendall(b"answer")
                assert out.recv(6) == b"answer"
            return True
        finally:
            out.close()
            listener.close()

    def wait_reaches(self, src, dst, port, what):
        lib.wait_for(lambda: self.reaches(src, dst, port), what, 20)

    def publish(self, ini, *options, serve=True):
        path, out = os.path.join(self.folder, "policy.ini"), os.path.join(self.folder, "out.roster")
        with open(path, "w") as f:
            f.write(ini)
        self.tool.write_ok("policy", "publish", path, "--out", out, *options)
        with open(out, "rb") as f:
            made = f.read()
        if serve:
            self.serve(made)
        return made

    def serve(self, file):
        self.web.put(file)
        with open(self.file + ".new", "wb") as f:
            f.write(file)
        os.rename(self.file + ".new", self.file)

    def in_force(self, sequence, seconds=SECONDS):
        lib.wait_for(lambda: self.a.sequence() == self.b.sequence() == sequence,
                     "sequence %d is in force at both: %s" % (sequence, [m.roster() for m in self.members]), seconds)

    def stop(self):
        for member in self.members:
            member.stop()
        for namespace in self.namespaces:
            namespace.remove()
        if self.web:
            self.web.stop()
        if self.watch:
            self.watch.stop()
        self.node.stop()


@pytest.fixture(scope="module")
def world():
    with lib.started(World) as made:
        yield made


def test_a_policy_holds_at_both_ends_in_one_direction(world):
    file = world.publish(INI % world.id)
    world.mine()
    world.in_force(1)
    assert world.reaches(world.a, world.b, 80)
    for src, dst, port in ((world.a, world.b, 81), (world.b, world.a, 80)):
        before = src.call("counters")["out_policy"]
        assert not world.reaches(src, dst, port)
        assert src.call("counters")["out_policy"] > before
    why = world.a.call("why", src="alice", dst="bob", protocol="tcp", port=80)
    assert why["allowed"] and why["explanation"] == "web"
    assert not world.a.call("why", src="alice", dst="bob", protocol="tcp", port=81)["allowed"]
    assert file.startswith(b"dnetrost\1\0") and 302 in world.web.log
    # nothing newer: the server is asked by the tag, and says so
    count = len(world.web.log)
    lib.wait_for(lambda: 304 in world.web.log[count:], "a conditional answer", 10)


def test_a_change_takes_effect_within_seconds_and_who_does_not_get_it_is_checked_by_the_other_end(world):
    old = world.web.body
    world.publish((INI % world.id).replace("tcp/80", "tcp/81"), "--encrypt")
    world.web.put(old)  # alice is served what was before
    world.mine()
    lib.wait_for(lambda: world.b.sequence() == 2, "bob has it: %s" % world.b.roster(), SECONDS)
    assert world.a.sequence() == 1
    lib.wait_for(lambda: world.a.roster()["counters"]["replay"], "the old file is refused as a replay", 10)
    assert "below the one that the chain anchors" in world.a.roster()["error"]
    before = world.b.call("counters")["in_policy"]
    assert not world.reaches(world.a, world.b, 80)  # alice may by what she has
    assert world.b.call("counters")["in_policy"] > before
    with open(world.file, "rb") as f:
        world.web.put(f.read())
    assert world.web.body.startswith(b"dnetrost\1\1") and b"web" not in world.web.body
    world.in_force(2)
    assert world.reaches(world.a, world.b, 81)
    assert not world.reaches(world.a, world.b, 80)
    assert world.a.roster()["error"] is None


def refused(world, member, file, counter, words):
    good = world.web.body
    before = member.roster()["counters"][counter]
    world.serve(file)
    lib.wait_for(lambda: member.roster()["counters"][counter] > before, "%s is counted: %s" % (counter, member.roster()), 10)
    assert words in (member.roster()["error"] or ""), member.roster()
    assert member.sequence() == 2 and world.reaches(world.a, world.b, 81)
    world.serve(good)
    lib.wait_for(lambda: member.roster()["error"] is None, "all is well again", 10)


def test_what_is_not_anchored_is_refused_and_named(world):
    good = world.web.body
    for member in (world.a, world.b):
        refused(world, member, good[:100], "malformed", "no roster, or damaged")
        refused(world, member, good[:-1] + bytes([good[-1] ^ 1]), "malformed", "no roster, or damaged")
    # of the same owner, for another dnet
    other = world.tool.write_ok("create", "other")["id"]
    wrong = world.publish(INI.replace("from = alice\nto = bob", "from = all\nto = all") % other, serve=False)
    refused(world, world.a, wrong, "wrong_dnet", "another dnet")
    # signed by somebody else
    stranger = hashlib.sha256(b"a stranger").digest()
    body = make_roster.body(make_roster.header(sequence=2, dnet=lib.bech32m_data(world.id), issued=1, expires=0))
    refused(world, world.b, make_roster.plain_file(body, stranger), "signature", "did not sign it")


def test_the_owners_two_of_one_sequence_are_a_fork(world):
    """The keystore's memory is taken away, so the tool makes sequence 3 twice."""
    memory = [n for n in os.listdir(world.tool.folder) if n.startswith("keystore.") and n.endswith(".roster")]
    saved = {n: open(os.path.join(world.tool.folder, n), "rb").read() for n in memory}
    one = world.publish((INI % world.id).replace("tcp/80", "tcp/82"), serve=False)
    for name, data in saved.items():
        with open(os.path.join(world.tool.folder, name), "wb") as f:
            f.write(data)
    path = os.path.join(world.folder, "two.ini")
    with open(path, "w") as f:
        f.write((INI % world.id).replace("tcp/80", "all"))
    # the second record is refused by the chain; its file is there all the same
    world.tool.run("--yes", "policy", "publish", path, "--out", os.path.join(world.folder, "two.roster"))
    with open(os.path.join(world.folder, "two.roster"), "rb") as f:
        two = f.read()
    assert one != two
    world.serve(two)
    lib.wait_for(lambda: world.a.roster()["counters"]["early"], "early: no block has its record", 10)
    assert world.a.sequence() == 2
    world.mine()
    lib.wait_for(lambda: world.a.roster()["counters"]["fork"] and world.b.roster()["counters"]["fork"],
                 "a fork is seen: %s" % world.a.roster(), 10)
    assert "another one of the same sequence" in world.a.roster()["error"]
    assert world.a.sequence() == 2 and not world.reaches(world.a, world.b, 83)
    world.serve(one)
    world.in_force(3)
    assert world.reaches(world.a, world.b, 82)


def test_the_last_good_one_outlives_a_kill_without_any_server(world):
    world.web.down = True
    os.rename(world.file, world.file + ".away")
    for member in world.members:
        member.stop(signal.SIGKILL)
    for member in world.members:
        member.start()
    lib.wait_for(lambda: all(m.call("status")["dnets"][0]["state"] == "up" for m in world.members), "both are up")
    world.in_force(3)
    world.wait_reaches(world.a, world.b, 82, "the policy is that of before")
    assert not world.reaches(world.a, world.b, 81) and not world.reaches(world.b, world.a, 82)
    lib.wait_for(lambda: world.a.roster()["counters"]["failed"], "the failure is counted", 10)
    # one that never had a roster lets nobody talk
    world.b.stop()
    world.b.options[world.b.options.index("--roster") + 1] = world.id + " /nowhere/roster"
    state = os.path.join(world.folder, "bob")
    for name in os.listdir(state):
        if name.startswith("roster-"):
            os.unlink(os.path.join(state, name))
    world.b.start()
    lib.wait_for(lambda: "cannot read /nowhere/roster" in (world.b.roster()["error"] or ""), "why is said", 10)
    assert "members may not talk" in world.b.roster()["error"]
    assert not world.reaches(world.a, world.b, 82)
    world.web.down = False


def test_who_has_the_link_asks_and_is_let_in(world):
    """carol, on the machine of the web server, with nothing configured but the web server's authority."""
    carol = Member(world, "carol", world.nw, "--roster-ca", world.web.ca)
    world.members.append(carol)
    carol.start()
    tool = world.tool

    def ask(*argv):
        return tool.ok("--socket", carol.socket, *argv)

    link = tool.ok("invite", world.id, "--roster", "https://198.51.100.3:8443/roster")["link"]
    assert link.startswith("dnet:%s?chain=litecoin-regtest&h=" % world.id)
    assert link.endswith("&roster=https://198.51.100.3:8443/roster")
    code = tool.run("invite", world.id, "--qr")
    assert code.returncode == 0 and code.stdout.count("\u2588") > 100 or "without libqrencode" in code.stderr
    request = ask("request", world.id, "--name", "carol")["request"]
    assert request.startswith("dnet-request:") and "\n" not in request
    shown = tool.ok("requests", request)[0]
    assert (shown["name"], shown["state"], shown["key"]) == ("carol", "new", carol.call("id", dnet=world.id)["key"])
    # another name, or another's key, is not what carol signed
    other = request[:100] + ("A" if request[100] != "A" else "B") + request[101:]
    assert tool.run("requests", other).returncode in (clilib.USAGE, clilib.DENIED)
    assert "not a request" in tool.fails(clilib.USAGE, "approve", request[:-2])["message"]
    tool.fails(clilib.USAGE, "--socket", carol.socket, "join", link + "&h=2", words="h is in it twice")
    tool.fails(clilib.USAGE, "--socket", carol.socket, "join", link.replace("litecoin-regtest", "bitcoin"), words="of chain bitcoin")
    assert tool.ok("--yes", "deny", request)["sent"] is False
    # which is remembered, and can be taken back
    assert tool.ok("requests", request)[0]["state"] == "denied"
    assert "--forget" in tool.fails(clilib.DENIED, "--yes", "approve", request, words="was denied")["next"]
    tool.ok("deny", "--forget", request)
    assert tool.ok("requests", request)[0]["state"] == "new"
    # what is neither a request nor a file is not repeated at full length
    assert len(tool.fails(clilib.USAGE, "requests", "x" * 2000)["message"]) < 200
    tool.write_ok("approve", request)
    world.mine()
    ask("join", link + "&later=1")
    lib.wait_for(lambda: carol.sequence() == 3, "carol has the roster from the link: %s" % carol.roster(), 10)
    assert tool.ok("requests", request)[0]["state"] == "member"
    tool.write_ok("deny", request)
    lib.wait_for(lambda: carol.call("status")["dnets"][0]["state"].startswith("waiting"), "carol is out at once", 10)
    world.mine()
    assert tool.ok("requests", request)[0]["state"] == "denied"


def test_members_have_a_psk_that_who_is_late_still_talks_without(world):
    ini = INI % world.id
    argv = [os.path.join(world.folder, "policy.ini"), "--out", os.path.join(world.folder, "out.roster")]
    assert "--encrypt" in world.tool.fails(clilib.USAGE, "--yes", "policy", "publish", *argv, "--new-psk")["next"]
    world.b.stop()
    world.b.options[world.b.options.index("--roster") + 1] = world.id + " " + world.file
    world.b.start()
    world.publish(ini)
    world.mine()
    world.in_force(4)
    old = world.web.body
    world.publish(ini, "--encrypt", "--new-psk")
    world.web.put(old)
    world.mine()
    lib.wait_for(lambda: world.b.sequence() == 5, "bob has it: %s" % world.b.roster(), SECONDS)
    meet_anew(world)  # alice has no PSK yet
    assert (world.a.sequence(), world.a.epoch(), world.b.epoch()) == (4, 0, 5)
    with open(world.file, "rb") as f:
        world.web.put(f.read())
    world.in_force(5)
    meet_anew(world)
    assert world.a.epoch() == world.b.epoch() == 5
    psk = last_psk(world)
    for member in (world.a, world.b):
        lib.protected(lib.Memory(member.call("status")["pid"]), "the PSK", psk)
    # it stays until there is another one
    assert "--encrypt" in world.tool.fails(clilib.USAGE, "--yes", "policy", "publish", *argv)["next"]
    world.publish(ini, "--encrypt")
    world.mine()
    world.in_force(6)
    assert world.a.epoch() == world.b.epoch() == 5


def last_psk(world):
    """Of the policy that was published last (doc/roster.md, 2)."""
    raw = lib.bech32m_data(world.id).hex()
    with open(os.path.join(world.tool.folder, "keystore.%s.roster" % raw), "rb") as f:
        body = f.read()
    assert body[72:76] == (5).to_bytes(4, "little")
    return body[84:116]


def meet_anew(world):
    """By new handshakes, of either end."""
    for member in (world.a, world.b):
        member.stop()
        member.start()
        world.wait_reaches(world.a, world.b, 80, "%s began anew" % member.name)
