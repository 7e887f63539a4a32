"""A systemd for the demo, so that a unit can crash: booted by systemd-nspawn on a view of this host's own files whose
changes stay in memory. The host, and its systemd if it has one, are left alone."""

import os
import shutil
import socket
import subprocess
import time

import guardian

UNIT = "algo.service"
SERVICE = "[Service]\nExecStart=/bin/sleep 86400\nRestart=always\nRestartSec=300ms\n"
BOOT_PATIENCE_S = 15
NEEDED = ["systemd-nspawn", "nsenter", "unshare", "mount", "dbus-daemon"]

# In a mount namespace of its own, which goes with the machine: the view, then the machine within the groups.
BOOT = """set -e
mount --make-rprivate /
mount -t tmpfs hfdemo "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay hfdemo -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
rm -rf "$1/root/etc/systemd/system"
mkdir "$1/root/etc/systemd/system"
printf %s "$3" >"$1/root/etc/systemd/system/$2"
shift 3
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
shift
exec "$@"
"""


def reason_against():
    """Why there can be no systemd of the demo's own, or None."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


class Manager:
    def __init__(self, owner, folder):
        self.tag = f"{guardian.PREFIX}{owner}"
        self.folder = folder
        self.leader = self.child = None

    def start(self, spawn, note, groups):
        """Boots it; returns why that failed, or None. `note` has a process ended with the demo; `groups`: made by
        `guardian.control_groups`."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = os.path.join(self.folder, "notify")
        place = os.path.join(self.folder, "machine")
        os.mkdir(place)
        words = ["systemd-nspawn", "--quiet", "--register=no", f"--directory={place}/root", f"--machine={self.tag}",
                 "--private-network", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--notify-ready=yes",
                 "--console=pipe", *(["--keep-unit"] if groups else []), "--boot", "--", "--unit=basic.target"]
        with notify:
            notify.bind(path)
            self.child = spawn("manager", ["unshare", "--mount", "sh", "-c", BOOT, "sh", place, UNIT, SERVICE, *groups,
                                           "--", *words], env=os.environ | {"NOTIFY_SOCKET": path})
            is_ready = self.wait_ready(notify)
            if self.leader:
                note(self.leader)
            if not is_ready:
                return "does not boot here"
        started = self.systemctl("start", UNIT)
        return None if started.returncode == 0 else f"cannot start a unit: {started.stderr.strip()}"

    def wait_ready(self, notify):
        notify.settimeout(0.2)
        until = time.monotonic() + BOOT_PATIENCE_S
        while time.monotonic() < until and self.child.poll() is None:
            try:
                told = dict(line.split("=", 1) for line in notify.recv(65536).decode().splitlines() if "=" in line)
            except TimeoutError:
                continue
            self.leader = int(told.get("X_NSPAWN_LEADER_PID", self.leader or 0))
            if "READY" in told:
                return self.leader > 0
        return False

    def stop(self):
        """As a host that loses its power. The machine outlives systemd-nspawn."""
        for pid in (self.leader, self.child.pid):
            if pid:
                guardian.end(pid)
        self.child.wait()

    def systemctl(self, *words):
        return subprocess.run(["nsenter", f"--target={self.leader}", "--all", "--", "systemctl", *words],
                              capture_output=True, text=True)

    @property
    def bus(self):
        """The address of its message bus, for a program outside."""
        return f"unix:path=/proc/{self.leader}/root/run/dbus/system_bus_socket"

    def main_process(self):
        """The unit's main process by its number on this host, in which the machine's numbers are others."""
        inside = self.systemctl("show", "--property=MainPID", "--value", UNIT).stdout.strip()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/status") as file:
                    numbers = next(line.split()[1:] for line in file if line.startswith("NSpid:"))
                if len(numbers) > 1 and numbers[-1] == inside and self.is_ours(entry):
                    return int(entry)
            except (OSError, StopIteration):
                continue
        return None

    def is_ours(self, pid):
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{self.leader}/ns/pid")
