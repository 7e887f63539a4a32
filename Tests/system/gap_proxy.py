"""A Gap Request Proxy of Cboe, made from the published format and not from the code that asks it: a TCP server that
lets in who knows the session, user and password, answers each request, and sends what was asked for to a group."""

import socket
import struct
import threading
import time

import harness
import market

HEADER = struct.Struct("<HBBI")
LOGIN, LOGIN_ANSWER, REQUEST, RESPONSE = 1, 2, 3, 4
SESSION, USER, PASSWORD = "0001", "ME", "secret"


def block(*messages):
    return market.unit(0, 0, messages)


class GapProxy:
    """It keeps each message that is given to `keep`; `status` says what becomes of a request, and `sends` which of the
    packets of an answer are sent. Frozen, it says nothing and reads nothing, as a host that has gone."""

    def __init__(self, case, group, address="127.0.0.1", namespace=None, interface="127.0.0.1", port=0):
        self.group, self.messages = group, {}
        self.logins, self.requests, self.heartbeats = [], [], 0
        self.status = lambda unit, first, count: "A"
        self.sends, self.login_status, self.most = lambda packet: True, "A", 40
        self.frozen, self.ends, self.clients = False, False, []
        self.lock = threading.Condition()

        def listen():
            self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.listener.listen()
            self.listener.settimeout(0.02)
            self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
            self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface))
        namespace.enter(listen) if namespace else listen()
        self.url = "tcp://%s:%d" % self.listener.getsockname()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        self.is_closed = False
        case.addCleanup(self.close)

    def keep(self, packet):
        """Takes the messages of a packet in; returns the packet."""
        _, count, unit, first = HEADER.unpack_from(packet)
        at = HEADER.size
        for number in range(count):
            self.messages[unit, first + number] = packet[at:at + packet[at]]
            at += packet[at]
        return packet

    # The connections

    def run(self):
        while not self.ends:
            try:
                connection, _ = self.listener.accept()
                connection.settimeout(0.02)
                self.clients.append({"socket": connection, "input": b"", "is_in": False, "sent": time.monotonic()})
            except TimeoutError:
                pass
            for client in list(self.clients):
                try:
                    self.serve(client)
                except OSError:
                    self.drop_one(client)

    def serve(self, client):
        if self.frozen:
            return
        try:
            data = client["socket"].recv(4096)
            if not data:
                return self.drop_one(client)
            client["input"] += data
        except TimeoutError:
            pass
        while len(client["input"]) >= HEADER.size:
            length, count, _, _ = HEADER.unpack_from(client["input"])
            if len(client["input"]) < length:
                break
            body, client["input"] = client["input"][HEADER.size:length], client["input"][length:]
            self.heartbeats += count == 0
            while body:
                message, body = body[:body[0]], body[body[0]:]
                if not self.take(client, message):
                    return self.drop_one(client)
        if time.monotonic() - client["sent"] >= 1:
            self.send(client)

    def send(self, client, *messages):
        client["socket"].sendall(block(*messages))
        client["sent"] = time.monotonic()

    def take(self, client, message):
        """One message of a client; False: it is hung up on."""
        if message[1] == LOGIN:
            session, user, filler, password = struct.unpack("4s4s2s10s", message[2:])
            given = tuple(field.decode().rstrip() for field in (session, user, password))
            status = self.login_status if given == (SESSION, USER, PASSWORD) and filler == b"  " else "N"
            self.send(client, struct.pack("<BBc", 3, LOGIN_ANSWER, status.encode()))
            client["is_in"] = status == "A"
            with self.lock:
                self.logins.append(given)
                self.lock.notify_all()
            return client["is_in"]
        if message[1] != REQUEST or not client["is_in"]:
            return False
        unit, first, count = struct.unpack("<BIH", message[2:])
        with self.lock:
            self.requests.append((unit, first, count))
            self.lock.notify_all()
        status = self.status(unit, first, count)
        self.send(client, struct.pack("<BBBIHc", 10, RESPONSE, unit, first, count, status.encode()))
        if status == "A":
            self.replay(unit, first, count)
        return True

    def replay(self, unit, first, count):
        """To all who listen, in packets of its own."""
        numbers = [first + index for index in range(count) if (unit, first + index) in self.messages]
        while numbers:
            packet = [numbers.pop(0)]
            while numbers and numbers[0] == packet[-1] + 1 and len(packet) < self.most:
                packet.append(numbers.pop(0))
            made = market.unit(unit, packet[0], [self.messages[unit, number] for number in packet])
            if self.sends(made):
                self.multicast(made)

    def multicast(self, packet):
        self.sender.sendto(packet, self.group)

    # What the test does and waits for

    def wait_login(self, case, count=1):
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.logins) >= count, harness.PATIENCE_S):
                case.fail(f"{self.url}: {count} logins were to come, {self.logins} came")

    def drop_one(self, client):
        client["socket"].close()
        if client in self.clients:
            self.clients.remove(client)

    def close(self):
        if not self.is_closed:
            self.is_closed, self.ends = True, True
            self.thread.join()
            for client in list(self.clients):
                self.drop_one(client)
            self.listener.close()
            self.sender.close()
