"""Venues of the tests' own: MoldUDP64 packets with ITCH 5.0 messages, and the sequenced ZeroMQ feed.

Written from the published formats (Sources/FeedProtocols/*/README.md), and not from the code that reads them."""

import collections
import random
import select
import socket
import struct
import threading
import time

import zmq

import curve
import harness
import login_server

# MoldUDP64 and ITCH 5.0


def directory(locate, symbol):
    """A stock directory message, R."""
    return struct.pack(">cHH6s8s20x", b"R", locate, 0, bytes(6), symbol.ljust(8).encode())


def add_order(locate, count, symbol):
    """An add order message, A; `count` is the reference."""
    midnight_ns = int(time.time() % 86400 * 1e9)
    return struct.pack(">cHH6sQcI8sI", b"A", locate, 0, midnight_ns.to_bytes(6, "big"), count, b"B", 100,
                       symbol.ljust(8).encode(), 10_000)


def mold(session, sequence, messages):
    head = struct.pack(">10sQH", session.ljust(10).encode(), sequence, len(messages))
    return head + b"".join(struct.pack(">H", len(message)) + message for message in messages)


def mold_heartbeat(session, following):
    return struct.pack(">10sQH", session.ljust(10).encode(), following, 0)


def mold_end(session, following):
    return struct.pack(">10sQH", session.ljust(10).encode(), following, 0xFFFF)


