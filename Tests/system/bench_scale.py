"""The gateway at its full size: the memory that 500,000 subscriptions of 1,000 clients to 100,000 topics take, with the
last value of each topic and a full reorder window, and whether it stays flat at load."""

import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time

import harness
import venue

TOPICS, CLIENTS, PREFIXES = 100_000, 1000, 500
RATE = 20_000
WINDOW = 4096

FEEDS = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-hot"
silence = "10s"
[[feed.path]]
name = "A"
endpoint = "%s"
[[feed.path]]
name = "B"
endpoint = "%s"
[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
reorder_time = "10s"
silence_behind_twin = "1h"
[[feed.path]]
name = "A"
group = "127.0.0.1:%d"
[[feed.path]]
name = "B"
group = "127.0.0.1:%d"
"""


class Crowd(threading.Thread):
    """Subscribers that speak ZMTP by hand, all in one thread; they take what comes and look at none of it."""

    def __init__(self, case, endpoint, clients, topics_of):
        super().__init__(daemon=True)
        self.endpoint, self.ends, self.received = endpoint, threading.Event(), 0
        self.poll = select.epoll()
        self.peers = {}
        for number in range(clients):
            peer = harness.RawPeer(case, endpoint)
            peer.socket.sendall(b"".join(self.subscription(topic) for topic in topics_of(number)))
            peer.socket.setblocking(False)
            self.peers[peer.socket.fileno()] = peer.socket
            self.poll.register(peer.socket, select.EPOLLIN)
        self.start()
        case.addCleanup(self.close)

    @staticmethod
    def subscription(topic):
        body = b"\x01" + topic.encode()
        return bytes([0, len(body)]) + body

    def run(self):
        buffer = bytearray(1 << 18)
        while not self.ends.is_set():
            for descriptor, _ in self.poll.poll(0.1):
                try:
                    self.received += self.peers[descriptor].recv_into(buffer)
                except BlockingIOError:
                    pass

    def close(self):
        if self.is_alive():
            self.ends.set()
            self.join()


class Holes(threading.Thread):
    """An ITCH line that loses a message now and then, beside one that is far behind: the window fills up after each."""

    def __init__(self, case, ports, rate=5000):
        super().__init__(daemon=True)
        self.ports, self.rate, self.ends = ports, rate, threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        case.addCleanup(self.socket.close)
        case.addCleanup(self.close)
        self.start()

    def run(self):
        sequence, begun = 1, time.monotonic()
        while not self.ends.wait(max(0, begun + sequence / self.rate - time.monotonic())):
            if sequence % (WINDOW + 100) < 10:
                sequence += 1                       # nobody brings it
            self.send(0, venue.mold("SCALE", sequence, [venue.add_order(1, sequence, "HF")] * 10))
            if sequence % 1000 < 10:
                self.send(1, venue.mold_heartbeat("SCALE", 1))
            sequence += 10

    def send(self, line, packet):
        self.socket.sendto(packet, ("127.0.0.1", self.ports[line]))

    def close(self):
        if self.is_alive():
            self.ends.set()
            self.join()


def memory_mib(pid):
    """Resident in all, and what is the process's own."""
    with open(f"/proc/{pid}/status") as file:
        found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in file if line.startswith(("VmRSS", "RssAnon"))}
    return found["VmRSS"], found["RssAnon"]


def until(condition, what, seconds=120):
    """Looks again and again, for what the gateway publishes only on request."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise SystemExit(f"holdfast-bench: {what} did not happen in {seconds} s")


def allow_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1 << 16), hard))


def topics_of(number):
    return [f"md/quotes/Q{(number * PREFIXES + index) % TOPICS + 1}/" for index in range(PREFIXES)]


def libzmq_alone(bench):
    """What libzmq takes of it, whatever is made of it."""
    endpoint = bench.path("bare")
    program = os.path.join(os.path.dirname(__file__), "bare_xpub.py")
    words = [sys.executable, program, endpoint, str(CLIENTS * PREFIXES), str(TOPICS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        crowd = Crowd(bench.stage, endpoint, CLIENTS, topics_of)
        taken = float(child.stdout.readline())
        crowd.close()
    return {"figure": f"{CLIENTS * PREFIXES} subscriptions of {CLIENTS} clients, each granted, {TOPICS} messages",
            "program": "libzmq alone", "more_than_at_start_mib": taken}


def scale(bench, options):
    """One run; `bench` is the arrangement that it starts in."""
    minutes = options.minutes
    ports = venue.free_port(), venue.free_port()
    sender = bench.spawn("send-quotes", "--endpoint", bench.path("a"), "--endpoint", bench.path("b"), "--rate", RATE,
                         "--topics", TOPICS, "--messages", int(RATE * (minutes + 1) * 60))
    daemon = bench.gateway(FEEDS % (bench.path("a"), bench.path("b"), *ports))
    bus = harness.health(bench.stage, daemon, name="gateway")
    pid = daemon.child.pid
    idle = memory_mib(pid)[0]
    crowd = Crowd(bench.stage, daemon.endpoint("gateway.md"), CLIENTS, topics_of)
    until(lambda: bus.status()["subscriptions"] == CLIENTS * PREFIXES, "all subscriptions")
    subscribed = memory_mib(pid)[0]
    Holes(bench.stage, ports)

    def values(feed):
        return bus.states()[f"feed/{feed}"]["values"]
    until(lambda: values("quotes").get("last_values") == TOPICS, "a value of each topic")
    until(lambda: values("itch")["waiting"] > WINDOW // 2, "a full window")
    full = memory_mib(pid)[0]
    samples, begun, received = [], time.monotonic(), crowd.received
    while time.monotonic() - begun < minutes * 60:
        time.sleep(5)
        samples.append(memory_mib(pid))
    seconds = time.monotonic() - begun
    third = max(1, len(samples) // 3)
    early, late = (max(resident for resident, _ in part) for part in (samples[:third], samples[-third:]))
    state = bus.states()
    counted = {name: state[f"feed/{name}"]["values"] for name in ("quotes", "itch")}
    sender.send_signal(15)
    sender.communicate()
    return {"figure": f"{CLIENTS * PREFIXES} subscriptions of {CLIENTS} clients, {TOPICS} topics, {RATE} messages a second",
            "program": "gateway", "idle_mib": round(idle, 1), "subscribed_mib": round(subscribed, 1),
            "full_mib": round(full, 1), "first_third_most_mib": round(early, 1), "last_third_most_mib": round(late, 1),
            "own_mib": round(samples[-1][1], 1), "minutes": round(seconds / 60, 1),
            "last_values": counted["quotes"]["last_values"],
            "last_values_mib": round(counted["quotes"]["last_values_bytes"] / (1 << 20), 1),
            "published": counted["quotes"]["messages"] + counted["itch"]["messages"],
            "delivered_mb_per_s": round((crowd.received - received) / seconds / 1e6, 1),
            "most_mib": 250, "is_within": bool(late < 250 and late - early < 5)}
