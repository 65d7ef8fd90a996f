"""Speed of the relay, beside coturn and a loop that only forwards, in turn: contrib/bench relay.

Run by contrib/bench inside the demo's network, with cables past its NAT and bridge: alice to carol, and each to the
relay. Bulk goes from a socket at alice through a relay to a socket at carol; two members of the dnet that are in no
dnetd have the sessions and the lane, as doc/protocol.md says (tests/system/spec_protocol.py). What counts is the CPU
time of the relay's process for each datagram that arrives. Then the tunnel of dnetd, straight and through ovrd.
"""

import argparse
import ctypes
import functools
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../system"))
import spec_protocol as spec  # noqa: E402
import testlib  # noqa: E402
from net import cpu_seconds, iperf  # noqa: E402
from net_peers import A, C, TCP_PORT, Dnet, Lab, Side  # noqa: E402
from net_report import median_of, titled  # noqa: E402

RELAY = "ovr"
RELAY_ADDRESS, OVR_PORT, TURN_PORT, FLOOR_PORT = "198.51.100.20", 4242, 3478, 3479
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
LOADS = (  # name, bytes of a datagram, datagrams a send, on their way at most
    ("bulk of 1400", 1400, 44, 264),
    ("bulk of 1200", 1200, 44, 264),
    ("bulk of 200", 200, 44, 264),
    ("singles of 1200", 1200, 1, 256),
    ("one at a time", 1200, 1, 1),
)


def die(text):
    print("bench relay: " + text, file=sys.stderr)
    sys.exit(1)


def socket_in(namespace, address=None):
    """A UDP socket of this process that lives in there, bound to address."""
    with open("/proc/self/ns/net", encoding="utf-8") as here, open("/run/netns/" + namespace, encoding="utf-8") as there:
        if LIBC.setns(there.fileno(), CLONE_NEWNET):
            die("%s: %s" % (namespace, os.strerror(ctypes.get_errno())))
        try:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        finally:
            LIBC.setns(here.fileno(), CLONE_NEWNET)
    sock.bind(address or ("0.0.0.0", 0))
    return sock


def waits(seconds, fact, what):
    """fact() as soon as it is true."""
    end = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            die(what)
        select.select([], [], [], 0.05)


# ------------------------------------------------------------------------------------------ the relays
#
# Each: up() makes the sockets at alice and carol and what is between them; send and receive are theirs, header and
# expected what a datagram begins with there and here.

class Ovrd:
    name = "ovrd"

    def __init__(self, args, lab):
        self.pid, self.dnet, self.realm = args.ovrd_pid, testlib.bech32m_data(args.dnet), testlib.bech32m_data(args.ovr)
        self.key = bytes.fromhex(args.ovr_key)
        with open(args.keys, encoding="utf-8") as f:
            self.secrets = [bytes.fromhex(line) for line in f.read().split()]
        self.members = []

    def connect(self, namespace, secret):
        sock = socket_in(namespace)
        sock.connect((RELAY_ADDRESS, OVR_PORT))
        return spec.Member(sock, secret, self.key, self.dnet, spec.OVR, self.realm)

    @staticmethod
    def session(member):
        """A new one; False: no answer, as to a member whose record is not known there yet."""
        try:
            member.connect()
            member.ping()
        except TimeoutError:
            return False
        return True

    def lane(self):
        """The two ids, or None: refused so far."""
        first, second = self.members
        second.frames.clear()
        answer = first.ask(bytes([spec.LANE_OPEN]) + second.key, spec.LANE_GIVEN, spec.LANE_REFUSED)
        if answer[0] == spec.LANE_REFUSED:
            return None
        other = second.until(lambda: next((f for f in second.frames if f[0] == spec.LANE_GIVEN), None))
        return answer[34:42], other[34:42]

    def up(self):
        if not self.members:
            self.members = [self.connect(ns, secret) for ns, secret in zip((A, C), self.secrets)]
            self.send, self.receive = (m.socket for m in self.members)
        # The sessions of the last run may be old.
        for member in self.members:
            waits(15, functools.partial(self.session, member), "ovrd does not know a member")
        lanes = waits(10, self.lane, "ovrd gives no lane")
        self.header, self.expected = (bytes([spec.LANE, 0, 0, 0]) + lane for lane in lanes)

    def datagram(self, size):
        return self.header


