"""Cleans up after the demo, however it ended: a process of its own session that waits for the demo's end of a
pipe to close, then ends what still runs by its id and removes the namespaces and the folder."""

import os
import shutil
import signal
import subprocess
import sys
import time

PREFIX = "hfdemo-"


def remove_namespace(name):
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    for word in listed.stdout.split():
        end(int(word))
    subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def end(pid):
    for number in (signal.SIGCONT, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


# Control groups of a booted machine: where the host has no systemd, each machine needs one of its own, or two would
# share one tree.


def control_groups(tag):
    """A group for a machine in each hierarchy that systemd uses, or none where a systemd gives them out."""
    groups = group_paths(tag)
    for group in groups:
        os.mkdir(group)
    return groups


def group_paths(tag):
    if os.path.isdir("/run/systemd/system"):
        return []
    roots = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"]
    if not os.path.isdir(roots[0]):
        roots = ["/sys/fs/cgroup"]
    return [os.path.join(root, tag) for root in roots if os.path.isdir(root)]


def remove_machine(tag, groups):
    """What systemd-nspawn and its machine leave behind when they are killed."""
    for group in groups:
        remove_group(group)
    shutil.rmtree(f"/run/systemd/nspawn/propagate/{tag}", ignore_errors=True)


def remove_group(group):
    """With all below it; the kernel counts a process a moment longer than its parent does."""
    until = time.monotonic() + 5
    for folder, _, _ in os.walk(group, topdown=False):
        while os.path.isdir(folder):
            try:
                os.rmdir(folder)
            except OSError:
                if time.monotonic() > until:
                    return
                time.sleep(0.01)


def remove_leftovers():
    """Namespaces of demos that are no longer there, should even their guardian have been killed."""
    for entry in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        owner = entry[len(PREFIX):].split("-")[0]
        if entry.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            remove_namespace(entry)


def start(folder, namespaces, machine):
    """Forks the guardian; returns the descriptor to write children's ids to and to close at the end."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(read_end)
        return child, write_end
    os.setsid()
    os.close(write_end)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    text = b""
    while chunk := os.read(read_end, 4096):
        text += chunk
    for word in text.split():
        end(int(word))
    for name in namespaces:
        remove_namespace(name)
    remove_machine(machine, group_paths(machine))
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout = sys.stderr = None
    os._exit(0)
