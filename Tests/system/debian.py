"""Hosts of the tests: booted Debians with the packages installed by apt, ISPs, and a venue on two of them."""

import socket
import threading
import unittest

import packages
import venue
from harness import HealthClient, MarketClient, Namespace, veth
from nspawn import Machine, owner_of

AGENT = "holdfast-agent.service"
GATEWAY = "holdfast-gateway.service"
AGENT_TOML = "/etc/holdfast/agent.toml"


def boot(owner, host="fra-1", older=False):
    """A machine with the packages in /root/dist, those of an older version in /root/older."""
    folders = {"/root/dist": packages.folder()}
    if older:
        folders["/root/older"] = packages.folder(packages.OLDER)
    return Machine(owner, host, folders)


def line(owner, machine, interface, number):
    """A namespace on the other side of an interface of the machine's."""
    far = Namespace(owner, interface)
    veth(machine, interface, far, "to-host", number)
    return far


def uplink(owner, machine):
    """An ISP: its namespace's address is the next hop of the machine's default route, on eth0."""
    isp = line(owner, machine, "eth0", 1)
    machine.ip("route", "add", "default", "via", "10.82.1.2")
    return isp


def apt(machine, *names, folder="/root/dist", version=packages.VERSION):
    """Installs or upgrades as automation does: what was changed in /etc stays. Returns the result."""
    return machine.attempt("apt-get", "install", "--yes", "-o", "Dpkg::Options::=--force-confold",
                           *(f"{folder}/{name}_{version}_amd64.deb" for name in names))


def install(machine, *names, **options):
    done = apt(machine, *names, **options)
    if done.returncode:
        machine.owner.fail(f"apt-get ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def follow(case, machine, *topics, name="agent"):
    """A client of a daemon's health bus, from outside; it waits for the socket to appear."""
    return HealthClient(case, machine.endpoint(f"{name}.pub"), machine.endpoint(f"{name}.req"), *topics)


def watch(name, match):
    return f'[[process.watch]]\nname = "{name}"\n{match}\n'


def status(machine, *before):
    """What `holdfast status` prints. 3: nobody in a machine without a time service tells of its clock."""
    done = machine.attempt(*before, "holdfast", "status")
    if done.returncode not in (0, 3) or done.stderr:
        machine.owner.fail(f"holdfast status ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def show(text):
    """A figure, for the log of the run: figures are looked at, not asserted."""
    print(f"\n    {text}", end=" ", flush=True)


def ready_after_ms(machine, unit):
    """From the start of the main process to READY, as systemd saw it."""
    stamps = machine.show(unit, "ActiveEnterTimestampMonotonic", "ExecMainStartTimestampMonotonic")
    return (int(stamps["ActiveEnterTimestampMonotonic"]) - int(stamps["ExecMainStartTimestampMonotonic"])) / 1000


class Debian(unittest.TestCase):
    """Tests that share one machine, with an ISP and the agent's package."""

    names = ["holdfast"]

    @classmethod
    def setUpClass(cls):
        cls.owner = owner_of(cls)
        cls.machine = boot(cls.owner)
        cls.isp = uplink(cls.owner, cls.machine)
        install(cls.machine, *cls.names)

    def configure(self, text):
        self.machine.write(AGENT_TOML, text)

    def restart(self, text=None):
        """Starts the agent anew, with this configuration."""
        if text is not None:
            self.configure(text)
        self.machine.run("systemctl", "restart", AGENT)

    def client(self, *topics):
        return follow(self, self.machine, *topics)


# Feeds


class Lines(venue.Lines):
    """The lines of `venue.Lines` as two multicast groups, each sent from an ISP of its own."""

    groups = {"A": "239.83.1.1", "B": "239.83.2.1"}
    port = 30001

    def __init__(self, case, **isps):
        super().__init__(case)
        self.sockets = {}
        for line, isp in isps.items():
            sender = isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            case.addCleanup(sender.close)
            address = next(word for word in isp.ip("-brief", "address", "show", "to-host").split() if "." in word)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address.split("/")[0]))
            self.sockets[line] = sender

    def group(self, line):
        return f"{self.groups[line]}:{self.port}"

    def send(self, line, packet):
        self.sockets[line].sendto(packet, (self.groups[line], self.port))


ITCH = """[[feed]]
name = "itch"
protocol = "moldudp64"
policy = "hot-hot"
[[feed.path]]
name = "A"
interface = "eth0"
group = "239.83.1.1:30001"
depends_on = ["nic/eth0"]
[[feed.path]]
name = "B"
interface = "eth1"
group = "239.83.2.1:30001"
depends_on = ["nic/eth1"]
"""
QUOTES = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-warm"
[[feed.path]]
name = "A"
interface = "eth0"
endpoint = "%s"
plaintext = true
[[feed.path]]
name = "B"
interface = "eth1"
endpoint = "%s"
plaintext = true
"""
LOCAL_AGENT = """[[agent]]
publish = "ipc:///run/holdfast/agent.pub"
request = "ipc:///run/holdfast/agent.req"
"""


class FeedHost:
    """A machine with the gateway's package, and two ISPs with a venue: lines of itch, servers of quotes."""

    def __init__(self, owner, **options):
        self.machine = boot(owner, "gw-1", **options)
        isps = {"A": uplink(owner, self.machine), "B": line(owner, self.machine, "eth1", 2)}
        self.lines = Lines(owner, **isps)
        book = venue.Book()
        self.servers = [venue.Upstream(owner, book, f"10.82.{number}.2", isp)
                        for number, isp in enumerate(isps.values(), 1)]

    def write_configuration(self):
        self.machine.write("/etc/holdfast/gateway.toml",
                           LOCAL_AGENT + ITCH + QUOTES % tuple(server.endpoint for server in self.servers))
        self.machine.write(AGENT_TOML, '[nic]\ninclude = ["eth*"]\n'
                           '[[path.isp]]\nname = "isp-a"\ninterface = "eth0"\n')

    def start(self):
        """Configures and enables the gateway."""
        self.write_configuration()
        self.machine.run("systemctl", "reload", AGENT)
        self.machine.run("systemctl", "enable", "--now", GATEWAY)

    def itch(self, case):
        client = MarketClient(case, self.machine.endpoint("gateway.md"), "itch", everything=True)
        client.sync()
        self.lines.wait_heard(self.health(case))
        self.lines.open("ALFA", "BRAVO")
        client.wait_live()
        return client

    def quotes(self, case):
        client = MarketClient(case, self.machine.endpoint("gateway.md"), "quotes", "HF1", "HF2")
        client.sync()
        self.servers[0].wait_held(case, "heartbeat/", "HF1/", "HF2/")
        client.wait_live()
        return client

    def quote(self, topic):
        book = self.servers[0].book
        with book.lock:
            sequence = book.following(topic)
            for server in self.servers:
                server.send(venue.frame(topic, venue.DATA, book.session, sequence, b"{}"))
        return sequence

    def play(self, case):
        """Both feeds, from a thread, until the function that is returned is called."""
        ends = threading.Event()

        def run():
            while not ends.wait(0.005):
                self.lines.both(self.lines.orders(3, "ALFA", "BRAVO"))
                self.quote("HF1/"), self.quote("HF2/")
        thread = threading.Thread(target=run, daemon=True)

        def stop():
            ends.set()
            thread.join()
        thread.start()
        case.addCleanup(stop)
        return stop

    def health(self, case, *topics):
        return follow(case, self.machine, *topics, name="gateway")
