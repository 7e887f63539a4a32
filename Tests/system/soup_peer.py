"""SoupBinTCP by somebody else: Nasdaq's own library, nasdaq-protocols, as a server or as a client.

Run by the Python of .build/peers, which Tests/run makes. `soup_peer.py server`: says `port N`, sends each line of its
standard input (hexadecimal) as the next message, ends the session at `end`, hangs up at `drop`, and tells each
login. `soup_peer.py client PORT SEQUENCE COUNT`: logs in at a sequence and prints what comes, a line for each."""

import asyncio
import sys

from nasdaq_protocols import soup

SESSION = "S000000001"


class Server(soup.SoupServerSession, session_type="server"):
    messages, sessions = [], []

    async def on_login(self, message):
        print("login", message.user, message.password, message.session or "-", message.sequence, flush=True)
        if (message.user, message.password) != ("me", "secret"):
            return soup.LoginRejected(soup.LoginRejectReason.NOT_AUTHORIZED)
        if message.session not in ("", SESSION):
            return soup.LoginRejected(soup.LoginRejectReason.SESSION_NOT_AVAILABLE)
        first = int(message.sequence) or len(self.messages) + 1
        asyncio.get_running_loop().call_soon(self.begin, first)
        return soup.LoginAccepted(SESSION, first)

    def begin(self, first):
        self.sessions.append(self)
        self.send_debug("welcome")
        self.send_msg(soup.UnSequencedData(b"outside the numbering"))
        for message in self.messages[first - 1:]:
            self.send_seq_msg(message)

    async def on_unsequenced(self, message):
        print("unsequenced", message.data.hex(), flush=True)


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(client_heartbeat_interval=1, server_heartbeat_interval=3),
                                      "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        live = [session for session in Server.sessions if not session.is_closed()]
        if line == "drop":
            for session in live:
                session._transport.abort()
        elif line == "end":
            for session in live:
                session.end_session()
        else:
            Server.messages.append(bytes.fromhex(line))
            for session in live:
                session.send_seq_msg(Server.messages[-1])


async def take(port, sequence, count):
    session = await soup.connect_async(("127.0.0.1", port), "me", "secret", sequence=sequence,
                                       client_heartbeat_interval=1, server_heartbeat_interval=3)
    print("session", session.session_id.session, session.sequence + 1, flush=True)
    while count > 0:
        message = await session.receive_msg()
        if isinstance(message, soup.SequencedData):
            print("message", session.sequence, message.data.hex(), flush=True)
            count -= 1
        else:
            print(type(message).__name__, flush=True)
    session.logout()


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "server" else take(*map(int, sys.argv[2:])))
