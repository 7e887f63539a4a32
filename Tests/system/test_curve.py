"""Beyond the host: who comes in, who does not, and what happens when lists and keys change while all run."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

import zmq
import zmq.utils.monitor

import harness
from curve import Keys
from harness import Daemon, HealthClient, Namespace, needs_namespaces
from test_agent_bus import QUIET, View, watch, write_pid
from test_examples import example, text_of

AGENT = """host = "desk"
[bus]
publish = ["ipc://~/agent.pub", "tcp://*:5555"]
request = ["ipc://~/agent.req", "tcp://*:5556"]
[curve]
key = "~/host.key"
clients = "~/clients.toml"
""" + QUIET


def holdfast(*words):
    return harness.run(harness.binary("holdfast"), *words)


def wait_event(case, monitor, wanted, patience=harness.PATIENCE_S):
    """Waits for an event of a connection."""
    until = time.monotonic() + patience
    while (left := until - time.monotonic()) > 0:
        if monitor.poll(left * 1000):
            event = zmq.utils.monitor.recv_monitor_message(monitor)
            if event["event"] == wanted:
                return event
    case.fail(f"no {wanted!r}")


class Remote(HealthClient):
    """A client of the health bus in another namespace."""

    def __init__(self, case, namespace, host, keys, server_key, *topics):
        super().__init__(case, f"tcp://{host}:5555", f"tcp://{host}:5556", curve=(keys, server_key),
                         namespace=namespace)
        self.monitor = self.sub.get_monitor_socket()
        self.subscribe(*topics)

    def close(self):
        if not self.sub.closed:
            self.sub.disable_monitor()
        super().close()

    def wait_hung_up(self):
        wait_event(self.case, self.monitor, zmq.EVENT_DISCONNECTED)

    def heard(self):
        """Whether anything has come so far."""
        return bool(self.sub.poll(0) or self.dealer.poll(0))


class Stage(unittest.TestCase):
    """An agent in a namespace of its own, with a desk (10.82.1.2) and strangers (10.82.2.2) around it."""

    def setUp(self):
        self.near, self.desk, self.out = (Namespace(self, name) for name in ("near", "desk", "out"))
        harness.veth(self.near, "desk0", self.desk, "eth0", 1)
        harness.veth(self.near, "out0", self.out, "eth0", 2)
        self.daemon = Daemon(self, "holdfast-agent", "", self.near)
        self.key = self.place("host.key")
        self.server_key = holdfast("keygen", self.key).strip()
        self.clients = self.place("clients.toml")
        self.algo = None

    def place(self, name):
        return os.path.join(self.daemon.folder, name)

    def authorize(self, name, keys=None, *words):
        key = ["--", keys.public] if keys else []
        holdfast("authorize", "--file", self.clients, *words, name, *key)

    def start(self, more="", ready=True):
        self.new_process()
        self.daemon.configure(AGENT + more + watch("algo", self.place("algo.pid")))
        return self.daemon.start(ready=ready)

    def new_process(self):
        """Another process to watch: the next change of a state."""
        if self.algo:
            self.algo.kill()
            self.algo.wait(harness.PATIENCE_S)
        self.algo = harness.spawn(self, ["sleep", "86400"])
        write_pid(self.daemon.folder, "algo", self.algo.pid)

    def reload(self, ready=True):
        """SIGHUP, and waits until the daemon has done it."""
        before = len(self.daemon.log())
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_told("RELOADING=1")
        self.daemon.wait_told("READY=1")
        return self.daemon.log()[before:]

    def join(self, keys, *topics, server_key=None):
        topics = topics or ("state/", "heartbeat/")
        return Remote(self, self.desk, "10.82.1.1", keys, server_key or self.server_key, *topics)

    def stranger(self, keys, server_key=None):
        """One that subscribes to everything and asks for the status."""
        client = Remote(self, self.out, "10.82.2.1", keys, server_key or self.server_key, "")
        client.dealer.send(b'{"v":1,"request":"status"}')
        return client

    def local(self):
        return harness.health(self, self.daemon, "state/", "heartbeat/")

    def access(self):
        return self.local().status()["access"]

    def wait_access(self, condition, what):
        """Waits for counters of the status, which are asked for at each heartbeat."""
        client, seen = self.local(), []

        def is_met(message):
            seen[:] = [client.status()["access"]]
            return condition(seen[0])
        client.wait(is_met, what)
        return seen[0]


@needs_namespaces
class Access(Stage):
    def test_who_is_on_the_list_follows_the_host_and_may_ask(self):
        keys, operator = Keys(), Keys()
        self.authorize("screen", keys)
        self.authorize("ops", operator, "--operate")
        self.start()
        client = self.join(keys)
        self.assertEqual(client.settle("process/algo", "ok")["host"], "desk")
        self.algo.kill()
        client.wait_state("process/algo", "critical")
        self.assertEqual(client.ask(request="mute", subject="process/algo", for_s=60),
                         {"v": 1, "ok": False, "error": "client screen may not mute: authorize it with --operate"})
        self.assertIn("an agent watches", self.join(operator).ask(request="unmute", subject="nic/eth0")["error"])
        # Endpoints of the host stay in the clear.
        self.assertEqual(self.local().settle("process/algo", "critical")["host"], "desk")
        access = self.wait_access(lambda access: access["clients"] >= 5, "two clients with two connections each")
        self.assertEqual((access["refused_connections"], access["removed_clients"]), (0, 0))

    def test_others_get_nothing_and_are_logged_with_their_address(self):
        keys, unknown = Keys(), Keys()
        self.authorize("screen", keys)
        self.start()
        good = self.join(keys)
        good.settle("process/algo", "ok")

        def at(name, words, address="10.82.2.2"):
            self.daemon.wait_log(f"refused {address} at {name}: {words}")
        with self.subTest("a key that is not on the list"):
            stranger = self.stranger(unknown)
            at("publish", f"its key is not on the list; to let it in: holdfast authorize NAME '{unknown.public}'")
            at("request", "its key is not on the list")
            stranger.close()
        with self.subTest("another server key"):
            lost = self.stranger(keys, Keys().public)
            at("publish", "it has another server key than ours")
            lost.close()
        with self.subTest("no CURVE"):
            context = zmq.Context()
            self.addCleanup(context.destroy, linger=0)
            plain = self.out.enter(lambda: harness.subscriber(context, "tcp://10.82.2.1:5555", ""))
            # It hangs up by itself, so that nobody may know its address any more, or see why.
            self.wait_any(("at publish: no CURVE", "at publish: it left in the handshake, as one without CURVE does"))
            self.known("10.82.2.5").sendall(harness.RawPeer.GREETING)
            at("publish", "no CURVE", "10.82.2.5")
        with self.subTest("garbage"):
            self.known("10.82.2.3").sendall(b"GET / HTTP/1.1\r\n\r\n")
            at("publish", "it does not speak ZeroMQ's CURVE", "10.82.2.3")
        with self.subTest("silence"):
            self.connect("10.82.2.4", 5556)
            at("request", "no handshake within 2.5 seconds", "10.82.2.4")
        self.assertFalse(plain.poll(0))
        self.assertNotIn("10.82.1.2", self.daemon.log())
        access = self.wait_access(lambda access: access["refused_connections"] >= 6, "refusals are counted")
        self.assertEqual(access["removed_clients"], 0)
        self.algo.kill()
        good.wait_state("process/algo", "critical")

    def connect(self, address, port):
        """A plain connection from an address of its own, for which the journal has an allowance of its own."""
        self.out.ip("address", "add", f"{address}/24", "dev", "eth0")
        raw = self.out.enter(lambda: socket.create_connection(("10.82.2.1", port), source_address=(address, 0)))
        self.addCleanup(raw.close)
        return raw

    def known(self, address):
        """A plain connection to which the agent has looked: of one that is gone, it does not know the address."""
        raw = self.connect(address, 5555)
        self.assertEqual(raw.recv(1), b"\xff", "the greeting")
        for _ in range(2):  # by these answers it has
            self.local().status()
        return raw

    def wait_any(self, texts):
        if not harness.watched.wait(self.daemon.folder, lambda: any(text in self.daemon.log() for text in texts),
                                    harness.PATIENCE_S):
            self.daemon.fail(f"none of {texts}")

    def test_a_stranger_hears_and_learns_nothing(self):
        keys = Keys()
        self.authorize("screen", keys)
        self.start()
        stranger = self.stranger(Keys())
        self.daemon.wait_log("refused 10.82.2.2 at request")
        good = self.join(keys)
        good.settle("process/algo", "ok")
        for _ in range(8):  # two seconds of heartbeats for others
            good.wait(lambda message: message["topic"] == "heartbeat/desk/", "a heartbeat")
        self.assertFalse(stranger.heard())

    def test_a_client_that_is_authorized_later_comes_in_by_itself(self):
        keys = Keys()
        self.authorize("other", Keys())
        self.start()
        client = self.join(keys)
        self.daemon.wait_log("refused 10.82.1.2 at publish: its key is not on the list")
        self.authorize("screen", keys)
        self.reload()
        client.wait(lambda message: message["topic"] == "heartbeat/desk/", "a heartbeat")


class Follower:
    """Follows in a thread, as the document says, until its end; its view says what was missed."""

    def __init__(self, client):
        self.client, self.view = client, View(client.join())
        self.told, self.ends = threading.Condition(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        client.case.addCleanup(self.end)

    def run(self):
        while not self.ends.is_set():
            frames = self.client.frames(0.1)
            if frames is not None and not frames[0].startswith(b"sync/"):
                with self.told:
                    self.view.take(self.client.read(frames))
                    self.told.notify()

    def wait_running(self, subject, pid):
        """Waits until it knows that this process runs. How many changes that takes is the agent's affair: an end may
        be told before how it ended, and not at all when the next one was there before anybody looked."""
        def runs():
            state = self.view.states[subject]
            return state["status"] == "ok" and state["values"]["pids"] == str(pid)
        with self.told:
            if not self.told.wait_for(runs, harness.PATIENCE_S):
                self.client.case.fail(f"no word of pid {pid}, but {self.view.states[subject]}; {self.view.holes}")

    def end(self):
        self.ends.set()
        self.thread.join()


@needs_namespaces
class Changes(Stage):
    def follow(self, client):
        client.settle("process/algo", "ok")
        return Follower(client)

    def changes(self, follower, count):
        """So many changes of state, each seen before the next."""
        for _ in range(count):
            self.new_process()
            follower.wait_running("process/algo", self.algo.pid)

    def test_a_removed_client_is_hung_up_on_and_others_lose_nothing(self):
        stays, goes = Keys(), Keys()
        self.authorize("screen", stays)
        self.authorize("risk", goes)
        self.start()
        follower = self.follow(self.join(stays))
        removed = self.join(goes)
        removed.settle("process/algo", "ok")
        self.changes(follower, 3)
        self.authorize("risk", None, "--remove")
        self.reload()
        removed.wait_hung_up()
        self.daemon.wait_log("client risk is no longer on the list: hung up on")
        self.changes(follower, 3)
        follower.end()
        self.assertEqual(follower.view.holes, [])
        access = self.wait_access(lambda access: access["removed_clients"] == 2, "both connections were ended")
        self.assertGreaterEqual(access["clients"], 2)
        while removed.sub.poll(0):  # what had come before
            removed.sub.recv_multipart()
        self.changes_unseen_by(removed)

    def changes_unseen_by(self, removed):
        client = self.local()
        client.settle("process/algo", "ok")
        self.algo.kill()
        client.wait_state("process/algo", "critical")
        self.assertFalse(removed.sub.poll(0))

    def test_a_clients_new_key_takes_the_place_of_the_old_one(self):
        old, new = Keys(), Keys()
        self.authorize("screen", old)
        self.start()
        client = self.join(old)
        client.settle("process/algo", "ok")
        self.authorize("screen", new)
        self.reload()
        client.wait_hung_up()
        self.join(new).settle("process/algo", "ok")

    def test_the_hosts_new_key_is_in_force_after_a_reload(self):
        keys = Keys()
        self.authorize("screen", keys)
        self.start()
        client = self.join(keys)
        client.settle("process/algo", "ok")
        follower = self.follow(self.local())
        new = holdfast("keygen", "--replace", self.key).strip()
        self.assertNotEqual(new, self.server_key)
        log = self.reload()
        self.assertIn(f"our public key is now {new}", log)
        client.wait_hung_up()
        again = self.join(keys, server_key=new)
        again.settle("process/algo", "ok")
        self.daemon.wait_log("refused 10.82.1.2 at publish: it has another server key than ours")
        # Who is on the host noticed nothing.
        self.changes(follower, 2)
        follower.end()
        self.assertEqual(follower.view.holes, [])

    def test_a_reload_with_bad_files_changes_nothing(self):
        keys = Keys()
        self.authorize("screen", keys)
        self.start()
        client = self.join(keys)
        client.settle("process/algo", "ok")
        for name, spoil, mend in ((self.key, 0o644, 0o600), (self.clients, 0o666, 0o644)):
            os.chmod(name, spoil)
            self.assertIn(name, self.reload())
            os.chmod(name, mend)
        with open(self.clients) as file:
            good = file.read()
        with open(self.clients, "w") as file:
            file.write(good + "[[client]]\nname = 7\n")
        self.assertIn("clients.toml:", self.reload())
        self.algo.kill()
        client.wait_state("process/algo", "critical")
        self.new_process()
        client.wait_state("process/algo", "ok")
        self.assertEqual(self.access()["removed_clients"], 0)


class Refusals(Stage):
    """Starts that fail, each with the line and what to do."""

    def refuses(self, *words):
        self.start(ready=False)
        self.assertEqual(self.daemon.wait_exit(), 78)
        log = self.daemon.log()
        for word in ("holdfast-agent.toml:3", "tcp://*:5555", *words):
            self.assertIn(word, log)
        os.truncate(self.daemon.log_path, 0)

    @needs_namespaces
    def test_it_does_not_start_beyond_the_host_without_good_keys(self):
        self.authorize("screen", Keys())
        with self.subTest("a key that others can read"):
            os.chmod(self.key, 0o640)
            self.refuses("host.key", "chmod 600")
        with self.subTest("no key"):
            os.unlink(self.key)
            self.refuses("host.key", "sudo holdfast keygen")
        holdfast("keygen", self.key)
        with self.subTest("a list that others can write"):
            os.chmod(self.clients, 0o664)
            self.refuses("clients.toml", "chmod")
        with self.subTest("no list"):
            os.unlink(self.clients)
            self.refuses("clients.toml", "sudo holdfast authorize")


@needs_namespaces
class Collector(Stage):
    """The collector of the document, run as it stands."""

    ENDPOINT = "tcp://10.82.1.2:5570"

    def collect(self, keys, *agents):
        code = example(text_of("Sources/Wire/README.md"), "Reporting to a collector")
        self.assertIsNotNone(code)
        code += ("import sys\nfor told in collect(*sys.argv[1:4], sys.argv[4:]):\n    print(*told, flush=True)\n")
        words = [sys.executable, "-u", "-c", code, self.ENDPOINT, keys.public, keys.secret,
                 *agents]
        child = harness.spawn(self, self.desk.command(*words), stdout=subprocess.PIPE, bufsize=0)
        self.addCleanup(child.stdout.close)
        return child

    def wait_lines(self, child, *lines):
        """Reads until each of the lines has come."""
        left, heard = set(lines), []
        until = time.monotonic() + harness.PATIENCE_S
        while left and select.select([child.stdout], [], [], max(0, until - time.monotonic()))[0]:
            line = child.stdout.readline().decode().strip()
            if not line:
                break
            heard.append(line)
            left.discard(line)
        if left:
            self.daemon.fail(f"the collector did not say {left}, but {heard}")
        return heard

    def configured(self, keys, port=5570):
        endpoint = self.ENDPOINT.replace("5570", str(port))
        return f'[[report_to]]\nendpoint = "{endpoint}"\nserver_key = \'{keys.public}\'\n'

    def test_an_agent_reports_to_a_collector_that_comes_and_goes(self):
        keys = Keys()
        self.authorize("nobody", Keys())
        self.start(self.configured(keys))
        self.daemon.wait_log(f"the collector {self.ENDPOINT} does not answer")
        child = self.collect(keys, self.server_key)
        self.wait_lines(child, "desk process/algo ok", "desk None alive")
        self.assertEqual([report["connected"] for report in self.local().status()["report_to"]], [True])
        self.algo.kill()
        self.wait_lines(child, "desk process/algo critical")
        harness.guardian.end(child.pid)
        child.wait(harness.PATIENCE_S)
        self.daemon.wait_log(f"the collector {self.ENDPOINT} is gone")
        # What changed meanwhile, and the rest, comes at once when it is back.
        self.new_process()
        self.local().settle("process/algo", "ok")
        child = self.collect(keys, self.server_key)
        self.wait_lines(child, "desk process/algo ok")
        self.algo.kill()
        self.wait_lines(child, "desk process/algo critical")
        self.daemon.stop()
        self.wait_lines(child, "desk None unknown")
        self.new_process()
        self.daemon.start()
        self.wait_lines(child, "desk process/algo ok", "desk None alive")

    def test_a_collector_that_does_not_know_the_agent_yet_is_asked_again(self):
        keys = Keys()
        self.authorize("nobody", Keys())
        self.start(self.configured(keys))
        child = self.collect(keys, Keys().public)
        self.daemon.wait_log(f"the collector {self.ENDPOINT} refuses our key")
        harness.guardian.end(child.pid)
        child.wait(harness.PATIENCE_S)
        self.wait_lines(self.collect(keys, self.server_key), "desk process/algo ok")

    def test_a_reload_adds_and_removes_collectors(self):
        keys = Keys()
        self.authorize("nobody", Keys())
        self.start()
        child = self.collect(keys, self.server_key)
        algo = watch("algo", self.place("algo.pid"))
        self.daemon.configure(AGENT + self.configured(keys) + algo)
        self.reload()
        self.wait_lines(child, "desk process/algo ok", "desk None alive")
        self.daemon.configure(AGENT + algo)
        self.reload()
        self.wait_lines(child, "desk None unknown")
        self.assertNotIn("report_to", self.local().status())

    def test_the_hosts_new_key_is_shown_to_collectors(self):
        keys = Keys()
        self.authorize("nobody", Keys())
        self.start(self.configured(keys))
        child = self.collect(keys, self.server_key)
        self.wait_lines(child, "desk process/algo ok")
        harness.guardian.end(child.pid)
        child.wait(harness.PATIENCE_S)
        new = holdfast("keygen", "--replace", self.key).strip()
        child = self.collect(keys, new)
        self.daemon.wait_log(f"the collector {self.ENDPOINT} refuses our key")
        self.reload()
        self.wait_lines(child, "desk process/algo ok")


if __name__ == "__main__":
    unittest.main()
