"""How soon the faults that `holdfast-bench agent` injects are noticed: by the agent, and by those beside it that watch for
the same. Each part gives rows of one or several kinds of fault."""

import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time

import bench_desk
import harness
import measure
import test_agent_bus as tests
import test_agent_disk as disks
import test_agent_ups as ups
import zmq

import guardian  # of the demo, by the harness
import manager


def row(fault, name, times, runs):
    times = sorted(times)
    return {"fault": fault, "program": name, "runs": runs, "noticed": len(times),
            "median_ms": round(statistics.median(times), 1) if times else None,
            "p99_ms": round(times[min(len(times) - 1, len(times) * 99 // 100)], 1) if times else None}


def agents_row(fault, work, runs=lambda options: options.count):
    """Of a fault that nobody else watches for."""
    def part(options):
        return [row(fault, "holdfast-agent", list(work(options)), runs(options))]
    return part


# A link, a process and a path, beside the peers


class Fault:
    """A fault that has just been injected: which state tells of it, and which words of the peers do."""

    def __init__(self, name, subject, statuses=("critical",), **words):
        self.name, self.is_told, self.words = name, measure.is_state(subject, *statuses), words
        self.began, self.times = time.monotonic(), {}

    def note(self, program, at):
        self.times.setdefault(program, (at - self.began) * 1000)

    def is_known(self):
        return len(self.times) == 1 + len(self.words)


class Hole:
    """Rules by which a device swallows what it receives, in a program that has been started and waits for them: on a busy
    machine its start takes longer than the fault's effect."""

    def __init__(self, stage, namespace, device):
        self.namespace, self.device = namespace, device
        self.child = harness.spawn(
            stage, namespace.command("nft", "-f", "-"), stdin=subprocess.PIPE, text=True)
        measure.pause(0.3)

    def open(self):
        self.child.stdin.write(self.namespace.dropping(self.device))
        self.child.stdin.close()

    def close(self):
        if self.child.wait():
            raise SystemExit("holdfast-bench: nft refused the rules")
        self.namespace.clear_ingress(self.device)


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

    def until_word(self, program, word, patience=15):
        """Waits until a peer has said so."""
        until, text = time.monotonic() + patience, ""
        while word not in text:
            if time.monotonic() > until:
                raise SystemExit(f"holdfast-bench: {program} never said {word}, only {text!r}")
            time.sleep(0.05)
            text += self.read(self.ends[program])

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


def links(options):
    """Those who watch for them see the same faults."""
    with measure.Stage() as stage:
        desk = bench_desk.Desk(stage)
        (monit_pipe, monit_end), (keepalived_pipe, keepalived_end) = desk.fifo("monit"), desk.fifo("keepalived")
        bench_desk.monit_of_desk(desk, monit_pipe)
        bench_desk.keepalived(desk, keepalived_pipe)
        watch = Watch(desk.client, {"monit": monit_end, "keepalived": keepalived_end})
        link = desk.far.link("to-a")
        stage.addCleanup(link.close)
        measure.pause(6)  # monit's first cycles, keepalived's election
        for _ in range(options.count):
            one_of_each(desk, watch, link)
        return [row(fault, name, times, options.count) for (fault, name), times in watch.found.items()]


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
    # keepalived takes its time to be what it was.
    watch.until_word("keepalived", "MASTER")
    well(desk)
    measure.pause(random.uniform(0, 1.1))
    swallowing = Hole(desk.stage, desk.far, "to-b")
    watch.drain()
    hole = Fault("path swallows every packet", "path/isp-b", monit="black_hole")
    swallowing.open()
    watch.until_known(hole)
    swallowing.close()
    well(desk)


def well(desk):
    """Until the paths answer again, and monit and keepalived have had the time to see it."""
    for subject in ("path/isp-a", "path/isp-b"):
        if desk.client.states()[subject]["status"] not in ("ok", "warning"):
            desk.client.wait_state(subject, lambda state: state["status"] in ("ok", "warning"))
    measure.pause(1.6)


# A unit


def unit(options):
    """A service of a systemd of its own is killed and started again by it; no state between is `failed`."""
    reason = manager.reason_against()
    if reason:
        raise SystemExit(f"holdfast-bench: systemd {reason}")
    with measure.Stage() as stage:
        systemd = manager.Manager(os.getpid(), harness.folder_of(stage))

        def spawn(_, words, **rest):
            return harness.spawn(stage, words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **rest)
        groups = guardian.control_groups(systemd.tag)
        stage.addCleanup(guardian.remove_machine, systemd.tag)
        reason = systemd.start(spawn, lambda pid: harness.GUARDIAN.note("+", "process", pid), groups)
        stage.addCleanup(systemd.stop)
        if reason:
            raise SystemExit(f"holdfast-bench: systemd {reason}")
        text = tests.QUIET + f'[[unit.watch]]\nname = "{manager.UNIT}"\ncrash_window = "1s"\n'
        daemon = harness.Daemon(stage, "holdfast-agent", harness.AGENT_BUS + text)
        daemon.start(environment={"DBUS_SYSTEM_BUS_ADDRESS": systemd.bus})
        client = harness.health(stage, daemon, "state/")
        for _ in range(options.count):
            client.settle(f"unit/{manager.UNIT}", "ok")
            systemd.systemctl("reset-failed", manager.UNIT)  # or it is not started again after five crashes
            process = systemd.main_process()
            client.sync()
            measure.pause(random.uniform(0, 0.2))
            began = time.monotonic()
            os.kill(process, signal.SIGKILL)
            _, at = measure.wait([client], measure.is_state(f"unit/{manager.UNIT}", "critical"), "the crash")
            yield (at - began) * 1000


# A UPS


def battery(fault, folder=None):
    """From the moment at which the driver tells its own listeners that it is on battery. Driver and agent keep their
    intervals, so that each ten faults have another agent, at another phase of the driver's."""
    def part(options):
        for first in range(0, options.count, 10):
            yield from several(range(first, min(first + 10, options.count)))

    def several(numbers):
        with measure.Stage() as stage:
            namespace = harness.Namespace(stage, "nut")
            upsd = ups.Upsd(stage, namespace, {"main": ups.ONLINE})
            settings = f'[ups]\ndriver_folder = "{folder or upsd.folder}"\n'
            measure.pause(random.uniform(0, 1))
            daemon = harness.agent(stage, tests.QUIET + settings, namespace)
            client = harness.health(stage, daemon, "state/")
            plug = socket.socket(socket.AF_UNIX)
            stage.addCleanup(plug.close)
            plug.connect(upsd.socket("main"))
            plug.sendall(b"DUMPALL\n")
            for number in numbers:
                client.settle("ups/main", "ok")
                upsd.status("main", "OB DISCHRG", battery_charge=90, battery_runtime=1200 + number, ups_load=20)
                yield told_after(plug, client)
                upsd.write("main", ups.ONLINE)
    return agents_row(fault, part)


def told_after(plug, client):
    """Milliseconds from the driver's word to the agent's."""
    is_told = measure.is_state("ups/main", "warning", "critical")
    poller = zmq.Poller()
    poller.register(client.sub, zmq.POLLIN)
    poller.register(plug, zmq.POLLIN)
    driver = told = None
    until = time.monotonic() + harness.PATIENCE_S
    while (driver is None or told is None) and time.monotonic() < until:
        for ready, _ in poller.poll(1000):
            at = time.monotonic()
            if ready is client.sub:
                told = told or (at if is_told(client.read(client.sub.recv_multipart())) else None)
            elif b"OB DISCHRG" in plug.recv(65536):
                driver = driver or at
    if driver is None or told is None:
        raise SystemExit("holdfast-bench: UPS on battery was not told in time")
    return max(0, told - driver) * 1000


# A mount


class Mounts(disks.Case):
    """A mount namespace and what can be mounted in it, as in the tests."""

    def runTest(self):
        pass


def mount(options):
    """A file system stops answering. Beside it, what else the agent watches must not change meanwhile."""
    with measure.Stage() as stage:
        case = Mounts()
        stage.addCleanup(case.doCleanups)
        case.setUp()
        path = case.place("hung")
        server = harness.spawn(stage, [*case.inside, sys.executable, os.path.join(disks.HERE, "hanging_fuse.py"), path],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        server.stdout.readline()

        def tell(word):
            server.stdin.write(word + "\n")
            server.stdin.flush()
            server.stdout.readline()
        other = case.tmpfs("other")
        client = case.start(disk=f'[disk]\ninclude = ["{path}", "{other}"]\n')
        # A daemon that hangs in a file system ends when that does.
        stage.addCleanup(lambda: (server.kill(), server.wait(), server.stdin.close(), server.stdout.close()))
        subject = f"disk/{path}"
        client.settle(subject, "ok")
        for _ in range(options.count):
            client.settle(subject, "ok")
            measure.pause(random.uniform(0, 0.5))
            before = {name: state["change"] for name, state in client.states().items() if name != subject}
            client.sync()
            began = time.monotonic()
            tell("hang")
            _, at = measure.wait([client], measure.is_state(subject, "critical"), "the hung mount")
            yield (at - began) * 1000
            moved = [(name, state["status"], state["reason"]) for name, state in client.states().items()
                     if name != subject and state["change"] != before.get(name)
                     and not name.startswith("pressure/")]  # those of this machine's load
            if moved:
                raise SystemExit(f"holdfast-bench: a mount hung, and these changed: {moved}")
            tell("answer")


# What there is to measure, by name
PARTS = {
    "links": links,
    "tap": agents_row("second carrier loss within a second, on a tap", measure.second_loss),
    "unit": agents_row("unit killed and started again by systemd", unit),
    "ups": battery("UPS on battery, by its driver's socket, from when the driver says so"),
    "ups-tcp": battery("the same by upsd alone, which is asked once a second", "/nonexistent"),
    "mount": agents_row("mount that does not answer", mount),
}
