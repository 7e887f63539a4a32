"""`holdfast-bench gateway --only failover`: one path, one venue, one line or the gateway itself fails while three feeds
run, over and over, and a subscriber that trusts nobody says what came of it.

A desk and a venue are joined by two links. `itch` is MoldUDP64 by multicast and `soup` SoupBinTCP, both hot-hot, `quotes`
ZeroMQ, hot-warm. In another world there is one link, over which `soup` comes alone: nothing but the connection itself
tells that it is half open. The subscriber is the demo's, a process of its own, with its ledger."""

import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time

import harness
import measure

SYMBOLS = [f"HF{number:04d}" for number in range(1, 6)]
RATE = 500
STRATEGY = os.path.join(harness.ROOT, "packaging/demonstration/strategy.py")
FEEDS = {"itch": "hot-hot", "soup": "hot-hot", "quotes": "hot-warm"}
ALONE = {"soup": "one path"}
FRESHNESS_S = 1
# What must never be.
WRONG = ("lost", "duplicates", "out_of_order", "false_live")

SETTINGS = {
    "itch": """protocol = "moldudp64"
policy = "hot-hot"
hold_down = "500ms"
freshness = "1s"
journal = true
start = "journal"
[feed.recover]
servers = ["udp://10.82.1.2:17100", "udp://10.82.2.2:17100"]
""",
    "soup": """protocol = "soupbintcp"
policy = "hot-hot"
freshness = "1s"
journal = true
start = "journal"
""",
    "quotes": """protocol = "zeromq"
policy = "hot-warm"
freshness = "1s"
journal = true
hold_down = "1s"
""",
}


