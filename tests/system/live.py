"""A real dnetd in a network namespace, and the outside of it in another, for tests in Python."""

import atexit
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys

import spec_protocol as spec
import spec_records as records
import testlib as lib

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError("%s: %s" % (" ".join(argv), done.stderr))
    return done.stdout


def need_namespaces():
    if os.getuid() or not os.path.exists("/dev/net/tun"):
        print("SKIP: needs root and /dev/net/tun")
        sys.exit(77)
    lib.end_in_order()
    name = "da%d-try" % os.getpid()
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        print("SKIP: cannot make network namespaces")
        sys.exit(77)
    run("ip", "netns", "del", name)


class Namespace:
    def __init__(self, name):
        self.name = "da%d-%s" % (os.getpid(), name)
        atexit.register(self.remove)
        run("ip", "netns", "add", self.name)
        self.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *argv):
        return run("ip", "netns", "exec", self.name, *argv)

    @contextlib.contextmanager
    def inside(self):
        """This thread is in there, and the processes that it starts."""
        with open("/proc/self/ns/net") as here, open("/run/netns/" + self.name) as there:
            assert LIBC.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert LIBC.setns(here.fileno(), CLONE_NEWNET) == 0

    def socket(self, *args):
        """A socket of this process that lives in there."""
        with self.inside():
            return socket.socket(*args)

    def remove(self):
        """With what still runs in it."""
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split()
        for pid in map(int, pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
        atexit.unregister(self.remove)


def join_by_switch(switch, plugged):
    """The namespace is a switch; each of {last: namespace} is joined to it by its eth0, as 198.51.100.last."""
    switch.run("ip", "link", "add", "br0", "type", "bridge")
    switch.run("ip", "link", "set", "br0", "up")
    for last, namespace in plugged.items():
        port = "port%d" % last
        run("ip", "link", "add", "eth0", "netns", namespace.name, "type", "veth", "peer", "name", port, "netns", switch.name)
        switch.run("ip", "link", "set", port, "master", "br0", "up")
        namespace.run("ip", "addr", "add", "198.51.100.%d/24" % last, "dev", "eth0")
        namespace.run("ip", "link", "set", "eth0", "up")


class Chain:
    """chain.db by tests/netns/chaindb.py."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "chain.db")
        self.call("init")

    def call(self, *argv):
        return run(sys.executable, os.path.join(SOURCE, "tests/netns/chaindb.py"), self.path, *argv).strip()


# What counts work; everything else that a daemon counts is a refusal or a trouble.
WORK = ("tun_reads", "tun_read_bytes", "tun_writes", "tun_write_bytes", "udp_reads", "udp_read_datagrams", "udp_read_bytes",
        "udp_sends", "udp_send_bytes", "out_packets", "out_bytes", "in_packets", "in_bytes", "path_changed", "icmp_sent",
        "handshake_initiation_in", "handshake_initiation_out", "handshake_response_in", "handshake_response_out",
        "cookie_received", "register_in", "introduce_in", "introduced", "stun_answered", "lane_open_in", "lane_made",
        "forwarded_datagrams", "forwarded_bytes", "carry_in", "carry_out", "publish_in", "statement_out")


class Daemon:
    """What is asked of each over its control socket. Has a socket (path) and a process."""

    def call(self, method, **params):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.socket)
            s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
            with s.makefile() as lines:
                answer = json.loads(lines.readline())
        assert "error" not in answer, answer
        return answer["result"]

    def try_status(self):
        """None while nobody answers yet."""
        try:
            return self.call("status")
        except (OSError, ValueError):
            assert self.process.alive(), self.process.log()[-3000:]
            return None

    def counters(self):
        return self.call("counters")

    def refusals(self):
        return {n: v for n, v in self.counters().items() if n not in WORK and v}

    def risen(self, before):
        return {n: v - before.get(n, 0) for n, v in self.refusals().items() if v != before.get(n, 0)}

    def stop(self):
        assert self.process.alive(), self.process.log()[-4000:]
        status = self.process.stop()
        assert status == 0, (status, self.process.log()[-4000:])


class Restartable(Daemon):
    """A daemon in a namespace that is stopped and started again, with the chain of a world: its folder and its chainwatch."""

    END = signal.SIGKILL  # it is to stand that

    def __init__(self, world, name, namespace, program, *options):
        self.name, self.namespace, self.options = name, namespace, list(options)
        self.socket = os.path.join(world.folder, name + ".sock")
        self.log = os.path.join(world.folder, name + ".log")
        self.argv = ["ip", "netns", "exec", namespace.name, lib.program(program), "-c", "/dev/null", "--state",
                     os.path.join(world.folder, name), "--control", self.socket, "--chain-db", world.watch.db,
                     "--chainwatch", world.watch.socket, "--confirm", "1"]
        self.process = None

    def start(self):
        self.process = lib.Process(self.argv + self.options, self.log)
        lib.wait_for(self.try_status, self.name + " answers", 10)
        return self

    def stop(self, number=None):
        if self.process:
            process, self.process = self.process, None
            process.stop(number or self.END)


class Helper(Daemon):
    """ovcd or ovrd; kind is ovc or ovr."""

    def __init__(self, kind, folder, namespace, chain, port, *options):
        self.kind, self.port = kind, port
        self.socket = os.path.join(folder, kind + ".sock")
        argv = [lib.program(kind + "d"), "-c", "/dev/null", "--state", os.path.join(folder, kind)]
        self.key = bytes.fromhex(run(*argv, "--show-key").strip())
        self.id = chain.call(kind, "helper", self.key.hex())
        self.raw_id = lib.bech32m_data(self.id)
        argv = ["ip", "netns", "exec", namespace.name, *argv, "--id", self.id, "--port", str(port), "--chain-db", chain.path,
                "--control", self.socket, "--chainwatch", "", "--confirm", "1", *options]
        self.process = lib.Process(argv, os.path.join(folder, kind + "d.log"))
        lib.wait_for(lambda: os.path.exists(self.socket), kind + "d serves", 10)


class Dnetd(Daemon):
    front = []  # what starts it

    def __init__(self, folder, namespace, chain, *options):
        self.socket = os.path.join(folder, "dnetd.sock")
        argv = ["ip", "netns", "exec", namespace.name, *self.front, lib.program("dnetd"), "--state", os.path.join(folder, "state"),
                "--control", self.socket, "--chain-db", chain.path, "--chainwatch", "", *options]
        self.process = lib.Process(argv, os.path.join(folder, "dnetd.log"))
        lib.wait_for(lambda: os.path.exists(self.socket), "dnetd serves", 10)


class World:
    """A real dnetd and a member written in Python, both in the records.

    python ── eth0 198.51.100.1 ══════ 198.51.100.2 eth0 ── dnetd, dnet0 10.77.0.1
    """

    def __init__(self):
        self.folder = lib.Folder()
        self.namespaces, self.dnetd, self.member = [], None, None

    def options(self):
        """More of dnetd's, once member_port and secret are there."""
        return ()

    def start(self):
        folder = self.folder.__enter__()
        for name in ("out", "in"):
            self.namespaces.append(Namespace(name))
        out, inside = self.namespaces
        run("ip", "link", "add", "eth0", "netns", out.name, "type", "veth", "peer", "name", "eth0", "netns",
                 inside.name)
        for namespace, address in ((out, "198.51.100.1/24"), (inside, "198.51.100.2/24")):
            namespace.run("ip", "addr", "add", address, "dev", "eth0")
            namespace.run("ip", "link", "set", "eth0", "up")
        self.chain = Chain(folder)
        self.id = self.chain.call("dnet", "office", "10.77.0.0/24")
        self.raw_id = lib.bech32m_data(self.id)
        sock = self.outside()
        self.secret = os.urandom(32)
        self.member_port = sock.getsockname()[1]
        self.dnetd = Dnetd(folder, inside, self.chain, *self.options())
        self.key = bytes.fromhex(self.dnetd.call("id", dnet=self.id)["key"])
        sock.connect(("198.51.100.2", self.dnetd.call("status")["port"]))
        self.member = spec.Member(sock, self.secret, self.key, self.raw_id)
        self.chain.call("node", self.id, self.key.hex(), "real", "10.77.0.1")
        self.chain.call("node", self.id, self.member.key.hex(), "python", "10.77.0.2")
        self.chain.call("height", "110")
        self.dnetd.call("join", id=self.id)
        lib.wait_for(lambda: self.dnetd.call("status")["dnets"][0].get("peers_total") == 1, "the member is known")
        self.theirs, self.ours = (records.address_of(self.raw_id, k).packed for k in (self.key, self.member.key))

    def outside(self, port=None):
        """A UDP socket in the outside, connected to that port of the inside."""
        sock = self.namespaces[0].socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("198.51.100.1", 0))
        if port:
            sock.connect(("198.51.100.2", port))
        return sock

    def stop(self):
        try:
            if self.member:
                self.member.socket.close()
            if self.dnetd:
                self.dnetd.stop()
        finally:
            for namespace in self.namespaces:
                namespace.remove()
            self.folder.__exit__()
