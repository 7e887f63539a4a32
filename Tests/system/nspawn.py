"""Debian machines for the tests: booted in systemd-nspawn with a systemd, a journal and a network of their own.

All of them stand on one folder under .build, which mmdebstrap makes once; what a machine writes is kept in memory
and goes with it. A machine has no way out: what `apt-get` may want is a repository in a folder of it.
"""

import collections
import fcntl
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import time
import unittest

import harness
from guardian import control_groups, remove_machine
from stage import in_namespace

SUITE = "bookworm"
INCLUDED = ["dbus", "iproute2", "procps", "sudo", "systemd", "systemd-sysv"]
# What Holdfast's packages depend on, with what that depends on in turn: in the machine's repository only, so that
# a test installs them as a host would.
REPOSITORY = ["libpcap0.8", "libsystemd0", "libzmq5"]
FOLDER = os.path.join(harness.ROOT, ".build/machines")
# Enters a machine's control groups, then becomes it.
ENTER = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
NEEDED = ["systemd-nspawn", "mmdebstrap", "dpkg-scanpackages", "nsenter"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb",
               "DEBIAN_FRONTEND": "noninteractive"}


def reason_against():
    """Why there can be no machines here, or None."""
    if not harness.can_use_namespaces():
        return "needs root and namespaces, to boot Debian in systemd-nspawn"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"needs {', '.join(missing)}: packages systemd-container, mmdebstrap, dpkg-dev, util-linux"
    return None


reason = reason_against()
MAKE_LIMIT_S = 1800.0  # for hangs only: mmdebstrap takes a minute or two, and more from a slow mirror


def needs_machines(case):
    """Of a test class. Whichever test first wants a machine makes the folder that all stand on."""
    case.limit_s = max(MAKE_LIMIT_S, getattr(case, "limit_s", 0))
    return unittest.skipIf(reason, reason)(case)


def owner_of(case_class):
    """A machine that a class's tests share is the class's: it is stopped after the last of them."""
    class Owner:
        addCleanup = staticmethod(case_class.addClassCleanup)

        @staticmethod
        def fail(text):
            raise AssertionError(text)
    return Owner


# The folder that machines stand on


def recipe(folder):
    """How the folder is made: a Debian with systemd as a host has it, and a repository without a network."""
    return ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(INCLUDED)}",
            '--customize-hook=mkdir "$1/srv/packages"',
            '--customize-hook=chroot "$1" apt-get install --yes --no-install-recommends --download-only '
            f"-o Dir::Cache::archives=/srv/packages {' '.join(REPOSITORY)}",
            '--customize-hook=cd "$1/srv/packages" && rm -r lock partial && dpkg-scanpackages . >Packages',
            '--customize-hook=echo "deb [trusted=yes] file:/srv/packages ./" >"$1/etc/apt/sources.list"',
            '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf" "$1"/etc/apt/sources.list.d/*',
            SUITE, folder]


