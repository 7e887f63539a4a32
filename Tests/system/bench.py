"""`holdfast-bench agent`: the agent beside what desks use today, on the same machine in the same run.

The peers are Debian's. They run as children in a namespace of their own, with their configuration in a temporary
folder, and are ended by their ids. What they cost is read in /proc; what they notice is timed from the fault.
"""

import argparse
import glob
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

PEERS = ["prometheus-node-exporter", "collectd-core", "monit", "keepalived", "nut-server"]
EXPORTER_PORT = 19100


def install():
    """The peers, as Debian has them. Debian starts what it installs as a service, unless told otherwise."""
    subprocess.run([os.path.join(harness.ROOT, "packaging/install-needs"), *PEERS], check=True, stdout=sys.stderr)


def heard(start):
    """Agents whose words to the service manager are read, as systemd does: else they wait when its queue is full."""
    def agent(*arguments):
        daemon = start(*arguments)

        def read():
            daemon.notify.settimeout(None)
            while daemon.is_running():
                daemon.notify.recv(65536)
        threading.Thread(target=read, daemon=True).start()
        return daemon
    return agent


class Desk:
    """A namespace with two ISPs behind veths, where everything runs."""

    def __init__(self, stage):
        self.stage, self.folder = stage, harness.folder_of(stage)
        self.near, self.far = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        paths = ""
        for number, name in enumerate("ab", 1):
            harness.veth(self.near, f"isp-{name}", self.far, f"to-{name}", number)
            paths += (f'[[path.isp]]\nname = "isp-{name}"\ninterface = "isp-{name}"\n'
                      f'targets = ["10.82.{number}.2"]\n')
        self.near.ip("route", "add", "default", "via", "10.82.1.2")
        self.child = self.victim()
        text = '[nic]\ninclude = ["isp-a", "isp-b"]\nflap_count = 1000\n' + paths + tests.watch(
            "algo", os.path.join(self.folder, "algo.pid"))
        self.agent = harness.agent(stage, text, self.near)
        self.client = harness.health(stage, self.agent, "state/")
        for name in "ab":
            self.client.settle(f"path/isp-{name}", "ok")

    def victim(self):
        """A process that is watched by its pidfile."""
        child = harness.spawn(self.stage, ["sleep", "86400"])
        tests.write_pid(self.folder, "algo", child.pid)
        return child

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def spawn(self, *words):
        return harness.spawn(self.stage, self.near.command(*words), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)

    def fifo(self, name):
        """A pipe with a name that a peer writes a line to when it notices something."""
        path = os.path.join(self.folder, name)
        os.mkfifo(path, 0o600)
        end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.stage.addCleanup(os.close, end)
        return path, end


# The peers


def exporter(desk):
    """prometheus-node-exporter with Debian's defaults, scraped each second over one connection."""
    child = desk.spawn("prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{EXPORTER_PORT}")
    connection, until = None, time.monotonic() + harness.PATIENCE_S
    while connection is None:
        try:
            plug = desk.near.enter(lambda: socket.create_connection(("127.0.0.1", EXPORTER_PORT), 5))
            connection = http.client.HTTPConnection("127.0.0.1", EXPORTER_PORT)
            connection.sock = plug
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    over = threading.Event()

    def scrape():
        while not over.wait(1):
            connection.request("GET", "/metrics")
            connection.getresponse().read()
    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()

    def end():
        over.set()
        scraper.join()
        connection.close()
    desk.stage.addCleanup(end)
    return child


def collectd(desk, interval):
    """collectd with what comes nearest to the agent's subjects, sent to a UDP port that nobody hears."""
    plugins = ["cpu", "memory", "interface", "load", "df", "disk", "processes", "swap", "uptime"]
    text = (f'Hostname "desk"\nFQDNLookup false\nInterval {interval}\nBaseDir "{desk.folder}"\n'
            f'PIDFile "{desk.folder}/collectd.pid"\nTypesDB "/usr/share/collectd/types.db"\n'
            + "".join(f"LoadPlugin {name}\n" for name in plugins)
            + '<Plugin processes>\n Process "sleep"\n</Plugin>\n'
            + 'LoadPlugin network\n<Plugin network>\n Server "127.0.0.1" "25826"\n</Plugin>\n')
    return desk.spawn("collectd", "-f", "-C", desk.file("collectd.conf", text))


