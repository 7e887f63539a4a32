"""How fast a gateway that starts late is at the head of a session that goes on: by MoldUDP64's requests, within the
quota that was configured, and by SoupBinTCP, which sends a session from its beginning."""

import os
import socket
import statistics
import struct
import subprocess
import time

import harness

GROUPS = ("239.255.72.1", "239.255.72.2")
PATIENCE_S = 300

LINES = """[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
start = "session"
[feed.recover]
servers = ["udp://127.0.0.1:%d"]
requests_per_second = %d
""" + "".join(f'[[feed.path]]\nname = "{name}"\ninterface = "lo"\ngroup = "{group}:%d"\n'
              for name, group in zip("AB", GROUPS))

SOUP = """[[feed]]
name = "itch"
protocol = "soupbintcp"
policy = "hot-hot"
[[feed.path]]
name = "A"
endpoint = "tcp://127.0.0.1:%d"
login_file = "%s"
"""

WAYS = {"MoldUDP64, 1,000 requests a second": 1000, "MoldUDP64, 10,000 requests a second": 10_000, "SoupBinTCP": None}


class Head:
    """How far the venue is, by one of its lines."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((GROUPS[0], port))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                               socket.inet_aton(GROUPS[0]) + socket.inet_aton("127.0.0.1"))
        self.last = 0

    def read(self):
        """The last number that came, of all that waits to be read."""
        self.socket.settimeout(PATIENCE_S)
        packet = self.socket.recv(65536)
        self.socket.settimeout(0)
        try:
            while True:
                packet = self.socket.recv(65536)
        except BlockingIOError:
            pass
        first, count = struct.unpack_from(">QH", packet, 10)
        self.last = first + (count if count < 0xFFFF else 0) - 1
        return self.last


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def login(bench):
    path = os.path.join(bench.folder, "login.toml")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write('user = "bench"\npassword = "late"\n')
    return path


def run(bench, requests, backlog, rate):
    """One gateway that comes when so many messages were sent, while so many a second go on to be."""
    lines, asked, soup = (free_port(kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_DGRAM, socket.SOCK_STREAM))
    head = Head(lines)
    bench.stage.addCleanup(head.socket.close)
    start = time.time() - backlog / rate
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start)) + "Z"
    groups = (word for group in GROUPS for word in ("--mold", f"{group}:{lines}@lo"))
    harness.spawn(bench.stage, [
        harness.binary("holdfast"), "play", "--generate", "itch", "--rate", str(rate), "--session", "CATCHUP",
        "--start-at", stamp, "--catch-up", "600", "--mold-requests", f"127.0.0.1:{asked}", "--soup",
        f"127.0.0.1:{soup}", *groups], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while head.read() < backlog:
        pass
    began = time.monotonic()
    feed = SOUP % (soup, login(bench)) if requests is None else LINES % (asked, requests, lines, lines)
    daemon = bench.gateway(feed)
    context = harness.zmq.Context()
    bench.stage.addCleanup(context.destroy, 0)
    control = harness.subscriber(context, daemon.endpoint("gateway.md"), "control/itch/")
    ahead, missing = head.read(), 0
    while control.poll(PATIENCE_S * 1000):
        topic, header, body = harness.reader.read(control.recv())
        told = harness.reader.control(header, body)
        if header["kind"] == "gap":
            missing += told["last"] - told["first"] + 1
        # What was sent since the last heartbeat is not behind.
        if header["kind"] == "heartbeat" and header["sequence"] > 0 and header["sequence"] >= head.read() - rate // 4:
            seconds = time.monotonic() - began
            return {"rate": header["sequence"] / seconds, "seconds": seconds, "behind": ahead, "missing": missing}
    raise SystemExit("holdfast-bench: the gateway does not come to the session's head")


def rows(make_bench, options):
    """A row of each way, medians of its runs."""
    backlog, rate = (60_000, 5000) if options.quick else (200_000, 10_000)
    found = []
    for name, requests in WAYS.items():
        runs = []
        for _ in range(options.repeats):
            with make_bench() as bench:
                runs.append(run(bench, requests, backlog, rate))
        found.append({
            "figure": f"a session that is {backlog} messages ahead and goes on at {rate} a second, by {name}",
            "program": "gateway", "messages_per_s": round(statistics.median(each["rate"] for each in runs)),
            "seconds_to_the_head": round(statistics.median(each["seconds"] for each in runs), 2),
            "lost": max(each["missing"] for each in runs)})
    return found
