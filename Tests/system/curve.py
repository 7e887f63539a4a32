"""Keys, lists of clients, and CURVE servers of the tests' own (pyzmq), for what is beyond a host."""

import os
import threading

import zmq
import zmq.utils.z85 as z85


class Keys:
    """A key pair, as pyzmq makes it."""

    def __init__(self):
        while True:
            public, secret = zmq.curve_keypair()
            # On a command line a key that begins with a hyphen reads as an option.
            if public[:1].isalnum():
                break
        self.public, self.secret = public.decode(), secret.decode()

    def write(self, path):
        """A key file as `holdfast keygen` writes it."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f'public = "{self.public}"\nsecret = "{self.secret}"\n')
        return self

    def client(self, sock, server):
        """Makes a socket that is not connected yet a client of the server with this public key."""
        sock.curve_publickey, sock.curve_secretkey = self.public.encode(), self.secret.encode()
        sock.curve_serverkey = server.encode()

    def server(self, sock):
        """Makes a socket that is not bound yet a server."""
        sock.curve_secretkey, sock.curve_server, sock.zap_domain = self.secret.encode(), True, b"test"


def write_clients(path, **clients):
    """A list of clients: the keys of each, or its keys, topics and whether it may operate."""
    text = ""
    for name, entry in clients.items():
        keys, topics, operate = (entry, [], False) if isinstance(entry, Keys) else (*entry, False)[:3]
        listed = ", ".join(f'"{topic}"' for topic in topics)
        text += (f'[[client]]\nname = "{name}"\nkey = "{keys.public}"\ntopics = [{listed}]\n'
                 f"operate = {str(operate).lower()}\n")
    with open(path + ".new", "w") as file:
        file.write(text)
    os.chmod(path + ".new", 0o644)
    os.rename(path + ".new", path)


class Door(threading.Thread):
    """The ZAP handler (RFC 27) of a context: lets in who is among `allowed`, and notes who asked."""

    def __init__(self, case, context, *allowed):
        super().__init__(daemon=True)
        self.allowed = {keys.public for keys in allowed}
        self.asked, self.news, self.ends = [], threading.Condition(), False
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")
        self.start()
        case.addCleanup(self.close)

    def run(self):
        while not self.ends:
            if not self.socket.poll(20):
                continue
            version, request, _, _, _, _, key = self.socket.recv_multipart()
            key = z85.encode(key).decode()
            verdict = [b"200", b"OK", key.encode()] if key in self.allowed else [b"400", b"not on the list", b""]
            self.socket.send_multipart([version, request, *verdict, b""])
            with self.news:
                self.asked.append(key)
                self.news.notify_all()
        self.socket.close()

    def wait_asked(self, case, keys, patience):
        with self.news:
            if not self.news.wait_for(lambda: keys.public in self.asked, patience):
                case.fail("nobody came in with that key")

    def close(self):
        if self.is_alive():
            self.ends = True
            self.join()