def monit(desk, pipe):
    """monit at its fastest, a cycle a second; what it notices goes into the pipe."""
    def told(word):
        return desk.file(f"monit-{word}", f"#!/bin/sh\necho {word} > {pipe}\n", 0o700)
    text = (f'set daemon 1\nset pidfile {desk.folder}/monit.pid\nset idfile {desk.folder}/monit.id\n'
            f'set statefile {desk.folder}/monit.state\n'
            f'check network isp with interface isp-a\n  if link down then exec "{told("carrier")}"\n'
            f'check process algo with pidfile {desk.folder}/algo.pid\n'
            f'  if does not exist then exec "{told("kill")}"\n'
            f'check host isp-b with address 10.82.2.2\n'
            f'  if failed ping count 1 with timeout 1 second then exec "{told("black_hole")}"\n'
            'check filesystem root with path /\n  if space usage > 99% then alert\n'
            'check system desk\n  if memory usage > 99% then alert\n')
    return desk.spawn("monit", "-I", "-c", desk.file("monitrc", text, 0o600))


def keepalived(desk, pipe):
    """keepalived with an instance that tracks the interface; its changes of state go into the pipe."""
    text = (f'global_defs {{\n  vrrp_notify_fifo {pipe}\n  vrrp_notify_priority_changes false\n}}\n'
            'vrrp_instance desk {\n  interface isp-b\n  state MASTER\n  virtual_router_id 51\n  priority 100\n'
            '  advert_int 1\n  track_interface {\n    isp-a\n  }\n  virtual_ipaddress {\n    10.82.2.9/24\n  }\n}\n')
    return desk.spawn("keepalived", "-n", "-P", "-f", desk.file("keepalived.conf", text),
                      "-p", f"{desk.folder}/keepalived.pid", "-r", f"{desk.folder}/vrrp.pid")


# What they cost


def family(pid):
    """A process and its descendants: monit and keepalived have children."""
    pids, index = [pid], 0
    while index < len(pids):
        for path in glob.glob(f"/proc/{pids[index]}/task/*/children"):
            try:
                with open(path) as file:
                    pids += [int(word) for word in file.read().split()]
            except OSError:
                pass
        index += 1
    return pids


def counters(pid):
    """Processor seconds, and how often a thread has slept and woken, of the whole family."""
    used = woken = 0
    for member in family(pid):
        for folder in glob.glob(f"/proc/{member}/task/*"):
            try:
                with open(f"{folder}/schedstat") as file:
                    used += int(file.read().split()[0]) / 1e9
                with open(f"{folder}/status") as file:
                    woken += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
            except OSError:
                pass
    return used, woken


def memory(pid):
    """Resident and anonymous MiB of the whole family."""
    resident = anonymous = 0.0
    for member in family(pid):
        try:
            with open(f"/proc/{member}/status") as file:
                fields = dict(line.split(":", 1) for line in file)
        except OSError:
            continue
        resident += int(fields.get("VmRSS", "0 kB").split()[0]) / 1024
        anonymous += int(fields.get("RssAnon", "0 kB").split()[0]) / 1024
    return resident, anonymous


def costs(options):
    """All of them at once, for so long."""
    with measure.Stage() as stage:
        desk = Desk(stage)
        pipe, _ = desk.fifo("notify")
        running = {"holdfast-agent": desk.agent.child, "prometheus-node-exporter, scraped each second": exporter(desk),
                   "collectd, every second": collectd(desk, 1), "monit, every second": monit(desk, pipe)}
        measure.pause(options.seconds / 6)
        before, began = {name: counters(child.pid) for name, child in running.items()}, time.monotonic()
        measure.pause(options.seconds)
        rows, elapsed = [], time.monotonic() - began
        for name, child in running.items():
            if child.poll() is not None:
                raise SystemExit(f"holdfast-bench: {name} ended with {child.returncode}")
            (used, woken), (resident, anonymous) = counters(child.pid), memory(child.pid)
            rows.append({"program": name, "resident_mib": round(resident, 1), "anonymous_mib": round(anonymous, 1),
                         "cpu_percent": round((used - before[name][0]) / elapsed * 100, 2),
                         "wakeups_per_s": round((woken - before[name][1]) / elapsed, 1)})
        return rows