def free_port(kind=socket.SOCK_DGRAM, address="127.0.0.1"):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def line_ports(count):
    """Ports for lines, outside those that the kernel gives to whoever asks for any: nobody gets one by chance before
    the gateway opens it."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest, highest = map(int, file.read().split())
    ports = []
    while len(ports) < count:
        port = random.randrange(10_000, 65_536)
        if lowest <= port <= highest or port in ports:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    return ports


class Lines:
    """Two lines of one MoldUDP64 session on loopback; the test says which packet goes where."""

    def __init__(self, case):
        self.ports = dict(zip("AB", line_ports(2)))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        case.addCleanup(self.socket.close)
        self.session, self.next = "S000000001", 1

    def group(self, line):
        return f"127.0.0.1:{self.ports[line]}"

    def send(self, line, packet):
        self.socket.sendto(packet, ("127.0.0.1", self.ports[line]))

    def both(self, packet):
        for line in self.ports:
            self.send(line, packet)

    def wait_heard(self, client):
        """Heartbeats, as before a market's open, until the gateway hears both lines: it opens them after it
        says that it is ready."""
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            self.both(mold_heartbeat(self.session, self.next))
            states = client.states()
            if all(states.get(f"feed-path/itch.{line}", {}).get("status") == "ok" for line in self.ports):
                return
        client.case.fail(f"the gateway does not hear both lines: {states}")

    def packet(self, *messages):
        """The next packet of the session."""
        packet = mold(self.session, self.next, messages)
        self.next += len(messages)
        return packet

    def open(self, *symbols):
        """The directory, on both lines: locate 1 for the first symbol, and so on."""
        self.both(self.packet(*(directory(number, symbol) for number, symbol in enumerate(symbols, 1))))

    def orders(self, count, *symbols):
        """A packet with so many orders, taking turns between the symbols."""
        return self.packet(*(add_order(index % len(symbols) + 1, self.next + index, symbols[index % len(symbols)])
                             for index in range(count)))


# The sequenced ZeroMQ feed

FRAME = struct.Struct("<BBHIQQq")
DATA, IDLE, HEARTBEAT = 1, 2, 3


def frame(topic, kind, session, sequence, payload=b"", interval_ms=0, source_ns=None):
    source_ns = time.time_ns() if source_ns is None else source_ns
    return topic.encode() + b"\0" + FRAME.pack(1, kind, 0, interval_ms, session, sequence, source_ns) + payload


class Upstream:
    """One server of a venue: an XPUB that notes each subscription, answers it with an idle frame, and sends
    heartbeats, until it is frozen. Its socket belongs to its thread. With `keys` it is a CURVE server, and lets in
    whose keys its `door` is told. What it has to send waits for `delay_s`."""

    def __init__(self, case, book, address="127.0.0.1", namespace=None, port=None, keys=None, allowed=()):
        self.book = book
        self.subscriptions = []  # ("+" or "-", topic) in the order of their arrival
        self.is_frozen = False
        self.lock = threading.Condition()
        self.outbox, self.is_sent, self.ends = [], True, False
        self.delay_s, self.delayed = 0, collections.deque()  # when each is due, and what
        self.sender = None

        def open_socket():
            self.context = zmq.Context()  # its I/O thread starts in this namespace
            self.socket = self.context.socket(zmq.XPUB)
            self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            self.socket.sndhwm, self.socket.linger = 0, 0
            if keys:
                self.door = curve.Door(case, self.context, *allowed)
                keys.server(self.socket)
            self.socket.bind(f"tcp://{address}:{port or '*'}")
        namespace.enter(open_socket) if namespace else open_socket()
        self.endpoint = self.socket.last_endpoint.decode().rstrip("\0")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.is_closed = False
        case.addCleanup(self.close)

    def run(self):
        next_beat = 0.0
        while not self.ends:
            if self.socket.poll(2):
                self.heard(self.socket.recv())
            with self.lock:
                outbox, self.outbox = self.outbox, []
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + 0.1
                outbox.append(frame("heartbeat/", HEARTBEAT, self.book.session, 0, interval_ms=100))
            self.delayed.extend((now + self.delay_s, message) for message in outbox)
            while self.delayed and self.delayed[0][0] <= now:
                message = self.delayed.popleft()[1]
                if not self.is_frozen:
                    self.socket.send(message)
            with self.lock:
                self.is_sent = not self.outbox and not self.delayed
                self.lock.notify_all()

    def heard(self, message):
        sign, topic = ("+" if message[0] else "-"), message[1:].decode()
        with self.lock:
            self.subscriptions.append((sign, topic))
            self.lock.notify_all()
        if sign == "+" and topic not in ("", "heartbeat/"):
            with self.book.lock:  # behind what is numbered and on its way
                self.send(frame(topic, IDLE, self.book.session, self.book.last.get(topic, 0)))

    def send(self, message):
        with self.lock:
            self.outbox.append(message)
            self.is_sent = False

    def wait_sent(self, case):
        """Waits until all is sent, to whoever is subscribed by then."""
        with self.lock:
            if not self.lock.wait_for(lambda: self.is_sent, harness.PATIENCE_S):
                case.fail(f"{self.endpoint}: {len(self.outbox)} messages are not sent")

    @property
    def held(self):
        """The topics that are subscribed now, each as often as it is."""
        held = []
        for sign, topic in self.subscriptions:
            held.append(topic) if sign == "+" else held.remove(topic) if topic in held else None
        return sorted(held)

    def wait_held(self, case, *topics):
        """Waits until exactly these are subscribed."""
        with self.lock:
            if not self.lock.wait_for(lambda: self.held == sorted(topics), harness.PATIENCE_S):
                case.fail(f"{self.endpoint}: subscribed are {self.held}, not {sorted(topics)}; "
                          f"it was asked for {self.subscriptions}")

    def wait_released(self, case, topic):
        """Waits until somebody has given a topic up."""
        with self.lock:
            if not self.lock.wait_for(lambda: ("-", topic) in self.subscriptions, harness.PATIENCE_S):
                case.fail(f"{self.endpoint}: nobody gave {topic} up, only {self.subscriptions}")

    def close(self):
        if not self.is_closed:
            self.is_closed, self.ends = True, True
            self.thread.join()
            if hasattr(self, "door"):
                self.door.close()
            self.context.destroy(linger=0)


class Wire:
    """A wire to a server, in a thread: TCP connections that are passed on, until it is cut. What is cut stays so."""

    def __init__(self, case, endpoint):
        host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
        self.server = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ends, self.peers, self.poller = False, {}, select.poll()
        self.poller.register(self.listener, select.POLLIN)
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.close)

    def run(self):
        while not self.ends:
            for number, _ in self.poller.poll(20):
                with self.lock:
                    self.accept() if number == self.listener.fileno() else self.carry(number)

    def accept(self):
        near = self.listener.accept()[0]
        try:
            far = socket.create_connection(self.server, harness.PATIENCE_S)
        except OSError:
            return near.close()
        for one, other in ((near, far), (far, near)):
            one.settimeout(harness.PATIENCE_S)
            self.peers[one.fileno()] = (one, other)
            self.poller.register(one, select.POLLIN)

    def carry(self, number):
        if number not in self.peers:
            return
        one, other = self.peers[number]
        if not select.select([one], [], [], 0)[0]:
            return  # it was another connection's news, under the same number
        try:
            data = one.recv(65536)
            other.sendall(data) if data else self.end(one, other)
        except OSError:
            self.end(one, other)

    def end(self, *sockets):
        for one in sockets:
            self.poller.unregister(one)
            del self.peers[one.fileno()]
            one.close()

    def cut(self):
        with self.lock:
            while self.peers:
                self.end(*next(iter(self.peers.values())))

    def close(self):
        self.ends = True
        self.thread.join()
        self.cut()
        self.listener.close()


class Book:
    """What both servers of a venue number alike: the last sequence of each topic. Whoever holds the lock until all
    servers have what was numbered keeps them from saying before that there is such a number."""

    def __init__(self, session=77):
        self.session, self.last = session, {}
        self.lock = threading.RLock()

    def following(self, topic):
        self.last[topic] = self.last.get(topic, 0) + 1
        return self.last[topic]


class Market:
    """Two servers that play the same stream; quotes are made in a thread, or one at a time."""

    def __init__(self, case, *symbols, **options):
        self.book = Book()
        self.symbols = symbols
        self.A, self.B = Upstream(case, self.book, **options), Upstream(case, self.book, **options)
        self.ends, self.thread = threading.Event(), None
        case.addCleanup(self.stop)

    def quote(self, symbol, payload=None, skip=(), **options):
        topic = symbol + "/"
        with self.book.lock:
            sequence = self.book.following(topic)
            message = frame(topic, DATA, self.book.session, sequence, payload or b'{"count":%d}' % sequence, **options)
            for name in "AB":
                if name not in skip:
                    getattr(self, name).send(message)

    def play(self):
        """Quotes of all symbols, a few milliseconds apart."""
        def run():
            while not self.ends.wait(0.005):
                for symbol in self.symbols:
                    self.quote(symbol)
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self):
        self.ends.set()
        if self.thread:
            self.thread.join()


class ReRequests:
    """The re-request server of a MoldUDP64 venue, in a thread: by request packet, one packet with at most `most`
    messages back, or whatever `reply` makes of a request. It keeps each message that `lines` sends."""

    def __init__(self, case, lines, most=35, address="127.0.0.1"):
        self.lines, self.most, self.messages = lines, most, {}
        self.reply = self.answer
        self.requests, self.client, self.asked = [], None, threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(0.05)
        self.port = self.socket.getsockname()[1]
        self.ends = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.close)

    @property
    def url(self):
        return f"udp://127.0.0.1:{self.port}"

    def keep(self, packet):
        """Takes the messages of a packet in; returns the packet."""
        _, sequence, count = struct.unpack_from(">10sQH", packet)
        at = 20
        for number in range(count):
            length, = struct.unpack_from(">H", packet, at)
            self.messages[sequence + number] = packet[at + 2:at + 2 + length]
            at += 2 + length
        return packet

    def run(self):
        while not self.ends:
            try:
                request, self.client = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            session, first, count = struct.unpack(">10sQH", request)
            self.requests.append((session.decode().strip(), first, count))
            self.asked.set()
            packet = self.reply(session.decode().strip(), first, count)
            if packet is not None:
                self.socket.sendto(packet, self.client)

    def answer(self, session, first, count):
        messages = []
        while len(messages) < min(count, self.most) and first + len(messages) in self.messages:
            messages.append(self.messages[first + len(messages)])
        return mold(session, first, messages) if messages else None

    def close(self):
        self.ends = True
        self.thread.join()
        self.socket.close()


class Soup(login_server.LoginServer):
    """A SoupBinTCP server: lets in who knows the password, sends each what it has not got, and heartbeats five times a
    second: on a busy machine some come late."""

    def __init__(self, case, session="S000000001", **place):
        self.session, self.messages, self.garbage = session, [], None
        super().__init__(case, **place)

    def cut(self, data):
        if len(data) < 2:
            return 0
        length = 2 + struct.unpack_from(">H", data)[0]
        return length if len(data) >= length else 0

    def take(self, client, packet):
        return packet[2:3] != b"L" or self.let_in(client, packet[2:])

    def idle(self, client):
        if client.next is None:
            return
        if self.garbage is not None:
            client.socket.sendall(self.garbage)
            self.garbage = None
        with self.lock:
            waiting = self.messages[client.next - 1:]
            client.next += len(waiting)
        if waiting:
            client.send(b"".join(self.packet(b"S", message) for message in waiting))
        elif time.monotonic() - client.sent >= 0.2:
            client.send(self.packet(b"H"))

    @staticmethod
    def packet(kind, payload=b""):
        return struct.pack(">H", len(payload) + 1) + kind + payload

    def let_in(self, client, packet):
        user, password, session, sequence = (field.decode().strip() for field in
                                             struct.unpack("6s10s10s20s", packet[1:47]))
        self.logged_in((user, password, session, int(sequence)))
        if (user, password) != ("me", "secret"):
            client.send(self.packet(b"J", b"A"))
            return False
        if session not in ("", self.session):
            client.send(self.packet(b"J", b"S"))
            return False
        client.next = int(sequence) or len(self.messages) + 1
        client.send(self.packet(b"A", self.session.rjust(10).encode() + str(client.next).rjust(20).encode()))
        return True

    def add(self, *messages):
        with self.lock:
            self.messages += messages
