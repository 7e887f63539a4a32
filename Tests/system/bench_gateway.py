"""`holdfast-bench gateway`: what the gateway carries, and how late, beside libzmq's own proxy in the same run.

Everything runs on this host: senders, gateway and subscriber share its processors, as the peer's do. A rate counts as
carried when a run at that rate lost nothing: no gap was told, and the subscriber counted every message.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys


class Bench:
    """One run of one arrangement: what it starts ends with it."""

    def __init__(self):
        self.stage = measure.Stage().__enter__()
        self.folder = harness.folder_of(self.stage)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stage.__exit__(*what)

    def path(self, name):
        return f"ipc://{self.folder}/{name}"

    def spawn(self, *words):
        return harness.spawn(self.stage, [harness.binary("holdfast-bench"), *map(str, words)],
                             stdout=subprocess.PIPE, text=True)

    def gateway(self, feed):
        """A gateway that is ready, and whose words to its manager are read."""
        daemon = harness.Daemon(self.stage, "holdfast-gateway", harness.GATEWAY_BUS + feed)
        return daemon.start()

    def subscribe(self, endpoint, *words):
        return self.spawn("subscribe", endpoint, *words)


def result(child, seconds=120):
    out, _ = child.communicate(timeout=seconds)
    if child.returncode != 0 or not out.strip():
        raise SystemExit(f"holdfast-bench: a part ended with {child.returncode}")
    return json.loads(out.splitlines()[-1])


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


# ZeroMQ: two inputs into one output, and the peer that forwards one


QUOTES = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-hot"
silence = "10s"
"""


JOURNAL = """[journal]
directory = "~/journal"
fsync = "every"
"""


def quotes_feed(bench, names, more=""):
    return QUOTES + more + "".join(f'[[feed.path]]\nname = "{name.upper()}"\nendpoint = "{bench.path(name)}"\n'
                            for name in names)


# A venue that costs little, so that it is not what bounds the rest; and one by libzmq's sockets, as most are.
LEAN, LIBZMQ = ["--lines"], []


def send_quotes(bench, names, messages, rate, how=LEAN):
    endpoints = (word for name in names for word in ("--endpoint", bench.path(name)))
    return bench.spawn("send-quotes", *how, *endpoints, "--messages", messages, "--rate", rate)


def size_of(folder):
    return sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder) for name in names)


def through_gateway(messages, rate, *words, is_journalled=False, venue=LEAN, digested=0, processors=""):
    """`digested`: so many bytes a second are digested and written by a process beside it. `processors`: those of the
    thread that writes the journal."""
    with Bench() as bench:
        script = os.path.join(os.path.dirname(__file__), "bench_digest.py")
        beside = harness.spawn(bench.stage, [sys.executable, script, bench.folder, str(digested)],
                               stdout=subprocess.PIPE, text=True) if digested else None
        venue = send_quotes(bench, "ab", messages, rate, venue)
        feed = quotes_feed(bench, "ab", "journal = true\n" if is_journalled else "")
        where = f'processors = "{processors}"\n' if processors else ""
        daemon = bench.gateway((JOURNAL + where if is_journalled else "") + feed)
        reader = bench.subscribe(daemon.endpoint("gateway.md"), "--topic", "md/quotes/", "--topic", "control/quotes/",
                                 *words)
        sent, got = result(venue), result(reader)
        used = cpu_seconds(daemon.child.pid)
        if beside:
            beside.terminate()
            done = result(beside)
            got["digested"] = done["bytes"] / done["seconds"]
        if is_journalled:
            daemon.stop()
            got["journal_bytes"] = size_of(os.path.join(daemon.folder, "journal"))
        return {**got, "sent": sent["messages"], "offered_rate": sent["rate"], "cpu_s": used}


def through_proxy(messages, rate, *words):
    with Bench() as bench:
        venue = send_quotes(bench, "a", messages, rate)
        proxy = bench.spawn("proxy", bench.path("a"), bench.path("out"))
        reader = bench.subscribe(bench.path("out"), "--format", "sequenced", *words)
        sent, got = result(venue), result(reader)
        used = cpu_seconds(proxy.pid)
        proxy.send_signal(signal.SIGTERM)
        return {**got, "sent": sent["messages"], "offered_rate": sent["rate"], "cpu_s": used}


