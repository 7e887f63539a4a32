"""libzmq alone in the gateway's place: an XPUB that grants each subscription as the gateway does, keeps nothing of its
own, and then publishes once on each topic. Prints what it takes more than at its start, in MiB."""

import sys

import zmq


def resident_mib():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) / 1024


def main(endpoint, subscriptions, topics):
    context = zmq.Context(io_threads=2)
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_MANUAL, 1)
    socket.sndhwm = 50_000
    before = resident_mib()
    socket.bind(endpoint)
    print("bound", flush=True)
    for _ in range(subscriptions):
        socket.setsockopt(zmq.SUBSCRIBE, socket.recv()[1:])
    for number in range(topics):
        socket.send(f"md/quotes/Q{number + 1}/".encode() + bytes(120))
        if number % 1000 == 0:
            socket.poll(10)                         # the clients take what there is
    print(round(resident_mib() - before, 1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
