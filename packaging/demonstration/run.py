"""The demo: stages two ISPs and a venue, runs agent, gateway and a strategy, injects faults, and tells what
happened. Called by packaging/demo."""

import argparse
import datetime
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import guardian
import manager
import power
from stage import Loopback, Namespaces

ITCH_SYMBOLS = [f"HF{number:04d}" for number in range(1, 6)]
QUOTE_SYMBOLS = [f"HF{number:04d}" for number in range(1, 9)]
ITCH_RATE, QUOTE_RATE, LEAST_SECONDS = 20_000, 1_000, 40
# Seconds until the venue opens, and until its directory is out and the streams run evenly.
VENUE_STARTS_IN, SETTLED_AFTER = 2, 2
TARGETS = {"carrier-loss": "isp-a", "black-hole": "isp-a", "random-loss": "isp-a and isp-b",
           "process-kill": "algo", "unit-crash": manager.UNIT, "disk-full": "a file system of the desk",
           "venue-freeze": "venue A", "ups-on-battery": f"ups {power.NAME}"}
TITLES = {
    "carrier-loss": "isp-a loses its carrier",
    "black-hole": "isp-a swallows every packet, its link stays up",
    "random-loss": "isp-a and isp-b each drop 5 % of what arrives",
    "process-kill": "the process `algo` is killed with SIGKILL",
    "unit-crash": f"the unit {manager.UNIT} crashes, and systemd starts it again",
    "disk-full": "a file system of the desk fills up",
    "venue-freeze": "the venue's A servers freeze (SIGSTOP)",
    "ups-on-battery": f"the mains fail: the UPS `{power.NAME}` is on battery",
}
# Which state of which subject publishes a fault; DISK is the file system's mount point.
PUBLISHED = {
    "carrier-loss": [("nic/isp-a", {"critical"})],
    "black-hole": [("path/isp-a", {"critical"})],
    "random-loss": [("path/isp-a", {"warning", "critical"}), ("path/isp-b", {"warning", "critical"}),
                    ("feed-path/itch.A", {"warning", "critical"}), ("feed-path/itch.B", {"warning", "critical"})],
    "process-kill": [("process/algo", {"critical"})],
    "ups-on-battery": [(f"ups/{power.NAME}", {"warning", "critical"})],
    "unit-crash": [(f"unit/{manager.UNIT}", {"critical"})],
    "disk-full": [("disk/DISK", {"warning", "critical"})],
    "venue-freeze": [("feed-path/itch.A", {"warning", "critical"}), ("feed-path/quotes.A", {"warning", "critical"})],
}


class Failure(Exception):
    """Something that the demo cannot go on without; the text is for the person who runs it."""


def agent_file(stage, folder):
    paths = ""
    for path, interface in stage.interfaces.items():
        if interface:
            paths += f'[[path.isp]]\nname = "{interface}"\ninterface = "{interface}"\ntargets = ["{stage.venue[path]}"]\n'
    names = [name for name in stage.interfaces.values() if name]
    disks = [stage.disk] if stage.disk else []
    return f"""host = "desk"
[bus]
publish = ["ipc://{folder}/agent.pub"]
request = ["ipc://{folder}/agent.req"]
[nic]
include = {json.dumps(names)}
[path]
enabled = {"true" if paths else "false"}
[ups]
enabled = {"true" if stage.has_power else "false"}
driver_folder = "{folder}/nut"
[disk]
include = {json.dumps(disks)}
[[process.watch]]
name = "algo"
pidfile = "{folder}/algo.pid"
[unit]
enabled = {"true" if "unit-crash" in stage.faults else "false"}
[[unit.watch]]
name = "{manager.UNIT}"
crash_window = "1s"
{paths}"""


