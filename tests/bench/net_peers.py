"""The two ends of contrib/bench net, and who can carry packets between them."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

A, C = "alice", "carol"
TCP_PORT, UDP_PORT = 5201, 5301
CONNECT_S = 30  # nobody needs longer to connect, or is left out


class LeftOut(Exception):
    """A peer cannot be measured; says why."""


def die(text):
    print("bench net: " + text, file=sys.stderr)
    sys.exit(1)


def pause(seconds):
    select.select([], [], [], seconds)


def below(pid):
    """The process and what it started."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as f:
            children = [int(n) for n in f.read().split()]
    except OSError:
        return []
    return [pid] + [n for child in children for n in below(child)]


class Side:
    """One end: its namespace, its address on the cable, the CPU it is pinned to."""

    def __init__(self, name, address, cpu):
        self.name, self.address, self.cpu = name, address, cpu

    def argv(self, *command):
        pin = ["taskset", "-c", str(self.cpu)] if self.cpu is not None else []
        return ["ip", "netns", "exec", self.name] + pin + [str(c) for c in command]

    def run(self, *command, check=True, stdin=None, timeout=120):
        done = subprocess.run(self.argv(*command), input=stdin, capture_output=True, text=True, timeout=timeout,
                              check=False)
        if check and done.returncode:
            raise LeftOut("%s: %s: %s" % (self.name, " ".join(map(str, command)),
                                          done.stderr.strip() or done.stdout.strip()))
        return done.stdout

    def start(self, log, *command):
        with open(log, "w", encoding="utf-8") as out:
            return subprocess.Popen(self.argv(*command), stdin=subprocess.DEVNULL, stdout=out, stderr=out)


class Lab:
    mtu = 1420

    def __init__(self, here, load, cable, pin):
        cpus = (0, 1) if pin else (None, None)
        self.a, self.c = Side(A, cable[0], cpus[0]), Side(C, cable[1], cpus[1])
        self.sides = (self.a, self.c)
        self.here, self.load = here, load
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
        script = ("n=0; until ip link set %s mtu %d up 2>/dev/null; do n=$((n + 1)); [ $n -lt 2000 ] || exit 1;"
                  " sleep 0.002; done; ip addr replace %s/24 dev %s" % (name, self.mtu, address, name))
        side.run("sh", "-c", script)

    def logs(self, peer):
        """The last line of each process of a peer."""
        folder, text = self.path("log", ""), []
        for name in sorted(os.listdir(folder)):
            if name.startswith(peer + "-"):
                with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
                    text += f.readlines()[-1:]
        return " / ".join(line.strip() for line in text)

    def end(self, children):
        for child in children:
            child.send_signal(signal.SIGTERM)
        for child in children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def stop(self):
        self.end([child for child in self.children if child.poll() is None])


class Peer:
    """Whoever carries packets: address is carol's through it. A row of KINDS says how each comes up."""

    number = 0
    program = package = None
    calm_s = 0.02  # between the questions whether it carries packets yet
    restarts_both = False  # where one end does not go on with a new process at the other

    def __init__(self, name, binary=None):
        Peer.number += 1
        self.name, self.binary, self.number = name, binary or self.program, Peer.number
        self.local, self.address = "10.97.%d.1" % self.number, "10.97.%d.2" % self.number
        self.port = 52000 + self.number
        self.processes = {}

    def missing(self):
        """Why it cannot be tried on this machine; None: it can."""
        if not self.binary or shutil.which(self.binary):
            return None
        return "no %s (Debian: apt-get install %s)" % (self.binary, self.package)

    def ends(self, lab, side):
        """Own inner address, the other side, its inner address."""
        return (self.local, lab.c, self.address) if side is lab.a else (self.address, lab.a, self.local)

    def device(self, side):
        return "v%d%s" % (self.number, side.name[0])

    def prepare(self, lab):
        """Keys and configurations, before anything runs."""

    def run(self, lab, side, *command):
        self.processes[side.name] = lab.start(side, self.name, *command)

    def start(self, lab, side):
        raise NotImplementedError

    def end(self, lab, side):
        lab.end([self.processes.pop(side.name)])

    def settled(self, lab):
        """Whether it carries packets as it will go on doing."""
        return lab.a.run("ping", "-qc1", "-W1", "-i0.01", self.address, check=False).find(" 0% packet loss") > 0

    def settle(self, lab):
        deadline = time.monotonic() + CONNECT_S
        pause(self.calm_s)
        while not self.settled(lab):
            if time.monotonic() > deadline:
                raise LeftOut("does not connect; its logs end with: " + lab.logs(self.name))
            pause(self.calm_s)

    def up(self, lab):
        self.prepare(lab)
        for side in (lab.c, lab.a):
            self.start(lab, side)
        self.settle(lab)

    def restart(self, lab):
        """In ms: from the start of alice's program, carol's being up, to the first answer; None: not to be had."""
        self.end(lab, lab.a)
        if self.restarts_both:
            self.end(lab, lab.c)
            self.start(lab, lab.c)
        asker = subprocess.Popen(lab.a.argv(lab.load, "first", self.address, UDP_PORT, CONNECT_S * 1000),
                                 stdout=subprocess.PIPE, text=True)
        asker.stdout.readline()  # it asks
        begin = time.monotonic_ns()
        self.start(lab, lab.a)
        answered, _ = asker.communicate()
        self.settle(lab)
        return (int(answered) - begin) / 1e6 if answered else None

    def pids(self):
        """Those that still run, and what they started."""
        return [n for child in self.processes.values() for n in below(child.pid)]


