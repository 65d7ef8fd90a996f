"""Tables of contrib/bench net: medians, and what they are beside the bare cable and the best peer."""

import json
import statistics

WIDTH = 120
FIGURES = (  # name, heading, whether more is better
    ("tcp1", "TCP 1 Gbit/s", True), ("tcp1_back", "TCP 1 back", True), ("tcp4", "TCP 4", True),
    ("tcp4_back", "TCP 4 back", True), ("udp1200", "1200 B kpps", True), ("udp64", "64 B kpps", True),
    ("rtt50", "RTT p50 us", False), ("rtt99", "RTT p99 us", False), ("load50", "loaded p50 us", False),
    ("load99", "loaded p99 us", False), ("start", "first ping ms", False), ("handshakes", "handshakes/s", True),
    ("cpu", "CPU s/GB", False), ("memory", "RSS MB", False),
)
NOTES = """TCP in Gbit/s, one stream and four, there and back; the most packets a second (thousands) with less than 1 in 1000
lost; round trips of pings, idle and beside one TCP stream; from the start of alice's program, carol's being up, to the
first answer (yggdrasil has none while it is asked all the time); whole handshakes on one core (of dnet's engine; the
others cannot be asked for handshakes alone); CPU seconds of both ends for a GB; resident memory of one end.
*: the best peer. "of raw", "of best": dnet is so many times as good as the bare cable, as the best peer."""


def median_of(rounds, name):
    values = [r[name] for r in rounds if r.get(name) is not None]
    return statistics.median(values) if values else None


def times_as_good(own, other, more):
    if not own or not other:
        return None
    return own / other if more else other / own


def is_peer(name):
    return name not in ("raw", "dnet") and not name.startswith("yardstick")


def best_peers(medians):
    """By figure: the name of the best peer that has it."""
    best = {}
    for figure, _, more in FIGURES:
        there = [name for name in medians if is_peer(name) and medians[name].get(figure)]
        if there:
            best[figure] = (max if more else min)(there, key=lambda name: medians[name][figure])
    return best


def ratios(medians):
    """Of everybody, by figure: to raw, and to the best peer."""
    best, found = best_peers(medians), {}
    for name, own in medians.items():
        found[name] = {}
        for figure, _, more in FIGURES:
            raw = medians.get("raw", {}).get(figure)
            other = medians[best[figure]][figure] if figure in best else None
            found[name][figure] = {"of_raw": times_as_good(own.get(figure), raw, more),
                                   "of_best": times_as_good(own.get(figure), other, more)}
    return found


def show(value):
    """Three digits that count."""
    if value is None:
        return "-"
    return "%.*f" % (0 if value >= 100 else 1 if value >= 10 else 2, value)


def markdown(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(row, widths))) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":"
                                   for i, w in enumerate(widths)) + "|")
    return lines


def titled(title, headings, rows):
    print("\n".join(["", title, ""] + markdown([headings] + rows)))


def table(medians):
    """The lines of one table, or of as many as the width asks for: each with dnet, and with the ratios."""
    best, every = best_peers(medians), ratios(medians)
    figures = [f for f in FIGURES if any(m.get(f[0]) is not None for m in medians.values())]
    first = [name for name in ("raw", "dnet") if name in medians]

    def lines_of(names):
        rows = [["", *first, *names] + (["of raw", "of best"] if "dnet" in medians else [])]
        for figure, heading, _ in figures:
            row = [heading]
            for name in first + names:
                row.append(show(medians[name].get(figure)) + ("*" if best.get(figure) == name else ""))
            if "dnet" in medians:
                row += [show(every["dnet"][figure][of]) for of in ("of_raw", "of_best")]
            rows.append(row)
        return markdown(rows)

    names, parts = [name for name in medians if name not in first], [[]]
    for name in names:
        if parts[-1] and len(lines_of(parts[-1] + [name])[0]) > WIDTH:
            parts.append([])
        parts[-1].append(name)
    return [line for part in parts for line in lines_of(part) + [""]]


def summary(rounds, left_out):
    """What goes into --json; rounds by peer: a list of {figure: value}."""
    medians = {name: {f[0]: median_of(rs, f[0]) for f in FIGURES} for name, rs in rounds.items() if rs}
    return {"rounds": rounds, "medians": medians, "best": best_peers(medians), "ratios": ratios(medians),
            "left_out": left_out}


def report(result):
    if any(value is not None for medians in result["medians"].values() for value in medians.values()):
        print("\n" + "\n".join(table(result["medians"])))
        print(NOTES)
    for name, reason in result["left_out"].items():
        print("left out: %s: %s" % (name, reason))


def merge(paths):
    """The rounds of several --json files as if of one run."""
    rounds, left_out = {}, {}
    for path in paths:
        with open(path, encoding="utf-8") as f:
            one = json.load(f)
        left_out.update(one["left_out"])
        for name, found in one["rounds"].items():
            rounds.setdefault(name, []).extend(found)
    return summary(rounds, {name: why for name, why in left_out.items() if name not in rounds})