class Coturn:
    """Channel data, its fastest way (RFC 8656, 12)."""

    name = "coturn"
    COOKIE = 0x2112A442

    def __init__(self, args, lab):
        self.process = lab.start(lab.relay, "coturn", "turnserver", "-n", "--no-auth", "--no-cli", "--no-tls", "--no-dtls",
                                 "--no-tcp", "--listening-ip", RELAY_ADDRESS, "--relay-ip", RELAY_ADDRESS,
                                 "--listening-port", TURN_PORT, "--log-file", "stdout", "--simple-log",
                                 "--pidfile", lab.path("turnserver.pid"), "--db", lab.path("turnserver.db"))
        self.pid = self.process.pid
        self.send = self.receive = None

    def ask(self, method, *attributes):
        """The attributes of the answer, None: none came, or an error."""
        body = b"".join(struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes)
        message = struct.pack(">HHL", method, len(body), self.COOKIE) + os.urandom(12) + body
        self.send.settimeout(0.5)
        try:
            self.send.send(message)
            answer = self.send.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            return None
        if struct.unpack(">H", answer[:2])[0] != method | 0x100 or answer[4:20] != message[4:20]:
            return None
        found, at = {}, 20
        while at < len(answer):
            kind, size = struct.unpack(">HH", answer[at:at + 4])
            found[kind] = answer[at + 4:at + 4 + size]
            at += 4 + (size + 3) // 4 * 4
        return found

    def xor(self, address, port):
        return struct.pack(">BBHL", 0, 1, port ^ (self.COOKIE >> 16),
                           struct.unpack(">L", socket.inet_aton(address))[0] ^ self.COOKIE)

    def up(self):
        if self.send is None:
            self.send, self.receive = socket_in(A), socket_in(C)
            self.send.connect((RELAY_ADDRESS, TURN_PORT))
            given = waits(10, lambda: self.ask(0x0003, (0x0019, bytes([17, 0, 0, 0]))), "coturn gives no address")
            port = struct.unpack(">H", given[0x0016][2:4])[0] ^ (self.COOKIE >> 16)
            self.receive.connect((RELAY_ADDRESS, port))
        peer = self.xor(*self.receive.getsockname())
        if self.ask(0x0009, (0x000C, bytes([0x40, 0, 0, 0])), (0x0012, peer)) is None:
            die("coturn binds no channel")

    def datagram(self, size):
        return struct.pack(">HH", 0x4000, size - 4)

    expected = b""


class Floor:
    """A process that forwards and looks at nothing: what the kernel costs."""

    name = "floor"
    header = expected = b"floor"

    def __init__(self, args, lab):
        self.send, self.receive, middle = socket_in(A), socket_in(C), socket_in(RELAY, (RELAY_ADDRESS, FLOOR_PORT))
        for sock in (self.send, self.receive):
            sock.connect((RELAY_ADDRESS, FLOOR_PORT))
        middle.set_inheritable(True)
        address, port = self.receive.getsockname()
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([lab.load, "floor", str(middle.fileno()), address, str(port)], close_fds=False)
        lab.children.append(self.process)
        self.pid = self.process.pid

    def up(self):
        pass

    def datagram(self, size):
        return self.header


def forward(lab, relay, size, burst, window):
    """One run of one relay."""
    relay.up()
    for sock in (relay.send, relay.receive):
        sock.set_inheritable(True)
        sock.settimeout(None)
    before = cpu_seconds([relay.pid])
    done = subprocess.run([lab.load, "load", str(relay.send.fileno()), str(relay.receive.fileno()),
                           relay.datagram(size).hex(), relay.expected.hex(), str(size), str(burst), str(window),
                           str(lab.seconds)], close_fds=False, capture_output=True, text=True, check=False)
    if done.returncode:
        die("relayload: " + done.stderr)
    used = cpu_seconds([relay.pid]) - before
    sent, arrived, lost, others, took = (float(n) for n in done.stdout.split())
    return {"us": used * 1e6 / max(arrived, 1), "kpps": arrived / took / 1000, "loss": lost / max(sent, 1),
            "others": others, "busy": used / took}


# ------------------------------------------------------------------------------------------ the tunnel

class Tunnel(Dnet):
    """Of alice's and carol's dnetd: straight over the cable, or with that closed through ovrd."""

    def __init__(self, name, args, lab):
        super().__init__(name, args.dnet_address, dict(zip((A, C, RELAY), args.dnet_pids + [args.ovrd_pid])))
        self.relayed, self.args, self.lab = name != "direct", args, lab

    def takes(self):
        path = "relay" if self.relayed else "direct"
        for side in self.lab.sides:
            peers = json.loads(side.run("dnet", "--socket", os.path.join(self.args.here, side.name, "dnetd.sock"),
                                        "peers", "--json"))
            if not any(p["path"] == path for p in peers if p["name"] in (A, C)):
                return False
        return True

    def choose(self):
        rules = "flush ruleset\n"
        if self.relayed:
            rules += """
                table inet bench {
                    chain out {
                        type filter hook output priority filter
                        oifname "cable0" meta l4proto udp drop
                    }
                }
                """
        self.lab.a.run("nft", "-f", "-", stdin=rules)
        waits(40, self.takes, "dnetd does not take the path: " + self.name)


