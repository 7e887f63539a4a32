"""The stages that the demo plays on: network namespaces with two ISPs, or loopback without root."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
DISK_BYTES = 16 << 20


def run(*words, **options):
    subprocess.run(words, check=True, **options)


class Loopback:
    """Two addresses of 127.0.0.0/8 in place of two ISPs: no link can be cut here."""

    mode, casting = "loopback", "UDP"
    faults = ["process-kill", "venue-freeze"]
    has_power = False  # upsd would be in the way of the host's own
    disk = None
    namespaces = []
    interfaces = {"A": None, "B": None}
    venue = {"A": "127.81.1.2", "B": "127.81.2.2"}
    mold = {"A": "127.81.1.1:30001", "B": "127.81.2.1:30001"}

    def create(self, folder):
        pass

    def on_desk(self, words):
        return words

    on_venue = on_desk

    def play_mold(self, path):
        return self.mold[path]


class Namespaces:
    """A trading host (`desk`) and a venue, joined by two veth pairs, one per ISP."""

    mode, casting = "namespaces", "multicast"
    faults = ["carrier-loss", "black-hole", "random-loss", "process-kill", "unit-crash", "disk-full",
              "venue-freeze", "ups-on-battery"]
    has_power = True
    interfaces = {"A": "isp-a", "B": "isp-b"}
    venue = {"A": "10.81.1.2", "B": "10.81.2.2"}
    mold = {"A": "239.81.1.1:30001", "B": "239.81.1.2:30001"}

    def __init__(self, owner):
        self.desk, self.market = f"hfdemo-{owner}-desk", f"hfdemo-{owner}-venue"
        self.namespaces = [self.desk, self.market]
        self.disk = None

    def create(self, folder):
        for name in self.namespaces:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for number, path in enumerate("AB", 1):
            desk, venue = self.interfaces[path], f"to-{self.interfaces[path]}"
            # Two ends that bear one index look like a real NIC to the kernel, which then holds events back.
            run("ip", "link", "add", desk, "index", str(100 + number), "netns", self.desk, "type", "veth",
                "peer", "name", venue, "netns", self.market)
            run("ip", "-n", self.desk, "addr", "add", f"10.81.{number}.1/24", "dev", desk)
            run("ip", "-n", self.market, "addr", "add", f"10.81.{number}.2/24", "dev", venue)
            run("ip", "-n", self.desk, "link", "set", desk, "up")
            run("ip", "-n", self.market, "link", "set", venue, "up")

        self.create_disk(folder)

    def create_disk(self, folder):
        """A small file system in a mount namespace of the demo's own: it goes with the last of its processes."""
        call("unshare", CLONE_NEWNS)
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        image = os.path.join(folder, "disk.image")
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        run("mkfs.ext4", "-q", image)
        if subprocess.run(["mount", "-o", "loop", image, disk], stderr=subprocess.DEVNULL).returncode:
            # No loop devices, as in a container.
            run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "holdfast-demo", disk)
        self.disk = disk

    def fill_disk(self):
        """Takes all the room that is left, at once."""
        with open(os.path.join(self.disk, "full"), "wb") as file:
            room = os.statvfs(self.disk)
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize * 99 // 100)

    def on_desk(self, words):
        return ["ip", "netns", "exec", self.desk, *words]

    def on_venue(self, words):
        return ["ip", "netns", "exec", self.market, *words]

    def play_mold(self, path):
        return f"{self.mold[path]}@to-{self.interfaces[path]}"

    def prepare(self, fault):
        """Everything slow, before the clock starts: returns (inject, undo)."""
        if fault == "carrier-loss":
            return self.carrier(False), self.carrier(True)
        if fault == "black-hole":
            return self.rules(["isp-a"], "drop"), self.clear_rules
        if fault == "disk-full":
            return self.fill_disk, lambda: os.unlink(os.path.join(self.disk, "full"))
        return self.rules(["isp-a", "isp-b"], "numgen random mod 100 < 5 drop"), self.clear_rules

    def carrier(self, up):
        """The venue's end of isp-a goes down by one ioctl, so isp-a loses its carrier and stays up."""
        control = in_namespace(self.market, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

        def act():
            name = b"to-isp-a".ljust(16, b"\0")
            flags = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, name + bytes(24)), 16)[0]
            flags = flags | IFF_UP if up else flags & ~IFF_UP
            fcntl.ioctl(control, SIOCSIFFLAGS, name + struct.pack("H", flags) + bytes(22))
        return act

    def rules(self, interfaces, verdict):
        """Drops what arrives at the desk from these ISPs, and for a black hole what arrives at the venue too:
        the link stays up and no sender gets an error."""
        def table(devices):
            chains = "".join(
                f'chain {device} {{\n type filter hook ingress device "{device}" priority 0; policy accept;\n'
                f" {verdict}\n}}\n" for device in devices)
            return "table netdev holdfast {\n" + chains + "}\n"

        def act():
            nft = ["nft", "-f", "-"]
            run(*self.on_desk(nft), input=table(interfaces), text=True)
            if verdict == "drop":
                run(*self.on_venue(nft), input=table([f"to-{name}" for name in interfaces]), text=True)
        return act

    def clear_rules(self):
        for enter in (self.on_desk, self.on_venue):
            subprocess.run(enter(["nft", "delete", "table", "netdev", "holdfast"]), stderr=subprocess.DEVNULL)


def call(name, *arguments):
    """A function of the C library that answers -1 on failure."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def in_namespace(name, work):
    """Performs `work` with this thread in a network namespace, given by name or path; what it opens stays there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor):
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
    with open("/proc/self/ns/net") as home, open(os.path.join("/run/netns", name)) as there:
        enter(there.fileno())
        try:
            return work()
        finally:
            enter(home.fileno())
