"""How soon `holdfast-bench agent` sees noticed what happens to a host and its feeds besides: a file system that fills up,
a clock that is set, a plugin that turns critical, lines that lose packets or fall silent, tasks that wait. Each part gives
rows as those of bench_faults do."""

import os
import random
import shutil
import subprocess
import threading
import time

import bench_desk
import bench_faults
import harness
import measure
import test_agent_bus as tests
import test_agent_line as lines
import test_agent_pressure as pressures

MONITS_CYCLES_S = 2.1  # after so long it has seen that all is well again


def beside_monit(stage, client, command, checks):
    """Those who watch: the agent's client, and monit where it is installed, with the checks that are made of the program
    which tells its word."""
    place = bench_desk.Place(stage, command)
    pipe, end = place.fifo("monit")
    if not shutil.which("monit"):
        return bench_faults.Watch(client, {})
    bench_desk.monit(place, checks(place.telling(pipe, "told")))
    return bench_faults.Watch(client, {"monit": end})


def repeated(options, watch, name, subject, inject, restore):
    """The rows of a fault that is injected again and again."""
    words = {program: "told" for program in watch.ends}
    for _ in range(options.count):
        watch.client.settle(subject, "ok")
        measure.pause(random.uniform(0, 1) + (MONITS_CYCLES_S if words else 0))
        watch.drain()
        fault = bench_faults.Fault(name, subject, **words)
        inject()
        watch.until_known(fault)
        restore()
    return [bench_faults.row(fault, program, times, options.count) for (fault, program), times in watch.found.items()]


# A file system and a plugin, beside monit


def disk(options):
    """A small file system of memory is full at once."""
    with measure.Stage() as stage:
        case = bench_faults.Mounts()
        stage.addCleanup(case.doCleanups)
        case.setUp()
        path = case.tmpfs("data")
        client = case.start(disk=f'[disk]\ndiscover = false\ninclude = ["{path}"]\n')
        file = os.open(f"{case.root}{path}/fill", os.O_CREAT | os.O_WRONLY)
        stage.addCleanup(os.close, file)  # before the mount goes
        watch = beside_monit(stage, client, lambda *words: [*case.inside, *words], lambda tell: (
            f'check filesystem data with path {path}\n  if space usage > 95% then exec "{tell}"\n'))
        return repeated(options, watch, "file system full", f"disk/{path}",
                        lambda: os.posix_fallocate(file, 0, 4_100_000), lambda: os.ftruncate(file, 0))


def check(options):
    """A plugin that both run each second turns critical."""
    with measure.Stage() as stage:
        folder = harness.folder_of(stage)
        status, plugin = os.path.join(folder, "status"), os.path.join(folder, "plugin")

        def turn(number):
            with open(status + ".new", "w") as file:
                file.write(f"{number}\n")
            os.rename(status + ".new", status)
        turn(0)
        with open(plugin, "w") as file:
            file.write(f"#!/bin/sh\nread status <{status}\necho PLUGIN $status\nexit $status\n")
        os.chmod(plugin, 0o700)
        text = f'[[check]]\nname = "plugin"\ncommand = ["{plugin}"]\nevery = "1s"\n'
        client = harness.health(stage, harness.agent(stage, tests.QUIET + text), "state/")
        watch = beside_monit(stage, client, lambda *words: list(words), lambda tell: (
            f'check program plugin with path {plugin}\n  if status != 0 then exec "{tell}"\n'))
        return repeated(options, watch, "plugin, run each second, turns critical", "check/plugin",
                        lambda: turn(2), lambda: turn(0))


# The clock


def clock(options):
    """The clock is set, to what it is: for the kernel that is a step like any other, and no harm to others here."""
    with measure.Stage() as stage:
        text = tests.QUIET.replace("[clock]\nenabled = false\n", '[clock]\nstep_least = "0s"\nstep_stands = "1s"\n')
        client = harness.health(stage, harness.agent(stage, text), "state/")
        client.join()
        for _ in range(options.count):
            client.sync()
            measure.pause(random.uniform(0, 0.2))
            began = time.monotonic()
            time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))
            _, at = measure.wait([client], lambda message: is_step(message) is True, "the step")
            yield (at - began) * 1000
            measure.wait([client], lambda message: is_step(message) is False, "the end of the step")


