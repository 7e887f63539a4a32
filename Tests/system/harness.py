"""What the system tests stand on: namespaces, daemons, and clients that know only the wire document.

Whatever a test made is removed at its end, and also when this process is killed: a guardian process holds the
end of a pipe, and cleans up when the other end closes. Nothing here sleeps to wait for what can be observed.
"""

import atexit
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import zmq

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
sys.path.insert(0, os.path.join(ROOT, "packaging/demonstration"))
sys.path.insert(0, os.path.join(ROOT, "Sources/Wire"))
import guardian  # noqa: E402
import reader  # noqa: E402
import watched  # noqa: E402
from stage import in_namespace  # noqa: E402

BINARIES = os.environ.get("HOLDFAST_BINARIES", os.path.join(ROOT, ".build/static/release"))
PATIENCE_S = 30.0  # for what must come; a machine that is busy may take long
COMMAND_S = 300.0  # for a command that must end; it only ends one that hangs
PREFIX = "hftest-"
IFF_UP, IFF_TAP, IFF_NO_PI, TUNSETIFF, TUNSETCARRIER = 1, 2, 0x1000, 0x400454CA, 0x400454E2


def binary(name):
    return os.path.join(BINARIES, name)


def attempt(*words, **options):
    """A command's result and what it said."""
    return subprocess.run(words, **({"capture_output": True, "text": True, "timeout": COMMAND_S} | options))


