"""The command line as people and scripts use it."""

import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import harness
import venue
from harness import Daemon, agent, health
from test_agent_bus import QUIET, watch, write_pid

TOOL = "holdfast"


def tool(*words, **options):
    return subprocess.run([harness.binary(TOOL), *words], capture_output=True, text=True,
                          timeout=harness.PATIENCE_S, stdin=options.pop("stdin", subprocess.DEVNULL), **options)


class Help(unittest.TestCase):
    def test_every_command_has_its_help(self):
        top = tool("--help")
        self.assertEqual((top.returncode, top.stderr), (0, ""))
        for command in ("status", "watch", "check-config", "play", "switch", "mute", "unmute", "keygen", "authorize"):
            self.assertIn(command, top.stdout)
            for words in ((command, "--help"), ("help", command)):
                with self.subTest(words):
                    done = tool(*words)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertIn(command, done.stdout)
                    self.assertIn("USAGE", done.stdout.upper())

    def test_versions(self):
        for name in (TOOL, "holdfast-agent", "holdfast-gateway"):
            done = subprocess.run([harness.binary(name), "--version"], capture_output=True, text=True, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_daemons_have_help_too(self):
        for name in ("holdfast-agent", "holdfast-gateway"):
            done = subprocess.run([harness.binary(name), "--help"], capture_output=True, text=True, timeout=20)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("--config", done.stdout)

    def test_wrong_use_is_told_on_standard_error_with_64(self):
        for words in (("fly",), ("status", "--what"), ("mute", "nic/eth0"), ("mute", "nic", "--for", "1s"),
                      ("mute", "nic/eth0", "--for", "soon"), ("switch", "itch"), ("play",), ("check-config",)):
            with self.subTest(words):
                done = tool(*words)
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                self.assertTrue(done.stderr.startswith("Error: "), done.stderr)

    def test_a_daemon_tells_wrong_arguments(self):
        for name in ("holdfast-agent", "holdfast-gateway"):
            done = subprocess.run([harness.binary(name), "--confg", "x"], capture_output=True, text=True, timeout=20)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("--confg", done.stderr)


class Status(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)
        self.child = harness.spawn(self, ["sleep", "86400"])
        pidfile = write_pid(self.folder, "algo", self.child.pid)
        self.daemon = agent(self, QUIET + '[process]\nscan_every = "100ms"\n' + watch("algo", pidfile)
                            + "maximum = 1\n")
        self.client = health(self, self.daemon, "state/")
        self.client.settle("process/algo", "ok")

    def status(self, *words):
        return tool("status", "--endpoint", self.daemon.endpoint("agent.req"), *words)

    def test_all_well_is_exit_status_0_and_a_table(self):
        done = self.status()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("process/algo", done.stdout.replace("  ", " "))
        self.assertIn("ok", done.stdout)
        self.assertNotIn("\x1b", done.stdout, "no colours into a pipe")

    def test_critical_is_2_and_comes_with_its_reason(self):
        os.kill(self.child.pid, signal.SIGKILL)
        reason = self.client.wait_state("process/algo", "critical")["reason"]
        done = self.status()
        self.assertEqual(done.returncode, 2)
        self.assertIn("critical", done.stdout)
        self.assertIn(reason.split(" (")[0], done.stdout)

    def test_json_is_the_document_and_the_exit_status_the_same(self):
        done = self.status("--json")
        self.assertEqual(done.returncode, 0)
        document = json.loads(done.stdout)
        self.assertEqual(document["worst"], "ok")
        answer, = document["daemons"]
        self.assertEqual((answer["answered"], answer["host"]), (True, "desk"))
        self.assertEqual([(state["kind"], state["name"], state["status"]) for state in answer["states"]],
                         [("process", "algo", "ok")])

    def test_no_answer_is_3_and_says_what_to_do(self):
        for endpoint in ("ipc:///nonexistent/agent.req", f"tcp://127.0.0.1:{venue.free_port(socket.SOCK_STREAM)}"):
            done = tool("status", "--endpoint", endpoint, "--time-limit", "300ms")
            self.assertEqual(done.returncode, 3)
            self.assertIn(endpoint, done.stderr)
            self.assertIn("running", done.stderr)
        done = tool("status", "--endpoint", "ipc:///nonexistent/agent.req", "--time-limit", "700ms")
        waiting, gave_up = done.stderr.splitlines()
        self.assertEqual(waiting, "holdfast: waiting for ipc:///nonexistent/agent.req, 0.7 s at most")
        self.assertIn("ipc:///nonexistent/agent.req: no answer; ", gave_up)
        done = tool("status", "--endpoint", "ipc:///nonexistent/agent.req", "--time-limit", "300ms", "--json")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(json.loads(done.stdout)["worst"], "unknown")

    def test_watch_names_whom_it_waits_for(self):
        pair = "ipc:///nonexistent/agent.pub,ipc:///nonexistent/agent.req"
        watching = harness.spawn(self, [harness.binary(TOOL), "watch", "--endpoint", pair],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watching.stderr.close)
        self.assertIn("no word from ipc:///nonexistent/agent.pub yet, waiting; is a daemon running there?",
                      watching.stderr.readline())

    def test_an_answer_that_is_none_is_told(self):
        import zmq
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            port = router.bind_to_random_port("tcp://127.0.0.1")
            asking = subprocess.Popen([harness.binary(TOOL), "status", "--endpoint", f"tcp://127.0.0.1:{port}"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertTrue(router.poll(harness.PATIENCE_S * 1000))
            sender, *_ = router.recv_multipart()
            router.send_multipart([sender, b"\xff not json \x1b[31m"])
            out, error = asking.communicate(timeout=harness.PATIENCE_S)
        self.assertEqual(asking.returncode, 3)
        self.assertIn("cannot read", error)
        self.assertNotIn("\x1b", out + error)


@harness.needs_namespaces
class StatusOfThisHost(unittest.TestCase):
    """Nobody is named, so that whoever should be on this host is asked: by the files in an /etc of the test's own."""

    FEED = """[[feed]]
name = "quotes"
protocol = "zeromq"
policy = "hot-hot"
[[feed.path]]
name = "A"
endpoint = "ipc://~/venue"
"""

    def setUp(self):
        self.etc = harness.folder_of(self)
        os.mkdir(os.path.join(self.etc, "holdfast"))
        self.agent = Daemon(self, "holdfast-agent", harness.AGENT_BUS + QUIET)
        self.gateway = Daemon(self, "holdfast-gateway", harness.GATEWAY_BUS)

    def here(self, *words):
        for daemon, name in ((self.agent, "agent.toml"), (self.gateway, "gateway.toml")):
            shutil.copy(daemon.file, os.path.join(self.etc, "holdfast", name))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mount --bind "$1" /etc && shift && exec "$@"', "sh", self.etc, harness.binary(TOOL), *words]

    def status(self, *words):
        done = subprocess.run(self.here("status", "--time-limit", "300ms", *words), capture_output=True, text=True,
                              timeout=harness.PATIENCE_S)
        return done, [daemon.endpoint(end) for daemon, end in ((self.agent, "agent.req"), (self.gateway, "gateway.req"))
                      if daemon.endpoint(end) in done.stderr]

    def test_an_agent_that_is_down_is_unknown_beside_a_gateway_that_answers(self):
        self.gateway.start()
        done, missed = self.status()
        self.assertEqual((done.returncode, missed), (3, [self.agent.endpoint("agent.req")]), done.stderr)
        done, missed = self.status("--gateway")
        self.assertEqual((done.returncode, missed), (0, []), done.stderr)

    def test_a_gateway_is_missed_where_it_has_something_to_do(self):
        self.agent.start()
        done, missed = self.status()
        self.assertEqual((done.returncode, missed), (0, []), done.stderr)
        self.gateway.configure(harness.GATEWAY_BUS + self.FEED)
        done, missed = self.status()
        self.assertEqual((done.returncode, missed), (3, [self.gateway.endpoint("gateway.req")]), done.stderr)
        done, missed = self.status("--endpoint", self.agent.endpoint("agent.req"))
        self.assertEqual((done.returncode, missed), (0, []), done.stderr)

    def test_a_gateway_is_missed_where_its_file_is_refused(self):
        self.agent.start()
        self.gateway.configure(harness.GATEWAY_BUS + self.FEED.replace("policy", "polcy"))
        done, _ = self.status()
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("/run/holdfast/gateway.req: ", done.stderr)

    def test_watch_into_a_pipe_names_the_agent_that_is_down(self):
        self.gateway.start()
        watching = harness.spawn(self, self.here("watch"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(watching.stderr.close)
        self.assertTrue(select.select([watching.stderr], [], [], harness.PATIENCE_S)[0], "nobody is named")
        self.assertIn(f"no word from {self.agent.endpoint('agent.pub')} yet, waiting", watching.stderr.readline())


class StatusOfWarning(unittest.TestCase):
    def test_warning_is_1_and_unknown_is_3(self):
        import uuid
        word = "hftest-" + uuid.uuid4().hex
        child = ["sh", "-c", "read line", word]
        for _ in range(2):
            spawned = harness.spawn(self, child, stdin=subprocess.PIPE)
            self.addCleanup(spawned.stdin.close)
        daemon = agent(self, QUIET + f'[[process.watch]]\nname = "w"\nmatch_command = ["{word}"]\nmaximum = 1\n')
        health(self, daemon, "state/").settle("process/w", "warning")
        self.assertEqual(tool("status", "--endpoint", daemon.endpoint("agent.req")).returncode, 1)


class Watch(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)
        self.child = harness.spawn(self, ["sleep", "86400"])
        self.daemon = agent(self, QUIET + watch("algo", write_pid(self.folder, "algo", self.child.pid)))
        self.pair = [self.daemon.endpoint(f"agent.{end}") for end in ("pub", "req")]

    def test_into_a_pipe_each_change_is_a_line(self):
        watching = harness.Watching(self, *self.pair)
        watching.read("process/algo", "ok")
        os.kill(self.child.pid, signal.SIGKILL)
        line = watching.read("process/algo", "critical")
        self.assertIn("desk", line)
        self.assertRegex(line, r"^\d{4}-\d\d-\d\d|^\d\d:\d\d:\d\d")
        self.assertNotIn("\x1b", line)
        self.assertEqual(watching.end(), 0)

    def test_it_ends_when_nobody_reads_it_any_more_also_where_sigpipe_is_ignored(self):
        watching = harness.spawn(self, [harness.binary(TOOL), "watch", "--endpoint", ",".join(self.pair)],
                                 stdout=subprocess.PIPE, restore_signals=False)  # Python ignores SIGPIPE
        self.assertIn(b"process/algo", watching.stdout.readline())
        watching.stdout.close()
        os.kill(self.child.pid, signal.SIGKILL)
        self.assertEqual(watching.wait(harness.PATIENCE_S), -signal.SIGPIPE)

    def test_on_a_terminal_it_draws_and_ends_with_q(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        watching = harness.spawn(self, [harness.binary(TOOL), "watch", "--endpoint", ",".join(self.pair)], stdin=slave,
                                 stdout=slave, stderr=slave, env=dict(os.environ, TERM="xterm"))
        os.close(slave)
        drawn = b""
        while b"process/algo" not in drawn and b"algo" not in drawn:
            drawn += os.read(master, 65536)
        self.assertIn(b"\x1b[?1049h", drawn)
        os.write(master, b"q")
        try:
            while chunk := os.read(master, 65536):
                drawn += chunk
        except OSError:
            pass  # closed by the other side
        self.assertEqual(watching.wait(harness.PATIENCE_S), 0)
        self.assertIn(b"\x1b[?1049l", drawn, "the screen that was there is put back")


class FullOutput(unittest.TestCase):
    def test_what_cannot_be_written_is_told_and_no_success(self):
        shipped = os.path.join(harness.ROOT, "packaging/agent.toml")
        for words in (("check-config", shipped), ("doctor", "--json", "--time-limit", "100ms"),
                      ("play", "--generate", "itch", "--mold", "127.0.0.1:9", "--count", "1")):
            with self.subTest(words), open("/dev/full", "w") as full:
                done = subprocess.run([harness.binary(TOOL), *words], stdout=full, stderr=subprocess.PIPE, text=True,
                                      stdin=subprocess.DEVNULL, timeout=harness.PATIENCE_S)
                self.assertEqual(done.returncode, 74, done.stderr)
                self.assertIn("standard output: No space left on device", done.stderr)


class CheckConfig(unittest.TestCase):
    def check(self, text, *words, name="agent.toml"):
        folder = harness.folder_of(self)
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            file.write(text)
        return tool("check-config", path, *words), path

    def test_the_shipped_files_are_good(self):
        for name in ("agent", "gateway"):
            done = tool("check-config", os.path.join(harness.ROOT, f"packaging/{name}.toml"))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("OK", done.stdout)

    def test_the_shipped_files_with_everything_switched_on_are_good(self):
        for name in ("agent", "gateway"):
            with open(os.path.join(harness.ROOT, f"packaging/{name}.toml")) as file:
                lines = [line[1:] if line.startswith("#") and not line.startswith("# ") and line.strip() != "#" else line
                         for line in file]
            # The examples reach beyond this host, which takes a key.
            key = os.path.join(harness.folder_of(self), "host.key")
            self.assertEqual(tool("keygen", key).returncode, 0)
            login = os.path.join(harness.folder_of(self), "itch.login")
            with open(os.open(login, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write('user = "me"\npassword = "secret"\n')
            text = "".join(lines).replace("/etc/holdfast/host.key", key).replace("/etc/holdfast/itch.login", login)
            password = os.path.join(harness.folder_of(self), "upsd.password")
            with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write("secret\n")
            text = text.replace("/etc/holdfast/upsd.password", password)
            for number in (1, 2):
                proxy = os.path.join(harness.folder_of(self), f"grp-{number}.login")
                with open(os.open(proxy, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                    file.write('session = "0001"\nuser = "HFST"\npassword = "secret"\n')
                text = text.replace(f"/etc/holdfast/grp-{number}.login", proxy)
            done, path = self.check(text, name=f"{name}.toml")
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stderr)

    def test_a_typo_is_told_with_file_line_key_and_what_was_meant(self):
        done, path = self.check("[nic]\ncounter_pol_every = \"50ms\"\n")
        self.assertEqual(done.returncode, 78)
        for word in (f"{path}:2:", "nic.counter_pol_every", "counter_poll_every"):
            self.assertIn(word, done.stderr)

    def test_a_bad_value_is_told_with_what_would_be_right(self):
        for text, line, words in (
            ('[nic]\nflap_window = "soon"\n', 2, ("nic.flap_window", "soon", "2m")),
            ("[path]\ndiscover = 1\n", 2, ("path.discover", "true")),
            ('[[path.isp]]\nname = "a"\ntargets = ["10.0.0.300"]\n', 3, ("path.isp[0].targets[0]", "10.0.0.300")),
            ('[[path.isp]]\nname = "a"\nloss_window = 5\n', 3, ("path.isp[0].loss_window", "5")),
            ('[bus]\npublish = ["tcp://eth0:5555"]\n', 2, ("bus.publish[0]", "eth0", "tcp://*:PORT")),
            ('[[process.watch]]\nname = "x"\n', 1, ("process.watch[0]", "match_name")),
            ("host = 'a'\nhost = 'b'\n", 2, ("host",)),
            ("[nic\n", 1, ("]",)),
        ):
            with self.subTest(text):
                done, path = self.check(text)
                self.assertEqual(done.returncode, 78, done.stderr)
                for word in (f"{path}:{line}:", *words):
                    self.assertIn(word, done.stderr)

    def test_all_problems_are_told_at_once(self):
        done, path = self.check('[nic]\nenabeld = true\n[process]\nscan_every = "x"\n')
        self.assertIn(":2:", done.stderr)
        self.assertIn(":4:", done.stderr)

    def test_a_gateway_s_file_is_recognised_and_checked_as_one(self):
        done, path = self.check('[[feed]]\nname = "itch"\nprotocol = "moldudp65"\npolicy = "hot-hot"\n', name="x.toml")
        self.assertEqual(done.returncode, 78)
        self.assertIn("moldudp64", done.stderr)

    def test_each_section_alone_tells_whom_it_is_for(self):
        names = {"agent": "nic path unit process ups disk clock pressure history", "gateway": "downstream journal"}
        texts = [(daemon, f"[{name}]\n") for daemon, known in names.items() for name in known.split()]
        texts += [("agent", '[[check]]\nname = "load"\ncommand = ["/bin/true"]\n'),
                  ("agent", '[[report_to]]\nendpoint = "tcp://127.0.0.1:5570"\n'),
                  ("gateway", '[[agent]]\npublish = "ipc:///run/a"\nrequest = "ipc:///run/b"\n'),
                  ("gateway", '[[replica]]\nrequest = "ipc:///run/c"\nfeeds = ["itch"]\n')]
        for daemon, text in texts:
            with self.subTest(text):
                done = subprocess.run([harness.binary(TOOL), "check-config", "-"], input=text, capture_output=True,
                                      text=True, timeout=harness.PATIENCE_S)
                self.assertEqual((done.returncode, done.stdout), (0, f"-: OK, for the {daemon}\n"), done.stderr)

    def test_a_file_that_is_not_there_is_66(self):
        done = tool("check-config", "/nonexistent/agent.toml")
        self.assertEqual(done.returncode, 66)
        self.assertIn("/nonexistent/agent.toml", done.stderr)

    def test_random_bytes_are_refused_and_nothing_worse(self):
        for seed in range(30):
            with tempfile.NamedTemporaryFile(prefix="hftest-") as file:
                file.write(os.urandom(200 + seed * 50))
                file.flush()
                done = tool("check-config", file.name)
                self.assertEqual(done.returncode, 78, done.stderr[:300])


class Play(unittest.TestCase):
    def test_wrong_options_are_told(self):
        for words, told in (
            (["--generate", "itch"], "--mold"), (["--generate", "fish", "--mold", "239.1.1.1:1"], "fish"),
            (["--generate", "itch", "--mold", "nowhere"], "nowhere"),
            (["--generate", "itch", "--mold", "239.1.1.1:1", "--drop", "2"], "--drop"),
            (["--generate", "itch", "--mold", "239.1.1.1:1", "--rate", "0"], "--rate"),
            (["--generate", "itch", "--mold", "239.1.1.1:1", "--start-at", "noon"], "noon"),
            (["file", "--generate", "itch", "--mold", "239.1.1.1:1"], "both"),
            (["--generate", "pitch", "--mold", "239.1.1.1:1"], "use --pitch"),
            (["--generate", "itch", "--mdp3", "239.1.1.1:1"], "--generate mdp3"),
            (["--generate", "deep", "--iex-tp", "nowhere"], "nowhere"),
            (["--generate", "deep", "--zeromq", "ipc:///tmp/x"], "--zeromq"),
            (["--generate", "quotes", "--mold", "239.1.1.1:1"], "--zeromq"),
            (["--generate", "mdp3"], "--mdp3"),
            (["--generate", "pitch", "--pitch", "127.0.0.1:9", "--symbols", "10000"], "at most 9999"),
        ):
            with self.subTest(words):
                done = tool("play", *words)
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                self.assertIn(told, done.stderr)

    def test_a_recording_that_cannot_be_read_or_is_none(self):
        done = tool("play", "/nonexistent.pcap", "--mold", "127.0.0.1:9")
        self.assertEqual(done.returncode, 66)
        self.assertIn("/nonexistent.pcap", done.stderr)
        with tempfile.NamedTemporaryFile(prefix="hftest-") as file:
            file.write(b"\xd4\xc3\xb2\xa1" + os.urandom(100))
            file.flush()
            done = tool("play", file.name, "--mold", "127.0.0.1:9")
        self.assertEqual(done.returncode, 65)
        self.assertIn(file.name, done.stderr)

    def test_an_address_that_is_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            done = tool("play", "--generate", "quotes", "--zeromq", endpoint)
        self.assertEqual(done.returncode, 69)
        self.assertIn(endpoint, done.stderr)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = tool("play", "--generate", "itch", "--mold", "127.0.0.1:9", "--mold-requests", address,
                        "--count", "1")
        self.assertEqual(done.returncode, 69)
        self.assertIn(address, done.stderr)

    def test_an_endpoint_that_is_none(self):
        done = tool("play", "--generate", "quotes", "--zeromq", "127.0.0.1:7001")
        self.assertEqual(done.returncode, 69)
        self.assertIn("an endpoint is ipc:///PATH or tcp://ADDRESS:PORT", done.stderr)

    def test_it_plays_so_many_messages_and_says_so(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(harness.PATIENCE_S)
            port = receiver.getsockname()[1]
            done = tool("play", "--generate", "itch", "--symbols", "5", "--rate", "2000", "--count", "200", "--end",
                        "--session", "TEST", "--mold", f"127.0.0.1:{port}", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            json.loads(done.stdout)
            following, types = 1, b""
            while True:
                packet = receiver.recv(65536)
                session, sequence, count = packet[:10], *venue.struct.unpack_from(">QH", packet, 10)
                self.assertEqual(session.strip(), b"TEST")
                self.assertEqual(sequence, following)
                if count == 0xFFFF:
                    break
                at = 20
                for _ in range(count):
                    length, = venue.struct.unpack_from(">H", packet, at)
                    types += packet[at + 2:at + 3]
                    at += 2 + length
                following += count
        self.assertEqual(following, 201)
        self.assertEqual(types.count(b"R"), 5)

    def soup_client(self, port, buffer=None):
        """Logged in from the first message on."""
        client = socket.socket()
        self.addCleanup(client.close)
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(harness.PATIENCE_S)
        client.connect(("127.0.0.1", port))
        client.sendall(venue.struct.pack(">Hc6s10s10s20s", 47, b"L", b"", b"", b"", b"1"))
        return client

    def soup_packets(self, client):
        """The types of all packets until the connection ends."""
        with client.makefile("rb") as stream:
            while len(head := stream.read(2)) == 2:
                length, = venue.struct.unpack(">H", head)
                yield stream.read(length)[:1]

    def play_soup(self, count, rate):
        port = venue.free_port(socket.SOCK_STREAM)
        words = ["play", "--generate", "itch", "--symbols", "5", "--rate", str(rate), "--count", str(count), "--end",
                 "--soup", f"127.0.0.1:{port}"]
        playing = harness.spawn(self, [harness.binary(TOOL), *words], stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)
        self.addCleanup(playing.stderr.close)
        playing.stderr.readline()  # it listens
        return port, playing

    def test_the_end_of_a_session_comes_behind_all_of_it(self):
        port, playing = self.play_soup(2000, 2000)
        types = b"".join(self.soup_packets(self.soup_client(port))).replace(b"H", b"")
        self.assertEqual(types, b"A" + 2000 * b"S" + b"Z")
        self.assertEqual(playing.wait(harness.PATIENCE_S), 0)

    def test_who_does_not_get_all_of_a_session_is_not_told_its_end(self):
        count = 600_000  # more than the kernel takes for a client that does not read
        port, playing = self.play_soup(count, 2_000_000)
        client = self.soup_client(port, buffer=4096)
        self.assertEqual(playing.wait(harness.PATIENCE_S), 0)
        types = b"".join(self.soup_packets(client)).replace(b"H", b"")
        self.assertEqual(types[:1], b"A")
        self.assertEqual(types.count(b"Z"), 0)
        self.assertTrue(0 < types.count(b"S") < count, types.count(b"S"))

    def test_it_ends_cleanly_on_a_signal(self):
        playing = harness.spawn(self, [harness.binary(TOOL), "play", "--generate", "quotes", "--zeromq",
                                       f"tcp://127.0.0.1:{venue.free_port(socket.SOCK_STREAM)}"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(playing.stdout.close)
        self.addCleanup(playing.stderr.close)
        playing.stderr.readline()
        playing.send_signal(signal.SIGINT)
        self.assertEqual(playing.wait(harness.PATIENCE_S), 0)


class Simulate(unittest.TestCase):
    def simulate(self, *words):
        return subprocess.run([harness.binary("holdfast-simulate"), "--faults", "20", *words], capture_output=True,
                              text=True, timeout=harness.PATIENCE_S)

    def test_worlds_begin_with_the_seed_that_is_named(self):
        for words, seeds in ((["--seed", "5"], 1), (["--seed", "5", "--seeds", "3"], 3), (["--seeds", "2"], 2)):
            self.assertEqual(json.loads(self.simulate("--json", *words).stdout)["seeds"], seeds, words)
        done = self.simulate("--seed", str(2 ** 64 - 1))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_fails_is_told_beside_the_JSON_with_how_to_see_it_again(self):
        done = self.simulate("--seeds", "3", "--defect", "loses-message", "--json")
        self.assertEqual(done.returncode, 1)
        report = json.loads(done.stdout)
        self.assertTrue(report["violations"] and report["failed_seeds"], report)
        self.assertIn(f"again: holdfast-simulate --seed {report['failed_seeds'][0]} ", done.stderr)

    def test_a_seed_plays_the_same_in_each_process_to_the_last_byte(self):
        traces = set()
        for seed in range(1, 11):
            words = "--seed", str(seed), "--trace"
            first, second = self.simulate(*words), self.simulate(*words)
            self.assertEqual((first.returncode, first.stderr), (0, ""))
            self.assertGreater(first.stdout.count("\n"), 100)
            self.assertTrue(first.stdout == second.stdout, f"seed {seed} has two traces")
            traces.add(first.stdout)
        self.assertEqual(len(traces), 10)

    def test_the_command_that_a_failure_prints_finds_the_same_again(self):
        for defect in ("loses-message", "claims-live", "drops-gap"):
            found = self.simulate("--seeds", "5", "--defect", defect)
            self.assertEqual(found.returncode, 1, defect)
            lines = found.stdout.splitlines()
            again = next(line for line in lines if line.startswith("again: "))
            program, *words = again.removeprefix("again: ").split()
            self.assertEqual(program, "holdfast-simulate")
            seed = f"seed {words[words.index('--seed') + 1]}: "
            told = [line.removeprefix(seed) for line in lines if line.startswith(seed)]
            self.assertTrue(told, lines)
            trace = subprocess.run([harness.binary(program), *words], capture_output=True, text=True,
                                   timeout=harness.PATIENCE_S)
            self.assertEqual(trace.returncode, 1)
            for violation in told:
                self.assertIn(violation, trace.stdout)


class Steering(unittest.TestCase):
    def test_a_gateway_that_does_not_answer_is_69(self):
        for words in (("switch", "itch", "B"), ("mute", "nic/eth0", "--for", "1m"), ("unmute", "nic/eth0")):
            done = tool(*words, "--endpoint", "ipc:///nonexistent/gateway.req", "--time-limit", "300ms")
            self.assertEqual(done.returncode, 69)
            self.assertIn("no answer", done.stderr)


class DaemonCheck(unittest.TestCase):
    def test_the_gateway_refuses_a_bad_file_at_the_start(self):
        daemon = Daemon(self, "holdfast-gateway", '[[feed]]\nname = "x"\nprotocl = "moldudp64"\n')
        daemon.start(ready=False)
        self.assertEqual(daemon.wait_exit(), 78)
        for word in ("holdfast-gateway.toml:3", "protocl", "protocol"):
            self.assertIn(word, daemon.log())


if __name__ == "__main__":
    unittest.main()