def gateway_file(stage, folder):
    text = f"""host = "desk"
[bus]
publish = ["ipc://{folder}/gateway.pub"]
request = ["ipc://{folder}/gateway.req"]
[downstream]
publish = ["ipc://{folder}/gateway.md"]
[[agent]]
publish = "ipc://{folder}/agent.pub"
request = "ipc://{folder}/agent.req"
"""
    for name, protocol, keys, policy in (
        ("itch", "moldudp64", "itch-5.0", "hot-hot"), ("quotes", "zeromq", "topic", "hot-warm"),
    ):
        text += f'[[feed]]\nname = "{name}"\nprotocol = "{protocol}"\nkeys = "{keys}"\npolicy = "{policy}"\n'
        text += 'hold_down = "1s"\nfreshness = "1s"\n'
        for path, interface in stage.interfaces.items():
            text += f'[[feed.path]]\nname = "{path}"\n'
            if protocol == "moldudp64":
                text += f'group = "{stage.mold[path]}"\n'
            else:
                text += f'endpoint = "tcp://{stage.venue[path]}:7001"\nplaintext = true\n'
            if interface:
                text += f'interface = "{interface}"\ndepends_on = ["nic/{interface}", "path/{interface}"]\n'
    return text


class Demo:
    def __init__(self, options):
        self.options = options
        root = os.geteuid() == 0 and not options.loopback
        self.stage = Namespaces(os.getpid()) if root else Loopback()
        self.folder = tempfile.mkdtemp(prefix="hfdemo-")
        self.children = {}
        self.events, self.buffer = [], b""
        self.injected = None
        self.started = time.monotonic()
        self.manager = manager.Manager(os.getpid(), self.folder)
        self.guardian, self.guard = guardian.start(self.folder, self.stage.namespaces, self.manager.tag)

    # Processes

    def spawn(self, name, words, **options):
        log = open(os.path.join(self.folder, f"{name}.log"), "wb")
        options = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL,
                   "env": os.environ | {"STATE_DIRECTORY": self.folder}} | options
        child = subprocess.Popen(words, start_new_session=True, **options)
        self.children[name] = child
        self.note(child.pid)
        return child

    def program(self, name):
        return os.path.join(self.options.binaries, name)

    def log_tail(self, name):
        with open(os.path.join(self.folder, f"{name}.log"), errors="replace") as file:
            return "".join(file.readlines()[-8:])

    def check_children(self):
        for name, child in self.children.items():
            if name != "algo" and child.poll() is not None:
                raise Failure(f"{name} ended with {child.returncode}:\n{self.log_tail(name)}")

    def start_algo(self):
        child = self.spawn("algo", self.stage.on_desk(["sleep", "86400"]))
        partial = os.path.join(self.folder, "algo.new")
        with open(partial, "w") as file:
            file.write(f"{child.pid}\n")
        os.rename(partial, os.path.join(self.folder, "algo.pid"))

    def note(self, pid):
        """Has a process ended when the demo is over, however it ends."""
        os.write(self.guard, b"%d\n" % pid)

    def start_manager(self):
        """Where a unit cannot crash, the demo does without, and says why."""
        if "unit-crash" not in self.stage.faults:
            return
        reason = manager.reason_against()
        if not reason:
            reason = self.manager.start(self.spawn, self.note, guardian.control_groups(self.manager.tag))
        if reason:
            print(f"  without the fault unit-crash: systemd {reason}", flush=True)
            self.stage.faults = [fault for fault in self.stage.faults if fault != "unit-crash"]
            if self.children.pop("manager", None):
                self.manager.stop()

    def start(self):
        self.start_manager()
        for name, text in (("agent", agent_file(self.stage, self.folder)),
                           ("gateway", gateway_file(self.stage, self.folder))):
            with open(os.path.join(self.folder, f"{name}.toml"), "w") as file:
                file.write(text)
        self.start_algo()
        if self.stage.has_power:
            self.power = power.Power(self.folder)
            self.power.start(self.spawn, self.stage.on_desk)
        for name in ("agent", "gateway"):
            self.spawn(name, self.stage.on_desk(
                [self.program(f"holdfast-{name}"), "--config", os.path.join(self.folder, f"{name}.toml")]),
                env=os.environ | {"STATE_DIRECTORY": self.folder} | (
                    {"DBUS_SYSTEM_BUS_ADDRESS": self.manager.bus} if "manager" in self.children else {}))
        settings = {
            "market_data": f"ipc://{self.folder}/gateway.md",
            "health": {name: f"ipc://{self.folder}/{name}.pub" for name in ("agent", "gateway")},
            "feeds": [
                {"name": "itch", "policy": "hot-hot", "per_topic": False, "freshness_s": 1, "symbols": ITCH_SYMBOLS},
                {"name": "quotes", "policy": "hot-warm", "per_topic": True, "freshness_s": 1, "symbols": QUOTE_SYMBOLS},
            ],
        }
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "strategy.py")
        self.strategy = self.spawn(
            "strategy", self.stage.on_desk([sys.executable, script, json.dumps(settings)]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.strategy.stdout.fileno(), False)
        self.start_venue()

    def start_venue(self):
        """Two servers per path play the same streams in step, from one start time."""
        start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=VENUE_STARTS_IN)
        self.opened = time.monotonic() + VENUE_STARTS_IN
        stamp = start.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for path in self.stage.interfaces:
            common = ["--start-at", stamp, "--seed", "1"]
            itch = ["play", "--generate", "itch", "--symbols", "8000", "--rate", str(ITCH_RATE),
                    "--mold", self.stage.play_mold(path)]
            quotes = ["play", "--generate", "quotes", "--symbols", "100", "--rate", str(QUOTE_RATE),
                      "--zeromq", f"tcp://{self.stage.venue[path]}:7001"]
            for feed, words in (("itch", itch), ("quotes", quotes)):
                self.spawn(f"venue-{path}-{feed}", self.stage.on_venue([self.program("holdfast"), *words, *common]))

    # Events of the strategy

    def read_events(self, until, stop=lambda event: False):
        """Collects events until a monotonic time, or until one that `stop` accepts; returns that one."""
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self.strategy.stdout], [], [], min(left, 0.25))
            self.check_children()
            if not ready:
                continue
            chunk = os.read(self.strategy.stdout.fileno(), 65536)
            if not chunk:
                raise Failure(f"the strategy ended:\n{self.log_tail('strategy')}")
            self.buffer += chunk
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                event = json.loads(line)
                self.events.append(event)
                self.narrate(event)
                if stop(event):
                    return event
        return None

    def command(self, word):
        self.strategy.stdin.write(word.encode() + b"\n")
        self.strategy.stdin.flush()
        event = self.read_events(time.monotonic() + 10, lambda event: event["event"] == "window")
        if event is None:
            raise Failure("the strategy does not answer")
        return event["feeds"]

    def narrate(self, event):
        if self.injected is None:
            return
        after = f"{(event['at'] - self.injected) * 1000:+9.1f} ms"
        if event["event"] == "health":
            cause = f" (because of {event['cause']})" if event["cause"] else ""
            print(f"  {after}  {event['publisher']:8} {event['subject']} {event['status']}: {event['reason']}{cause}")
        elif event["event"] == "channel":
            path = f" on {event['path']}" if event["path"] else ""
            reason = f", {event['reason']}" if event["reason"] else ""
            print(f"  {after}  strategy {event['feed']} is told: {event['state']}{path}{reason}")
        elif event["event"] == "gap" and self.gap_lines < 5:
            self.gap_lines += 1
            instrument = f" of {event['instrument']}" if event["instrument"] else ""
            print(f"  {after}  strategy {event['feed']} is told: gap {event['first']} to {event['last']}{instrument}")
            if self.gap_lines == 5:
                print(f"  {'':12}  strategy … further gaps are counted below")

    # Faults

    def prepared(self, fault):
        if fault == "process-kill":
            return lambda: os.kill(self.children["algo"].pid, signal.SIGKILL), self.restart_algo
        if fault == "unit-crash":
            process = self.manager.main_process()
            return lambda: os.kill(process, signal.SIGKILL), lambda: None
        if fault == "venue-freeze":
            servers = [child for name, child in self.children.items() if name.startswith("venue-A")]
            return (lambda: [os.kill(child.pid, signal.SIGSTOP) for child in servers],
                    lambda: [os.kill(child.pid, signal.SIGCONT) for child in servers])
        if fault == "ups-on-battery":
            return self.power.switch(power.ON_BATTERY), self.power.switch(power.ON_MAINS)
        return self.stage.prepare(fault)

    def restart_algo(self):
        self.children["algo"].wait()
        self.start_algo()

    def fault(self, fault, hold, settle):
        inject, undo = self.prepared(fault)
        self.command("window")
        self.gap_lines = 0
        first_event = len(self.events)
        print(f"\n{time.monotonic() - self.started:5.1f} s  FAULT: {TITLES[fault]}", flush=True)
        injected_at = datetime.datetime.now(datetime.timezone.utc)
        self.injected = time.monotonic()
        inject()
        self.read_events(self.injected + hold)
        print(f"{time.monotonic() - self.started:5.1f} s  undone", flush=True)
        undo()
        self.read_events(self.injected + hold + settle)
        feeds = self.command("window")
        row = {
            "fault": fault, "target": TARGETS[fault], "injected_at": injected_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "published_ms": self.published(fault, self.events[first_event:]), "feeds": feeds,
        }
        self.injected = None
        self.report(row)
        return row

    def published(self, fault, events):
        for event in events:
            if event["event"] == "health" and any(
                    event["subject"] == subject.replace("DISK", self.stage.disk or "") and event["status"] in statuses
                    for subject, statuses in PUBLISHED[fault]):
                return round((event["at"] - self.injected) * 1000, 3)
        return None

    def report(self, row):
        published = row["published_ms"]
        told = "NOT PUBLISHED" if published is None else f"published after {published:.1f} ms"
        print(f"  => {told}")
        for name, feed in row["feeds"].items():
            switched = "" if feed["switched_ms"] is None else f", on the other path after {feed['switched_ms']:.1f} ms"
            print(f"     {name}: {feed['received']} received, {feed['lost']} lost, {feed['gaps_told']} told as gaps, "
                  f"{feed['duplicates']} twice, {feed['out_of_order']} out of order, {feed['false_live']} falsely live, "
                  f"longest silence {feed['longest_silence_ms']:.1f} ms{switched}", flush=True)

    # The whole

    def wait_until_live(self):
        live = set()

        def both(event):
            if event["event"] == "channel":
                (live.add if event["state"] == "live" else live.discard)(event["feed"])
            return len(live) == 2
        if self.read_events(time.monotonic() + 20, both) is None:
            raise Failure(f"feeds that never became live: {sorted({'itch', 'quotes'} - live)}\n"
                          f"{self.log_tail('gateway')}{self.log_tail('venue-A-itch')}{self.log_tail('venue-A-quotes')}")
        self.read_events(self.opened + SETTLED_AFTER)

    def cost(self, name):
        """Processor seconds and resident KiB of a daemon."""
        pid = self.children[name].pid
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        with open(f"/proc/{pid}/statm") as file:
            pages = int(file.read().split()[1])
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGESIZE") // 1024

    def run(self):
        self.stage.create(self.folder)
        self.introduce()
        self.start()
        self.wait_until_live()
        before = {name: self.cost(name) for name in ("agent", "gateway")}
        measured_from = time.monotonic()
        left = self.options.seconds - (measured_from - self.started) - 1
        slot = max(5.0, left / len(self.stage.faults))
        rows = [self.fault(fault, hold=slot * 0.4, settle=slot * 0.6) for fault in self.stage.faults]
        result = {"mode": self.stage.mode, "duration_s": round(time.monotonic() - self.started, 1), "faults": rows}
        for name, (seconds, _) in before.items():
            after, kibibytes = self.cost(name)
            share = (after - seconds) / (time.monotonic() - measured_from) * 100
            result[name] = {"rss_kib": kibibytes, "cpu_percent": round(share, 2)}
        self.command("end")
        return result

    def introduce(self):
        print("Holdfast: a trading host, two ISPs, and a venue behind both." if self.stage.namespaces else
              "Holdfast on loopback: run as root for two ISPs that can be cut; without, only processes can fail.")
        print(f"  itch    {ITCH_RATE} messages/s by {self.stage.casting} on both paths, hot-hot; "
              f"the strategy takes {len(ITCH_SYMBOLS)} of 8000 symbols")
        print(f"  quotes  {QUOTE_RATE} messages/s over ZeroMQ, hot-warm; "
              f"the strategy takes {len(QUOTE_SYMBOLS)} of 100 symbols", flush=True)

    def close(self):
        """The guardian ends the processes and removes the namespaces when this end of its pipe closes."""
        if self.options.keep_logs:
            shutil.copytree(self.folder, self.options.keep_logs, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("*.pub", "*.req", "*.md", "disk*"))
        os.close(self.guard)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.waitpid(self.guardian, 0)


