"""The gateway's memory while 1,000 clients take everything and read nothing, at load; and one beside them that reads."""

import threading

import bench_scale
import harness

CLIENTS, RATE = 1000, 5000


class Watch(threading.Thread):
    """The most memory that a process has had."""

    def __init__(self, case, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.ends = pid, 0, threading.Event()
        case.addCleanup(self.end)
        self.start()

    def run(self):
        while not self.ends.wait(0.2):
            self.most = max(self.most, bench_scale.memory_mib(self.pid)[0])

    def end(self):
        self.ends.set()
        self.join()
        return self.most


def begin(bench, feed, seconds):
    """One run; `bench` is the arrangement that it starts in."""
    bench_scale.allow_descriptors()
    sender = bench.spawn("send-quotes", "--endpoint", bench.path("a"), "--endpoint", bench.path("b"), "--rate", RATE,
                         "--messages", int(RATE * seconds))
    daemon = bench.gateway(feed)
    bus = harness.health(bench.stage, daemon, name="gateway")
    idle = bench_scale.memory_mib(daemon.child.pid)[0]
    reader = bench.subscribe(daemon.endpoint("gateway.md"), "--topic", "md/quotes/", "--topic", "control/quotes/")
    sleepers = [harness.RawPeer(bench.stage, daemon.endpoint("gateway.md")) for _ in range(CLIENTS)]
    for sleeper in sleepers:
        sleeper.send(b"\x01md/quotes/")
    bench_scale.until(lambda: bus.status()["subscriptions"] >= CLIENTS, "all subscriptions")
    return sender, reader, idle, bus, Watch(bench.stage, daemon.child.pid)


def row(sent, got, idle, bus, watch):
    dropped = bus.status()["dropped_messages"]
    return {"figure": f"{CLIENTS} clients that take {RATE} messages a second and never read", "program": "gateway",
            "idle_mib": round(idle, 1), "most_mib": round(watch.end(), 1), "dropped_messages": dropped,
            "lost_by_who_reads": sent["messages"] - got["messages"] - got["skipped"]}