def through(lab, tunnel, *options):
    rate, cost = iperf(lab, tunnel, lab.seconds, *options)
    if not rate:
        die("iperf3 through the tunnel (%s)" % tunnel.name)
    return {"gbit": rate, "cpu": cost}


# ------------------------------------------------------------------------------------------ the report

def medians_of(results):
    return {name: {key: median_of(rounds, key) for key in rounds[0]} for name, rounds in results.items()}


def show_forwarding(results):
    for load, found in results.items():
        medians = medians_of(found)
        own = medians["ovrd"]
        titled("%s: medians" % load, ["relay", "CPU us", "kpps", "lost %", "CPU %", "ovrd CPU x", "ovrd pps x"],
               [[name, "%.3f" % m["us"], "%.1f" % m["kpps"], "%.2f" % (m["loss"] * 100), "%.0f" % (m["busy"] * 100),
                 "%.2f" % (m["us"] / own["us"]) if own["us"] else "-", "%.2f" % (own["kpps"] / m["kpps"])]
                for name, m in medians.items()])


def show_tunnel(results):
    medians = medians_of(results)
    direct = medians["direct"]
    titled("tunnel: medians", ["path", "TCP Gbit/s", "CPU s/GB", "of direct %"],
           [[name, "%.2f" % m["gbit"], "%.2f" % m["cpu"], "%.0f" % (100 * m["gbit"] / direct["gbit"])]
            for name, m in medians.items()])


def measure_forwarding(args, lab):
    relays = [kind(args, lab) for kind in (Ovrd, Coturn, Floor)]
    results = {load[0]: {relay.name: [] for relay in relays} for load in LOADS if args.load in load[0]}
    for n in range(args.rounds):
        for name, *load in LOADS:
            for relay in relays if name in results else ():
                last = forward(lab, relay, *load)
                results[name][relay.name].append(last)
                print("round %d of %d  %-16s %-7s %s" % (n + 1, args.rounds, name, relay.name, "  ".join(
                    "%s %.4g" % item for item in last.items())), flush=True)
    show_forwarding(results)
    return results


def measure_tunnel(args, lab):
    tunnels = [Tunnel(name, args, lab) for name in ("direct", "relayed")]
    lab.start(lab.c, "iperf", "iperf3", "-s", "-p", TCP_PORT)
    results = {tunnel.name: [] for tunnel in tunnels}
    for n in range(args.rounds):
        for tunnel in tunnels:
            tunnel.choose()
            last = through(lab, tunnel)
            results[tunnel.name].append(last)
            print("round %d of %d  tunnel %-8s %s" % (n + 1, args.rounds, tunnel.name, "  ".join(
                "%s %.4g" % item for item in last.items())), flush=True)
    show_tunnel(results)
    return results


def make_keys(path):
    """Secrets of two members into the file; prints their public keys."""
    secrets = [os.urandom(32) for _ in range(2)]
    with open(path, "w", encoding="utf-8") as f:
        f.write("".join(secret.hex() + "\n" for secret in secrets))
    print(*(spec.curve.pub(secret).hex() for secret in secrets))


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "keys":
        make_keys(sys.argv[2])
        return
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("here", "load-tool", "keys", "dnet", "ovr", "ovr-key", "dnet-address"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--cable", nargs=2, required=True)
    p.add_argument("--dnet-pids", type=int, nargs=2, required=True)
    p.add_argument("--ovrd-pid", type=int, required=True)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=2)
    p.add_argument("--load", default="")
    p.add_argument("--only", choices=("lanes", "tunnel"))
    p.add_argument("--pin", action="store_true")
    p.add_argument("--wire", action="store_true")
    p.add_argument("--json")
    args = p.parse_args()
    lab = Lab(args.here, args.load_tool, args.cable, args.pin)
    lab.relay, lab.seconds = Side(RELAY, RELAY_ADDRESS, None), args.seconds
    results = {}
    try:
        if args.only != "tunnel":
            results["forwarding"] = measure_forwarding(args, lab)
        if args.only != "lanes":
            results["tunnel"] = measure_tunnel(args, lab)
    finally:
        lab.stop()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
