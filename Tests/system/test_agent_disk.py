"""File systems and disks: real ones that fill up, turn read-only, come, go, err and hang."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest

import harness
from harness import AGENT_BUS, Daemon, health

HERE = os.path.dirname(os.path.abspath(__file__))
QUIET = "[nic]\ndiscover = false\n[path]\ndiscover = false\n[ups]\ndiscover = false\n"
SETTINGS = '[disk]\ndiscover = false\npoll_every = "100ms"\n'


def can_mount():
    return os.geteuid() == 0 and harness.attempt(
        "unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt").returncode == 0


def can_loop():
    return can_mount() and os.path.exists("/dev/loop-control") and shutil.which("mkfs.ext4") is not None


needs_mounts = unittest.skipUnless(can_mount(), "needs root, to mount")
needs_loop = unittest.skipUnless(can_loop(), "needs root, loop devices and mkfs.ext4")
needs_fuse = unittest.skipUnless(can_mount() and os.path.exists("/dev/fuse"), "needs root and /dev/fuse")


class Case(unittest.TestCase):
    """A mount namespace of its own: what is mounted in it goes with it."""

    def setUp(self):
        self.folder = harness.folder_of(self)
        holder = harness.spawn(self, ["unshare", "--mount", "--propagation", "private", "cat"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
        self.addCleanup(holder.stdin.close)
        self.addCleanup(holder.stdout.close)
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        harness.read_line(self, holder.stdout)  # it is in its namespace
        self.inside = ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--"]
        self.root = f"/proc/{holder.pid}/root"  # the same tree, from without

    def run_inside(self, *words):
        return harness.run(*self.inside, *words)

    def place(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path

    def fuse(self, name):
        path = self.place(name)
        child = harness.spawn(self, [*self.inside, sys.executable, os.path.join(HERE, "hanging_fuse.py"), path],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        self.assertEqual(harness.read_line(self, child.stdout), "mounted\n")
        return path, child

    def tell(self, child, word):
        child.stdin.write(word + "\n")
        child.stdin.flush()
        harness.read_line(self, child.stdout)

    def tmpfs(self, name, options="size=4m"):
        path = self.place(name)
        self.run_inside("mount", "-t", "tmpfs", "-o", options, "hftest", path)
        return path

    def ext4(self, name, options="loop"):
        image = os.path.join(self.folder, f"{name}.img")
        with open(image, "wb") as file:
            file.truncate(16 << 20)
        harness.run("mkfs.ext4", "-q", image)
        path = self.place(name)
        self.run_inside("mount", "-o", options, image, path)
        return path

    def device(self, path):
        return os.path.basename(self.run_inside("findmnt", "-n", "-o", "SOURCE", path).strip())

    def write(self, path, size):
        self.run_inside("sh", "-c", f"head -c {size} /dev/zero >'{path}'")

    def start(self, settings="", disk=SETTINGS):
        text = AGENT_BUS + QUIET + disk + settings
        self.daemon = Daemon(self, "holdfast-agent", text, wrap=self.inside).start()
        self.client = health(self, self.daemon, "state/", "sample/")
        return self.client

    def include(self, *paths, more=""):
        return self.start(f"include = [{', '.join(repr(path) for path in paths)}]\n{more}".replace("'", '"'))


@needs_mounts
class Filling(Case):
    def test_space_runs_out_and_comes_back(self):
        path = self.tmpfs("data")
        client = self.include(path)
        first = client.settle(f"disk/{path}", "ok")
        self.assertEqual(first["values"]["size_bytes"], 4 << 20)
        self.write(f"{path}/a", 3_900_000)
        self.assertRegex(client.wait_state(f"disk/{path}", "warning")["reason"], "^9[0-9] % of its space is used$")
        self.write(f"{path}/b", 200_000)
        self.assertRegex(client.wait_state(f"disk/{path}", "critical")["reason"], "% of its space is used$")
        self.run_inside("rm", f"{path}/a")
        client.wait_state(f"disk/{path}", "ok")

    def test_inodes_run_out_while_there_is_space(self):
        path = self.tmpfs("data", "size=4m,nr_inodes=100")
        client = self.include(path)
        client.settle(f"disk/{path}", "ok")
        self.run_inside("sh", "-c", f"cd {path} && seq 98 | xargs touch")
        self.assertRegex(client.wait_state(f"disk/{path}", "critical")["reason"], "% of its inodes are used$")

    def test_limits_are_the_operators(self):
        path = self.tmpfs("data")
        self.write(f"{path}/a", 4_100_000)
        client = self.include(path, more="space = { warning = 0.99, critical = false }\n")
        self.assertEqual(client.settle(f"disk/{path}", "ok")["status"], "ok")

    def test_growth_is_foretold_and_a_burst_is_not(self):
        path = self.tmpfs("data", "size=1g")
        client = self.include(path, more='forecast_window = "6s"\nfull_in_hours = { warning = 10, dwell = "0s" }\n')
        client.settle(f"disk/{path}", "ok")
        stop = threading.Event()

        def grow():
            self.write(f"{path}/burst", 5_000_000)
            size = 0
            while not stop.wait(0.05):
                size += 50_000
                self.run_inside("truncate", "-s", "0", f"{path}/none")
                self.run_inside("fallocate", "-l", str(size), f"{path}/growing")
        thread = threading.Thread(target=grow, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        state = client.wait(
            lambda message: message["topic"].startswith("state/") and "if it goes on like this" in message["reason"],
            "the forecast")
        self.assertGreater(state["values"]["full_in_s"], 60)
        stop.set()
        client.wait_state(f"disk/{path}", "ok")


@needs_mounts
class ComingAndGoing(Case):
    def test_a_new_mount_is_found_and_an_unmounted_one_leaves_a_tombstone(self):
        client = self.start(f'include = ["{self.folder}/*"]\n')
        path = self.tmpfs("new data")
        state = client.wait_state(f"disk/{path}", "ok")
        self.assertEqual(state["name"], path)
        self.run_inside("umount", path)
        gone = client.wait_state(f"disk/{path}", lambda message: message.get("gone"), "the tombstone")
        self.assertTrue(gone["gone"])
        self.tmpfs("new data")
        client.wait_state(f"disk/{path}", lambda message: message["status"] == "ok" and not message.get("gone"))

    def test_what_must_be_mounted_is_missed(self):
        path = self.place("data")
        client = self.include(path)
        self.assertEqual(client.settle(f"disk/{path}", "critical")["reason"], "not mounted")
        self.tmpfs("data")
        client.wait_state(f"disk/{path}", "ok")
        self.run_inside("umount", path)
        client.wait_state(f"disk/{path}", "critical")

    @needs_loop
    def test_without_being_told_it_finds_local_file_systems_and_their_disks(self):
        path = self.ext4("data")
        client = self.start(disk="")
        state = client.settle(f"disk/{path}", "ok")
        self.assertRegex(state["reason"], "^ext4 on /dev/loop")
        client.settle(f"disk/{self.device(path)}", "ok")
        tmpfs = self.tmpfs("memory")
        self.run_inside("umount", path)
        client.wait_state(f"disk/{path}", lambda message: message.get("gone"), "the tombstone")
        self.assertNotIn(f"disk/{tmpfs}", client.states())


@needs_loop
class Failing(Case):
    def test_a_remount_read_only_and_back(self):
        path = self.ext4("data")
        client = self.include(path)
        client.settle(f"disk/{path}", "ok")
        self.run_inside("mount", "-o", "remount,ro", path)
        self.assertEqual(client.wait_state(f"disk/{path}", "critical")["reason"], "remounted read-only")
        self.run_inside("mount", "-o", "remount,rw", path)
        client.wait_state(f"disk/{path}", "ok")

    def test_a_view_that_is_read_only_is_no_failure(self):
        path = self.ext4("data")
        self.run_inside("mount", "-o", "remount,bind,ro", path)
        self.assertIs(self.include(path).settle(f"disk/{path}", "ok")["values"]["read_only"], False)

    def test_errors_that_ext4_notes(self):
        path = self.ext4("data", "loop,errors=continue")
        trigger = f"/sys/fs/ext4/{self.device(path)}/trigger_fs_error"
        if not os.path.exists(trigger):
            self.skipTest("the kernel has no trigger_fs_error")
        client = self.include(path)
        client.settle(f"disk/{path}", "ok")
        with open(trigger, "w") as file:
            file.write("tested by holdfast\n")
        state = client.wait_state(f"disk/{path}", "critical")
        self.assertIn("ext4 has noted new errors (1 in all)", state["reason"])
        self.assertEqual(state["values"]["errors"], 1)

    def test_the_kernel_makes_it_read_only_after_an_error(self):
        path = self.ext4("data", "loop,errors=remount-ro")
        trigger = f"/sys/fs/ext4/{self.device(path)}/trigger_fs_error"
        if not os.path.exists(trigger):
            self.skipTest("the kernel has no trigger_fs_error")
        client = self.include(path)
        client.settle(f"disk/{path}", "ok")
        with open(trigger, "w") as file:
            file.write("tested by holdfast\n")
        client.wait_state(
            f"disk/{path}",
            lambda message: message["status"] == "critical" and "the kernel has made it read-only" in message["reason"])

    def test_a_device_that_must_be_there(self):
        client = self.start('devices = ["hftest0"]\n')
        self.assertEqual(client.settle("disk/hftest0", "critical")["reason"], "gone, and it is configured")

    def test_a_write_probe(self):
        path = self.ext4("data")
        client = self.include(path, more=f"""[[disk.probe]]
