"""Waiting for files and processes: the kernel tells (inotify(7), pidfd_open(2)), and nobody asks again and again."""

import ctypes
import os
import select
import time

# Written, appeared, renamed to, gone.
CHANGES = 0x2 | 0x100 | 0x80 | 0x200


def wait(folder, condition, patience_s):
    """Whether a condition that something in the folder brings about came to hold in time."""
    libc = ctypes.CDLL(None, use_errno=True)
    told = libc.inotify_init1(os.O_CLOEXEC)
    if told < 0 or libc.inotify_add_watch(told, os.fsencode(folder), CHANGES) < 0:
        raise OSError(ctypes.get_errno(), f"inotify {folder}")
    try:
        until = time.monotonic() + patience_s
        while not condition():
            if not select.select([told], [], [], max(0, until - time.monotonic()))[0]:
                return condition()
            os.read(told, 65536)
        return True
    finally:
        os.close(told)


def wait_end(pid, patience_s):
    """Whether a process ended in time, waited for by its parent or not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], patience_s)[0])
    finally:
        os.close(descriptor)