def verdict(result):
    """0 only if nothing was lost, repeated, reordered or falsely called live, and every fault was published."""
    bad = ("lost", "duplicates", "out_of_order", "false_live")
    clean = all(feed[key] == 0 for row in result["faults"] for feed in row["feeds"].values() for key in bad)
    return 0 if clean and all(row["published_ms"] is not None for row in result["faults"]) else 1


def parse():
    parser = argparse.ArgumentParser(
        prog="packaging/demo",
        description="Runs an agent, a gateway and a strategy over two paths, injects faults, and shows what happens. "
        "As root in network namespaces of its own; else on loopback, with the faults that loopback allows.",
        epilog="Exit status: 0 all messages delivered or told and every fault published, 1 not, 2 usage, 69 the demo "
        "could not run, 130 interrupted.")
    parser.add_argument("--seconds", type=float, default=60, help=f"how long to run, at least {LEAST_SECONDS} (default 60)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--loopback", action="store_true", help="no namespaces, also as root")
    parser.add_argument("--keep-logs", metavar="FOLDER", help="copy the programs' logs and configuration to FOLDER")
    parser.add_argument("--binaries", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not LEAST_SECONDS <= options.seconds <= 86400:
        parser.error(f"--seconds {options.seconds:g}: from {LEAST_SECONDS} to 86400")
    return options


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    options = parse()
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    if os.geteuid() == 0:
        guardian.remove_leftovers()
    demo = Demo(options)
    try:
        result = demo.run()
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 69
    except KeyboardInterrupt:
        print("\ndemo: interrupted, cleaning up", file=sys.stderr)
        return 130
    except subprocess.CalledProcessError as error:
        print(f"demo: {' '.join(error.cmd)} failed with {error.returncode}", file=sys.stderr)
        return 69
    finally:
        demo.close()
    code = verdict(result)
    for row in result["faults"]:
        for feed in row["feeds"].values():
            del feed["received"], feed["repaired"]  # nothing is journalled here
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    costs = ", ".join(f"{name} {result[name]['rss_kib'] / 1024:.1f} MiB and {result[name]['cpu_percent']:.1f} % of a core"
                      for name in ("agent", "gateway"))
    print(f"\n{costs}\n" + ("Nothing lost, nothing twice, nothing stale called live, every fault published."
                            if code == 0 else "NOT CLEAN: see the figures above."))
    return code


if __name__ == "__main__":
    sys.exit(main())