# What they notice


class Fault:
    """A fault that has just been injected: which state tells of it, and which words of the peers do."""

    def __init__(self, name, subject, statuses=("critical",), **words):
        self.name, self.is_told, self.words = name, measure.is_state(subject, *statuses), words
        self.began, self.times = time.monotonic(), {}

    def note(self, program, at):
        self.times.setdefault(program, (at - self.began) * 1000)

    def is_known(self):
        return len(self.times) == 1 + len(self.words)


class Watch:
    """Times when each of those who watch has told of a fault."""

    def __init__(self, client, ends):
        self.client, self.ends = client, ends
        self.poller = zmq.Poller()
        self.poller.register(client.sub, zmq.POLLIN)
        for end in ends.values():
            self.poller.register(end, zmq.POLLIN)
        self.found = {}

    def drain(self):
        """Forgets what came before the fault."""
        self.client.sync()
        for end in self.ends.values():
            self.read(end)

    @staticmethod
    def read(end):
        try:
            return os.read(end, 65536).decode(errors="replace")
        except BlockingIOError:
            return ""

    def until_known(self, *faults, patience=15):
        """Waits until everyone who watches for these faults has told of them; who does not is left out."""
        until = time.monotonic() + patience
        while not all(fault.is_known() for fault in faults) and (left := until - time.monotonic()) > 0:
            for ready, _ in self.poller.poll(left * 1000):
                at = time.monotonic()
                if ready is self.client.sub:
                    message = self.client.read(self.client.sub.recv_multipart())
                    for fault in faults:
                        if fault.is_told(message):
                            fault.note("holdfast-agent", at)
                    continue
                program = next(name for name, end in self.ends.items() if end == ready)
                text = self.read(ready)
                for fault in faults:
                    if fault.words.get(program, "\0") in text:
                        fault.note(program, at)
        for fault in faults:
            for program, taken in fault.times.items():
                self.found.setdefault((fault.name, program), []).append(taken)


def detection(options):
    """Rows of each kind of fault: those who watch for it see the same faults."""
    with measure.Stage() as stage:
        desk = Desk(stage)
        (monit_pipe, monit_end), (keepalived_pipe, keepalived_end) = desk.fifo("monit"), desk.fifo("keepalived")
        monit(desk, monit_pipe)
        keepalived(desk, keepalived_pipe)
        watch = Watch(desk.client, {"monit": monit_end, "keepalived": keepalived_end})
        link = desk.far.link("to-a")
        stage.addCleanup(link.close)
        measure.pause(6)  # monit's first cycles, keepalived's election
        for _ in range(options.count):
            one_of_each(desk, watch, link)
        rows = [row(fault, name, times, options.count) for (fault, name), times in watch.found.items()]
    for fault, work in (("second carrier loss within a second, on a tap", measure.second_loss),
                        ("UPS on battery, from when its driver says so", battery)):
        rows.append(row(fault, "holdfast-agent", list(work(options)), options.count))
    return rows


def one_of_each(desk, watch, link):
    """A cut link and a killed process at once, then a path that swallows everything."""
    watch.drain()
    measure.pause(random.uniform(0, 1.1))  # another phase of those who poll
    cut = Fault("carrier loss", "nic/isp-a", monit="carrier", keepalived="FAULT")
    link.set(False)
    kill = Fault("process killed", "process/algo", monit="kill")
    os.kill(desk.child.pid, signal.SIGKILL)
    desk.child.wait()
    watch.until_known(cut, kill)
    link.set(True)
    desk.child = desk.victim()
    desk.client.settle("process/algo", "ok")
    well(desk)
    measure.pause(random.uniform(0, 1.1))
    watch.drain()
    hole = Fault("path swallows every packet", "path/isp-b", monit="black_hole")
    desk.far.drop_ingress("to-b")
    watch.until_known(hole)
    desk.far.clear_ingress("to-b")
    well(desk)


