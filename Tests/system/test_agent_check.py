"""Checks: Debian's monitoring plugins, and programs that flood, hang, fork, break or are not there."""

import os
import signal
import unittest

import harness
from harness import AGENT_BUS, agent, health, watched
from test_agent_bus import QUIET

PLUGINS = "/usr/lib/nagios/plugins"
needs_plugins = unittest.skipUnless(os.path.exists(f"{PLUGINS}/check_load"), "needs Debian's monitoring-plugins-basic")


def check(name, *command, every="200ms", timeout="5s"):
    words = ", ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in command)
    return f'[[check]]\nname = "{name}"\ncommand = [{words}]\nevery = "{every}"\ntimeout = "{timeout}"\n'


class Checks(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)

    def script(self, name, text, mode=0o755):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, mode)
        return path

    def start(self, configuration):
        self.daemon = agent(self, QUIET + configuration)
        self.client = health(self, self.daemon, "state/")

    def wait(self, name, status, text=""):
        return self.client.wait_state(
            f"check/{name}", lambda state: state["status"] == status and text in state["reason"], f"{name} {status}")

    def wait_gone(self, pid):
        self.assertTrue(watched.wait_end(pid, harness.PATIENCE_S), f"{pid} still runs")

    def wait_file(self, name):
        path = os.path.join(self.folder, name)
        self.assertTrue(watched.wait(self.folder, lambda: os.path.exists(path) and os.path.getsize(path),
                                     harness.PATIENCE_S), f"no {name}")
        with open(path) as file:
            return file.read()

    @needs_plugins
    def test_debians_plugins(self):
        self.start(check("load", f"{PLUGINS}/check_load", "-w", "1000,1000,1000", "-c", "2000,2000,2000")
                   + check("dummy", f"{PLUGINS}/check_dummy", "2", "as asked")
                   + check("disk", f"{PLUGINS}/check_disk", "-w", "0", "-c", "0", "-p", "/tmp"))
        state = self.wait("load", "ok", "load average")
        self.assertEqual(state["values"]["load1_warning"], 1000)
        self.assertIn("load15", state["values"])
        self.wait("dummy", "critical", "as asked")
        state = self.wait("disk", "ok")
        self.assertTrue(any(name.endswith("_bytes") for name in state["values"]), state["values"])

    def test_a_plugin_that_changes_its_mind(self):
        mood = os.path.join(self.folder, "mood")
        script = self.script("mood.sh", f'read mood <{mood}; echo "mood $mood|mood=$mood;1;2"; exit $mood\n')
        for number, status in ((0, "ok"), (1, "warning"), (2, "critical"), (3, "unknown"), (0, "ok")):
            with open(mood + ".new", "w") as file:
                file.write(f"{number}\n")
            os.replace(mood + ".new", mood)
            if not hasattr(self, "daemon"):
                self.start(check("mood", script))
            self.assertEqual(self.wait("mood", status, f"mood {number}")["values"]["mood"], number)

    def test_what_a_plugin_finds(self):
        """No shell, no agent's environment, no descriptor but its own, a session of its own."""
        script = self.script(
            "look.sh", 'echo "$# [$1] [$NOTIFY_SOCKET$STATE_DIRECTORY] $LC_ALL $(ls /proc/self/fd | wc -l)"\n'
            'read word && exit 2; [ "$(pwd)" = / ] || exit 2\n')
        self.start(check("look", script, "$(id); *|two words"))
        # Descriptors 0, 1 and 2, and the folder that ls reads; its output is a pipe of the shell's.
        self.wait("look", "ok", "1 [$(id); *")
        state = self.client.states()["check/look"]
        self.assertEqual(state["values"]["output"].split("|")[0], "1 [$(id); *")

    def test_the_environment(self):
        script = self.script("env.sh", 'echo "$(env | cut -d= -f1 | sort | tr "\\n" ,) $(ls /proc/self/fd | wc -l)"\n')
        self.start(check("env", script))
        self.wait("env", "ok", "LANG,LC_ALL,PATH,PWD, 4")

    def test_a_plugin_that_floods(self):
        script = self.script("flood.sh", "exec yes 'WARNING all is lost'\n")
        self.start(check("flood", script) + check("well", "/bin/echo", "fine"))
        state = self.wait("flood", "unknown", "ended by signal 13")
        self.assertGreater(state["values"]["discarded_bytes"], 100_000)
        self.wait("well", "ok", "fine")
        self.assertTrue(self.daemon.is_running())

    def test_a_plugin_that_hangs_is_killed_with_its_children(self):
        script = self.script(
            "hang.sh", f"sleep 1000 & echo $! >{self.folder}/child\necho $$ >{self.folder}/parent\nwait\n")
        self.start(check("hang", script, timeout="500ms", every="1h") + check("well", "/bin/echo", "fine"))
        child, parent = int(self.wait_file("child")), int(self.wait_file("parent"))
        self.wait("well", "ok")
        self.wait("hang", "unknown", "killed after 0.5 s")
        self.wait_gone(child)
        self.wait_gone(parent)

    def test_a_plugin_that_leaves_a_child_with_its_output(self):
        script = self.script(
            "leave.sh", f"sleep 1000 & echo $! >{self.folder}/child\necho done; exit 1\n")
        self.start(check("leave", script, every="1h"))
        self.wait("leave", "warning", "done")
        self.wait_gone(int(self.wait_file("child")))

    def test_a_plugin_that_ignores_signals(self):
        script = self.script("deaf.sh", "trap '' TERM INT HUP; while :; do sleep 1; done\n")
        self.start(check("deaf", script, timeout="300ms"))
        self.wait("deaf", "unknown", "killed after 0.3 s")

    def test_programs_that_cannot_run(self):
        text = check("missing", "/nonexistent/check_it") + check("forbidden", self.script("f.sh", "exit 0\n", 0o644))
        text += check("folder", self.folder) + check("odd", self.script("odd.sh", "echo odd; exit 77\n"))
        text += check("crash", self.script("crash.sh", "kill -SEGV $$\n")) + check("mute", "/bin/true")
        self.start(text)
        self.wait("missing", "unknown", "cannot be started: /nonexistent/check_it: No such file or directory")
        self.wait("forbidden", "unknown", "Permission denied")
        self.wait("folder", "unknown", "Permission denied")
        self.wait("odd", "unknown", "exit status 77, which no plugin has: odd")
        self.wait("crash", "unknown", "ended by signal 11")
        self.wait("mute", "ok", "no output")

    def test_bytes_that_are_no_text(self):
        script = self.script("bytes.sh", "head -c 3000 /dev/urandom; printf '\\033[2J|a=1 b==\\n'; exit 1\n")
        self.start(check("bytes", script))
        self.assertNotIn("\x1b", self.wait("bytes", "warning")["reason"])

    def test_no_more_than_a_few_at_once(self):
        os.mkdir(os.path.join(self.folder, "running"))
        script = self.script(
            "count.sh", f"touch {self.folder}/running/$$; ls {self.folder}/running | wc -l; "
            f"sleep 0.3; rm {self.folder}/running/$$\n")
        self.start("".join(check(f"c{number}", script, every="500ms") for number in range(40)))
        self.client.join()
        most = 0
        for number in range(40):
            known = self.client.states()[f"check/c{number}"]
            state = known if known["status"] == "ok" else self.wait(f"c{number}", "ok")
            most = max(most, int(state["values"]["output"]))
        self.assertLessEqual(most, 8)
        self.assertGreaterEqual(most, 2)

    def test_a_check_that_is_no_longer_configured(self):
        script = self.script("long.sh", f"echo $$ >{self.folder}/pid; exec sleep 1000\n")
        self.start(check("long", script, timeout="1h") + check("stays", "/bin/echo", "fine"))
        pid = int(self.wait_file("pid"))
        self.wait("stays", "ok")
        self.daemon.configure(AGENT_BUS + QUIET + check("stays", "/bin/echo", "fine"))
        self.daemon.signal(signal.SIGHUP)
        self.wait_gone(pid)
        self.client.join()
        self.assertNotIn("check/long", self.client.states())
        self.assertEqual(self.client.states()["check/stays"]["status"], "ok")


if __name__ == "__main__":
    unittest.main()
