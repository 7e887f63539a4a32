"""What keeps a daemon from starting, or from starting well: each is told with where and what to do."""

import os
import signal
import socket
import unittest

import harness
from harness import AGENT_BUS, GATEWAY_BUS, Daemon, agent, health
from test_agent_bus import QUIET

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

# A /run of its own that is full: no inode is left on it for a socket.
FULL_RUN = """
mount -t tmpfs -o nr_inodes=8 tmpfs /run
mkdir /run/holdfast
n=0; while touch /run/full.$n 2>/dev/null; do n=$((n + 1)); done
exec "$@"
"""
FULL = ["unshare", "--mount", "--propagation", "private", "sh", "-c", FULL_RUN, "full"]

needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else and to mount a /run of its own")


def with_both(case, text, judge, **options):
    """Judges each daemon with the file that `text` makes of its usual one."""
    for program, usual in (("holdfast-agent", AGENT_BUS + QUIET), ("holdfast-gateway", GATEWAY_BUS)):
        with case.subTest(program):
            judge(Daemon(case, program, text(usual), **options))


class Refused(unittest.TestCase):
    def refuse(self, daemon, status, *words, environment=None):
        """The daemon ends so, says these words once on standard error, and the first of them to systemd."""
        daemon.start(ready=False, environment=environment)
        self.assertEqual(daemon.wait_exit(), status, daemon.log())
        for word in words:
            self.assertIn(word, daemon.log())
        self.assertEqual(daemon.log().count(words[0]), 1, daemon.log())
        daemon.notify.settimeout(harness.PATIENCE_S)
        told = daemon.notify.recv(65536).decode()
        self.assertTrue(told.startswith("STATUS="), told)
        self.assertIn(words[0], told)

    def open_to_nobody(self, daemon):
        os.chmod(daemon.folder, 0o755)
        os.chmod(os.path.join(daemon.folder, "notify"), 0o777)

    def test_a_configuration_with_its_file_and_line(self):
        def judge(daemon):
            with open(daemon.file) as file:
                line = file.read().split("\n").index("[nci]") + 1
            self.refuse(daemon, 78, f"{daemon.file}:{line}", "nci")
        with_both(self, lambda usual: usual + "\n[nci]\ndiscover = true\n", judge)

    @needs_root
    def test_a_file_that_this_user_may_not_read(self):
        def judge(daemon):
            self.open_to_nobody(daemon)
            os.chmod(daemon.file, 0o600)
            self.refuse(daemon, 78, "permission denied", daemon.file)
        with_both(self, lambda usual: usual, judge, wrap=NOBODY)

    def test_a_missing_folder(self):
        with_both(self, lambda usual: usual.replace("ipc://~/", "ipc://~/no/such/"), lambda daemon: self.refuse(
            daemon, 1, f"there is no folder {daemon.folder}/no/such", "make it"))

    @needs_root
    def test_a_folder_that_may_not_be_written(self):
        def judge(daemon):
            self.open_to_nobody(daemon)
            self.refuse(daemon, 1, f"may not write to {daemon.folder}")
        with_both(self, lambda usual: usual, judge, wrap=NOBODY)

    @needs_root
    def test_a_full_run(self):
        with_both(self, lambda usual: usual.replace("ipc://~/", "ipc:///run/holdfast/"), lambda daemon: self.refuse(
            daemon, 1, "make room: see df -h /run/holdfast and df -i /run/holdfast"), wrap=FULL)

    def test_an_endpoint_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with_both(
                self, lambda usual: usual.replace("publish = [", f'publish = ["tcp://127.0.0.1:{port}", ', 1),
                lambda daemon: self.refuse(daemon, 1, f"ss -ltnp sport = {port}"))

    def test_too_few_descriptors(self):
        with_both(self, lambda usual: usual, lambda daemon: self.refuse(
            daemon, 1, "only 100 descriptors are allowed", "LimitNOFILE="), wrap=["prlimit", "--nofile=100:100"])

    def test_wrong_arguments_are_64(self):
        for program in ("holdfast-agent", "holdfast-gateway"):
            done = harness.attempt(harness.binary(program), "--confg", "x")
            self.assertEqual((done.returncode, done.stdout), (64, ""))
            self.assertIn("--confg", done.stderr)