def base():
    """The folder, made if it is not there. It is named by its recipe: another recipe is another folder."""
    os.makedirs(FOLDER, exist_ok=True)
    folder = os.path.join(FOLDER, "debian-" + hashlib.sha256(repr(recipe("")).encode()).hexdigest()[:12])
    with open(os.path.join(FOLDER, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(folder):
            for entry in os.listdir(FOLDER):
                if entry.startswith("debian-"):
                    shutil.rmtree(os.path.join(FOLDER, entry))
            made = folder + ".new"
            done = subprocess.run(recipe(made), capture_output=True, text=True, timeout=MAKE_LIMIT_S)
            if done.returncode:
                raise RuntimeError(f"mmdebstrap failed, is there a Debian mirror?\n{done.stderr[-3000:]}")
            os.rename(made, folder)
    return folder


# Machines


class Machine:
    """One booted Debian. `owner` is the test, or `owner_of` its class.

    Paths within it are reached from outside by `path`, sockets too; commands run within it as root, by `run`. As
    a network it is used like a `harness.Namespace`: `harness.veth` joins two."""

    count = 0

    def __init__(self, owner, host, folders=None):
        """`folders`: of this host, by where they are to be seen (read-only) in the machine."""
        Machine.count += 1
        self.owner, self.host = owner, host
        self.tag = f"{harness.PREFIX}{os.getpid()}-{Machine.count}"
        self.folder = harness.folder_of(owner)
        self.leader = None
        self.groups = control_groups(self.tag)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with notify:
            notify.bind(os.path.join(self.folder, "notify"))
            self.start(folders or {})
            self.wait_ready(notify)
        self.write("/etc/hosts", f"127.0.0.1 localhost {host}\n::1 localhost\n")
        self.run("apt-get", "update")

    def start(self, folders):
        words = ["systemd-nspawn", "--quiet", "--register=no", f"--directory={base()}", "--volatile=overlay",
                 f"--machine={self.tag}", f"--hostname={self.host}", "--private-network", "--link-journal=no",
                 "--resolv-conf=off", "--timezone=off", "--notify-ready=yes", "--console=pipe",
                 "--system-call-filter=adjtimex clock_adjtime", "--boot",
                 *(f"--bind-ro={outside}:{inside}" for inside, outside in folders.items())]
        if self.groups:  # Else the host's systemd makes one.
            words.append("--keep-unit")
        self.owner.addCleanup(self.remove)
        with open(os.path.join(self.folder, "console"), "wb") as console:
            self.process = harness.spawn(
                self.owner, ["sh", "-c", ENTER, "sh", *self.groups, "--", *words], stdout=console, stderr=console,
                env=os.environ | {"NOTIFY_SOCKET": os.path.join(self.folder, "notify")})
        self.owner.addCleanup(self.stop)

    def wait_ready(self, notify):
        """The machine's systemd says READY when everything that starts at boot has started."""
        notify.settimeout(0.2)
        until = time.monotonic() + harness.PATIENCE_S
        while time.monotonic() < until:
            try:
                told = dict(line.split("=", 1) for line in notify.recv(65536).decode().splitlines() if "=" in line)
            except TimeoutError:
                if self.process.poll() is not None:
                    break
                continue
            self.leader = int(told.get("X_NSPAWN_LEADER_PID", self.leader or 0))
            if "READY" in told:
                return
        with open(os.path.join(self.folder, "console"), errors="replace") as file:
            self.owner.fail(f"the machine does not boot: {file.read()[-3000:]}")

    def stop(self):
        """As a host that loses its power."""
        if self.process.poll() is None:
            harness.guardian.end(self.leader or self.process.pid)
            self.process.wait(harness.PATIENCE_S)

    def remove(self):
        remove_machine(self.tag, self.groups)

    # Files

    def path(self, inside):
        """Where a path of the machine is, seen from outside."""
        return f"/proc/{self.leader}/root{inside}"

    def exists(self, inside):
        return os.path.lexists(self.path(inside))

    def read(self, inside):
        with open(self.path(inside), errors="replace") as file:
            return file.read()

    def write(self, inside, text, mode=0o644):
        with open(self.path(inside), "w") as file:
            file.write(text)
        os.chmod(self.path(inside), mode)

    def endpoint(self, name):
        """An ipc endpoint of Holdfast's in the machine, as a client outside connects to it."""
        return f"ipc://{self.path('/run/holdfast')}/{name}"

    # Commands

    def command(self, *words):
        """The words that run a command in the machine."""
        return ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                "--root", "--wd", "env", "-i", *(f"{key}={value}" for key, value in ENVIRONMENT.items()), *words]

    def attempt(self, *words, **options):
        """Runs a command and returns its result, whatever it is. `options`: `input`, as text."""
        return subprocess.run(self.command(*words), capture_output=True, text=True,
                              timeout=4 * harness.PATIENCE_S, **({"input": ""} | options))

    def run(self, *words):
        """Runs a command that must succeed, and returns what it prints."""
        done = self.attempt(*words)
        if done.returncode:
            journal = self.attempt("journalctl", "--lines=15", "--output=cat").stdout
            self.owner.fail(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}"
                            f"{done.stderr[-2000:]}\nThe journal's last entries:\n{journal}")
        return done.stdout

    def shell(self, text):
        """Runs shell commands as an operator would type them; the first that fails is the last."""
        return self.run("bash", "-euo", "pipefail", "-c", text)

    # Its network

    @property
    def name(self):
        """As `ip link … netns` takes it."""
        return str(self.leader)

    def enter(self, work):
        """Performs `work` in the machine's network; the sockets that it opens stay there."""
        return in_namespace(f"/proc/{self.leader}/ns/net", work)

    def ip(self, *words):
        return self.run("ip", *words)

    # systemd and its journal

    def show(self, unit, *names):
        """A unit's properties, as text."""
        text = self.run("systemctl", "show", unit, "--property", ",".join(names))
        return dict(line.split("=", 1) for line in text.splitlines())

    def state(self, unit):
        return self.attempt("systemctl", "is-active", unit).stdout.strip()

    def journal(self, *matches, after=0):
        """The entries so far, or those after a `moment`, as dictionaries."""
        self.run("journalctl", "--sync")
        text = self.run("journalctl", "--output=json", "--all", *matches)
        return [entry for entry in map(json.loads, text.splitlines()) if stamp(entry) > after]

    def wait_entry(self, condition, what, *matches, after=0, patience=harness.PATIENCE_S):
        """The first entry that meets the condition, of those after a `moment`. Follows the journal."""
        words = self.command("journalctl", "--follow", "--lines=all", "--output=json", "--all", *matches)
        last = collections.deque(maxlen=10)
        with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as follower:
            try:
                for entry in map(json.loads, lines(follower.stdout, patience)):
                    if stamp(entry) > after and condition(entry):
                        return entry
                    last.append(f"\n  {entry.get('MESSAGE')}")
            finally:
                follower.kill()
        shown = "".join(last) or " none"
        self.owner.fail(f"{what}: nothing in the journal in {patience:g} s; the last entries were{shown}")

    def moment(self):
        """The stamp of the journal's last entry. Not a cursor: systemd 252 passes over the first match after one."""
        self.run("journalctl", "--sync")
        return stamp(json.loads(self.run("journalctl", "--lines=1", "--quiet", "--output=json")))


def stamp(entry):
    """When journald received an entry, in microseconds."""
    return int(entry["__REALTIME_TIMESTAMP"])


def lines(stream, patience):
    """Lines of a pipe until `patience` is over."""
    until = time.monotonic() + patience
    text = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([stream], [], [], left)[0]:
            return
        chunk = os.read(stream.fileno(), 1 << 16)
        if not chunk:
            return
        *whole, text = (text + chunk).split(b"\n")
        yield from whole
