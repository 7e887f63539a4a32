"""Holds the kernel's network configuration lock (RTNL), which everybody shares: in a call of ethtool's that writes its
answer to memory which is not there, and which userfaultfd(2) does not supply before it is told to. The kernel holds the
lock while it waits.

Called as `rtnl_holder.py DEVICE SECONDS` in a network namespace that has the device. It says `held`; it lets go at a line
on its input, at its end, or after so many seconds, and says which: `released` or `too long`."""

import ctypes
import fcntl
import mmap
import os
import platform
import select
import socket
import struct
import sys
import threading

SIOCETHTOOL, ETHTOOL_GLINK = 0x8946, 0x0A
UFFD_API, UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE, MISSING = 0xAA, 0xC018AA3F, 0xC020AA00, 0xC020AA04, 1
USERFAULTFD = {"x86_64": 323, "aarch64": 282}.get(platform.machine())  # its number in the system call table
PAGE = mmap.PAGESIZE


class Hole:
    """Two pages, of which the second is missing until `fill`."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.syscall(USERFAULTFD, os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "userfaultfd")
        self.pages = mmap.mmap(-1, 2 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.edge = ctypes.addressof(ctypes.c_char.from_buffer(self.pages)) + PAGE
        self.call(UFFDIO_API, struct.pack("QQQ", UFFD_API, 0, 0))
        self.call(UFFDIO_REGISTER, struct.pack("QQQQ", self.edge, PAGE, MISSING, 0))

    def call(self, number, words):
        fcntl.ioctl(self.descriptor, number, bytearray(words))

    def wait_fault(self):
        os.read(self.descriptor, 32)

    def fill(self):
        self.call(UFFDIO_ZEROPAGE, struct.pack("QQQq", self.edge, PAGE, 0, 0))


def main():
    device, seconds = sys.argv[1].encode(), float(sys.argv[2])
    hole = Hole()
    # The command is in the first page, its answer goes into the second.
    struct.pack_into("I", hole.pages, PAGE - 4, ETHTOOL_GLINK)
    request = bytearray(struct.pack("16sP", device, hole.edge - 4).ljust(40, b"\0"))
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    caller = threading.Thread(target=fcntl.ioctl, args=(control, SIOCETHTOOL, request), daemon=True)
    caller.start()
    hole.wait_fault()
    print("held", flush=True)
    told = select.select([0], [], [], seconds)[0]
    hole.fill()
    caller.join()
    print("released" if told else "too long", flush=True)


if __name__ == "__main__":
    main()
