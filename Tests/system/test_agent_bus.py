"""The agent as any client sees it: start, health bus, requests, reload, stop."""

import json
import os
import signal
import socket
import subprocess
import threading
import unittest

import zmq

import harness
from harness import AGENT_BUS, Daemon, HealthClient, Namespace, agent, health, needs_namespaces, subject_of

QUIET = """[nic]
discover = false
[path]
discover = false
[disk]
discover = false
[clock]
enabled = false
[pressure]
enabled = false
"""


def watch(name, pidfile):
    return f'[[process.watch]]\nname = "{name}"\npidfile = "{pidfile}"\n'


def write_pid(folder, name, pid):
    """A pidfile that appears whole."""
    path = os.path.join(folder, f"{name}.pid")
    with open(path + ".new", "w") as file:
        file.write(f"{pid}\n")
    os.rename(path + ".new", path)
    return path


class Churn:
    """A NIC whose carrier comes and goes as fast as the kernel can, in a thread."""

    def __init__(self, case, link):
        self.link, self.ends, self.toggles = link, threading.Event(), 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.stop)

    def run(self):
        while not self.ends.wait(0.003):
            self.toggles += 1
            self.link.set(self.toggles % 2 == 0)

    def stop(self):
        self.ends.set()
        self.thread.join()


class View:
    """What a client knows that follows the document's rules; `holes` says where they were broken."""

    def __init__(self, status):
        self.incarnation, self.last, self.holes = status["incarnation"], status["change"], []
        self.states = {subject_of(state): state for state in status["states"]}
        self.news = 0

    def take(self, message):
        if message["topic"].startswith("heartbeat/"):
            if message["change"] > self.last:
                self.holes.append(f"heartbeat {message['change']} after {self.last}")
            return
        if not message["topic"].startswith("state/") or message["change"] <= self.last:
            return
        if message["change"] != self.last + 1:
            self.holes.append(f"change {message['change']} after {self.last}")
        self.last = message["change"]
        self.states[subject_of(message)] = message
        self.news += 1


class WithoutConfiguration(unittest.TestCase):
    @needs_namespaces
    def test_it_starts_finds_what_there_is_and_publishes(self):
        desk, isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(desk, "wan0", isp, "peer", 1)
        desk.ip("route", "add", "default", "via", "10.82.1.2")
        private_run = ["unshare", "--mount", "sh", "-c",
                       'mount -t tmpfs none /run && mkdir -p /run/holdfast && exec "$@"', "sh"]
        daemon = Daemon(self, "holdfast-agent", None, desk, wrap=private_run).start()
        place = f"ipc:///proc/{daemon.child.pid}/root/run/holdfast/agent"
        client = HealthClient(self, place + ".pub", place + ".req", "")
        path = client.settle("path/wan0", "ok")
        self.assertEqual(path["host"], socket.gethostname())
        client.wait(lambda message: message["topic"] == f"heartbeat/{path['host']}/", "a heartbeat")
        client.wait(lambda message: message["topic"].startswith("sample/") and message["kind"] == "path", "a sample")