class Raw(Peer):
    """The cable itself."""

    def up(self, lab):
        self.address = lab.c.address

    def restart(self, lab):
        return None


class Dnet(Peer):
    """dnetd of the demo's members. Its configuration and state are those that the demo made."""

    program = "dnetd"

    def __init__(self, name, address, given):
        super().__init__(name)
        self.address, self.given = address, given

    def up(self, lab):
        for side in lab.sides:
            for pid in below(self.given[side.name]) if side.cpu is not None else []:
                lab.a.run("taskset", "-apc", side.cpu, pid)

    def start(self, lab, side):
        self.run(lab, side, "dnetd", "-c", os.path.join(lab.here, side.name, "dnetd.conf"))

    def end(self, lab, side):
        if side.name not in self.given:
            super().end(lab, side)
            return
        pid = self.given.pop(side.name)  # of the demo's shell, which we were: our child
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)

    def settled(self, lab):
        """By the cable: after a start the relay may be the first way."""
        text = lab.a.run("dnet", "--socket", os.path.join(lab.here, A, "dnetd.sock"), "peers", "--json", check=False)
        try:
            return any(peer["name"] == C and peer["endpoint"].startswith(lab.c.address + ":")
                       for peer in json.loads(text)) and super().settled(lab)
        except (ValueError, KeyError, AttributeError):
            return False

    def pids(self):
        return super().pids() + [n for pid in self.given.values() for n in below(pid)]


class WireGuard(Peer):
    program = package = "wireguard-go"

    def prepare(self, lab):
        self.keys = {}
        for side in lab.sides:
            secret = side.run("wg", "genkey").strip()
            self.keys[side.name] = side.run("wg", "pubkey", stdin=secret).strip()
            with open(lab.path(self.name, side.name), "w", encoding="utf-8") as f:
                f.write(secret)

    def start(self, lab, side):
        device, (own, other, address) = self.device(side), self.ends(lab, side)
        self.run(lab, side, self.binary, "-f", device)
        lab.device(side, device, own)
        side.run("wg", "set", device, "listen-port", self.port, "private-key", lab.path(self.name, side.name), "peer",
                 self.keys[other.name], "allowed-ips", address + "/32", "endpoint",
                 "%s:%d" % (other.address, self.port))


class Tinc(Peer):
    """Where a REQ_KEY for the process before crosses an ANS_KEY of the new one the ends go on with two keys."""

    program, package, restarts_both = "tincd", "tinc", True

    def prepare(self, lab):
        for side in lab.sides:
            host = lab.path(self.name, side.name, "hosts", side.name)
            with open(host, "w", encoding="utf-8") as f:
                f.write("Address = %s\nPort = %d\nSubnet = %s/32\n" %
                        (side.address, self.port, self.ends(lab, side)[0]))
            folder = lab.path(self.name, side.name, "")
            with open(folder + "tinc.conf", "w", encoding="utf-8") as f:
                f.write("Name = %s\nInterface = %s\nDeviceType = tun\nBindToAddress = %s %d\n" %
                        (side.name, self.device(side), side.address, self.port))
                if side is lab.a:
                    f.write("ConnectTo = %s\n" % C)
            side.run(self.binary, "-c", folder, "-K2048", stdin="\n\n")
        hosts = [lab.path(self.name, side.name, "hosts", "") for side in lab.sides]
        shutil.copy(hosts[0] + A, hosts[1] + A)
        shutil.copy(hosts[1] + C, hosts[0] + C)

    def start(self, lab, side):
        folder = lab.path(self.name, side.name, "")
        self.run(lab, side, self.binary, "-c", folder, "--pidfile=" + folder + "pid", "-D")
        lab.device(side, self.device(side), self.ends(lab, side)[0])