def through_merge(messages, rate, *words):
    """Both inputs received, the first one's messages passed on unseen: what the gateway could be at best."""
    with Bench() as bench:
        venue = send_quotes(bench, "ab", messages, rate)
        merge = bench.spawn("merge", bench.path("out"), bench.path("a"), bench.path("b"))
        reader = bench.subscribe(bench.path("out"), "--format", "sequenced", *words)
        sent, got = result(venue), result(reader)
        used = cpu_seconds(merge.pid)
        merge.send_signal(signal.SIGTERM)
        return {**got, "sent": sent["messages"], "offered_rate": sent["rate"], "cpu_s": used}


PROGRAMS = {"gateway, two inputs": through_gateway, "zmq_proxy, one input": through_proxy,
            "two inputs received, one passed on": through_merge}


def zeromq(options):
    """As fast as the sender is let, each in turn."""
    rows = {name: [] for name in PROGRAMS}
    for _ in range(options.repeats):
        for name, run in PROGRAMS.items():
            rows[name].append(run(options.messages, 0, "--line", "--warmup", options.messages // 10))
    return [{"figure": "ZeroMQ, 64-byte messages, as fast as it goes", "program": name,
             "messages_per_s": round(statistics.median(run["rate"] for run in runs)),
             "lost": max(run["sent"] - run["messages"] - run["skipped"] for run in runs),
             "gaps_told": max(run["gaps"] for run in runs),
             "cpu_us_per_message": round(statistics.median(run["cpu_s"] / run["sent"] for run in runs) * 1e6, 2)}
            for name, runs in rows.items()]


def less(plain, other):
    """How much of the rate is lost in pairs that ran one behind the other: by their medians, and the middle half of the
    pairs. Neighbours of a machine change its speed by more than what is measured here, from one run to the next."""
    rates = [[run["rate"] for run in runs] for runs in (plain, other)]
    pairs = [100 * (1 - theirs / ours) for ours, theirs in zip(*rates)]
    low, _, high = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else pairs * 3
    ours, theirs = map(statistics.median, rates)
    return {"less_percent": round(100 * (1 - theirs / ours), 1),
            "less_percent_in_half_of_the_pairs": [round(low, 1), round(high, 1)], "pairs": len(pairs)}


def journal(options):
    """The gateway without its journal, with it, and with the journal's thread bound to a processor, each in turn: between
    peers that cost little, and between peers of libzmq, which leave it less of the processors and take less from it.
    And what bounds that: without a journal, beside a process that only digests and writes as many bytes as a journal
    that takes 15 % would."""
    last = str(max(os.sched_getaffinity(0)))
    arrangements = ("without a journal", "with a journal", f"with a journal, its thread on processor {last}",
                    "without a journal, the digest and the writes beside it")
    rows = {(peers, how): [] for peers in ("lean peers", "peers of libzmq") for how in arrangements}
    for _ in range(options.pairs):
        for (peers, how), runs in rows.items():
            venue, subscriber = (LEAN, ["--line"]) if peers == "lean peers" else (LIBZMQ, [])
            digested = 0
            if how == arrangements[3]:
                plain, journalled = (rows[peers, other][-1] for other in arrangements[:2])
                digested = 0.85 * plain["rate"] * journalled["journal_bytes"] / journalled["sent"]
            runs.append(through_gateway(options.messages, 0, *subscriber, "--warmup", options.messages // 10,
                                        is_journalled=how in arrangements[1:3], venue=venue, digested=digested,
                                        processors=last if how == arrangements[2] else ""))
    return [{"figure": f"two ZeroMQ inputs as fast as they go, {peers}, {how}",
             "program": "gateway", "messages_per_s": round(statistics.median(run["rate"] for run in runs)),
             **({} if how == arrangements[0] else less(rows[peers, arrangements[0]], runs)),
             "lost": max(run["sent"] - run["messages"] - run["skipped"] for run in runs),
             "cpu_us_per_message": round(statistics.median(run["cpu_s"] / run["sent"] for run in runs) * 1e6, 2),
             **({"digested_mb_per_s": round(statistics.median(run["digested"] for run in runs) / 1e6)}
                if how == arrangements[3] else {}),
             **({"bytes_per_message": round(runs[-1]["journal_bytes"] / runs[-1]["sent"])}
                if how in arrangements[1:3] else {})}
            for (peers, how), runs in rows.items()]


def latency(options):
    """At a steady 50,000 messages a second, from the source's time to the subscriber."""
    rows = {name: [] for name in PROGRAMS}
    messages = 50_000 * options.seconds
    for _ in range(options.repeats):
        for name, run in PROGRAMS.items():
            rows[name].append(run(messages, 50_000, "--latency", "--warmup", messages // 10))
    return [{"figure": "latency at 50,000 messages a second", "program": name,
             "median_us": round(statistics.median(run["median_us"] for run in runs), 1),
             "p99_us": round(statistics.median(run["p99_us"] for run in runs), 1),
             "p999_us": round(statistics.median(run["p999_us"] for run in runs), 1)} for name, runs in rows.items()]


# MoldUDP64: lines A and B over multicast on loopback


ITCH = """[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
reorder_time = "100ms"
[[feed.path]]
name = "A"
interface = "lo"
group = "239.255.71.1:%d"
[[feed.path]]
name = "B"
interface = "lo"
group = "239.255.71.2:%d"
"""


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def lines(topic, rate, seconds, more=""):
    """One run at a rate: what the subscriber counted, and what the gateway said of it."""
    with Bench() as bench:
        port = free_port()
        daemon = bench.gateway(more + ITCH % (port, port))
        reader = bench.subscribe(daemon.endpoint("gateway.md"), "--topic", topic, "--topic", "control/itch/")
        client = harness.health(bench.stage, daemon, "sample/", name="gateway")
        for path in "AB":
            client.wait(lambda message: message["topic"].endswith(f"/feed-path/itch.{path}/")
                        and message["values"]["connects"] == 1, f"line {path}")
        messages = int(rate * seconds)
        venue = bench.spawn("send-mold", "--group", f"239.255.71.1:{port}", "--group", f"239.255.71.2:{port}",
                            "--messages", messages, "--rate", rate)
        sent = result(venue)
        before = cpu_seconds(daemon.child.pid)
        got = result(reader)
        return {**got, "sent": sent["last"], "offered_rate": sent["rate"], "cpu_s": before,
                "resident_mib": resident_mib(daemon.child.pid),
                "is_whole": got["gaps"] == 0 and got["messages"] == sent["last"]
                and sent["rate"] > 0.97 * rate}


def most(topic, low, high, options, more=""):
    """The highest rate of which a run lost nothing, within a twentieth."""
    best = None
    while high / low > 1.05:
        middle = (low * high) ** 0.5
        run = lines(topic, middle, options.seconds, more)
        if run["is_whole"]:
            low, best = middle, run
        else:
            high = middle
    return best


def mold(options):
    rows = []
    for name, topic, low, high in (("whole feed, in batches", "batch/itch/", 100_000, 6_000_000),
                                   ("by instrument, 8,000 of them", "md/itch/", 50_000, 3_000_000)):
        best = most(topic, low, high, options)
        if best is None:
            raise SystemExit(f"holdfast-bench: {name}: not even {low} messages a second came whole")
        rows.append({"figure": f"MoldUDP64 A and B, 10 messages a packet, {name}", "program": "gateway",
                     "messages_per_s": round(best["rate"]), "lost": 0, "frames": best["frames"],
                     "cpu_us_per_message": round(best["cpu_s"] / best["sent"] * 1e6, 2),
                     "resident_mib": round(best["resident_mib"], 1)})
    return rows


def arbiter(options):
    rows = []
    for name, words in (("in order", []), ("one of a thousand lost on a line", ["--loss-on", 1000])):
        with Bench() as bench:
            runs = [result(bench.spawn("arbiter", "--messages", options.messages * 2, *words)) for _ in range(3)]
        rows.append({"figure": f"arbiter alone, two copies of each message, {name}", "program": "gateway",
                     "ns_per_message": round(statistics.median(run["ns_per_message"] for run in runs), 1),
                     "allocations": max(run["allocations"] for run in runs), "messages": runs[0]["messages"]})
    rows.append({"figure": "last values of 100000 topics, each as long as the one before it", "program": "gateway",
                 "ns_per_message": round(statistics.median(run["ns_per_value"] for run in runs), 1),
                 "allocations": max(run["value_allocations"] for run in runs), "messages": runs[0]["messages"]})
    return rows


def catchup(options):
    """How fast a gateway that starts late is at the head of a session that goes on."""
    import bench_catchup
    return bench_catchup.rows(Bench, options)


def failover(options):
    import bench_failover
    return bench_failover.failover(options)


def scale(options):
    """1,000 clients, 500,000 subscriptions, 100,000 topics: how much memory, and whether it stays so."""
    import bench_scale
    bench_scale.allow_descriptors()
    with Bench() as bench:
        alone = bench_scale.libzmq_alone(bench)
    with Bench() as bench:
        return [bench_scale.scale(bench, options), alone]


def strangers(options):
    """How late messages are while strangers make CURVE handshakes, and how soon an authorised client gets in."""
    import bench_strangers
    rows = []
    for name, rate in bench_strangers.RUNS.items():
        with Bench() as bench:
            parts = bench_strangers.run(bench, harness.GATEWAY_BUS, quotes_feed(bench, "ab"), rate, 5 * options.seconds)
            sent, got, came = (part and result(part) for part in parts[:3])
            rows.append(bench_strangers.row(name, sent, got, came, parts[3]))
    return rows


def sleepers(options):
    """How much memory 1,000 clients take that never read, and whether one that does loses anything by them."""
    import bench_sleepers
    with Bench() as bench:
        parts = bench_sleepers.begin(bench, quotes_feed(bench, "ab"), 10 * options.seconds)
        return [bench_sleepers.row(*map(result, parts[:2]), *parts[2:])]


def broken(rows):
    """Those of the gateway's rows that say that something was lost, wrong, or out of its bounds."""
    import bench_failover
    counts = (*bench_failover.WRONG, "lost_by_who_reads")
    return [row for row in rows if row.get("program", "gateway").startswith("gateway")
            and (row.get("is_within") is False or any(row.get(name) for name in counts))]


PARTS = {"arbiter": arbiter, "zeromq": zeromq, "journal": journal, "latency": latency, "strangers": strangers,
         "sleepers": sleepers, "mold": mold, "catchup": catchup, "failover": failover, "scale": scale}


def parse():
    parser = argparse.ArgumentParser(
        prog="Tests/holdfast-bench gateway", description="Measures the gateway beside libzmq's zmq_proxy.",
        epilog="Exit status: 0 measured, 1 something did not come whole or as promised, 2 usage.")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--only", choices=list(PARTS), help="one of the parts")
    parser.add_argument("--quick", action="store_true", help="short runs, one of each")
    parser.add_argument("--minutes", type=float, metavar="N", help="how long scale watches the memory: 30, with "
                        "--quick 1; scale runs only if it is named")
    parser.add_argument("--pairs", type=int, metavar="N",
                        help="runs of each arrangement of the journal: 15, with --quick 1")
    parser.add_argument("--count", type=int, help="faults of each kind (default 100; 3 with --quick)")
    parser.add_argument("--fault", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.count = options.count or (3 if options.quick else 100)
    options.messages, options.seconds, options.repeats = (200_000, 1, 1) if options.quick else (3_000_000, 4, 3)
    options.pairs = options.pairs or (1 if options.quick else 15)
    options.minutes = options.minutes or (1 if options.quick else 30)
    return options


def main():
    options = parse()
    global harness, measure
    import zmq
    import harness
    import measure
    measure.zmq, measure.harness = zmq, harness
    if options.fault:
        import bench_failover
        print(json.dumps(bench_failover.one_kind(options.fault, options.count)))
        return 0
    document = {"quick": options.quick, "kernel": os.uname().release, "cores": os.cpu_count()}
    wrong = []
    for name, part in PARTS.items():
        if options.only == name or options.only is None and name != "scale":
            document[name] = part(options)
            wrong += broken(document[name])
            if not options.json:
                for row in document[name]:
                    print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if options.json:
        print(json.dumps(document, indent=2))
    for row in wrong:
        print(f"holdfast-bench: not as promised: {row}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