class Bus(unittest.TestCase):
    def start(self, text=""):
        folder = harness.folder_of(self)
        algo = harness.spawn(self, ["sleep", "86400"])
        text = QUIET + text + watch("algo", write_pid(folder, "algo", algo.pid)) + watch("absent", f"{folder}/no")
        return agent(self, text)

    def test_every_message_has_what_the_document_says(self):
        daemon = self.start()
        client = health(self, daemon, "state/", "sample/", "heartbeat/")
        client.join()
        seen = {}
        for message in client.messages():
            family = message["topic"].split("/")[0]
            seen.setdefault(family, message)
            if {"state", "sample", "heartbeat"} <= seen.keys():
                break
        for family, message in seen.items():
            with self.subTest(family):
                self.assertEqual((message["v"], message["host"]), (1, "desk"))
                self.assertRegex(message["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
                self.assertGreater(message["incarnation"], 1_600_000_000_000_000)
        state, beat = seen["state"], seen["heartbeat"]
        self.assertLessEqual({"kind", "name", "status", "since", "reason", "previous", "cause", "detected_at",
                              "happened_at", "values"}, state.keys())
        self.assertEqual((beat["expires_after_s"], beat["worst"]), (1.0, "critical"))
        self.assertEqual(beat["cost"].keys(), {"cpu_ratio", "rss_bytes", "wakeups_per_s"})
        self.assertGreater(beat["cost"]["rss_bytes"], 1 << 20)

    def test_heartbeats_come_in_order_and_count_the_subjects(self):
        client = health(self, self.start(), "heartbeat/desk/")
        beats = [client.wait(lambda message: True, "a heartbeat") for _ in range(8)]
        changes, times = [beat["change"] for beat in beats], [beat["at"] for beat in beats]
        self.assertEqual(changes, sorted(changes))
        self.assertEqual(times, sorted(times))
        self.assertEqual(len({beat["incarnation"] for beat in beats}), 1)
        self.assertEqual(beats[-1]["subjects"], 2)

    def test_a_topic_of_another_host_does_not_match(self):
        client = health(self, self.start(), "heartbeat/des/", "state/de/")
        self.assertEqual(client.sync(), [])

    def test_a_late_joiner_is_sent_each_state_under_its_own_number(self):
        daemon = self.start()
        first = health(self, daemon, "state/")
        first.settle("process/algo", "ok")
        known = first.states()
        late = health(self, daemon, "state/desk/")
        told = {subject_of(message): message["change"] for message in late.sync()}
        self.assertEqual(told, {subject: state["change"] for subject, state in known.items()})
        self.assertEqual(first.status()["change"], max(told.values()))

    def test_a_late_joiner_of_one_subject_is_sent_that_one(self):
        daemon = self.start()
        first = health(self, daemon, "state/")
        first.settle("process/algo", "ok")
        late = health(self, daemon, "state/desk/process/algo/")
        self.assertEqual({subject_of(message) for message in late.sync()}, {"process/algo"})

    def test_states_are_repeated_without_a_new_number(self):
        daemon = agent(self, "state_every = \"1s\"\n" + QUIET + watch("absent", "/nonexistent"))
        client = health(self, daemon, "state/")
        first = client.settle("process/absent", "critical")
        again = client.wait(lambda message: message["at"] > first["at"], "a repeat")
        for key in ("change", "since", "detected_at", "status", "reason"):
            self.assertEqual(again[key], first[key])


class Stormer:
    """A client of ZMTP 2.0 that subscribes and cancels without end, and reads nothing, in a thread."""

    def __init__(self, case, endpoint, *prefixes):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(endpoint.removeprefix("ipc://"))
        # A greeting, a SUB socket, no identity.
        self.socket.sendall(b"\xff" + b"\0" * 7 + b"\x01\x7f\x01\x02" + b"\0\0")
        self.storm = b"".join(bytes((0, len(prefix) + 1, word)) + prefix
                              for prefix in map(str.encode, prefixes) for word in (1, 0)) * 500
        self.storms = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.stop)

    def run(self):
        try:
            while True:
                self.socket.sendall(self.storm)
                self.storms += 1
        except OSError:
            pass                                    # stopped

    def stop(self):
        if self.thread.is_alive():
            self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()


class Storm(unittest.TestCase):
    """Subscribers that ask for more than they should, beside one that does not."""

    def start(self):
        watches = "".join(f'[[process.watch]]\nname = "p{number}"\npidfile = "/nonexistent/{number}"\n'
                          for number in range(200))
        return agent(self, 'state_every = "60s"\n' + QUIET + watches)

    def test_who_subscribes_and_cancels_in_a_storm_takes_nobody_elses_states(self):
        daemon = self.start()
        first = health(self, daemon, "state/", "heartbeat/")
        first.settle("process/p199", "critical")
        first.sync()  # what was published until then
        stormers = [Stormer(self, daemon.endpoint("agent.pub"), "state/", "state/desk/", "s", f"sync/{number}/")
                    for number in range(4)]
        for number in range(5):
            late = health(self, daemon, "state/desk/")
            told = [subject_of(message) for message in late.sync()]
            self.assertEqual(sorted(told), sorted(f"process/p{number}" for number in range(200)), f"join {number}")
            late.close()
        # What others ask for is not sent to who has joined: that has each state once.
        told = [message for message in first.sync() if message["topic"].startswith("state/")]
        bus = first.status()["bus"]
        self.assertEqual(told, [])
        self.assertTrue(all(stormer.storms > 0 for stormer in stormers))
        self.assertGreater(bus["repeated_states"], 6 * 200)
        self.assertLessEqual(bus["waiting_subscriptions"], 4 * 8)

    def test_more_prefixes_than_a_connection_may_hold_are_refused_counted_and_told(self):
        daemon = self.start()
        greedy = health(self, daemon, *(f"state/desk/{number}/" for number in range(1100)))
        greedy.sync()
        bus = greedy.status()["bus"]
        self.assertEqual((bus["subscriptions"], bus["refused_subscriptions"]), (1000, 100))
        daemon.wait_log("a connection holds 1000 prefixes at most")
        other = health(self, daemon, "state/")
        self.assertEqual(len(other.sync()), 200)


class Joining(unittest.TestCase):
    @needs_namespaces
    def test_joining_a_hundred_times_while_states_churn_never_leaves_a_hole(self):
        desk, isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(desk, "eth0", isp, "peer", 1)
        daemon = agent(self, '[nic]\ninclude = ["eth0"]\n[path]\nenabled = false\n', desk)
        watcher = health(self, daemon, "state/")
        watcher.settle("nic/eth0", "ok")
        churn = Churn(self, isp.link("peer"))
        started = watcher.status()["change"]
        for number in range(100):
            client = health(self, daemon, "state/desk/", "heartbeat/desk/")
            view = View(client.join())
            client.wait(lambda message: view.take(message) or view.news >= 3 or view.holes, "three changes")
            self.assertEqual(view.holes, [], f"join {number}")
            client.close()
        churn.stop()
        self.assertGreaterEqual(watcher.status()["change"] - started, 300)

    @needs_namespaces
    def test_a_follower_ends_with_the_state_that_the_agent_has(self):
        desk, isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(desk, "eth0", isp, "peer", 1)
        daemon = agent(self, '[nic]\ninclude = ["eth0"]\n[path]\nenabled = false\n', desk)
        client = health(self, daemon, "state/desk/", "heartbeat/desk/")
        view = View(client.join())
        link = isp.link("peer")
        churn = Churn(self, link)
        client.wait(lambda message: view.take(message) or view.news >= 200, "two hundred changes")
        churn.stop()
        for message in client.sync():
            view.take(message)
        status = client.status()
        for message in client.sync():
            view.take(message)
        if view.last == status["change"]:  # nothing came in between
            for state in status["states"]:
                self.assertEqual(view.states[subject_of(state)]["status"], state["status"])
        self.assertEqual(view.holes, [])


class WrongInput(unittest.TestCase):
    def setUp(self):
        self.daemon = agent(self, QUIET + watch("absent", "/nonexistent"))
        self.client = health(self, self.daemon, "state/", "heartbeat/desk/")
        self.before = self.client.settle("process/absent", "critical")

    def assert_undisturbed(self):
        self.client.wait(lambda message: message["topic"] == "heartbeat/desk/", "a heartbeat")
        self.assertTrue(self.daemon.is_running())
        after = self.client.states()["process/absent"]
        self.assertEqual((after["change"], after["incarnation"]), (self.before["change"], self.before["incarnation"]))

    def test_a_wrong_request_is_told_what_is_wrong_with_it(self):
        for frame, words in (
            (b"hello", ["JSON"]), (b"", ["JSON"]), (b"\xff\xfe\x00", ["JSON"]), (b"[" * 5000, ["JSON"]),
            (b"{}", ["v"]), (b'{"v":2,"request":"status"}', ["v", "2", "1"]),
            (b'{"v":1}', ["request", "status"]), (b'{"v":1,"request":"fly"}', ["request", "fly", "status"]),
            (b'{"v":1,"request":7}', ["request", "7"]),
            (b'{"v":1,"request":"mute","for_s":1}', ["subject"]),
            (b'{"v":1,"request":"mute","subject":"nic","for_s":1}', ["subject", "nic"]),
            (b'{"v":1,"request":"mute","subject":"nic/a","for_s":"long"}', ["for_s", "long"]),
            (b'{"v":1,"request":"mute","subject":"nic/a","for_s":-1}', ["for_s", "-1"]),
            (b'{"v":1,"request":"mute","subject":"nic/a","for_s":1e99}', ["for_s"]),
            (b'{"v":1,"request":"switch","path":"B"}', ["feed"]),
        ):
            with self.subTest(frame[:60]):
                reply = json.loads(self.client.ask_raw(frame)[0])
                self.assertIs(reply["ok"], False)
                for word in words:
                    self.assertIn(word, reply["error"])
        self.assert_undisturbed()

    def test_requests_that_only_a_gateway_can_do_are_refused(self):
        reply = self.client.ask(request="switch", feed="itch", path="B", hold=False)
        self.assertIs(reply["ok"], False)
        self.assertRegex(reply["error"], "gateway|feed")
        self.assert_undisturbed()

    def test_a_request_that_is_too_long_is_told_so(self):
        reply = json.loads(self.client.ask_raw(b'{"v":1,"request":"' + b"x" * 100_000 + b'"}')[0])
        self.assertIs(reply["ok"], False)
        self.assert_undisturbed()

    def test_requests_in_several_frames_disturb_nothing(self):
        for frames in ([b"a", b"b", b"c"], [b"", b"", b""], [b"", b'{"v":1,"request":"status"}', b"more"],
                       [os.urandom(40) for _ in range(9)], [b""] * 16):
            self.client.dealer.send_multipart(frames)
        self.client.dealer.send(b'{"v":1,"request":"status"}')
        while "states" not in (reply := json.loads(self.receive())):
            self.assertIs(reply["ok"], False, reply)
        self.assert_undisturbed()

    def test_a_message_that_never_ends_is_ended_and_others_are_answered(self):
        for frame in (b"", b"x" * 10_000):
            with self.subTest(len(frame)):
                raw = harness.RawPeer(self, self.daemon.endpoint("agent.req"), b"DEALER")
                with self.assertRaises(OSError):
                    for _ in range(1_000_000):
                        raw.send(frame, more=True)
        with self.client.context.socket(zmq.DEALER) as dealer:
            dealer.linger = 0
            dealer.connect(self.client.request_endpoint)
            dealer.send_multipart([b"x"] * 10_000)
            self.assertFalse(dealer.poll(200), "an answer")
            # Its library connects anew.
            dealer.send(b'{"v":1,"request":"status"}')
            self.assertTrue(dealer.poll(harness.PATIENCE_S * 1000), "no reply")
            self.assertEqual(json.loads(dealer.recv())["access"]["broken_connections"], 3)
        self.assert_undisturbed()

    def receive(self):
        self.assertTrue(self.client.dealer.poll(harness.PATIENCE_S * 1000), "no reply")
        return self.client.dealer.recv_multipart()[-1]

    def test_a_REQ_socket_is_answered_as_well(self):
        with self.client.context.socket(zmq.REQ) as request:
            request.linger = 0
            request.connect(self.client.request_endpoint)
            request.send(b'{"v":1,"request":"status"}')
            self.assertTrue(request.poll(harness.PATIENCE_S * 1000), "no reply")
            self.assertIs(json.loads(request.recv())["ok"], True)

    def test_a_client_that_asks_and_never_reads_holds_nobody_up(self):
        for _ in range(20_000):
            if self.client.dealer.poll(0, zmq.POLLOUT):
                self.client.dealer.send(b'{"v":1,"request":"status"}', zmq.DONTWAIT)
        other = health(self, self.daemon, "heartbeat/desk/")
        other.join()
        other.wait(lambda message: message["topic"] == "heartbeat/desk/", "a heartbeat")
        self.assertTrue(self.daemon.is_running())

    def test_topics_that_do_not_exist_disturb_nothing(self):
        other = self.client.context.socket(zmq.SUB)
        other.linger = 0
        other.connect(self.daemon.endpoint("agent.pub"))
        for topic in (b"nonsense/", b"state", b"\xff\x00\x01", b"sync/", b"sync//", b"sync/a/b/", b"sync/%zz/",
                      b"x" * 5000, b"state/desk/nic/%2/", os.urandom(300)):
            other.subscribe(topic)
        other.unsubscribe(b"nonsense/")
        self.client.sync()
        self.assert_undisturbed()

    def test_raw_frames_to_the_publisher_disturb_nothing(self):
        raw = harness.RawPeer(self, self.daemon.endpoint("agent.pub"))
        for frame in (b"\x01state/", b"\x00never/", b"\x05what", b"", os.urandom(999), b"\x01" * 3000):
            raw.send(frame)
        raw.send(b"\x01a", more=True)
        raw.send(b"\x01sync/raw/")
        raw.send(b"\x01sync/raw/")
        raw.wait_frame(b"sync/raw/")
        self.assert_undisturbed()

    def test_bytes_that_are_no_ZeroMQ_disturb_nothing(self):
        for name in ("agent.pub", "agent.req"):
            for data in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\xff" + bytes(8) + b"\x7f", b""):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
                    raw.connect(os.path.join(self.daemon.folder, name))
                    try:
                        raw.sendall(data)
                    except OSError:
                        pass  # hung up on, as it should
        self.assert_undisturbed()


class Life(unittest.TestCase):
    def test_it_tells_the_service_manager_what_it_does(self):
        daemon = Daemon(self, "holdfast-agent", AGENT_BUS + QUIET)
        daemon.start(environment={"WATCHDOG_USEC": "400000"})
        daemon.wait_told("WATCHDOG=1")
        self.assertTrue(any(line.startswith("STATUS=") for lines in daemon.told for line in lines), daemon.told)
        daemon.signal(signal.SIGTERM)
        daemon.wait_told("STOPPING=1")
        self.assertEqual(daemon.wait_exit(), 0)

    def test_its_last_words_say_that_it_was_stopped(self):
        daemon = harness.agent(self, QUIET)
        client = harness.health(self, daemon, "heartbeat/")
        client.wait(lambda message: "stopping" not in message, "a heartbeat")
        daemon.signal(signal.SIGTERM)
        last = client.wait(lambda message: "stopping" in message, "the last words")
        self.assertEqual(last["stopping"], "stopped by SIGTERM")
        daemon.wait_exit()

    def test_it_stops_on_SIGINT_too(self):
        daemon = agent(self, QUIET)
        daemon.signal(signal.SIGINT)
        self.assertEqual(daemon.wait_exit(), 0)

    def test_a_later_run_has_a_higher_incarnation_and_a_client_of_the_first_hears_it(self):
        daemon = agent(self, QUIET)
        client = health(self, daemon, "heartbeat/desk/")
        first = client.join()["incarnation"]
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        client.wait(lambda message: message["incarnation"] > first, "the second run")

    def test_a_killed_agent_leaves_nothing_that_hinders_the_next(self):
        daemon = agent(self, QUIET)
        first = health(self, daemon).status()["incarnation"]
        daemon.signal(signal.SIGKILL)
        daemon.child.wait(harness.PATIENCE_S)
        daemon.start()
        self.assertGreater(health(self, daemon).status()["incarnation"], first)

    def test_a_second_agent_on_the_same_endpoints_does_not_take_them_silently(self):
        daemon = agent(self, QUIET)
        client = health(self, daemon, "heartbeat/desk/")
        first = client.join()["incarnation"]
        second = subprocess.Popen([harness.binary("holdfast-agent"), "--config", daemon.file],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(second.stderr.close)
        try:
            _, text = second.communicate(timeout=harness.PATIENCE_S)
        except subprocess.TimeoutExpired:
            second.kill()
            second.communicate(timeout=harness.PATIENCE_S)
            self.fail("the second agent went on")
        self.assertNotEqual(second.returncode, 0)
        self.assertIn("agent.pub", text)
        self.assertEqual(health(self, daemon).status()["incarnation"], first)

    def test_a_bad_file_is_refused_at_the_start(self):
        daemon = Daemon(self, "holdfast-agent", AGENT_BUS + "[nci]\ndiscover = true\n")
        daemon.start(ready=False)
        self.assertEqual(daemon.wait_exit(), 78)
        for word in ("holdfast-agent.toml:5", "nci", "nic"):
            self.assertIn(word, daemon.log())

    def test_a_file_that_is_not_there_is_told(self):
        daemon = Daemon(self, "holdfast-agent", "")
        os.unlink(daemon.file)
        daemon.start(ready=False)
        self.assertNotEqual(daemon.wait_exit(), 0)
        self.assertIn(daemon.file, daemon.log())


class Reload(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)
        self.pids = {}
        for name in ("stays", "goes", "comes"):
            child = harness.spawn(self, ["sleep", "86400"])
            self.pids[name] = write_pid(self.folder, name, child.pid)
        self.daemon = agent(self, QUIET + self.watching("stays", "goes"))
        self.client = health(self, self.daemon, "state/", "heartbeat/desk/")
        self.client.settle("process/stays", "ok")
        self.client.settle("process/goes", "ok")
        self.before = self.client.status()

    def watching(self, *names):
        return "".join(watch(name, self.pids[name]) for name in names)

    def reload(self, text):
        self.daemon.configure(text)
        self.daemon.signal(signal.SIGHUP)
        lines = self.daemon.wait_told("RELOADING=1")
        self.assertTrue(any(line.startswith("MONOTONIC_USEC=") for line in lines), lines)
        return self.daemon.wait_told("READY=1")

    def state(self, status, subject):
        return next((state for state in status["states"] if subject_of(state) == subject), None)

    def test_what_did_not_change_keeps_its_state_and_number(self):
        self.reload(AGENT_BUS + QUIET + self.watching("stays", "comes"))
        self.client.settle("process/comes", "ok")
        after = self.client.status()
        self.assertEqual(after["incarnation"], self.before["incarnation"])
        self.assertGreater(after["change"], self.before["change"])
        old, new = self.state(self.before, "process/stays"), self.state(after, "process/stays")
        for key in ("change", "since", "detected_at", "status", "reason"):
            self.assertEqual(new[key], old[key], key)

    def test_a_subject_that_is_no_longer_watched_leaves_a_tombstone(self):
        self.reload(AGENT_BUS + QUIET + self.watching("stays"))
        last = self.client.wait_state("process/goes", lambda message: message.get("gone"))
        self.assertEqual((last["status"], last["previous"]), ("unknown", "ok"))
        self.assertGreater(last["change"], self.before["change"])
        self.assertIsNone(self.state(self.client.status(), "process/goes"))
        late = health(self, self.daemon, "state/desk/")
        self.assertEqual({subject_of(message) for message in late.sync()}, {"process/stays"})

    def test_the_same_file_again_changes_nothing(self):
        self.reload(AGENT_BUS + QUIET + self.watching("stays", "goes"))
        self.assertEqual(self.client.status()["change"], self.before["change"])

    def test_a_bad_file_changes_nothing_and_says_why(self):
        text = AGENT_BUS + QUIET + self.watching("stays") + "[proces]\nscan_every = \"fast\"\n"
        line = text[:text.index("[proces]")].count("\n") + 1
        told = self.reload(text)
        after = self.client.status()
        self.assertEqual((after["change"], after["incarnation"]), (self.before["change"], self.before["incarnation"]))
        self.assertIsNotNone(self.state(after, "process/goes"))
        self.daemon.wait_log(f"holdfast-agent.toml:{line}")
        self.assertIn("proces", self.daemon.log())
        self.assertTrue(any(word.startswith("STATUS=") and "refused" in word for word in told), told)
        self.reload(AGENT_BUS + QUIET + self.watching("stays"))
        self.client.wait_state("process/goes", lambda message: message.get("gone"))

    def test_a_bad_value_is_told_with_its_key_and_what_would_be_right(self):
        self.reload(AGENT_BUS + QUIET + '[process]\nscan_every = "fast"\n')
        for word in ("process.scan_every", "fast", "100ms"):
            self.daemon.wait_log(word)
        self.assertEqual(self.client.status()["change"], self.before["change"])


if __name__ == "__main__":
    unittest.main()