def is_step(message):
    """Whether a state of the clock tells of a step; None: it is another message."""
    is_clock = message["topic"].startswith("state/") and harness.subject_of(message) == "clock/system"
    return "was set by" in message["reason"] if is_clock else None


# Lines


class Market:
    """A feed of a hundred packets a second on both lines, but for what is held back."""

    def __init__(self, stage, more):
        host, market = harness.Namespace(stage, "host"), harness.Namespace(stage, "mkt")
        for number in range(2):
            harness.veth(host, f"near{number}", market, f"far{number}", number)
        self.venue = lines.Venue(stage, market)
        self.silent, self.skips, self.heard_at, self.skipped_at = False, 0, 0.0, 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        stage.addCleanup(self.end)
        self.client = harness.health(stage, harness.agent(stage, tests.QUIET + lines.LINES % more, host), "state/")

    def run(self):
        while not self.over.wait(0.01):
            if self.skips:
                self.skips -= 1
                self.skipped_at = time.monotonic()
                self.venue.data(1, "A")
                continue
            if not self.silent:
                self.heard_at = time.monotonic()
            self.venue.data(1, "A" if self.silent else "AB")

    def end(self):
        self.over.set()
        self.thread.join()


def silent_line(options):
    """From the line's last packet."""
    with measure.Stage() as stage:
        market = Market(stage, "loss = { warning = false }")
        for _ in range(options.count):
            market.client.settle("line/itch.B", "ok")
            measure.pause(random.uniform(0, 0.2))
            market.client.sync()
            market.silent = True
            _, at = measure.wait([market.client], measure.is_state("line/itch.B", "critical"), "the silence")
            yield (at - market.heard_at) * 1000
            market.silent = False


def lossy_line(options):
    """From the packet that one line does not bring."""
    with measure.Stage() as stage:
        market = Market(stage, 'loss_window = "1s"')
        for _ in range(options.count):
            market.client.settle("line/itch.B", "ok")
            measure.pause(random.uniform(0, 0.2))
            market.client.sync()
            market.skips = 1
            _, at = measure.wait([market.client], measure.is_state("line/itch.B", "warning"), "the gap")
            yield (at - market.skipped_at) * 1000


def line(options):
    return [row for part in (bench_faults.agents_row("line that loses a packet", lossy_line),
                             bench_faults.agents_row("line that falls silent beside its twin", silent_line))
            for row in part(options)]


# Pressure


def fewer(options):
    """The kernel's averages take their time to fall again."""
    return max(1, options.count * 2 // 5)


def pressure(options):
    """From the start of more work than there are processors. The kernel is asked to tell; its averages move every 2 s."""
    with measure.Stage() as stage:
        limits = '[pressure]\ncpu_stall = { warning = 0.2, dwell = "0s" }\n'
        text = tests.QUIET.replace("[pressure]\nenabled = false\n", limits)
        daemon = harness.Daemon(stage, "holdfast-agent", harness.AGENT_BUS + text, wrap=pressures.SANDBOX).start()
        client = harness.health(stage, daemon, "state/")
        for _ in range(fewer(options)):
            try:
                client.settle("pressure/cpu", "ok", patience=120)
            except stage.failureException:
                return  # a machine that is busy anyway shows no more
            measure.pause(random.uniform(0, 2))
            client.sync()
            began = time.monotonic()
            hogs = [harness.spawn(stage, ["sh", "-c", "while :; do :; done"], stdout=subprocess.DEVNULL)
                    for _ in range(4 * os.cpu_count())]
            _, at = measure.wait([client], measure.is_state("pressure/cpu", "warning"), "the pressure")
            for hog in hogs:
                hog.kill()
                hog.wait()
            yield (at - began) * 1000


# What there is to measure, by name
PARTS = {
    "disk": disk,
    "check": check,
    "clock": bench_faults.agents_row("clock that is set", clock),
    "line": line,
    "pressure": bench_faults.agents_row("tasks that wait for processors a fifth of the time", pressure, runs=fewer),
}
