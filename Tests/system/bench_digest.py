"""A process that does with bytes what no journal can do without, and nothing else: SHA-256 of all of them, and a write to a
file in segments. What a gateway without a journal loses beside it bounds what one with a journal loses at least.

usage: bench_digest.py FOLDER BYTES_A_SECOND; ended by SIGTERM it prints how many bytes it wrote, and in what time.
"""

import hashlib
import json
import os
import signal
import sys
import time

PIECE, SEGMENT = 256 << 10, 64 << 20


class Ended(Exception):
    pass


def end(*_):
    raise Ended


def main(folder, rate):
    signal.signal(signal.SIGTERM, end)
    piece, done, began, file = os.urandom(PIECE), 0, time.monotonic(), None
    try:
        while True:
            if done % SEGMENT == 0:
                if file is not None:
                    os.close(file)
                file = os.open(os.path.join(folder, "segment"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                digest = hashlib.sha256()
            os.write(file, piece)
            digest.update(piece)
            done += PIECE
            ahead = done / rate - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
    except Ended:
        print(json.dumps({"bytes": done, "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
