"""A FUSE file system that answers as long as it is told to, by the raw protocol (linux/fuse.h): no library needed.

Called as `hanging_fuse.py FOLDER` in the mount namespace that it is for. It says `mounted`; a line `hang` on its input
makes it silent, `answer` lets it answer again, also what was asked meanwhile. Its end ends the mount's connection."""

import ctypes
import errno
import os
import select
import struct
import sys
import time

GETATTR, INIT, STATFS, DESTROY, FORGET, INTERRUPT, BATCH_FORGET = 3, 26, 17, 38, 2, 36, 42
HEADER = struct.Struct("<IIQQIIIHH")


class FileSystem:
    def __init__(self, folder):
        self.device = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.device},rootmode=40755,user_id=0,group_id=0,allow_other".encode()
        if libc.mount(b"hanging", folder.encode(), b"fuse.hanging", 6, options) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.hangs, self.kept = False, []

    def reply(self, unique, body=b"", error=0):
        os.write(self.device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)

    def request(self):
        data = os.read(self.device, 1 << 17)
        opcode, unique = HEADER.unpack_from(data)[1:3]
        if self.hangs and opcode not in (FORGET, BATCH_FORGET, INTERRUPT):
            return self.kept.append((opcode, unique))
        self.answer(opcode, unique)

    def answer(self, opcode, unique):
        if opcode == INIT:
            self.reply(unique, struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, 65536, 1, 0, 0, 0))
        elif opcode == GETATTR:
            now = int(time.time())
            attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, now, now, now, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
            self.reply(unique, struct.pack("<QII", 86400, 0, 0) + attributes)
        elif opcode == STATFS:
            self.reply(unique, struct.pack("<QQQQQIIII24x", 1000, 900, 900, 100, 90, 4096, 255, 4096, 0))
        elif opcode not in (FORGET, BATCH_FORGET, INTERRUPT, DESTROY):
            self.reply(unique, error=errno.ENOSYS)

    def command(self):
        words = os.read(0, 4096).decode().split()
        if not words:
            sys.exit(0)
        for word in words:
            self.hangs = word == "hang"
        if not self.hangs:
            for opcode, unique in self.kept:
                try:
                    self.answer(opcode, unique)
                except FileNotFoundError:
                    pass  # nobody waits for it any more
            self.kept = []
        print("hangs" if self.hangs else "answers", flush=True)

    def serve(self):
        print("mounted", flush=True)
        while True:
            for ready in select.select([self.device, 0], [], [])[0]:
                self.command() if ready == 0 else self.request()


FileSystem(sys.argv[1]).serve()