class Fastd(Peer):
    """Within 15 s after a handshake one end answers no other one of the same peer."""

    program = package = "fastd"
    restarts_both = True

    def prepare(self, lab):
        secret, public = {}, {}
        for side in lab.sides:
            secret[side.name] = side.run(self.binary, "--machine-readable", "--generate-key").strip()
            public[side.name] = side.run(self.binary, "--machine-readable", "--show-key", "--config", "-",
                                         stdin='secret "%s";' % secret[side.name]).strip()
        for side in lab.sides:
            other = self.ends(lab, side)[1]
            with open(lab.path(self.name, side.name), "w", encoding="utf-8") as f:
                f.write('mode tun;\ninterface "%s";\nmtu %d;\nmethod "salsa2012+umac";\nbind %s:%d;\nsecret "%s";\n'
                        'peer "%s" { key "%s"; remote %s:%d; }\n' %
                        (self.device(side), lab.mtu, side.address, self.port, secret[side.name], other.name,
                         public[other.name], other.address, self.port))

    def start(self, lab, side):
        self.run(lab, side, self.binary, "--config", lab.path(self.name, side.name))
        lab.device(side, self.device(side), self.ends(lab, side)[0])


class OpenVpn(Peer):
    """Its static-key mode, the fastest to bring up; the data channel is the one of TLS mode without GCM."""

    program = package = "openvpn"

    def prepare(self, lab):
        lab.a.run(self.binary, "--genkey", "secret", lab.path(self.name, "key"))

    def start(self, lab, side):
        own, other, address = self.ends(lab, side)
        self.run(lab, side, self.binary, "--dev", self.device(side), "--dev-type", "tun", "--local", side.address,
                 "--remote", other.address, "--port", self.port, "--secret", lab.path(self.name, "key"), "--cipher",
                 "AES-256-CBC", "--ifconfig", own, address, "--tun-mtu", lab.mtu)


class Nebula(Peer):
    program = package = "nebula"

    def prepare(self, lab):
        folder = lab.path(self.name, "")
        authority = ("-out-crt", folder + "ca.crt", "-out-key", folder + "ca.key")
        lab.a.run("nebula-cert", "ca", "-name", "bench", *authority)
        for side in lab.sides:
            own, other, address = self.ends(lab, side)
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

    def start(self, lab, side):
        self.run(lab, side, self.binary, "-config", lab.path(self.name, side.name + ".yml"))


class Yggdrasil(Peer):
    """Its addresses come from the keys, its link is TCP, its inner MTU is its own choice (53,049 here)."""

    program = package = "yggdrasil"
    calm_s = 3  # packets that come before it knows its tree keep it from looking for the other end …

    def prepare(self, lab):
        for side in lab.sides:
            config = json.loads(side.run(self.binary, "-genconf", "-json"))
            link = "tcp://%s:%d" % (lab.c.address, self.port)
            config.update({"IfName": self.device(side), "MulticastInterfaces": [], "AdminListen": "none",
                           "Listen": [link] if side is lab.c else [], "Peers": [link] if side is lab.a else []})
            path = lab.path(self.name, side.name)
            with open(path, "w", encoding="utf-8") as f:
                json.dump(config, f)
        self.address = lab.c.run(self.binary, "-useconffile", lab.path(self.name, C), "-address").strip()

    def start(self, lab, side):
        self.run(lab, side, self.binary, "-useconffile", lab.path(self.name, side.name))

    def restart(self, lab):
        return None  # … so that who asks all the time is never answered


class Yardstick(Peer):
    """A prototype that takes: IFNAME LOCAL PEER PORT KEYFILE CIPHER THREADS. It is no peer to be the best of.
    Its name is yardstick-THREADS or yardstick-CIPHER-THREADS."""

    def prepare(self, lab):
        with open(lab.path(self.name, "key"), "wb") as f:
            f.write(os.urandom(32))

    def start(self, lab, side):
        own, other, _ = self.ends(lab, side)
        words = self.name.split("-")
        self.run(lab, side, self.binary, self.device(side), side.address, other.address, self.port,
                 lab.path(self.name, "key"), words[1] if len(words) == 3 else "mbaes256", words[-1])
        lab.device(side, self.device(side), own)


KINDS = {"wireguard-go": WireGuard, "tinc": Tinc, "fastd": Fastd, "openvpn": OpenVpn, "nebula": Nebula,
         "yggdrasil": Yggdrasil}
BINARIES = {"wireguard": WireGuard, "yardstick": Yardstick}


def peers_wanted(names, binaries):
    """Those of --peers and --peer-binary, in order."""
    peers = []
    for name in KINDS if names == "all" else filter(None, names.split(",")):
        if name not in KINDS:
            die("no peer '%s': all, or of %s" % (name, ", ".join(KINDS)))
        peers.append(KINDS[name](name))
    for text in binaries:
        name, _, path = text.partition("=")
        kind = name.split("-")[0]
        if kind not in BINARIES or not os.access(path, os.X_OK):
            die("--peer-binary wants wireguard[-NAME]=PROGRAM or yardstick-t1=PROGRAM, not '%s'" % text)
        if kind == "yardstick" and name == kind:
            name += "-t1"
        peers.append(BINARIES[kind](name, path))
    return peers
