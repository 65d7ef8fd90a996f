"""An OVC with a host name: the machine's resolver is another one later, and the name leads elsewhere. Bug table: resolver
address cached at the start (yggdrasil-go #1238)."""

import os
import shutil
import socket
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import spec_protocol as spec  # noqa: E402
import testlib as lib  # noqa: E402

live.need_namespaces()
if not os.path.exists("/etc/resolv.conf"):
    print("SKIP: no /etc/resolv.conf for ip-netns(8) to cover")
    sys.exit(77)


class Nameserver(threading.Thread):
    """Has one address for all names, or none for any."""

    def __init__(self, sock, address):
        super().__init__(daemon=True)
        self.socket, self.address, self.asked = sock, address, 0
        self.start()

    def run(self):
        while True:
            question, asker = self.socket.recvfrom(1000)
            self.asked += 1
            end = question.index(b"\0", 12) + 5
            is_a = question[end - 4:end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(self.address) if self.address and is_a else b""
            flags = b"\x81\x80" if self.address else b"\x81\x83"  # RFC 1035, 4.1.1: no such name
            self.socket.sendto(question[:2] + flags + b"\0\1" + (b"\0\1" if answer else b"\0\0") + bytes(4) + question[12:end] + answer,
                               asker)


class Named(live.World):
    """Nameservers and addresses of the OVC are in the outside: 198.51.100.3 knows nobody, .4 and .5 know the OVC."""

    def options(self):
        out, inside = self.namespaces
        for last in range(3, 8):
            out.run("ip", "addr", "add", "198.51.100.%d/24" % last, "dev", "eth0")
        self.servers = [Nameserver(self.bound(out, "198.51.100.%d" % last, 53), address)
                        for last, address in ((3, None), (4, "198.51.100.6"), (5, "198.51.100.7"))]
        # Seen as /etc/resolv.conf by what is started in there (ip-netns(8)).
        self.etc = "/etc/netns/" + inside.name
        os.makedirs(self.etc)
        self.resolver("198.51.100.3")
        return ()

    def bound(self, namespace, address, port=0):
        sock = namespace.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        return sock

    def resolver(self, address):
        with open(self.etc + "/resolv.conf", "w") as f:
            f.write("nameserver %s\noptions timeout:1 attempts:1\n" % address)

    def stop(self):
        try:
            super().stop()
        finally:
            shutil.rmtree(self.etc, ignore_errors=True)
            try:
                os.rmdir("/etc/netns")
            except OSError:
                pass

    def is_called(self, sock, answerer):
        """An initiation has come to this address of the OVC."""
        sock.setblocking(False)
        try:
            return answerer.take_initiation(sock.recv(2000))
        except BlockingIOError:
            return False


@pytest.fixture
def world():
    made = Named()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_resolver_that_changes_is_asked(world):
    out, inside = world.namespaces
    secret = os.urandom(32)
    here, there = (world.bound(out, "198.51.100.%d" % last, 7000) for last in (6, 7))
    ovc = world.chain.call("ovc", "python", spec.curve.pub(secret).hex())
    answerer = spec.Responder(secret, lib.bech32m_data(ovc), spec.OVC)
    world.chain.call("endpoint", ovc, "meet.example", "7000")
    world.chain.call("link", world.id, ovc)
    world.chain.call("grant", ovc, world.id)
    world.chain.call("height", "130")
    lib.wait_for(lambda: "cannot resolve meet.example" in world.dnetd.process.log(), "the name is asked for", 10)
    assert world.servers[0].asked and not world.servers[1].asked
    for number, (server, at) in enumerate(((1, here), (2, there))):
        world.resolver("198.51.100.%d" % (3 + server))
        # A network that changed is a reason to ask at once; without it is asked 10 s later, or after 5 minutes.
        inside.run("ip", "addr", "add", "198.51.100.%d/24" % (20 + number), "dev", "eth0")
        lib.wait_for(lambda: world.is_called(at, answerer), "the OVC is called where it is now", 15)
        assert world.servers[server].asked
    here.close()
    there.close()


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
