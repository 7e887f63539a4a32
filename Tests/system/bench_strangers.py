"""The gateway while strangers knock: how late messages are without them, beside few and beside as many as one core can
make, each with a whole CURVE handshake and a key that is on no list; and how soon an authorised client gets in."""

import os
import statistics
import threading
import time

import curve
import harness
import venue
import zmq

RATE = 10_000
KEYS = """[curve]
key = "~/host.key"
clients = "~/clients.toml"
"""
DOWNSTREAM = 'publish = ["ipc://~/gateway.md", "tcp://*:%d"]'
OTHER_ADDRESS = "127.0.0.2"
RUNS = {"nobody knocks": None, "5,000 a minute": 5000 / 60, "as fast as one core makes them": 0}


class Arrivals(threading.Thread):
    """An authorised client that comes anew, again and again, from an address of the strangers' or of its own."""

    def __init__(self, case, port, keys, server, seconds):
        super().__init__(daemon=True)
        self.port, self.keys, self.server, self.ends = port, keys, server, time.monotonic() + seconds
        self.context = zmq.Context()
        self.took = {"127.0.0.1": [], OTHER_ADDRESS: []}
        case.addCleanup(self.join)
        self.start()

    def run(self):
        number = 0
        while time.monotonic() < self.ends:
            for source, took in self.took.items():
                number += 1
                took.append(self.come(source, f"sync/{number}/".encode()))
                time.sleep(0.2)
        self.context.destroy(0)

    def come(self, source, marker):
        """Seconds from the attempt to the word that its subscription was heard."""
        sub = self.context.socket(zmq.SUB)
        sub.linger, sub.sndhwm = 0, 0
        self.keys.client(sub, self.server.public)
        sub.subscribe(marker)
        began = time.monotonic()
        sub.connect(f"tcp://{source}:0;127.0.0.1:{self.port}")
        came = sub.poll(30_000)
        sub.close()
        return time.monotonic() - began if came else float("inf")


def knock(bench, port, server, rate, seconds):
    keys = curve.Keys()
    return bench.spawn("knock", "127.0.0.1", port, f"--server={server.public}", f"--public={keys.public}",
                       f"--secret={keys.secret}", "--rate", rate, "--seconds", seconds)


def run(bench, gateway, feed, rate, seconds):
    """One run; `bench` is the arrangement that it starts in, `gateway` its configuration."""
    port, host, client = venue.free_port(), curve.Keys(), curve.Keys()
    text = gateway.replace('publish = ["ipc://~/gateway.md"]', DOWNSTREAM % port) + KEYS
    sender = bench.spawn("send-quotes", "--endpoint", bench.path("a"), "--endpoint", bench.path("b"),
                         "--messages", int(RATE * seconds), "--rate", RATE)
    daemon = harness.Daemon(bench.stage, "holdfast-gateway", text + feed)
    host.write(os.path.join(daemon.folder, "host.key"))
    curve.write_clients(os.path.join(daemon.folder, "clients.toml"), desk=(client, ["md/quotes/"]))
    daemon.start()
    strangers = rate is not None and knock(bench, port, host, rate, seconds)
    arrivals = Arrivals(bench.stage, port, client, host, seconds - 2)
    reader = bench.subscribe(daemon.endpoint("gateway.md"), "--topic", "md/quotes/", "--topic", "control/quotes/",
                             "--latency", "--warmup", RATE)
    return sender, reader, strangers, arrivals


def row(name, sent, got, strangers, arrivals):
    arrivals.join()
    took = {f"client_in_ms_{where}": [round(statistics.median(times) * 1000, 1), round(max(times) * 1000, 1)]
            for where, times in zip(("from_the_strangers_address", "from_another"), arrivals.took.values())}
    return {"figure": f"latency at {RATE} messages a second, strangers: {name}", "program": "gateway",
            **{key: round(got[key], 1) for key in ("median_us", "p99_us", "p999_us", "max_us")},
            "lost": sent["messages"] - got["messages"] - got["skipped"], "gaps_told": got["gaps"],
            "handshakes_per_s": round(strangers["rate"]) if strangers else 0, **took}
