#!/usr/bin/env python3
"""Too much, and nonsense, for the sockets of a running daemon; it still answers within a second, and grows by a bounded amount.

flooding.py control SOCKET PID      slow, half-open, many, huge and deep clients
flooding.py udp ADDRESS PORT SOCKET PID     random and almost right datagrams at full rate
"""
import json
import os
import random
import socket
import sys
import time

GROWTH_KIB = 16 * 1024  # what a flood may cost for good
SEED = int(os.environ.get("DNET_SEED", time.time_ns() % 10**9))
rng = random.Random(SEED)


def rss(pid, field="VmRSS"):
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) for line in f if line.startswith(field + ":"))


def files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def connect(path, timeout=5):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # waits while the queue of connections is full
    s.settimeout(timeout)
    return s


def call(path, method):
    with connect(path) as s:
        s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode() + b"\n")
        return json.loads(s.makefile().readline())


def ask(path, method="version"):
    """One call on a connection of its own; how long it took, those included that came while the others' ends were not seen."""
    began = time.monotonic()
    answer = {}
    while "result" not in answer and time.monotonic() - began < 1:
        try:
            answer = call(path, method)
        except (BrokenPipeError, ConnectionResetError, ValueError):  # turned away before it spoke
            continue
    assert "result" in answer, answer
    took = time.monotonic() - began
    assert took < 1, "%s took %.2f s" % (method, took)
    return took


def send(path, data):
    """All that it takes, and what comes back."""
    with connect(path) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return s.makefile("rb").read()
        except (BrokenPipeError, ConnectionResetError):
            return b""


def in_sequence(path):
    for i in range(10000):
        s = connect(path)
        if i % 3 == 0:
            s.sendall(b'{"jsonrpc"')
        s.close()


def at_once(path):
    """More than the server takes, each with half a line; the newest are closed, the rest goes on when these are gone."""
    held = []
    for _ in range(400):
        s = connect(path)
        try:
            s.sendall(b'{"jsonrpc": "2.0", "id": 1, "method": "vers')
        except OSError:
            pass
        held.append(s)
    turned_away = sum(1 for s in held[256:] if is_closed(s))
    for s in held:
        s.close()
    assert turned_away == 400 - 256, "%d of 400 were turned away" % turned_away


def is_closed(s):
    s.settimeout(1)
    try:
        while s.recv(4096):  # it is told why
            pass
        return True
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def never_reading(path):
    """Asks without end and reads no answer: closed at the limit of what waits for it."""
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "help"}\n' * 100
    with connect(path, 2) as s:
        try:
            for _ in range(20000):
                s.sendall(line)
        except (TimeoutError, OSError):
            return
    raise AssertionError("an endless asker is never stopped")


def huge(path):
    for size in (2**20 - 100, 2**20, 2**20 + 1, 8 * 2**20):
        send(path, b'{"jsonrpc": "2.0", "id": 1, "method": "version", "params": {"x": "' + b"x" * size + b'"}}\n')
        send(path, b"x" * size)
    for depth in (31, 32, 33, 1000, 100000, 500000):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            send(path, opening * depth + b"1" + closing * depth + b"\n")
            send(path, opening * depth)
    many = b"{" + b",".join(b'"%d":0' % i for i in range(60000)) + b"}\n"
    send(path, many)
    send(path, b'{"jsonrpc": "2.0", "id": ' + b"9" * 100000 + b', "method": "version"}\n')


def nonsense(path):
    words = [b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\n", b"\0", b"\xff", b"null", b"1e999", b'"method"', b'"id"',
             b'"status"', b'"jsonrpc":"2.0"', b"\\ud800"]
    for _ in range(300):
        send(path, b"".join(rng.choice(words) for _ in range(rng.randrange(200))))
        send(path, rng.randbytes(rng.randrange(1, 4000)))


def control(path, pid):
    ask(path)
    in_sequence(path)
    before, open_before = rss(pid), files(pid)
    for flood in (in_sequence, at_once, never_reading, huge, nonsense):
        began = time.monotonic()
        flood(path)
        took = ask(path)
        print("# %s: %.1f s; then an answer in %.0f ms; %d KiB" % (flood.__name__, time.monotonic() - began, took * 1000, rss(pid)))
    with connect(path) as half, connect(path) as slow:
        half.sendall(b'{"jsonrpc": "2.0", "id": 1')
        for c in b'{"jsonrpc": "2.0", "id": 1, "method": "version"}':
            slow.sendall(bytes([c]))
            ask(path)
        slow.sendall(b"\n")
        assert b"result" in slow.makefile("rb").readline(), "a slow client gets no answer"
    ask(path)
    assert rss(pid) - before < GROWTH_KIB, "from %d to %d KiB" % (before, rss(pid))
    assert files(pid) <= open_before + 1, "from %d to %d files" % (open_before, files(pid))


def almost_right():
    kind = rng.choice((0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0x00, 0x01))
    size = rng.choice((0, 1, 4, 12, 16, 20, 32, 60, 64, 100, 148, 200, 230, 1200, 1472))
    body = rng.randbytes(max(size - 4, 0))
    if kind < 2:  # STUN
        return (bytes([0, kind]) + len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + body)[:size]
    return (bytes([kind, rng.choice((0, 1)), 0, 0]) + body)[:size]


def udp(address, port, path, pid):
    ask(path)
    datagrams = [almost_right() for _ in range(4000)]
    before, slowest, sent = None, 0, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setblocking(False)
        for turn in range(50):
            for d in datagrams:
                try:
                    s.sendto(d, (address, port))
                    sent += 1
                except (BlockingIOError, ConnectionRefusedError):
                    pass
            slowest = max(slowest, ask(path))
            before = before or rss(pid)
    print("# %d datagrams; slowest answer %.0f ms; %d KiB, then %d" % (sent, slowest * 1000, before, rss(pid)))
    assert sent > 100000
    assert rss(pid) - before < GROWTH_KIB, "from %d to %d KiB" % (before, rss(pid))


print("# DNET_SEED=%d" % SEED)
if sys.argv[1] == "control":
    control(sys.argv[2], int(sys.argv[3]))
else:
    udp(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
