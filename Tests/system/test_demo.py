"""The demo: its figures, and that it leaves nothing behind, however it ends."""

import glob
import json
import os
import pwd
import signal
import subprocess
import tempfile
import unittest

import harness
from harness import needs_namespaces

RUN = os.path.join(harness.ROOT, "packaging/demonstration/run.py")
FEED_KEYS = ["policy", "switched_ms", "switches", "lost", "gaps_told", "duplicates", "out_of_order",
             "longest_silence_ms", "false_live"]
NAMESPACE_FAULTS = ["carrier-loss", "black-hole", "random-loss", "process-kill", "unit-crash", "disk-full",
                    "venue-freeze", "ups-on-battery"]


def command(*words):
    """As packaging/demo calls it, once what it needs is installed and built."""
    return ["/usr/bin/python3", RUN, "--binaries", harness.BINARIES, *words]


def namespaces():
    listed = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return {name for name in listed if name.startswith("hfdemo-")}


def folders():
    return set(glob.glob(os.path.join(tempfile.gettempdir(), "hfdemo-*")))


def processes_with(text):
    """Process ids whose command line mentions a text."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                if text.encode() in file.read():
                    found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.before = namespaces(), folders()

    def left(self):
        new_namespaces, new_folders = namespaces() - self.before[0], folders() - self.before[1]
        return new_namespaces, new_folders, [pid for folder in new_folders for pid in processes_with(folder)]

    def assert_clean(self, folder=None):
        """At once after its end, or, when it was killed, as soon as its guardian is done, which removes the folder last."""
        harness.watched.wait(tempfile.gettempdir(), lambda: not any(self.left()), harness.PATIENCE_S)
        self.assertEqual(self.left(), (set(), set(), []))
        for pid in processes_with(folder) if folder else []:
            self.assertTrue(harness.watched.wait_end(pid, harness.PATIENCE_S), f"{pid} is left")

    def demo(self, *words, **options):
        child = harness.spawn(self, command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              **options)
        self.addCleanup(child.stdout.close)
        return child

    def read_until(self, child, word):
        seen = ""
        for line in child.stdout:
            seen += line
            if word in line:
                return seen
        self.fail(f"the demo ended before {word!r}:\n{seen}")

    def assert_shape(self, result, mode, faults):
        self.assertEqual(list(result), ["mode", "duration_s", "faults", "agent", "gateway"])
        self.assertEqual(result["mode"], mode)
        self.assertIsInstance(result["duration_s"], float)
        self.assertEqual([row["fault"] for row in result["faults"]], faults)
        for row in result["faults"]:
            self.assertEqual(list(row), ["fault", "target", "injected_at", "published_ms", "feeds"])
            self.assertRegex(row["injected_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
            self.assertEqual(list(row["feeds"]), ["itch", "quotes"])
            for name, policy in (("itch", "hot-hot"), ("quotes", "hot-warm")):
                self.assertEqual(list(row["feeds"][name]), FEED_KEYS)
                self.assertEqual(row["feeds"][name]["policy"], policy)
        for daemon in ("agent", "gateway"):
            self.assertEqual(list(result[daemon]), ["rss_kib", "cpu_percent"])

    def assert_nothing_lost(self, result):
        for row in result["faults"]:
            with self.subTest(row["fault"]):
                self.assertIsNotNone(row["published_ms"])
                for name, feed in row["feeds"].items():
                    wrong = {key: feed[key] for key in ("lost", "duplicates", "out_of_order", "false_live") if feed[key]}
                    self.assertEqual(wrong, {}, name)


@needs_namespaces
class InNamespaces(Case):
    def test_the_whole_demo_loses_nothing_and_tells_its_figures(self):
        file = os.path.join(harness.folder_of(self), "figures.json")
        child = self.demo("--seconds", "40", "--json", file)
        text = child.stdout.read()
        self.assertEqual(child.wait(harness.PATIENCE_S), 0, text)
        with open(file) as opened:
            result = json.load(opened)
        self.assert_shape(result, "namespaces", NAMESPACE_FAULTS)
        self.assert_nothing_lost(result)
        rows = {row["fault"]: row["feeds"] for row in result["faults"]}
        for fault in ("carrier-loss", "black-hole", "venue-freeze"):
            self.assertGreaterEqual(rows[fault]["quotes"]["switches"], 1, fault)
        self.assert_clean()

    def test_an_interrupt_cleans_up(self):
        child = self.demo("--seconds", "60")
        self.read_until(child, "FAULT")
        child.send_signal(signal.SIGINT)
        child.stdout.read()
        self.assertEqual(child.wait(harness.PATIENCE_S), 130)
        self.assert_clean()

    def test_SIGTERM_cleans_up(self):
        child = self.demo("--seconds", "60")
        self.read_until(child, "FAULT")
        child.send_signal(signal.SIGTERM)
        child.stdout.read()
        self.assertEqual(child.wait(harness.PATIENCE_S), 130)
        self.assert_clean()

    def test_its_guardian_cleans_up_after_SIGKILL(self):
        child = self.demo("--seconds", "60")
        self.read_until(child, "FAULT")
        self.assertTrue(any(self.left()))
        child.kill()
        child.wait(harness.PATIENCE_S)
        self.assert_clean()

    def test_a_daemon_that_dies_ends_the_demo_with_its_words_and_cleans_up(self):
        child = self.demo("--seconds", "60")
        self.read_until(child, "FAULT")
        _, new_folders, _ = self.left()
        folder, = new_folders
        for pid in processes_with(f"{folder}/gateway.toml"):
            os.kill(pid, signal.SIGKILL)
        text = child.stdout.read()
        self.assertEqual(child.wait(harness.PATIENCE_S), 69, text)
        self.assertIn("gateway ended", text)
        self.assert_clean(folder)


class OnLoopback(Case):
    def test_without_root_it_does_what_loopback_allows_and_says_so(self):
        folder = harness.folder_of(self)
        options = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            options = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            if subprocess.run(["/usr/bin/python3", "-c", f"open({RUN!r}); open({harness.binary('holdfast')!r})"],
                              stderr=subprocess.DEVNULL, **options).returncode:
                self.skipTest(f"another user may not read {harness.ROOT}")
        file = os.path.join(folder, "figures.json")
        child = self.demo("--loopback", "--seconds", "40", "--json", file, **options)
        text = child.stdout.read()
        self.assertEqual(child.wait(harness.PATIENCE_S), 0, text)
        self.assertIn("loopback", text)
        with open(file) as opened:
            result = json.load(opened)
        self.assert_shape(result, "loopback", ["process-kill", "venue-freeze"])
        self.assert_nothing_lost(result)
        self.assert_clean()


class Usage(unittest.TestCase):
    def test_help_and_wrong_options(self):
        done = harness.attempt(os.path.join(harness.ROOT, "packaging/demo"), "--help")
        self.assertEqual(done.returncode, 0)
        for word in ("--seconds", "--json", "Exit status"):
            self.assertIn(word, done.stdout)
        for words in (["--seconds", "1"], ["--seconds", "x"], ["--what"]):
            self.assertEqual(harness.attempt(*command(*words)).returncode, 2)


if __name__ == "__main__":
    unittest.main()
