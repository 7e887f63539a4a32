"""Measures what Holdfast promises, from outside: an independent subscriber, faults in namespaces of its own."""

import argparse
import glob
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import unittest


class Stage(unittest.TestCase):
    """Owns what a measurement starts, as a test owns it."""

    def runTest(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.doCleanups()


def wait(clients, condition, what, patience=60):
    """The first message of any of the clients that meets the condition, and when it came."""
    poller = zmq.Poller()
    for client in clients:
        poller.register(client.sub, zmq.POLLIN)
    until = time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        for socket, _ in poller.poll(left * 1000):
            at = time.monotonic()
            client = next(client for client in clients if client.sub is socket)
            message = client.read(socket.recv_multipart())
            if condition(message):
                return message, at
    raise SystemExit(f"measure: {what} did not happen in {patience} s")


def is_state(subject, *statuses):
    def condition(message):
        return (message["topic"].startswith("state/") and harness.subject_of(message) == subject
                and message["status"] in statuses)
    return condition


def pause(seconds):
    """Lets the kernel or a hold-down forget the fault before; what is measured never waits like this."""
    time.sleep(seconds)


def carrier_loss(options):
    """A veth loses its carrier."""
    with Stage() as stage:
        desk, isp = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        harness.veth(desk, "eth0", isp, "peer", 1)
        daemon = harness.agent(stage, '[nic]\ninclude = ["eth0"]\nflap_count = 1000\n', desk)
        client = harness.health(stage, daemon, "state/")
        client.settle("nic/eth0", "ok")
        link = isp.link("peer")
        for _ in range(options.runs(20)):
            begun = time.monotonic()
            link.set(False)
            _, at = wait([client], is_state("nic/eth0", "critical"), "carrier loss")
            yield (at - begun) * 1000
            link.set(True)
            wait([client], is_state("nic/eth0", "ok"), "carrier")
        link.close()


def second_loss(options):
    """A tap loses its carrier again 0.4 s after it did: the kernel holds that event back."""
    with Stage() as stage:
        desk = harness.Namespace(stage, "desk")
        tap = harness.Tap(stage, desk, "tap0")
        daemon = harness.agent(stage, '[nic]\ninclude = ["tap0"]\nflap_count = 1000\n', desk)
        client = harness.health(stage, daemon, "state/")
        client.settle("nic/tap0", "ok")
        for _ in range(options.runs(20)):
            first = time.monotonic()
            tap.carrier(False)
            wait([client], is_state("nic/tap0", "critical"), "the first loss")
            tap.carrier(True)
            wait([client], is_state("nic/tap0", "ok"), "carrier")
            pause(max(0, first + 0.4 - time.monotonic()))
            begun = time.monotonic()
            tap.carrier(False)
            _, at = wait([client], is_state("nic/tap0", "critical"), "the second loss")
            yield (at - begun) * 1000
            tap.carrier(True)
            wait([client], is_state("nic/tap0", "ok"), "carrier")
            pause(1.5)


def kill(options):
    """A watched process is killed with SIGKILL."""
    with Stage() as stage:
        folder = harness.folder_of(stage)

        def start():
            child = harness.spawn(stage, ["sleep", "86400"])
            tests.write_pid(folder, "algo", child.pid)
            return child
        child = start()
        daemon = harness.agent(stage, tests.QUIET + tests.watch("algo", os.path.join(folder, "algo.pid")))
        client = harness.health(stage, daemon, "state/")
        client.settle("process/algo", "ok")
        for _ in range(options.runs(20)):
            begun = time.monotonic()
            os.kill(child.pid, signal.SIGKILL)
            state, at = wait([client], is_state("process/algo", "critical"), "the kill")
            if "SIGKILL" not in state["reason"] and "unknown" not in state["reason"]:
                raise SystemExit(f"measure: the kill was published as {state['reason']!r}")
            yield (at - begun) * 1000
            child.wait()
            child = start()
            wait([client], is_state("process/algo", "ok"), "the restart")


def isp(stage, desk, far):
    harness.veth(desk, "eth0", far, "peer", 1)
    text = '[nic]\ninclude = ["eth0"]\n[[path.isp]]\nname = "isp-a"\ninterface = "eth0"\ntargets = ["10.82.1.2"]\n'
    daemon = harness.agent(stage, text, desk)
    client = harness.health(stage, daemon, "state/")
    client.settle("path/isp-a", "ok")
    return client


def black_hole(options):
    """An ISP path swallows every packet while its link stays up."""
    with Stage() as stage:
        desk, far = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        client = isp(stage, desk, far)
        for number in range(options.runs(10)):
            pause(0.037 * number % 0.1)  # another phase between two probes each time
            begun = time.monotonic()
            far.drop_ingress("peer")
            _, at = wait([client], is_state("path/isp-a", "critical"), "the black hole")
            yield (at - begun) * 1000
            far.clear_ingress("peer")
            wait([client], is_state("path/isp-a", "ok", "warning"), "recovery")
            pause(1)


def false_alarms(options):
    """Criticals of a path that loses 5 % of its packets at random."""
    with Stage() as stage:
        desk, far = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        client = isp(stage, desk, far)
        desk.drop_ingress("eth0", "numgen random mod 100 < 5 drop")
        statuses = [message["status"] for message in client.messages(options.seconds(300))
                    if harness.subject_of(message) == "path/isp-a"]
        yield sum(status == "critical" for status in statuses)


def processor_s(pid):
    """Processor seconds of all threads."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path) as file:
            total += int(file.read().split()[0])
    return total / 1e9


def memory(pid):
    """Resident and anonymous memory in MiB."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return [int(fields[key].split()[0]) / 1024 for key in ("VmRSS", "RssAnon")]


def cost(options):
    """The agent with its default watchers and two ISP paths: resident MiB, anonymous MiB, percent of a core."""
    with Stage() as stage:
        desk, far = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        paths = ""
        for number, name in enumerate("ab", 1):
            harness.veth(desk, f"isp-{name}", far, f"to-{name}", number)
            paths += (f'[[path.isp]]\nname = "isp-{name}"\ninterface = "isp-{name}"\n'
                      f'targets = ["10.82.{number}.2"]\n')
        desk.ip("route", "add", "default", "via", "10.82.1.2")
        daemon = harness.agent(stage, '[nic]\ninclude = ["isp-a", "isp-b"]\n' + paths, desk)
        client = harness.health(stage, daemon, "state/", "sample/", "heartbeat/")
        client.settle("path/isp-a", "ok")
        began, before = time.monotonic(), processor_s(daemon.child.pid)
        for _ in client.messages(options.seconds(60)):
            pass
        used = (processor_s(daemon.child.pid) - before) / (time.monotonic() - began) * 100
        yield [*memory(daemon.child.pid), used]


def strangers(options):
    """10,000 connections a minute by strangers while a client follows every change of a NIC that flaps: percent of a
    core before and meanwhile, the most resident MiB, changes that the client missed."""
    with Stage() as stage:
        case = curve_tests.Access()
        stage.addCleanup(case.doCleanups)
        case.setUp()
        keys = curve_tests.Keys()
        case.authorize("screen", keys)
        harness.veth(case.near, "flap0", case.out, "peer", 3)
        case.daemon.configure(curve_tests.AGENT.replace(
            "discover = false\n", 'discover = false\ninclude = ["flap0"]\nflap_count = 1000\nflap_window = "1s"\n', 1))
        daemon = case.daemon.start().child
        client = case.join(keys)
        client.settle("nic/flap0", "ok")
        link = case.out.link("peer")
        before = follow(client, link, daemon.pid, options.seconds(15), None)
        seconds = options.seconds(60)
        flood = harness.spawn(stage, case.out.command(
            sys.executable, os.path.join(os.path.dirname(__file__), "flood.py"), "10.82.2.1", "5555",
            case.server_key, str(round(seconds * 10_000 / 60)), str(seconds)),
            stdout=subprocess.PIPE, text=True)
        during = follow(client, link, daemon.pid, None, flood)
        said = flood.stdout.read().strip()
        flood.stdout.close()
        link.close()
        access = case.access()
        print(f"  strangers: {said}; {access}; {during}", file=sys.stderr)
        if ", 0 heard" not in said or access["refused_connections"] < seconds * 10_000 / 60:
            raise SystemExit(f"measure: strangers {said}, and the agent says {access}")
        yield [before["processor"], during["processor"], during["resident"], during["missed"] + before["missed"]]


def follow(client, link, pid, seconds, child):
    """Flaps a link, one change after another, for so long or until a child has ended."""
    view = tests.View(client.join())
    began, used, most, up = time.monotonic(), processor_s(pid), 0, False
    while (time.monotonic() < began + seconds) if child is None else child.poll() is None:
        link.set(up)
        up = not up
        until = time.monotonic() + 5
        is_told = False
        while not is_told and time.monotonic() < until:
            frames = client.frames(0.2)
            if frames is not None and not frames[0].startswith(b"sync/"):
                known = view.news
                view.take(client.read(frames))
                is_told = view.news != known and frames[0].endswith(b"/nic/flap0/")
        if not is_told:
            view.holes.append("no change in 5 s")
        most = max(most, memory(pid)[0])
    share = (processor_s(pid) - used) / (time.monotonic() - began) * 100
    return {"processor": share, "resident": most, "missed": len(view.holes), "seen": view.news}


class Market:
    """Agent, gateway and two servers of quotes behind two ISPs."""

    def __init__(self, stage):
        self.desk, self.venue = harness.Namespace(stage, "desk"), harness.Namespace(stage, "venue")
        paths, depends = "", []
        for number, name in enumerate("ab", 1):
            harness.veth(self.desk, f"isp-{name}", self.venue, f"to-{name}", number)
            paths += (f'[[path.isp]]\nname = "isp-{name}"\ninterface = "isp-{name}"\n'
                      f'targets = ["10.82.{number}.2"]\n')
            depends.append(f'interface = "isp-{name}"\ndepends_on = ["nic/isp-{name}", "path/isp-{name}"]')
        watcher = harness.agent(
            stage, '[nic]\ninclude = ["isp-a", "isp-b"]\nflap_count = 1000\n' + paths, self.desk)
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for number in (1, 2):
            harness.spawn(stage, self.venue.command(
                harness.binary("holdfast"), "play", "--generate", "quotes", "--rate", "1000", "--start-at", start,
                "--zeromq", f"tcp://10.82.{number}.2:7001"), stderr=subprocess.DEVNULL)
        part = (f'[[agent]]\npublish = "{watcher.endpoint("agent.pub")}"\n'
                f'request = "{watcher.endpoint("agent.req")}"\n')
        text = harness.GATEWAY_BUS + part + quote_tests.FEED % (
            'hold_down = "1s"\n', "tcp://10.82.1.2:7001", depends[0], "tcp://10.82.2.2:7001", depends[1])
        gateway = harness.Daemon(stage, "holdfast-gateway", text, self.desk).start()
        self.requests = gateway.endpoint("gateway.req")
        self.health = harness.health(stage, watcher, "state/")
        symbols = [f"HF{number:04d}" for number in range(1, 9)]
        self.market = harness.MarketClient(stage, gateway.endpoint("gateway.md"), "quotes", *symbols)
        self.gateway = harness.health(stage, gateway, name="gateway")
        self.settle()

    def settle(self):
        """Waits until both paths are well; returns the one that the feed is on and the other. The feed's way
        back takes longer after each failure, so it is not waited for: the fault goes where the feed is."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            states = self.gateway.states()
            subjects = ("feed/quotes", "feed-path/quotes.A", "feed-path/quotes.B")
            if all(states.get(subject, {}).get("status") == "ok" for subject in subjects):
                self.health.sync()
                self.market.sync()
                return ("A", "B") if states["feed/quotes"]["values"]["path"] == "A" else ("B", "A")
            pause(0.1)
        raise SystemExit(f"measure: quotes are not well again after 60 s: {states}")


def is_live(path):
    return lambda message: (message["kind"] == "state" and message["state"] == "live"
                            and message["told"]["path"] == path)


def switch_after_carrier_loss(options):
    """From the agent's event to quotes that are live on the other path, as one subscriber sees both."""
    with Stage() as stage:
        market = Market(stage)
        links = {path: market.venue.link(f"to-{path.lower()}") for path in "AB"}
        for _ in range(options.runs(20)):
            path, other = market.settle()
            failed, moved = is_state(f"nic/isp-{path.lower()}", "critical"), is_live(other)
            links[path].set(False)
            event = live = None
            while event is None or live is None:
                message, at = wait([market.health, market.market], lambda message: True, "the switch")
                if message["topic"].startswith("state/"):
                    event = event or (at if failed(message) else None)
                elif moved(message):
                    live = live or at
            yield (live - event) * 1000
            links[path].set(True)
        for link in links.values():
            link.close()


def switch_after_black_hole(options):
    """From the injection of a black hole to quotes that are live on the other path."""
    with Stage() as stage:
        market = Market(stage)
        for _ in range(options.runs(20)):
            path, other = market.settle()
            begun = time.monotonic()
            market.desk.drop_ingress(f"isp-{path.lower()}")
            _, at = wait([market.market], is_live(other), f"quotes live on {other}")
            yield (at - begun) * 1000
            market.desk.clear_ingress(f"isp-{path.lower()}")


# name, unit, measurement, limit, of what: "median", "max" or the index of a list
FIGURES = [
    ("carrier loss on a veth, published", "ms", carrier_loss, 5, "median"),
    ("second carrier loss within a second on a tap, published", "ms", second_loss, 150, "max"),
    ("SIGKILL of a watched process, published", "ms", kill, 10, "max"),
    ("black hole of an ISP path, published", "ms", black_hole, 1000, "max"),
    ("false alarms at 5 % random loss", "criticals", false_alarms, 0, "max"),
    ("agent, resident memory", "MiB", cost, 16, 0),
    ("agent, anonymous memory", "MiB", cost, 4, 1),
    ("agent, processor", "% of a core", cost, 1, 2),
    ("agent while a client follows a flapping NIC, processor", "% of a core", strangers, 60, 0),
    ("the same with 10,000 connections a minute by strangers", "% of a core", strangers, 80, 1),
    ("the same, resident memory", "MiB", strangers, 64, 2),
    ("the same, changes that the client missed", "changes", strangers, 0, 3),
    ("hot-warm switch after carrier loss, from the agent's event", "ms", switch_after_carrier_loss, 10, "max"),
    ("hot-warm switch after a black hole, from the injection", "ms", switch_after_black_hole, 350, "max"),
]


def row(name, unit, values, limit, of):
    if isinstance(of, int):
        values, of = [value[of] for value in values], "max"
    figures = {"median": statistics.median(values), "max": max(values)}
    return {"figure": name, "unit": unit, "runs": len(values), "median": round(figures["median"], 3),
            "max": round(figures["max"], 3), "limit": limit, "limit_is_for": of, "reached": figures[of] <= limit}


def measure(options):
    rows, known = [], {}
    print(f"{'':60} {'runs':>4} {'median':>9} {'max':>9} {'limit':>7}")
    for name, unit, work, limit, of in FIGURES:
        if options.only and options.only not in work.__name__:
            continue
        if work not in known:
            known[work] = list(work(options))
        figures = row(name, unit, known[work], limit, of)
        rows.append(figures)
        print(line(name, figures, limit, unit), flush=True)
    return rows


def line(name, figures, limit, unit):
    verdict = "" if figures["reached"] else f"   NOT REACHED ({figures['limit_is_for']})"
    return f"{name:60} {figures['runs']:4} {figures['median']:9.2f} {figures['max']:9.2f} {limit:7} {unit}{verdict}"


def parse():
    parser = argparse.ArgumentParser(
        prog="Tests/measure", description="Measures the figures that Holdfast promises, by an independent subscriber.",
        epilog="Exit status: 0 all limits reached, 1 not, 2 usage.")
    parser.add_argument("--quick", action="store_true", help="fewer runs, shorter watches")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--only", metavar="WORD", help="only measurements whose name holds WORD, such as black_hole")
    options = parser.parse_args()
    options.runs = lambda count: max(3, count // 4) if options.quick else count
    options.seconds = lambda seconds: seconds / 5 if options.quick else seconds
    return options


def main():
    options = parse()
    global harness, zmq, tests, curve_tests, quote_tests
    import zmq
    import harness
    import test_agent_bus as tests
    import test_curve as curve_tests
    import test_gateway_quotes as quote_tests
    if not harness.can_use_namespaces():
        print("measure: needs root, to make network namespaces", file=sys.stderr)
        return 69
    rows = measure(options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"quick": options.quick, "kernel": os.uname().release, "figures": rows}, file, indent=2)
            file.write("\n")
    return 0 if all(figures["reached"] for figures in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