def well(desk):
    """Until the paths answer again, and monit and keepalived have had the time to see it."""
    for subject in ("path/isp-a", "path/isp-b"):
        if desk.client.states()[subject]["status"] not in ("ok", "warning"):
            desk.client.wait_state(subject, lambda state: state["status"] in ("ok", "warning"))
    measure.pause(1.6)


def battery(options):
    """From the moment at which the driver tells its own listeners that it is on battery."""
    with measure.Stage() as stage:
        namespace = harness.Namespace(stage, "nut")
        upsd = ups.Upsd(stage, namespace, {"main": ups.ONLINE})
        agent = harness.agent(stage, tests.QUIET + f'[ups]\ndriver_folder = "{upsd.folder}"\n', namespace)
        client = harness.health(stage, agent, "state/")
        plug = socket.socket(socket.AF_UNIX)
        stage.addCleanup(plug.close)
        plug.connect(upsd.socket("main"))
        plug.sendall(b"DUMPALL\n")
        poller = zmq.Poller()
        poller.register(client.sub, zmq.POLLIN)
        poller.register(plug, zmq.POLLIN)
        is_told = measure.is_state("ups/main", "warning", "critical")
        for number in range(options.count):
            client.settle("ups/main", "ok")
            upsd.status("main", "OB DISCHRG", battery_charge=90, battery_runtime=1200 + number, ups_load=20)
            driver = told = None
            until = time.monotonic() + 30
            while (driver is None or told is None) and time.monotonic() < until:
                for ready, _ in poller.poll(1000):
                    at = time.monotonic()
                    if ready is client.sub:
                        told = told or (at if is_told(client.read(client.sub.recv_multipart())) else None)
                    elif b"OB DISCHRG" in plug.recv(65536):
                        driver = driver or at
            if driver is None or told is None:
                raise SystemExit("holdfast-bench: UPS on battery was not told in 30 s")
            yield max(0, told - driver) * 1000
            upsd.write("main", ups.ONLINE)


def row(fault, name, times, runs):
    times = sorted(times)
    return {"fault": fault, "program": name, "runs": runs, "noticed": len(times),
            "median_ms": round(statistics.median(times), 1),
            "p99_ms": round(times[min(len(times) - 1, len(times) * 99 // 100)], 1)}


# The command


def parse():
    parser = argparse.ArgumentParser(
        prog="Tests/holdfast-bench agent", description="Measures the agent beside node_exporter, collectd, monit and "
        "keepalived, which are installed from Debian where they are missing (and which Debian then starts).",
        epilog="As root. Exit status: 0 measured, 2 usage, 69 something is missing.")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--only", choices=["cost", "detection"], help="one of the two parts")
    parser.add_argument("--quick", action="store_true", help="10 s of cost and 5 faults of each kind, not 60 and 50")
    options = parser.parse_args()
    options.count, options.seconds = (5, 10) if options.quick else (50, 60)
    options.runs = lambda usual: options.count
    return options


def table(rows):
    for values in rows:
        print("  ".join(f"{name} {value}" for name, value in values.items()))
    print()


def main():
    options = parse()
    global harness, measure, tests, ups, zmq
    import zmq
    import harness
    import measure
    import test_agent_bus as tests
    import test_agent_ups as ups
    measure.zmq, measure.harness, measure.tests = zmq, harness, tests
    if not harness.can_use_namespaces():
        print("holdfast-bench: needs root, to make network namespaces", file=sys.stderr)
        return 69
    install()
    harness.agent = heard(harness.agent)
    document = {"quick": options.quick, "kernel": os.uname().release, "cores": os.cpu_count()}
    for name, part in (("cost", costs), ("detection", detection)):
        if options.only in (None, name):
            document[name] = part(options)
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        table(document.get("cost", []))
        table(document.get("detection", []))
    return 0


if __name__ == "__main__":
    sys.exit(main())
