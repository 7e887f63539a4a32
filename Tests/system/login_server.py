"""A TCP server of a protocol with a login, in a thread: what SoupBinTCP's and the Gap Request Proxy's have in common."""

import socket
import threading
import time

import harness

POLL_S = 0.02


class Client:
    """One connection; `next` is what the protocol keeps of it, nothing until it is in."""

    def __init__(self, connection):
        connection.settimeout(POLL_S)
        self.socket, self.input, self.next, self.sent = connection, b"", None, time.monotonic()

    def send(self, data):
        self.socket.sendall(data)
        self.sent = time.monotonic()


class LoginServer:
    """Subclasses say how the stream is cut (`cut`), what a packet does (`take`; False: it is hung up on), and what is
    sent unasked (`idle`). Frozen, it says nothing and reads nothing, as a host that has gone."""

    def __init__(self, case, address="127.0.0.1", namespace=None, port=0):
        self.logins, self.clients = [], []
        self.frozen, self.ends = False, False
        self.lock = threading.Condition()

        def listen():
            self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.listener.listen()
            self.listener.settimeout(POLL_S)
            self.opened()
        namespace.enter(listen) if namespace else listen()
        self.endpoint = "tcp://%s:%d" % self.listener.getsockname()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.close)

    def opened(self):
        """Where the listener is: what else the server needs there."""

    def run(self):
        while not self.ends:
            try:
                self.clients.append(Client(self.listener.accept()[0]))
            except TimeoutError:
                pass
            for client in list(self.clients):
                try:
                    if not self.frozen and not self.serve(client):
                        self.drop_one(client)
                except OSError:
                    self.drop_one(client)

    def serve(self, client):
        """False: it is hung up on."""
        try:
            data = client.socket.recv(4096)
            if not data:
                return False
            client.input += data
        except TimeoutError:
            pass
        while length := self.cut(client.input):
            packet, client.input = client.input[:length], client.input[length:]
            if not self.take(client, packet):
                return False
        self.idle(client)
        return True

    def logged_in(self, login):
        with self.lock:
            self.logins.append(login)
            self.lock.notify_all()

    def wait_login(self, case, condition=lambda login: True, what="", count=1):
        with self.lock:
            if not self.lock.wait_for(lambda: sum(map(condition, self.logins)) >= count, harness.PATIENCE_S):
                case.fail(f"{self.endpoint}: {count} logins {what} were to come, there are only {self.logins}")

    def drop_one(self, client):
        client.socket.close()
        if client in self.clients:
            self.clients.remove(client)

    def drop(self):
        """Hangs up on all."""
        for client in list(self.clients):
            try:
                client.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        if not self.ends:
            self.ends = True
            self.thread.join()
            for client in list(self.clients):
                self.drop_one(client)
            self.listener.close()