class World:
    """What fails, and who sees it."""

    def __init__(self, stage, feeds, paths):
        self.stage, self.feeds, self.paths = stage, feeds, paths
        # Without another path what was missed comes in a burst. The subscriber is some milliseconds behind in it, and of
        # what the gateway had just in time it would say that it was late.
        self.freshness_s = FRESHNESS_S if len(paths) > 1 else FRESHNESS_S + 0.25
        self.desk, self.venue = harness.Namespace(stage, "desk"), harness.Namespace(stage, "venue")
        isps = ""
        for number, name in enumerate(paths.lower(), 1):
            harness.veth(self.desk, f"isp-{name}", self.venue, f"to-{name}", number)
            isps += (f'[[path.isp]]\nname = "isp-{name}"\ninterface = "isp-{name}"\n'
                     f'targets = ["10.82.{number}.2"]\n')
        nics = ", ".join(f'"isp-{name}"' for name in paths.lower())
        watcher = harness.agent(stage, f"[nic]\ninclude = [{nics}]\nflap_count = 1000\n{isps}", self.desk)
        self.servers = {path: self.serve(number, path.lower()) for number, path in enumerate(paths, 1)}
        self.gateway = harness.Daemon(stage, "holdfast-gateway", self.settings(watcher), self.desk)
        login = os.path.join(self.gateway.folder, "login")
        with open(os.open(login, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write('user = "me"\npassword = "secret"\n')
        self.gateway.start()
        self.states = harness.health(stage, self.gateway, name="gateway")
        self.buffer = b""
        self.follow(watcher)
        self.links = {path: self.venue.link(f"to-{path.lower()}") for path in paths}
        for link in self.links.values():
            stage.addCleanup(link.close)

    def serve(self, number, name):
        """One path's venue: a server for each feed, in step with the other path's."""
        if number == 1:
            self.began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        play = [harness.binary("holdfast"), "play", "--rate", str(RATE), "--symbols", str(len(SYMBOLS)), "--start-at",
                self.began, "--generate"]
        itch = ["itch", "--session", "BENCH", "--directory-every", "1"]
        words = {
            "itch": [*itch, "--mold", f"239.82.{number}.1:17000@to-{name}", "--mold-requests", f"10.82.{number}.2:17100"],
            "soup": [*itch, "--soup", f"10.82.{number}.2:17200"],
            "quotes": ["quotes", "--zeromq", f"tcp://10.82.{number}.2:17300"]}
        return [harness.spawn(self.stage, self.venue.command(*play, *words[feed]), stderr=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL) for feed in self.feeds]

    def settings(self, watcher):
        paths = dict.fromkeys(FEEDS, "")
        for number, name in enumerate(self.paths.lower(), 1):
            head = f'[[feed.path]]\nname = "{name.upper()}"\ninterface = "isp-{name}"\n'
            depends = f'depends_on = ["nic/isp-{name}", "path/isp-{name}"]\n'
            paths["itch"] += head + f'group = "239.82.{number}.1:17000"\n' + depends
            # Without an agent's word: the connection itself must be found dead.
            paths["soup"] += head + f'endpoint = "tcp://10.82.{number}.2:17200"\nlogin_file = "~/login"\n'
            paths["quotes"] += head + f'endpoint = "tcp://10.82.{number}.2:17300"\nplaintext = true\n' + depends
        text = "".join(f'[[feed]]\nname = "{name}"\n{SETTINGS[name]}{paths[name]}' for name in self.feeds)
        return (f'{harness.GATEWAY_BUS}[journal]\ndirectory = "~/journal"\n[[agent]]\npublish = "{watcher.endpoint("agent.pub")}"\n'
                f'request = "{watcher.endpoint("agent.req")}"\n{text}')

    # The subscriber

    def follow(self, watcher):
        settings = {
            "requests": self.gateway.endpoint("gateway.req"), "market_data": self.gateway.endpoint("gateway.md"),
            "health": {"agent": watcher.endpoint("agent.pub"), "gateway": self.gateway.endpoint("gateway.pub")},
            "feeds": [{"name": name, "policy": policy, "per_topic": name == "quotes", "freshness_s": self.freshness_s,
                       "content": "quotes" if name == "quotes" else "itch", "symbols": SYMBOLS}
                      for name, policy in self.feeds.items()]}
        self.strategy = harness.spawn(self.stage, [sys.executable, STRATEGY, json.dumps(settings)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stage.addCleanup(self.strategy.stdout.close)
        os.set_blocking(self.strategy.stdout.fileno(), False)

    def events(self, seconds):
        """What the subscriber says, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                yield json.loads(line)
            if select.select([self.strategy.stdout], [], [], left)[0]:
                chunk = os.read(self.strategy.stdout.fileno(), 65536)
                if not chunk:
                    raise SystemExit("holdfast-bench: the subscriber ended")
                self.buffer += chunk

    def window(self):
        """Closes the window of the ledgers, and opens the next one."""
        self.strategy.stdin.write(b"window\n")
        self.strategy.stdin.flush()
        for event in self.events(30):
            if event["event"] == "window":
                return event["feeds"]
        raise SystemExit("holdfast-bench: the subscriber does not answer")

    def settle(self):
        """Waits until all is well; returns the path that `quotes` is on, and the other one. Its way back takes longer
        after each failure, so it is not waited for: the fault goes where it is."""
        wanted = [f"feed/{feed}" for feed in self.feeds]
        wanted += [f"feed-path/{feed}.{path}" for feed in self.feeds for path in self.paths]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            states = self.states.states()
            bad = [subject for subject in wanted if states.get(subject, {}).get("status") != "ok"]
            if not bad:
                return "BA" if "quotes" in self.feeds and states["feed/quotes"]["values"]["path"] == "B" else "AB"
            measure.pause(0.05)
        raise SystemExit(f"holdfast-bench: not well after 60 s: {[(subject, states.get(subject)) for subject in bad]}")


# The faults: each gives what injects it where `quotes` is, and what undoes it


def carrier(world, path):
    return lambda: world.links[path].set(False), lambda: world.links[path].set(True)


def black_hole(world, path):
    """Both directions: no sender gets an error, and connections are half open."""
    ends = [(world.desk, f"isp-{path.lower()}"), (world.venue, f"to-{path.lower()}")]
    return (lambda: [namespace.drop_ingress(device) for namespace, device in ends],
            lambda: [namespace.clear_ingress(device) for namespace, device in ends])


def freeze(world, path):
    def signal_all(number):
        for server in world.servers[path]:
            os.kill(server.pid, number)
    return lambda: signal_all(signal.SIGSTOP), lambda: signal_all(signal.SIGCONT)


def kill_gateway(world, path):
    """As systemd does, it is started again at once."""
    def act():
        world.gateway.signal(signal.SIGKILL)
        world.gateway.wait_exit()
        world.gateway.start(ready=False)
    return act, lambda: world.gateway.wait_told("READY=1")


def diverge(world, path):
    """One line says something else: the last byte of each packet's first timestamp, behind UDP's header of 8 bytes,
    MoldUDP64's of 20 and the message's length of 2."""
    rule = f"udp dport 17000 @th,{(8 + 20 + 2 + 10) * 8},8 set 0xaa"
    device = f"isp-{path.lower()}"
    return lambda: world.desk.drop_ingress(device, rule), lambda: world.desk.clear_ingress(device)


class Fault:
    """`leaves`: the feeds whose path the gateway must leave. `path`: where it is put, if not where `quotes` is. `feeds` and
    `paths`: the world that it is put into."""

    def __init__(self, name, prepare, leaves=FEEDS, path=None, feeds=FEEDS, paths="AB"):
        self.name, self.prepare, self.leaves, self.path = name, prepare, set(leaves), path
        self.feeds, self.paths = feeds, paths


FAULTS = {
    "carrier": Fault("carrier loss", carrier),
    "black-hole": Fault("black hole, TCP half open", black_hole),
    "half-open": Fault("TCP half open, without another path", black_hole, ALONE, feeds=ALONE, paths="A"),
    "freeze": Fault("venue frozen", freeze),
    "kill": Fault("gateway killed with SIGKILL, started again at once", kill_gateway, []),
    # Of two lines that differ, the preferred one is followed.
    "diverge": Fault("one line diverges", diverge, ["itch"], "B"),
}


def once(world, fault):
    """One fault: per feed when the path was left, when it was live on another, and the ledger's figures."""
    path, other = world.settle()
    path = fault.path or path
    measure.pause(0.2)
    inject, undo = fault.prepare(world, path)
    world.window()
    left, live = {}, {}
    began = time.monotonic()
    inject()
    for event in world.events(30):
        if event["event"] == "health" and event["publisher"] == "gateway" and event["status"] == "critical":
            kind, _, name = event["subject"].partition("/")
            feed, _, failed = name.partition(".")
            if kind == "feed-path" and failed == path:
                left.setdefault(feed, (event["at"] - began) * 1000)
        if event["event"] == "channel" and event["state"] == "live" and event["path"] == other:
            live.setdefault(event["feed"], (event["at"] - began) * 1000)
        if fault.leaves <= set(left) and ("quotes" not in fault.leaves or "quotes" in live):
            break
    else:
        raise SystemExit(f"holdfast-bench: {fault.name}: only {left} were left and {live} are live after 30 s")
    undo()
    world.settle()
    measure.pause(0.2)
    return {feed: {**figures, "left_ms": left.get(feed), "live_ms": live.get(feed)}
            for feed, figures in world.window().items()}


def spread(values):
    values = sorted(value for value in values if value is not None)
    if not values:
        return {}
    return {"median_ms": round(statistics.median(values), 1),
            "p99_ms": round(values[-(-len(values) * 99 // 100) - 1], 1), "max_ms": round(values[-1], 1)}


def rows(fault, runs):
    """Of each feed that the fault concerns: how soon its path was left, how long no data came, and what was lost."""
    for feed, policy in fault.feeds.items():
        if fault.leaves and feed not in fault.leaves:
            continue
        mine = [run[feed] for run in runs]
        counts = {name: sum(figures[name] for figures in mine) for name in (*WRONG, "gaps_told", "repaired", "received")}
        head = {"fault": fault.name, "feed": f"{feed}, {policy}", "runs": len(mine)}
        if fault.leaves:
            yield head | {"what": "path told as failed"} | spread(figures["left_ms"] for figures in mine)
        if policy == "hot-warm" and fault.leaves:
            yield head | {"what": "live on the other path"} | spread(figures["live_ms"] for figures in mine) | counts
        else:
            yield head | {"what": "longest time without data"} | spread(
                figures["longest_silence_ms"] for figures in mine) | counts


def one_kind(name, count):
    """All runs of one kind of fault, in a world of its own."""
    fault = FAULTS[name]
    with measure.Stage() as stage:
        world = World(stage, fault.feeds, fault.paths)
        return list(rows(fault, [once(world, fault) for _ in range(count)]))


def failover(options):
    """Each kind of fault in a process and a world of its own, one after the other: a world has feeds, links, an agent and
    a subscriber, and two worlds would wait for each other's processors."""
    words = [sys.executable, os.path.join(os.path.dirname(__file__), "bench_gateway.py"), "--only", "failover", "--json",
             "--count", str(options.count)]
    done = [subprocess.run([*words, "--fault", name], stdout=subprocess.PIPE, text=True) for name in FAULTS]
    if any(child.returncode for child in done):
        raise SystemExit("holdfast-bench: a kind of fault did not end well")
    return [row for child in done for row in json.loads(child.stdout)]
