"""Cleans up after the demo, however it ended: a process of its own session that waits for the demo's end of a
pipe to close, then ends what still runs by its id and removes the namespaces and the folder."""

import os
import shutil
import signal
import subprocess
import sys

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


def remove_leftovers():
    """Namespaces of demos that are no longer there, should even their guardian have been killed."""
    for entry in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        owner = entry[len(PREFIX):].split("-")[0]
        if entry.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            remove_namespace(entry)


def start(folder, namespaces):
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
    shutil.rmtree(folder, ignore_errors=True)
    sys.stdout = sys.stderr = None
    os._exit(0)