def run(*words, **options):
    """What a command says that must succeed."""
    done = attempt(*words, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def can_use_namespaces():
    if os.geteuid() != 0:
        return False
    return attempt("unshare", "--net", "true").returncode == 0


needs_namespaces = unittest.skipUnless(can_use_namespaces(), "needs root, to make network namespaces")
needs_tap = unittest.skipUnless(os.path.exists("/dev/net/tun"), "needs /dev/net/tun")


# Cleaning up


class Guardian:
    """Ends processes and removes namespaces and folders of a test run that was killed. It is forked at once: later
    there are threads, and descriptors that it would keep open."""

    def __init__(self):
        read_end, self.pipe = os.pipe()
        if os.fork():
            os.close(read_end)
            return
        try:
            self.guard(read_end)
        finally:
            os._exit(0)

    def guard(self, read_end):
        os.setsid()
        os.close(self.pipe)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        text = b""
        while chunk := os.read(read_end, 4096):
            text += chunk
        left = {}
        for line in text.decode().splitlines():
            sign, what, name = line.split(" ", 2)
            left[(what, name)] = sign == "+"
        for what, clean in (("process", lambda name: guardian.end(int(name))),
                            ("namespace", guardian.remove_namespace),
                            ("folder", lambda name: shutil.rmtree(name, ignore_errors=True))):
            for (kind, name), is_left in left.items():
                if kind == what and is_left:
                    clean(name)

    def note(self, sign, what, name):
        os.write(self.pipe, f"{sign} {what} {name}\n".encode())


GUARDIAN = Guardian()


def remove_leftovers():
    """Namespaces of test runs that are no longer there."""
    for entry in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        owner = entry[len(PREFIX):].split("-")[0]
        if entry.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            guardian.remove_namespace(entry)


def folder_of(case):
    """A folder that is removed at the end of the test."""
    folder = tempfile.mkdtemp(prefix=PREFIX)
    GUARDIAN.note("+", "folder", folder)

    def remove():
        shutil.rmtree(folder, ignore_errors=True)
        GUARDIAN.note("-", "folder", folder)
    case.addCleanup(remove)
    return folder


def spawn(case, words, **options):
    """A process that is ended, by its id, at the end of the test."""
    child = subprocess.Popen(words, start_new_session=True, **({"stdin": subprocess.DEVNULL} | options))
    GUARDIAN.note("+", "process", child.pid)

    def end():
        if child.poll() is None:
            guardian.end(child.pid)
            child.wait(PATIENCE_S)
        GUARDIAN.note("-", "process", child.pid)
    case.addCleanup(end)
    return child


def read_line(case, stream, patience=PATIENCE_S):
    """The next line of a pipe, or nothing at its end. Only for a pipe that all reads are by this: what Python reads
    ahead cannot be waited for."""
    until, line = time.monotonic() + patience, b""
    while not line.endswith(b"\n"):
        if not select.select([stream], [], [], max(0, until - time.monotonic()))[0]:
            case.fail(f"no line in {patience:g} s, only {line}")
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode()


def memory_group(case, size):
    """A control group whose processes may have so much memory, in either layout, until the end of the test, which is
    skipped where there is no such thing."""
    name = f"{PREFIX}{os.getpid()}-memory"
    for root, limit, swap in (("/sys/fs/cgroup", "memory.max", "memory.swap.max"),
                              ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")):
        folder = os.path.join(root, name)
        try:
            os.mkdir(folder)
        except OSError:
            continue
        case.addCleanup(guardian.remove_group, folder)
        if not os.path.exists(os.path.join(folder, limit)):
            continue
        try:
            for file in (limit, swap):
                if file == limit or os.path.exists(os.path.join(folder, file)):
                    with open(os.path.join(folder, file), "w") as out:
                        out.write("0" if file == "memory.swap.max" else str(size))
        except OSError:
            continue
        return folder
    case.skipTest("needs the memory controller of control groups")


# Networks


class Namespace:
    """A network namespace of its own, removed at the end of the test."""

    count = 0

    def __init__(self, case, label):
        Namespace.count += 1
        self.name = f"{PREFIX}{os.getpid()}-{Namespace.count}-{label}"
        GUARDIAN.note("+", "namespace", self.name)
        run("ip", "netns", "add", self.name)
        case.addCleanup(self.remove)
        self.ip("link", "set", "lo", "up")

    def remove(self):
        guardian.remove_namespace(self.name)
        GUARDIAN.note("-", "namespace", self.name)

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *words]

    def ip(self, *words):
        return run("ip", "-n", self.name, *words)

    def enter(self, work):
        """Performs `work` within; the sockets that it opens stay there."""
        return in_namespace(self.name, work)

    def nft(self, rules):
        run(*self.command("nft", "-f", "-"), input=rules)

    def drop_ingress(self, device, verdict="drop"):
        """What arrives at `device` and matches is dropped silently; the link stays up."""
        self.nft(self.dropping(device, verdict))

    @staticmethod
    def dropping(device, verdict="drop"):
        return (f'table netdev t_{device.replace("-", "_")} {{\n chain c {{\n'
                f'  type filter hook ingress device "{device}" priority 0; policy accept;\n  {verdict}\n }}\n}}\n')

    def clear_ingress(self, device):
        run(*self.command("nft", "delete", "table", "netdev", "t_" + device.replace("-", "_")))

    def link(self, device):
        """The administrative switch of a device in here."""
        return Link(self, device)


class Link:
    """Administrative state of one device by a single ioctl: what takes its peer's carrier away at once."""

    def __init__(self, namespace, device):
        self.device = device
        self.control = namespace.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def close(self):
        self.control.close()

    def set(self, up):
        name = self.device.encode().ljust(16, b"\0")
        flags = struct.unpack_from("H", fcntl.ioctl(self.control, 0x8913, name + bytes(24)), 16)[0]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(self.control, 0x8914, name + struct.pack("H", flags) + bytes(22))


def veth(near, near_name, far, far_name, number):
    """A veth pair between two namespaces: 10.82.`number`.1 near, .2 far.

    The indices differ: of a veth whose peer has its own index, the kernel holds events back as of a real NIC."""
    run("ip", "link", "add", near_name, "index", str(10 + number), "netns", near.name, "type", "veth",
        "peer", "name", far_name, "index", str(110 + number), "netns", far.name)
    near.ip("addr", "add", f"10.82.{number}.1/24", "dev", near_name)
    far.ip("addr", "add", f"10.82.{number}.2/24", "dev", far_name)
    near.ip("link", "set", near_name, "up")
    far.ip("link", "set", far_name, "up")


class Tap:
    """A tap device whose carrier is switched as a cable is pulled."""

    def __init__(self, case, namespace, name):
        self.name, self.namespace = name, namespace
        self.file = namespace.enter(lambda: os.open("/dev/net/tun", os.O_RDWR))
        case.addCleanup(os.close, self.file)
        fcntl.ioctl(self.file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        namespace.ip("link", "set", name, "up")

    def carrier(self, up):
        fcntl.ioctl(self.file, TUNSETCARRIER, struct.pack("i", 1 if up else 0))

    def set_speed(self, megabits):
        """What the driver says that the link's speed is (ETHTOOL_SSET)."""
        command = struct.pack("IIIHBBBBBB", 2, 0, 0, megabits, 1, 0, 0, 0, 0, 0).ljust(44, b"\0")
        buffer = ctypes.create_string_buffer(command, 44)
        with self.namespace.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as control:
            request = struct.pack("16sP", self.name.encode(), ctypes.addressof(buffer)).ljust(40, b"\0")
            fcntl.ioctl(control, 0x8946, request)


# Daemons


class Daemon:
    """holdfast-agent or holdfast-gateway in a folder of its own, and what it tells the service manager."""

    def __init__(self, case, program, configuration=None, namespace=None, wrap=()):
        self.case, self.program, self.namespace, self.wrap = case, program, namespace, list(wrap)
        self.folder = folder_of(case)
        self.file = os.path.join(self.folder, f"{program}.toml")
        self.log_path = os.path.join(self.folder, "log")
        self.has_file = configuration is not None
        if self.has_file:
            self.configure(configuration)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(os.path.join(self.folder, "notify"))
        case.addCleanup(self.notify.close)
        self.told, self.child = [], None

    def configure(self, text):
        """Writes the file; `~`, which no key has in it, stands for the daemon's folder."""
        with open(self.file, "w") as file:
            file.write(text.replace("~", self.folder))

    def endpoint(self, name):
        return f"ipc://{self.folder}/{name}"

    def start(self, *arguments, ready=True, environment=None):
        words = [binary(self.program), *(["--config", self.file] if self.has_file else []), *arguments]
        words = self.wrap + words
        if self.namespace:
            words = self.namespace.command(*words)
        log = open(self.log_path, "ab")
        environment = {**os.environ, "NOTIFY_SOCKET": os.path.join(self.folder, "notify"),
                       "STATE_DIRECTORY": self.folder, **(environment or {})}
        self.child = spawn(self.case, words, stdout=log, stderr=log, env=environment)
        log.close()
        if ready:
            self.wait_told("READY=1")
        return self

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def fail(self, text):
        self.case.fail(f"{text}; {self.program} said:\n{self.log()[-3000:]}")

    def wait_told(self, line, patience=PATIENCE_S):
        """Waits for a datagram of sd_notify that has this line; returns all of that datagram's lines."""
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            self.notify.settimeout(min(left, 0.2))
            try:
                lines = self.notify.recv(65536).decode().splitlines()
            except TimeoutError:
                if self.child.poll() is not None:
                    self.fail(f"{self.program} ended with {self.child.returncode} before {line}")
                continue
            self.told.append(lines)
            if line in lines:
                return lines
        self.fail(f"no {line} from {self.program}, only {self.told}")

    def signal(self, number):
        os.kill(self.child.pid, number)

    def wait_log(self, text, patience=PATIENCE_S):
        """Waits until the log holds a text."""
        if not watched.wait(self.folder, lambda: text in self.log(), patience):
            self.fail(f"nothing about {text!r} in the log")

    def is_running(self):
        return self.child.poll() is None

    def stop(self):
        """SIGTERM, and the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def wait_exit(self):
        try:
            return self.child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.fail(f"{self.program} does not end")


GATEWAY_BUS = """host = "desk"
[bus]
publish = ["ipc://~/gateway.pub"]
request = ["ipc://~/gateway.req"]
[downstream]
publish = ["ipc://~/gateway.md"]
"""

AGENT_BUS = """host = "desk"
[bus]
publish = ["ipc://~/agent.pub"]
request = ["ipc://~/agent.req"]
"""


def agent(case, configuration, namespace=None):
    """An agent that is ready, with endpoints in its folder."""
    return Daemon(case, "holdfast-agent", AGENT_BUS + configuration, namespace).start()


def health(case, daemon, *topics, name="agent"):
    """A client of a daemon's health bus."""
    return HealthClient(case, daemon.endpoint(f"{name}.pub"), daemon.endpoint(f"{name}.req"), *topics)


# Clients


def subscriber(context, endpoint, *topics, curve=None):
    """A SUB socket as the wire document says. `curve`: our `curve.Keys` and the server's public key."""
    sub = context.socket(zmq.SUB)
    sub.sndhwm, sub.rcvhwm, sub.linger = 0, 0, 0
    if curve:
        curve[0].client(sub, curve[1])
    sub.connect(endpoint)
    for topic in topics:
        sub.subscribe(topic.encode())
    return sub


class Client:
    """What both clients share: a subscriber, waiting with patience, and the sync marker."""

    def __init__(self, case, endpoint, curve=None, namespace=None):
        self.case = case
        self.context = zmq.Context()

        def connect():  # the context's I/O thread starts in this namespace
            self.sub = subscriber(self.context, endpoint, curve=curve)
        namespace.enter(connect) if namespace else connect()
        self.stamps = []
        case.addCleanup(self.close)

    def close(self):
        self.context.destroy(linger=0)

    def subscribe(self, *topics):
        for topic in topics:
            self.sub.subscribe(topic.encode())

    def unsubscribe(self, *topics):
        for topic in topics:
            self.sub.unsubscribe(topic.encode())

    def frames(self, patience):
        """The next message's frames, or None after `patience` seconds without one."""
        if not self.sub.poll(max(0, patience) * 1000):
            return None
        return self.sub.recv_multipart()

    def read(self, frames):
        raise NotImplementedError

    def messages(self, patience=PATIENCE_S):
        """Messages until `patience` is over."""
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            frames = self.frames(left)
            if frames is not None:
                yield self.read(frames)

    def wait(self, condition, what, patience=PATIENCE_S):
        """The first message that meets the condition. Fails, saying what was awaited and what came last."""
        last = []
        for message in self.messages(patience):
            if condition(message):
                return message
            last = [*last[-3:], message]
        shown = "".join(f"\n  {str(message)[:600]}" for message in last)
        self.case.fail(f"{what}: nothing in {patience:g} s; the last messages were{shown or ' none'}")

    def until(self, condition, what, patience=PATIENCE_S):
        """All messages up to and with the first that meets the condition."""
        kept = []

        def keep(message):
            kept.append(message)
            return condition(message)
        self.wait(keep, what, patience)
        return kept

    def sync(self):
        """Subscribes a marker of its own and returns the messages before it."""
        topic = f"sync/{uuid.uuid4().hex}/"
        self.subscribe(topic)
        before = self.until(lambda message: message["topic"] == topic, "the sync marker")
        self.unsubscribe(topic)
        return before[:-1]


class HealthClient(Client):
    """A subscriber of the health bus: messages are the JSON objects, with their `topic`."""

    def __init__(self, case, publish, request, *topics, curve=None, namespace=None):
        super().__init__(case, publish, curve, namespace)
        self.request_endpoint = request
        self.dealer = self.context.socket(zmq.DEALER)
        self.dealer.linger = 0
        if curve:
            curve[0].client(self.dealer, curve[1])
        self.dealer.connect(request)
        self.subscribe(*topics)

    def read(self, frames):
        topic, payload = frames
        return json.loads(payload) | {"topic": topic.decode()}

    def ask_raw(self, *frames, patience=PATIENCE_S):
        self.dealer.send_multipart(list(frames))
        if not self.dealer.poll(patience * 1000):
            self.case.fail(f"no reply to {str(frames)[:200]}")
        return self.dealer.recv_multipart()

    def ask(self, **request):
        reply = self.ask_raw(json.dumps({"v": 1} | request).encode())
        self.case.assertEqual(len(reply), 1, "a reply is one frame")
        return json.loads(reply[0])

    def status(self):
        reply = self.ask(request="status")
        self.case.assertIs(reply["ok"], True, reply)
        return reply

    def states(self):
        """All current states by `kind/name`."""
        return {subject_of(state): state for state in self.status()["states"]}

    def join(self):
        """The document's join: marker, then status. Returns the status; what follows is news."""
        self.sync()
        return self.status()

    def wait_state(self, subject, condition, what=None, patience=PATIENCE_S):
        """Waits for a state of a subject; `condition` is a status or a function of the message."""
        if isinstance(condition, str):
            status = condition
            what, condition = what or f"{subject} {status}", lambda message: message["status"] == status
        return self.wait(
            lambda message: message["topic"].startswith("state/") and subject_of(message) == subject
            and condition(message), what or subject, patience)

    def settle(self, subject, status, patience=PATIENCE_S):
        """Joins, and waits until the subject has this status, which it may have already."""
        known = {subject_of(state): state for state in self.join()["states"]}
        if subject in known and known[subject]["status"] == status:
            return known[subject]
        return self.wait_state(subject, status, patience=patience)


def subject_of(message):
    return f"{message['kind']}/{message['name']}"


class Watching:
    """`holdfast watch` into a pipe: a line for each change of a health bus."""

    def __init__(self, case, publish, request):
        self.case = case
        self.child = spawn(case, [binary("holdfast"), "watch", "--endpoint", f"{publish},{request}"],
                           stdout=subprocess.PIPE)
        case.addCleanup(self.child.stdout.close)

    def read(self, *words):
        """The next line that has all of these in it."""
        lines = []
        while not lines or not all(word in lines[-1] for word in words):
            lines.append(read_line(self.case, self.child.stdout))
            if not lines[-1]:
                self.case.fail(f"watch ended before {words}, it said {lines}")
        return lines[-1]

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE_S)


class MarketClient(Client):
    """A subscriber of market data: messages are the header's fields with `topic`, `body`, `told`, `at`."""

    def __init__(self, case, publish, feed, *instruments, everything=False, curve=None, namespace=None):
        super().__init__(case, publish, curve, namespace)
        self.feed = feed
        self.subscribe(f"control/{feed}/")
        self.subscribe(*(f"md/{feed}/{instrument}/" for instrument in instruments))
        if everything:
            self.subscribe(f"md/{feed}/")

    def read(self, frames):
        self.case.assertEqual(len(frames), 1, "market data is one frame")
        topic, header, body = reader.read(frames[0])
        return header | {"topic": topic, "body": body, "told": reader.control(header, body),
                         "names": reader.names(topic), "at": time.monotonic()}

    def wait_channel(self, state, path=None, patience=PATIENCE_S):
        """Waits for a state frame."""
        return self.wait(
            lambda message: message["kind"] == "state" and message["state"] == state
            and path in (None, message["told"]["path"]), f"{self.feed} {state} on {path}", patience)

    def wait_live(self, patience=PATIENCE_S):
        """Waits for any control frame that says live, which a late joiner gets too."""
        return self.wait(lambda message: message["kind"] in ("state", "heartbeat") and message["state"] == "live",
                         f"{self.feed} live", patience)


class RawPeer:
    """A client of an ipc endpoint that speaks ZMTP 3.0 by hand, and so can say what no library would."""

    GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)

    def __init__(self, case, endpoint, kind=b"SUB"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        case.addCleanup(self.socket.close)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(endpoint.removeprefix("ipc://"))
        self.socket.sendall(self.GREETING)
        self.receive(64)
        ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
        self.socket.sendall(bytes([4, len(ready)]) + ready)
        self.frame()

    def receive(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the other side closed")
            data += chunk
        return data

    def send(self, body, more=False):
        flags = (1 if more else 0) | (2 if len(body) > 255 else 0)
        length = struct.pack(">Q", len(body)) if len(body) > 255 else bytes([len(body)])
        self.socket.sendall(bytes([flags]) + length + body)

    def frame(self):
        flags, = self.receive(1)
        length, = struct.unpack(">Q", self.receive(8)) if flags & 2 else self.receive(1)
        return self.receive(length)

    def wait_frame(self, start):
        """Reads frames until one begins so."""
        until = time.monotonic() + PATIENCE_S
        while not (frame := self.frame()).startswith(start):
            if time.monotonic() > until:
                raise TimeoutError(f"no frame begins with {start}, the last is {frame[:100]}")
        return frame


class Order:
    """Follows sequences and tells what is lost, twice or out of order: by `sequence`, gaps and `previous`."""

    def __init__(self, per_topic):
        self.per_topic = per_topic
        self.next, self.last, self.told = {}, {}, {}
        self.faults, self.delivered, self.missing = [], 0, 0

    def take(self, message):
        kind = message["kind"]
        if kind == "gap":
            gap = message["told"]
            self.told.setdefault(gap["instrument"], []).append((gap["first"], gap["last"]))
            self.missing += gap["last"] - gap["first"] + 1
        elif kind in ("data", "idle"):
            self.follow_topic(message)
            if kind == "data":
                self.follow_sequence(message)

    def follow_topic(self, message):
        topic, epoch = message["topic"], message["epoch"]
        known = self.last.get(topic)
        if known and known[0] == epoch and message["previous"] not in (0, known[1]):
            self.faults.append(f"{topic} {message['sequence']}: previous {message['previous']}, received {known[1]}")
        self.last[topic] = (epoch, message["sequence"])

    def follow_sequence(self, message):
        space = message["names"][2] if self.per_topic else None
        sequence, expected = message["sequence"], self.next.get((space, message["epoch"]))
        self.delivered += 1
        self.next[(space, message["epoch"])] = sequence + 1
        if expected is None or sequence == expected:
            return
        if sequence < expected:
            self.faults.append(f"{space or 'channel'}: {sequence} after {expected - 1}")
            return
        covered = sum(max(0, min(last, sequence - 1) - max(first, expected) + 1)
                      for first, last in self.told.get(space, []))
        if covered != sequence - expected:
            self.faults.append(f"{space or 'channel'}: {expected} to {sequence - 1} missing, {covered} told")


atexit.register(os.close, GUARDIAN.pipe)
if os.geteuid() == 0:
    remove_leftovers()
