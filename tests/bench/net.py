"""Speed and size of tunnels between two namespaces, in turn: contrib/bench net.

Run by contrib/bench inside the demo's network, where dnetd of alice and carol are up and have a cable of their own
between them. Each other peer is brought up over the same cable. Rounds go A B C … A B C …; the table has medians,
and ratios to the bare cable and to the best peer. --json has every single figure.
"""

import argparse
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

A, C = "alice", "carol"
TCP_PORT, UDP_PORT = 5201, 5301
WIRE_FRAME = 1514  # bytes: 1500 and the Ethernet header


def die(text):
    print("bench net: " + text, file=sys.stderr)
    sys.exit(1)


class Side:
    """One end: its namespace, its address on the cable, the CPU it is pinned to."""

    def __init__(self, name, address, cpu):
        self.name, self.address, self.cpu = name, address, cpu

    def argv(self, *command):
        pin = ["taskset", "-c", str(self.cpu)] if self.cpu is not None else []
        return ["ip", "netns", "exec", self.name] + pin + [str(c) for c in command]

    def run(self, *command, check=True, stdin=None, timeout=120):
        done = subprocess.run(self.argv(*command), input=stdin, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            die("%s: %s: %s" % (self.name, " ".join(map(str, command)), done.stderr.strip() or done.stdout.strip()))
        return done.stdout

    def start(self, log, *command):
        with open(log, "w", encoding="utf-8") as out:
            return subprocess.Popen(self.argv(*command), stdin=subprocess.DEVNULL, stdout=out, stderr=out)


class Lab:
    def __init__(self, args):
        pin = (0, 1) if args.pin else (None, None)
        self.a, self.c = Side(A, args.cable[0], pin[0]), Side(C, args.cable[1], pin[1])
        self.sides = (self.a, self.c)
        self.here, self.load = args.here, args.udpload
        self.seconds = args.seconds
        self.mtu = 1420
        self.children = []

    def path(self, *parts):
        path = os.path.join(self.here, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def start(self, side, peer, *command):
        child = side.start(self.path("log", "%s-%s" % (peer, side.name)), *command)
        self.children.append(child)
        return child

    def device(self, side, name, address):
        """Waits for a peer's TUN and gives it its address."""
        deadline = time.monotonic() + 10
        while subprocess.run(side.argv("ip", "link", "show", name), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                die("no interface %s at %s:\n%s" % (name, side.name, self.logs()))
            select.select([], [], [], 0.02)
        side.run("ip", "addr", "add", address + "/24", "dev", name, check=False)
        side.run("ip", "link", "set", name, "mtu", self.mtu, "up")

    def logs(self):
        """The last lines of each process's."""
        folder, text = self.path("log", ""), []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                text += ["%s: %s" % (name, line.rstrip()) for line in f.readlines()[-3:]]
        return "\n".join(text)

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


# ------------------------------------------------------------------------------------------ the peers
#
# Each: up(lab) starts both ends; address is carol's through it; pids() are its processes at both ends.

class Peer:
    number = 0

    def __init__(self, name, binary=None):
        Peer.number += 1
        self.name, self.binary, self.number = name, binary, Peer.number
        self.local, self.address = "10.97.%d.1" % self.number, "10.97.%d.2" % self.number
        self.port = 52000 + self.number
        self.processes = []

    def addresses(self, lab):
        return ((lab.a, self.local, lab.c, self.address), (lab.c, self.address, lab.a, self.local))

    def device(self, side):
        return "v%d%s" % (self.number, side.name[0])

    def up(self, lab):
        raise NotImplementedError

    def pids(self):
        """Those that still run, and what they started."""
        found = []
        for child in self.processes:
            found += below(child.pid)
        return found


def below(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as f:
            children = [int(n) for n in f.read().split()]
    except OSError:
        return []
    return [pid] + [n for child in children for n in below(child)]


class Raw(Peer):
    def up(self, lab):
        self.address = lab.c.address


class Dnet(Peer):
    def __init__(self, name, address, pids):
        super().__init__(name)
        self.address, self.given = address, pids

    def up(self, lab):
        pass

    def pids(self):
        return [n for pid in self.given for n in below(pid)]


class WireGuard(Peer):
    def up(self, lab):
        keys = {}
        for side in lab.sides:
            secret = side.run("wg", "genkey").strip()
            keys[side.name] = (secret, side.run("wg", "pubkey", stdin=secret).strip())
        for side, own, other, address in self.addresses(lab):
            device = self.device(side)
            self.processes.append(lab.start(side, self.name, self.binary or "wireguard-go", "-f", device))
            lab.device(side, device, own)
            key = lab.path(self.name, side.name)
            with open(key, "w", encoding="utf-8") as f:
                f.write(keys[side.name][0])
            side.run("wg", "set", device, "listen-port", self.port, "private-key", key, "peer", keys[other.name][1],
                     "allowed-ips", address + "/32", "endpoint", "%s:%d" % (other.address, self.port))


class Tinc(Peer):
    def up(self, lab):
        for side, own, _, _ in self.addresses(lab):
            folder = lab.path(self.name, side.name, "hosts", side.name)
            with open(folder, "w", encoding="utf-8") as f:
                f.write("Address = %s\nPort = %d\nSubnet = %s/32\n" % (side.address, self.port, own))
            folder = os.path.dirname(os.path.dirname(folder))
            with open(os.path.join(folder, "tinc.conf"), "w", encoding="utf-8") as f:
                f.write("Name = %s\nInterface = %s\nDeviceType = tun\nBindToAddress = %s %d\n" %
                        (side.name, self.device(side), side.address, self.port))
                if side is lab.a:
                    f.write("ConnectTo = carol\n")
            side.run("tincd", "-c", folder, "-K2048", stdin="\n\n")
        hosts = [lab.path(self.name, side.name, "hosts", "") for side in lab.sides]
        shutil.copy(hosts[0] + A, hosts[1] + A)
        shutil.copy(hosts[1] + C, hosts[0] + C)
        for side, own, _, _ in self.addresses(lab):
            folder = lab.path(self.name, side.name, "")
            self.processes.append(lab.start(side, self.name, "tincd", "-c", folder, "--pidfile=" + folder + "pid", "-D"))
            lab.device(side, self.device(side), own)


class Fastd(Peer):
    def up(self, lab):
        keys = {}
        for side in lab.sides:
            text = side.run("fastd", "--machine-readable", "--generate-key").strip()
            keys[side.name] = (text, side.run("fastd", "--machine-readable", "--show-key", "--config", "-",
                                              stdin='secret "%s";' % text).strip())
        for side, own, other, _ in self.addresses(lab):
            config = lab.path(self.name, side.name)
            with open(config, "w", encoding="utf-8") as f:
                f.write('mode tun;\ninterface "%s";\nmtu %d;\nmethod "salsa2012+umac";\nbind %s:%d;\nsecret "%s";\n'
                        'peer "%s" { key "%s"; remote %s:%d; }\n' %
                        (self.device(side), lab.mtu, side.address, self.port, keys[side.name][0], other.name,
                         keys[other.name][1], other.address, self.port))
            self.processes.append(lab.start(side, self.name, "fastd", "--config", config))
            lab.device(side, self.device(side), own)


class OpenVpn(Peer):
    """Its static-key mode, the fastest to bring up; the data channel is the one of TLS mode without GCM."""

    def up(self, lab):
        key = lab.path(self.name, "key")
        lab.a.run("openvpn", "--genkey", "secret", key)
        for side, own, other, address in self.addresses(lab):
            self.processes.append(lab.start(
                side, self.name, "openvpn", "--dev", self.device(side), "--dev-type", "tun", "--local", side.address,
                "--remote", other.address, "--port", self.port, "--secret", key, "--cipher", "AES-256-CBC",
                "--ifconfig", own, address, "--tun-mtu", lab.mtu))
            lab.device(side, self.device(side), own)


class Nebula(Peer):
    def up(self, lab):
        folder = lab.path(self.name, "")
        lab.a.run("nebula-cert", "ca", "-name", "bench", "-out-crt", folder + "ca.crt", "-out-key", folder + "ca.key")
        for side, own, other, address in self.addresses(lab):
            lab.a.run("nebula-cert", "sign", "-ca-crt", folder + "ca.crt", "-ca-key", folder + "ca.key", "-name",
                      side.name, "-ip", own + "/24", "-out-crt", folder + side.name + ".crt", "-out-key",
                      folder + side.name + ".key")
            config = {"pki": {"ca": folder + "ca.crt", "cert": folder + side.name + ".crt",
                              "key": folder + side.name + ".key"},
                      "static_host_map": {address: ["%s:%d" % (other.address, self.port)]},
                      "lighthouse": {"am_lighthouse": False},
                      "listen": {"host": side.address, "port": self.port},
                      "tun": {"dev": self.device(side), "mtu": 1300},
                      "firewall": {way: [{"port": "any", "proto": "any", "host": "any"}]
                                   for way in ("inbound", "outbound")}}
            with open(folder + side.name + ".yml", "w", encoding="utf-8") as f:
                json.dump(config, f)
            self.processes.append(lab.start(side, self.name, "nebula", "-config", folder + side.name + ".yml"))
            deadline = time.monotonic() + 10
            while own not in side.run("ip", "addr"):
                if time.monotonic() > deadline:
                    die("nebula at %s makes no interface" % side.name)
                select.select([], [], [], 0.05)


class Yardstick(Peer):
    """A prototype that takes: IFNAME LOCAL PEER PORT KEYFILE CIPHER THREADS."""

    def up(self, lab):
        key = lab.path(self.name, "key")
        with open(key, "wb") as f:
            f.write(os.urandom(32))
        threads = self.name.split("-")[-1]
        for side, own, other, _ in self.addresses(lab):
            self.processes.append(lab.start(side, self.name, self.binary, self.device(side), side.address,
                                            other.address, self.port, key, "mbaes256", threads))
            lab.device(side, self.device(side), own)


KINDS = {"wireguard-go": WireGuard, "tinc": Tinc, "fastd": Fastd, "openvpn": OpenVpn, "nebula": Nebula}
BINARIES = {"wireguard": WireGuard, "yardstick": Yardstick}


# ------------------------------------------------------------------------------------------ the measures

def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


def resident_mb(pids):
    """Of one end: the mean of both, as a user sees it at his machine."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/status" % pid, encoding="utf-8") as f:
                total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024 / 2


def iperf(lab, peer, *options):
    """Gbit/s received, and CPU seconds of the tunnel's processes per gigabyte."""
    before = cpu_seconds(peer.pids())
    text = lab.a.run("iperf3", "-c", peer.address, "-p", TCP_PORT, "-t", lab.seconds, "-O", "1", "-J", *options,
                     check=False, timeout=lab.seconds * 3 + 30)
    used = cpu_seconds(peer.pids()) - before
    try:
        got = json.loads(text)["end"]["sum_received"]
    except (ValueError, KeyError):
        return None, None
    # the second that is left out of the rate is not left out of the CPU time
    moved = got["bits_per_second"] / 8e9 * (lab.seconds + 1)
    return got["bits_per_second"] / 1e9, used / moved if peer.pids() and moved else None


def check_wire(lab):
    """What --wire promises: no frame of several packets was on the cable."""
    for side in lab.sides:
        folder = "/sys/class/net/cable0/statistics/"
        sent, frames = (int(n) for n in side.run("cat", folder + "tx_bytes", folder + "tx_packets").split())
        if sent > frames * WIRE_FRAME:
            die("frames of %d bytes on the cable of %s, in the mean" % (sent / frames, side.name))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def round_trips(lab, peer, count, interval):
    """In microseconds, by ping."""
    text = lab.a.run("ping", "-n", "-i", interval, "-c", count, "-W", "1", peer.address, check=False,
                     timeout=count * interval + 30)
    times = [float(t) * 1000 for t in re.findall(r"time=([0-9.]+) ms", text)][count // 20:]
    return percentile(times, 0.5), percentile(times, 0.99)


def loaded_round_trips(lab, peer):
    with subprocess.Popen(lab.a.argv("iperf3", "-c", peer.address, "-p", TCP_PORT, "-t", lab.seconds + 2, "-J"),
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            select.select([], [], [], 1)  # slow start
            return round_trips(lab, peer, lab.seconds * 200, 0.005)
        finally:
            load.wait()


def packets(lab, peer, size):
    text = lab.a.run(lab.load, "find", peer.address, UDP_PORT, size, check=False, timeout=300).strip()
    return float(text) / 1000 if text.isdigit() else None


def measure(lab, peer, quick):
    """One round of one peer."""
    m = {}
    m["tcp1"], m["cpu"] = iperf(lab, peer)
    if quick:
        return m
    m["tcp1_back"], _ = iperf(lab, peer, "-R")
    m["tcp4"], _ = iperf(lab, peer, "-P", "4")
    m["tcp4_back"], _ = iperf(lab, peer, "-P", "4", "-R")
    m["memory"] = resident_mb(peer.pids()) or None
    m["udp1200"] = packets(lab, peer, 1200)
    m["udp64"] = packets(lab, peer, 64)
    m["rtt50"], m["rtt99"] = round_trips(lab, peer, 1000, 0.002)
    m["load50"], m["load99"] = loaded_round_trips(lab, peer)
    return m


COLUMNS = (  # name, heading, digits, whether more is better
    ("tcp1", "TCP 1 Gbit/s", 2, True), ("tcp1_back", "TCP 1 back", 2, True), ("tcp4", "TCP 4", 2, True),
    ("tcp4_back", "TCP 4 back", 2, True), ("udp1200", "1200 B kpps", 1, True), ("udp64", "64 B kpps", 1, True),
    ("rtt50", "RTT p50 us", 0, False), ("rtt99", "p99 us", 0, False), ("load50", "loaded p50 us", 0, False),
    ("load99", "p99 us", 0, False), ("cpu", "CPU s/GB", 2, False), ("memory", "RSS MB", 1, False),
)


def median_of(rounds, name):
    values = [r[name] for r in rounds if r.get(name) is not None]
    return statistics.median(values) if values else None


def table(title, headings, rows):
    widths = [max(len(str(row[i])) for row in [headings] + rows) for i in range(len(headings))]
    print("\n" + title)
    for row in [headings] + rows:
        print("  ".join(str(cell).ljust(w) if i == 0 else str(cell).rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))))


def report(results, quick):
    columns = [c for c in COLUMNS if not quick or c[0] in ("tcp1", "cpu")]
    medians = {name: {c[0]: median_of(rounds, c[0]) for c in columns} for name, rounds in results.items()}

    def show(value, digits):
        return "-" if value is None else "%.*f" % (digits, value)

    table("medians", ["peer"] + [c[1] for c in columns],
          [[name] + [show(m[c[0]], c[2]) for c in columns] for name, m in medians.items()])
    rows = []
    for name, m in medians.items():
        if name == "dnet":
            continue
        row = [name]
        for key, _, _, more in columns:
            own, other = medians["dnet"][key], m[key]
            ratio = None if not own or not other else own / other if more else other / own
            row.append(show(ratio, 2))
        rows.append(row)
    table("dnet is so many times as good", ["as"] + [c[1] for c in columns], rows)
    return medians


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--here", required=True)
    p.add_argument("--udpload", required=True)
    p.add_argument("--cable", nargs=2, required=True)
    p.add_argument("--dnet-address", required=True)
    p.add_argument("--dnet-pids", required=True)
    p.add_argument("--peers", default="wireguard-go,tinc")
    p.add_argument("--peer-binary", action="append", default=[])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=4)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--pin", action="store_true")
    p.add_argument("--wire", action="store_true")
    p.add_argument("--json")
    args = p.parse_args()
    lab = Lab(args)
    peers = [Raw("raw"), Dnet("dnet", args.dnet_address, [int(n) for n in args.dnet_pids.split(",")])]
    for name in filter(None, args.peers.split(",")):
        if name not in KINDS:
            die("no peer '%s': %s" % (name, ", ".join(KINDS)))
        peers.append(KINDS[name](name))
    for text in args.peer_binary:
        name, _, path = text.partition("=")
        kind = name.split("-")[0]
        if kind not in BINARIES or not os.access(path, os.X_OK):
            die("--peer-binary wants wireguard[-NAME]=PROGRAM or yardstick-t1=PROGRAM, not '%s'" % text)
        peers.append(BINARIES[kind](name if kind != name else name + "-t1" if kind == "yardstick" else name + " (given)",
                                    path))
    results = {peer.name: [] for peer in peers}
    starts = {}
    try:
        for side in lab.sides:
            lab.start(side, "iperf", "iperf3", "-s", "-p", TCP_PORT)
            lab.start(side, "udpload", lab.load, "receive", UDP_PORT)
        for peer in peers:
            begin = time.monotonic()
            peer.up(lab)
            deadline = begin + 30
            while subprocess.run(lab.a.argv("ping", "-qc1", "-W1", "-i0.01", peer.address), capture_output=True,
                                 check=False).returncode:
                if time.monotonic() > deadline:
                    die("%s does not connect:\n%s" % (peer.name, lab.logs()))
            starts[peer.name] = time.monotonic() - begin
        if args.pin:
            for pid in peers[1].pids():
                with open("/proc/%d/cgroup" % pid, encoding="utf-8"):
                    pass
            half = [int(n) for n in args.dnet_pids.split(",")]
            for cpu, pid in enumerate(half):
                for one in below(pid):
                    subprocess.run(["taskset", "-apc", str(cpu), str(one)], capture_output=True, check=False)
        for n in range(args.rounds):
            for peer in peers:
                results[peer.name].append(measure(lab, peer, args.quick))
                last = results[peer.name][-1]
                print("round %d of %d  %-16s %s" % (n + 1, args.rounds, peer.name, "  ".join(
                    "%s %.4g" % (k, v) for k, v in last.items() if v is not None)), flush=True)
        if args.wire:
            check_wire(lab)
    finally:
        lab.stop()
    medians = report(results, args.quick)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"rounds": results, "medians": medians, "start_s": starts}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