class Check(unittest.TestCase):
    def check(self, daemon, word="--check"):
        done = harness.attempt(harness.binary(daemon.program), word, "--config", daemon.file)
        self.assertEqual(done.stdout, "")
        return done.returncode, done.stderr

    def test_it_tells_on_standard_error_what_is_wrong_and_where(self):
        def judge(daemon):
            self.assertEqual(self.check(daemon), (0, f"{daemon.program}: {daemon.file}: good\n"))
            daemon.configure("host = 1\n")
            code, told = self.check(daemon)
            self.assertEqual(code, 78)
            self.assertIn(f"{daemon.file}:1: host", told)
        with_both(self, lambda usual: usual, judge)

    def test_it_warns_of_what_a_start_would_stumble_over(self):
        def judge(daemon):
            code, told = self.check(daemon)
            self.assertEqual(code, 0)
            self.assertIn(f"warning: there is no folder {daemon.folder}/no/such", told)
        with_both(self, lambda usual: usual.replace("ipc://~/", "ipc://~/no/such/"), judge)

    def test_a_start_refuses_less_than_a_reload(self):
        """A password that cannot be read costs its UPS server alone."""
        server = '[[ups.server]]\nhost = "localhost"\nuser = "monitor"\npassword_file = "/no/such/password"\n'
        daemon = Daemon(self, "holdfast-agent", AGENT_BUS + QUIET + server)
        code, told = self.check(daemon)
        self.assertEqual(code, 78)
        self.assertIn("ups.server[0].password_file", told)
        self.assertEqual(self.check(daemon, "--check=start"), (0, f"holdfast-agent: {daemon.file}: good\n"))

    def test_what_a_start_refuses(self):
        def judge(daemon):
            self.assertEqual(self.check(daemon, "--check=start"), (0, f"{daemon.program}: {daemon.file}: good\n"))
            daemon.configure("host = 1\n")
            code, told = self.check(daemon, "--check=start")
            self.assertEqual(code, 78)
            self.assertIn(f"{daemon.file}:1: host", told)
        with_both(self, lambda usual: usual, judge)


class BusyManager(unittest.TestCase):
    """The service manager does not read what it is told."""

    def fill(self, daemon):
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:  # each has a limit of its own
                sender.setblocking(False)
                sent = 0
                try:
                    while True:
                        sender.sendto(b"STATUS=", daemon.notify.getsockname())
                        sent += 1
                except BlockingIOError:
                    if not sent:
                        return

    def test_it_holds_up_neither_a_reload_nor_the_end(self):
        def judge(daemon):
            daemon.start()
            self.fill(daemon)
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("configuration read again")
            self.assertEqual(daemon.stop(), 0)
        with_both(self, lambda usual: usual, judge)

    def test_a_reload_is_told_to_be_over_when_it_reads_again(self):
        def judge(daemon):
            daemon.start()
            self.fill(daemon)
            daemon.signal(signal.SIGHUP)
            daemon.wait_log("configuration read again")
            # It answers once it waits for the manager no longer: what is told from here on is said again.
            name = daemon.program.removeprefix("holdfast-")
            health(self, daemon, name=name).status()
            daemon.wait_told("READY=1")
        with_both(self, lambda usual: usual, judge)


class Incarnation(unittest.TestCase):
    def path(self, daemon):
        return os.path.join(daemon.folder, "agent.incarnation")

    def test_a_clock_behind_the_last_run_makes_no_older_run(self):
        daemon = Daemon(self, "holdfast-agent", AGENT_BUS + QUIET)
        last = 4_000_000_000_000_000  # in the year 2096
        with open(self.path(daemon), "w") as file:
            file.write(f"{last}\n")
        daemon.start()
        self.assertEqual(health(self, daemon).status()["incarnation"], last + 1)
        self.assertIn("2096-10-02T07:06:40", daemon.log())
        self.assertIn("times are wrong until it is set", daemon.log())
        daemon.stop()
        daemon.start()
        self.assertEqual(health(self, daemon).status()["incarnation"], last + 2)

    def test_the_number_of_a_run_is_kept(self):
        daemon = agent(self, QUIET)
        with open(self.path(daemon)) as file:
            self.assertEqual(int(file.read()), health(self, daemon).status()["incarnation"])
        self.assertNotIn("clock", daemon.log())

    def test_a_state_folder_that_is_missing_or_holds_nonsense_is_told_and_the_agent_works(self):
        for state, word in (("no/such", "No such file or directory"), (".", "holds no incarnation")):
            with self.subTest(state):
                daemon = Daemon(self, "holdfast-agent", AGENT_BUS + QUIET)
                with open(self.path(daemon), "w") as file:
                    file.write("nonsense")
                daemon.start(environment={"STATE_DIRECTORY": os.path.join(daemon.folder, state)})
                daemon.wait_log("subscribers will take that run for an older one")
                self.assertIn(word, daemon.log())
                self.assertGreater(health(self, daemon).status()["incarnation"], 1_700_000_000_000_000)


if __name__ == "__main__":
    unittest.main()
