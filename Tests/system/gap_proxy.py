"""A Gap Request Proxy of Cboe, made from the published format and not from the code that asks it: a TCP server that
lets in who knows the session, user and password, answers each request, and sends what was asked for to a group."""

import socket
import struct
import time

import login_server
import market

HEADER = struct.Struct("<HBBI")
LOGIN, LOGIN_ANSWER, REQUEST, RESPONSE = 1, 2, 3, 4
SESSION, USER, PASSWORD = "0001", "ME", "secret"


def block(*messages):
    return market.unit(0, 0, messages)


class GapProxy(login_server.LoginServer):
    """It keeps each message that is given to `keep`; `status` says what becomes of a request, and `sends` which of the
    packets of an answer are sent. It answers requests, and heartbeats each second."""

    def __init__(self, case, group, interface="127.0.0.1", **place):
        self.group, self.interface, self.messages = group, interface, {}
        self.requests, self.heartbeats = [], 0
        self.status = lambda unit, first, count: "A"
        self.sends, self.login_status, self.most = lambda packet: True, "A", 40
        super().__init__(case, **place)
        case.addCleanup(self.sender.close)

    def opened(self):
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
        self.sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self.interface))

    def keep(self, packet):
        """Takes the messages of a packet in; returns the packet."""
        _, count, unit, first = HEADER.unpack_from(packet)
        at = HEADER.size
        for number in range(count):
            self.messages[unit, first + number] = packet[at:at + packet[at]]
            at += packet[at]
        return packet

    # The connections

    def cut(self, data):
        if len(data) < HEADER.size:
            return 0
        length = HEADER.unpack_from(data)[0]
        return length if len(data) >= length else 0

    def take(self, client, packet):
        body = packet[HEADER.size:]
        self.heartbeats += not body
        while body:
            message, body = body[:body[0]], body[body[0]:]
            if not self.obey(client, message):
                return False
        return True

    def idle(self, client):
        if time.monotonic() - client.sent >= 1:
            client.send(block())

    def obey(self, client, message):
        """One message of a client; False: it is hung up on."""
        if message[1] == LOGIN:
            session, user, filler, password = struct.unpack("4s4s2s10s", message[2:])
            given = tuple(field.decode().rstrip() for field in (session, user, password))
            status = self.login_status if given == (SESSION, USER, PASSWORD) and filler == b"  " else "N"
            client.send(block(struct.pack("<BBc", 3, LOGIN_ANSWER, status.encode())))
            client.next = status == "A"
            self.logged_in(given)
            return client.next
        if message[1] != REQUEST or not client.next:
            return False
        unit, first, count = struct.unpack("<BIH", message[2:])
        with self.lock:
            self.requests.append((unit, first, count))
            self.lock.notify_all()
        status = self.status(unit, first, count)
        client.send(block(struct.pack("<BBBIHc", 10, RESPONSE, unit, first, count, status.encode())))
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
