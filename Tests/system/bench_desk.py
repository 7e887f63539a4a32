"""The desk that `holdfast-bench agent` measures on: two ISPs behind veths in a namespace, the agent, and what desks use
today beside it. The peers are Debian's; their configuration is in a temporary folder, and they end by their ids."""

import glob
import http.client
import os
import socket
import subprocess
import threading
import time

import harness
import measure
import test_agent_bus as tests

PEERS = ["prometheus-node-exporter", "collectd-core", "monit", "keepalived", "nut-server", "fuse3", "systemd-container",
         "dbus"]
EXPORTER_PORT = 19100


def install():
    """The peers, as Debian has them. Debian starts what it installs as a service, unless told otherwise."""
    harness.run(os.path.join(harness.ROOT, "packaging/install-needs"), *PEERS)


def heard(start):
    """Agents whose words to the service manager are read, as systemd does: else they wait when its queue is full."""
    def agent(*arguments):
        daemon = start(*arguments)
        plug = daemon.notify.dup()
        plug.settimeout(0.5)

        def read():
            with plug:
                while daemon.is_running():
                    try:
                        plug.recv(65536)
                    except TimeoutError:
                        pass
        threading.Thread(target=read, daemon=True).start()
        return daemon
    return agent


class Place:
    """Where peers are started, and a folder for what they need."""

    def __init__(self, stage, command):
        self.stage, self.folder, self.command = stage, harness.folder_of(stage), command

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def spawn(self, *words):
        return harness.spawn(self.stage, self.command(*words), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)

    def fifo(self, name):
        """A pipe with a name that a peer writes a line to when it notices something."""
        path = os.path.join(self.folder, name)
        os.mkfifo(path, 0o600)
        end = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.stage.addCleanup(os.close, end)
        return path, end

    def telling(self, pipe, word):
        """A program that writes this word into a pipe."""
        return self.file(f"tell-{word}", f"#!/bin/sh\necho {word} > {pipe}\n", 0o700)


class Desk(Place):
    """A namespace with two ISPs behind veths, where everything runs."""

    def __init__(self, stage):
        self.near, self.far = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        super().__init__(stage, self.near.command)
        paths = ""
        for number, name in enumerate("ab", 1):
            harness.veth(self.near, f"isp-{name}", self.far, f"to-{name}", number)
            paths += (f'[[path.isp]]\nname = "isp-{name}"\ninterface = "isp-{name}"\n'
                      f'targets = ["10.82.{number}.2"]\n')
        self.near.ip("route", "add", "default", "via", "10.82.1.2")
        self.child = self.victim()
        self.text = '[nic]\ninclude = ["isp-a", "isp-b"]\nflap_count = 1000\n' + paths + tests.watch(
            "algo", os.path.join(self.folder, "algo.pid"))
        self.agent = harness.agent(stage, self.text, self.near)
        self.client = harness.health(stage, self.agent, "state/")
        for name in "ab":
            self.client.settle(f"path/isp-{name}", "ok")

    def victim(self):
        """A process that is watched by its pidfile."""
        child = harness.spawn(self.stage, ["sleep", "86400"])
        tests.write_pid(self.folder, "algo", child.pid)
        return child


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


def monit(place, checks):
    """monit at its fastest, a cycle a second."""
    text = (f'set daemon 1\nset pidfile {place.folder}/monit.pid\nset idfile {place.folder}/monit.id\n'
            f'set statefile {place.folder}/monit.state\n{checks}')
    return place.spawn("monit", "-I", "-c", place.file("monitrc", text))


def monit_of_desk(desk, pipe):
    """What monit notices of the desk goes into the pipe."""
    return monit(desk, (
        f'check network isp with interface isp-a\n  if link down then exec "{desk.telling(pipe, "carrier")}"\n'
        f'check process algo with pidfile {desk.folder}/algo.pid\n'
        f'  if does not exist then exec "{desk.telling(pipe, "kill")}"\n'
        f'check host isp-b with address 10.82.2.2\n'
        f'  if failed ping count 1 with timeout 1 second then exec "{desk.telling(pipe, "black_hole")}"\n'
        'check filesystem root with path /\n  if space usage > 99% then alert\n'
        'check system desk\n  if memory usage > 99% then alert\n'))


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


class Meter:
    """What programs cost from now on."""

    def __init__(self, running):
        self.running, self.began = running, time.monotonic()
        self.before = {name: counters(child.pid) for name, child in running.items()}

    def rows(self):
        elapsed = time.monotonic() - self.began
        for name, child in self.running.items():
            if child.poll() is not None:
                raise SystemExit(f"holdfast-bench: {name} ended with {child.returncode}")
            (used, woken), (resident, anonymous) = counters(child.pid), memory(child.pid)
            yield {"program": name, "resident_mib": round(resident, 1), "anonymous_mib": round(anonymous, 1),
                   "cpu_percent": round((used - self.before[name][0]) / elapsed * 100, 2),
                   "wakeups_per_s": round((woken - self.before[name][1]) / elapsed, 1)}


class Follower:
    """Takes all that is published, as a screen does, until the end of the measurement."""

    def __init__(self, stage, daemon):
        self.client = harness.health(stage, daemon, "state/", "sample/", "heartbeat/")
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        stage.addCleanup(self.end)

    def run(self):
        while not self.over.is_set():
            self.client.frames(0.2)

    def end(self):
        self.over.set()
        self.thread.join()


def costs(options):
    """All of them at once, for so long. The agents are followed with all that they publish."""
    with measure.Stage() as stage:
        desk = Desk(stage)
        pipe, _ = desk.fifo("notify")
        plain = harness.agent(stage, '[nic]\ninclude = ["isp-a", "isp-b"]\n', desk.near)
        for daemon in (desk.agent, plain):
            Follower(stage, daemon)
        running = {"holdfast-agent, default watchers": plain.child,
                   "holdfast-agent, with a process and two paths probed ten times a second": desk.agent.child,
                   "prometheus-node-exporter, scraped each second": exporter(desk),
                   "collectd, every second": collectd(desk, 1), "monit, every second": monit_of_desk(desk, pipe)}
        measure.pause(options.seconds / 6)
        meter = Meter(running)
        measure.pause(options.seconds)
        return list(meter.rows())
