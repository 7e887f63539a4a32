"""Strangers who connect to a CURVE endpoint without end: with a key that is on no list, without CURVE, or to hold.

`flood.py HOST PORT SERVER_KEY COUNT SECONDS` makes COUNT connections of the three sorts in turn, evenly, and prints
how many were made."""

import heapq
import socket
import sys
import time

import zmq

HOLD_S = 5.0  # longer than a handshake may take
TRY_S = 1.0


def subscriber(context, server_key):
    """Makes one connection and never another: with a key of its own, or without CURVE."""
    sub = context.socket(zmq.SUB)
    sub.linger, sub.reconnect_ivl = 0, -1
    if server_key:
        sub.curve_publickey, sub.curve_secretkey = zmq.curve_keypair()
        sub.curve_serverkey = server_key
    sub.subscribe(b"")
    return sub


def main():
    host, port, server_key, count, seconds = sys.argv[1:]
    count, seconds = int(count), float(seconds)
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 4096)
    ends = []  # a heap of: when, number, what to close
    begun, made, heard = time.monotonic(), 0, 0
    while made < count or ends:
        now = time.monotonic()
        while ends and ends[0][0] <= now:
            what = heapq.heappop(ends)[2]
            if isinstance(what, zmq.Socket):
                heard += bool(what.poll(0))
            what.close()
        while made < count and made * seconds / count <= now - begun:
            sort = made % 3
            if sort == 2:
                what = socket.create_connection((host, int(port)))
            else:
                what = subscriber(context, server_key.encode() if sort == 0 else None)
                what.connect(f"tcp://{host}:{port}")
            made += 1
            heapq.heappush(ends, (now + (HOLD_S if sort == 2 else TRY_S), made, what))
        time.sleep(0.002)
    print(f"{made} made, {heard} heard, {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