name = "journal"
folder = "{path}"
every = "100ms"
latency = {{ warning = false, critical = false }}
[[disk.probe]]
name = "forbidden"
folder = "/proc/self"
every = "100ms"
""")
        state = client.settle("disk/journal", "ok")
        self.assertIs(state["values"]["direct"], True)
        self.assertGreater(state["values"]["write_latency_s"], 0)
        self.assertIn("/proc/self", client.settle("disk/forbidden", "unknown")["reason"])
        self.run_inside("mount", "-o", "remount,ro", path)
        client.settle("disk/journal", "unknown")


@needs_fuse
class Hanging(Case):
    def start_with(self, *paths, servers, more=""):
        client = self.include(*paths, more=more)
        # A daemon that hangs in a file system ends when that does, so the servers go first.
        for server in servers:
            self.addCleanup(server.wait)
            self.addCleanup(server.kill)
        return client

    def test_a_mount_that_does_not_answer_disturbs_nothing_else(self):
        path, server = self.fuse("hung")
        other = self.tmpfs("other")
        client = self.start_with(path, other, servers=[server])
        client.settle(f"disk/{path}", "ok")
        before = client.settle(f"disk/{other}", "ok")
        self.tell(server, "hang")
        state = client.wait_state(f"disk/{path}", "critical")
        self.assertRegex(state["reason"], r"^does not answer for 1\.[4-9] s$")
        self.assertIsNone(state["cause"])
        for _ in range(3):
            client.wait(lambda message: message["topic"].startswith("sample/")
                        and harness.subject_of(message) == f"disk/{other}", "a sample of the other")
        self.assertEqual(client.states()[f"disk/{other}"]["change"], before["change"])
        # What happens to the other is noticed meanwhile, and so is a new mount.
        self.write(f"{other}/a", 4_100_000)
        client.wait_state(f"disk/{other}", "critical")
        again = client.wait_state(f"disk/{path}", "critical", "told again while it lasts")
        self.assertGreater(again["values"]["unanswered_s"], 2)
        self.tell(server, "answer")
        client.wait_state(f"disk/{path}", "ok")
        self.assertEqual(self.daemon.stop(), 0)

    def test_several_hang_at_once_and_the_rest_is_well(self):
        hung = [self.fuse(f"hung{number}") for number in range(5)]
        others = [self.tmpfs(f"other{number}") for number in range(3)]
        client = self.start_with(*[path for path, _ in hung], *others, servers=[server for _, server in hung])
        for path in [*[path for path, _ in hung], *others]:
            client.settle(f"disk/{path}", "ok")
        for _, server in hung:
            self.tell(server, "hang")
        waiting = {f"disk/{path}" for path, _ in hung}
        seen = client.until(lambda message: message["topic"].startswith("state/") and message["status"] == "critical"
                            and (waiting.discard(harness.subject_of(message)) or not waiting), "all five")
        disturbed = [message for message in seen if message["topic"].startswith("state/")
                     and message["name"] in others and message["status"] != "ok"]
        self.assertEqual(disturbed, [])
        for _, server in hung:
            self.tell(server, "answer")
        for path, _ in hung:
            client.settle(f"disk/{path}", "ok")

    def test_a_hung_mount_may_be_unmounted(self):
        path, server = self.fuse("hung")
        client = self.start_with(path, servers=[server], more="")
        client.settle(f"disk/{path}", "ok")
        self.tell(server, "hang")
        client.wait_state(f"disk/{path}", "critical")
        self.run_inside("umount", "-l", path)
        self.assertEqual(client.wait_state(f"disk/{path}", lambda message: message["reason"] == "not mounted")["status"],
                         "critical")

    def test_a_server_that_died_is_told_by_its_error(self):
        path, server = self.fuse("dead")
        client = self.start_with(path, servers=[server])
        client.settle(f"disk/{path}", "ok")
        server.send_signal(signal.SIGKILL)
        self.assertIn("not connected", client.wait_state(f"disk/{path}", "critical")["reason"])


if __name__ == "__main__":
    unittest.main()
