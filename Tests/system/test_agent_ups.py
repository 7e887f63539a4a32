"""UPSes: Debian's real upsd and dummy-ups, the recorded devices, and servers that talk nonsense."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
import unittest

import harness
from harness import agent, health, watched
from test_agent_bus import QUIET

DEVICES = os.path.join(harness.ROOT, "../shared/data/nut/devices")
NUT = "/lib/nut"
needs_nut = unittest.skipUnless(os.path.exists(f"{NUT}/upsd"), "needs Debian's nut-server")


class Upsd:
    """upsd and its dummy-ups drivers in a network namespace and a folder of their own."""

    def __init__(self, case, namespace, devices, listen="127.0.0.1"):
        self.case, self.namespace = case, namespace
        self.folder = harness.folder_of(case)
        self.drivers, self.written = {}, 0
        with open(os.path.join(self.folder, "ups.conf"), "w") as conf:
            conf.write("user = root\nmaxstartdelay = 5\npollinterval = 1\n")
            for name, text in devices.items():
                self.write(name, text)
                conf.write(f"[{name}]\n driver = dummy-ups\n mode = dummy-once\n port = {self.device(name)}\n")
        with open(os.path.join(self.folder, "upsd.conf"), "w") as conf:
            conf.write(f"LISTEN {listen} 3493\nMAXAGE 3\nSTATEPATH {self.folder}\n")
        with open(os.path.join(self.folder, "upsd.users"), "w") as users:
            users.write("[monitor]\n password = sesame\n upsmon secondary\n")
            users.write("[main]\n password = sesame\n upsmon primary\n")
        for name in devices:
            self.start_driver(name)
        for name in devices:
            if not watched.wait(self.folder, lambda name=name: os.path.exists(self.socket(name)), harness.PATIENCE_S):
                case.fail(f"no driver of {name}")
        self.start_server()

    def device(self, name):
        return os.path.join(self.folder, f"{name}.dev")

    def socket(self, name):
        return os.path.join(self.folder, f"dummy-ups-{name}")

    def write(self, name, text):
        """The driver reads its file again when it has another time, in whole seconds."""
        with open(self.device(name) + ".new", "w") as file:
            file.write(text)
        self.written = max(int(time.time()), self.written + 1)
        os.utime(self.device(name) + ".new", (self.written, self.written))
        os.replace(self.device(name) + ".new", self.device(name))

    def status(self, name, status, **variables):
        lines = [f"ups.status: {status}"] + [f"{key.replace('_', '.')}: {value}" for key, value in variables.items()]
        self.write(name, "\n".join(lines) + "\n")

    def environment(self):
        return dict(os.environ, NUT_CONFPATH=self.folder, NUT_STATEPATH=self.folder, NUT_ALTPIDPATH=self.folder,
                    NUT_QUIET_INIT_SSL="true")

    def spawn(self, *words):
        return harness.spawn(
            self.case, self.namespace.command(*words), env=self.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def start_driver(self, name):
        self.drivers[name] = self.spawn(f"{NUT}/dummy-ups", "-a", name, "-F", "-u", "root")

    def start_server(self):
        self.server = self.spawn(f"{NUT}/upsd", "-F", "-u", "root")


ONLINE = "ups.status: OL CHRG\nbattery.charge: 100\nbattery.runtime: 1200\nups.load: 20\n"


@needs_nut
@harness.needs_namespaces
class RealServer(unittest.TestCase):
    configuration = QUIET + '[ups]\nstale_dwell = "1s"\npoll_every = "200ms"\ndriver_folder = "%s"\n'

    def setUp(self):
        self.namespace = harness.Namespace(self, "nut")
        self.upsd = Upsd(self, self.namespace, {"main": ONLINE, "second": ONLINE})

    def start(self, more="", folder=None):
        text = self.configuration % (folder or self.upsd.folder) + more
        self.daemon = agent(self, text, self.namespace)
        self.client = health(self, self.daemon, "state/")

    def outage(self):
        self.client.settle("ups/main", "ok")
        self.upsd.status("main", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        state = self.client.wait_state("ups/main", "warning")
        # The driver may push the status before the new runtime.
        self.assertRegex(state["reason"], "^on battery, 1[012][0-9]{2} s left$")
        self.upsd.status("main", "OB LB DISCHRG", battery_charge="10", battery_runtime="90")
        state = self.client.wait_state("ups/main", "critical")
        self.assertRegex(state["reason"], "^on battery and low, ")
        self.upsd.status("main", "OL CHRG LB", battery_charge="10")
        self.client.wait_state("ups/main", "warning")
        self.upsd.status("main", "OL CHRG", battery_charge="40")
        self.client.wait_state("ups/main", "ok")

    def test_an_outage_by_the_drivers_socket(self):
        self.start()
        self.outage()

    def test_before_the_host_goes_it_says_so_and_takes_it_back(self):
        self.start()
        self.client.settle("ups/main", "ok")
        self.client.subscribe("heartbeat/")

        def wait_words(condition, what):
            return self.client.wait(lambda message: "cost" in message and condition(message.get("stopping")), what)
        self.upsd.status("main", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        self.client.wait_state("ups/main", "warning")
        self.assertNotIn("stopping", wait_words(lambda words: True, "a heartbeat"))
        self.upsd.status("main", "OB LB DISCHRG", battery_charge="10", battery_runtime="90")
        words = wait_words(lambda words: words, "that the host goes")["stopping"]
        self.assertRegex(words, "^ups/main is on battery and low, ")
        self.upsd.status("main", "OL CHRG", battery_charge="40")
        wait_words(lambda words: not words, "that it does not")
        self.upsd.status("main", "FSD OB LB")
        wait_words(lambda words: words and "forced shutdown" in words, "that the power will be cut")
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_exit()

    def test_a_primary_forces_a_shutdown_of_which_the_driver_knows_nothing(self):
        self.start()
        self.client.settle("ups/main", "ok")
        self.upsd.status("main", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        self.client.wait_state("ups/main", "warning")
        with self.namespace.enter(lambda: socket.create_connection(("127.0.0.1", 3493))) as primary:
            primary.sendall(b"USERNAME main\nPASSWORD sesame\nFSD main\n")
            state = self.client.wait_state("ups/main", "critical")
        self.assertEqual(state["reason"], "forced shutdown: the power will be cut")

    def test_a_UPS_that_upsd_has_no_longer_is_forgotten(self):
        self.start()
        self.client.settle("ups/second", "ok")
        self.upsd.server.send_signal(signal.SIGKILL)
        self.upsd.server.wait()
        self.upsd.drivers["second"].send_signal(signal.SIGKILL)
        self.client.wait_state("ups/second", "unknown")
        with open(os.path.join(self.upsd.folder, "ups.conf")) as conf:
            kept = conf.read().split("[second]")[0]
        with open(os.path.join(self.upsd.folder, "ups.conf"), "w") as conf:
            conf.write(kept)
        self.upsd.start_server()
        self.client.wait_state("ups/second", lambda state: state.get("gone"))
        self.assertEqual(self.client.states()["ups/main"]["status"], "ok")

    def test_other_options_forget_no_UPS_that_they_leave(self):
        self.start()
        self.client.settle("ups/main", "ok")
        self.upsd.status("main", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        self.client.wait_state("ups/main", "warning")
        text = harness.AGENT_BUS + self.configuration % self.upsd.folder
        self.daemon.configure(text + 'host_needs = "1h"\n[[ups.group]]\nname = "power"\nmembers = ["main", "second"]\n')
        self.daemon.signal(signal.SIGHUP)
        seen = self.client.until(lambda message: harness.subject_of(message) == "ups/main"
                                 and message["status"] == "critical", "that it is too short")
        self.assertEqual(seen[-1]["previous"], "warning")
        self.assertEqual([message for message in seen if message.get("gone")], [])
        self.client.settle("ups/power", "warning")

    def test_drivers_are_heard_by_the_sockets_of_another_folder(self):
        self.start(folder="/nonexistent")
        change = self.client.settle("ups/main", "ok")["change"]
        # A server that is asked so rarely tells of no change in time.
        rarely = self.configuration.replace('"200ms"', '"60s"')
        self.daemon.configure(harness.AGENT_BUS + rarely % self.upsd.folder)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_log("configuration read again")
        self.upsd.status("main", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        self.assertGreater(self.client.wait_state("ups/main", "warning")["change"], change)

    def test_a_driver_that_is_there_later_is_heard_by_its_socket(self):
        folder = harness.folder_of(self)
        self.start(folder=folder)
        change = self.client.settle("ups/main", "ok")["change"]
        # A server that is asked so rarely tells of no change in time.
        self.daemon.configure(harness.AGENT_BUS + self.configuration.replace('"200ms"', '"60s"') % folder)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_log("configuration read again")
        self.upsd.status("main", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        os.symlink(self.upsd.socket("main"), os.path.join(folder, "dummy-ups-main"))
        self.assertGreater(self.client.wait_state("ups/main", "warning")["change"], change)
        # Nor did the server, which is asked once when it is connected to.
        self.upsd.status("main", "OL CHRG", battery_charge="40")
        self.client.wait_state("ups/main", "ok")

    def test_an_outage_by_the_server_alone(self):
        self.start(folder="/nonexistent")
        self.outage()

    def test_the_other_ups_is_undisturbed_by_a_driver_that_dies(self):
        self.start()
        self.client.settle("ups/main", "ok")
        second = self.client.settle("ups/second", "ok")
        self.upsd.drivers["main"].send_signal(signal.SIGKILL)
        state = self.client.wait_state("ups/main", "unknown")
        self.assertIn("its driver is gone", state["reason"])
        self.upsd.start_driver("main")
        self.client.wait_state("ups/main", "ok")
        self.assertEqual(self.client.settle("ups/second", "ok")["change"], second["change"])

    def test_a_driver_that_dies_on_battery_is_critical_and_counts_down(self):
        self.start()
        self.client.settle("ups/main", "ok")
        self.upsd.status("main", "OB DISCHRG", battery_runtime="600")
        self.client.wait_state("ups/main", "warning")
        self.upsd.drivers["main"].send_signal(signal.SIGKILL)
        state = self.client.wait_state("ups/main", "critical")
        self.assertRegex(state["reason"], "while on battery, [0-9]+ s left by the last reading$")

    def test_a_server_that_stops_in_the_middle_is_found(self):
        self.start(folder="/nonexistent")
        self.client.settle("ups/main", "ok")
        self.upsd.server.send_signal(signal.SIGSTOP)
        state = self.client.wait_state("ups/main", "unknown")
        self.assertIn("not reached: no answer", state["reason"])
        self.upsd.server.send_signal(signal.SIGCONT)
        self.client.wait_state("ups/main", "ok")

    def test_a_login_and_its_refusal(self):
        password = os.path.join(self.upsd.folder, "password")
        with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o640), "w") as file:
            file.write("sesame \n")
        os.chmod(password, 0o640)
        server = f'discover = false\n[[ups.server]]\nhost = "127.0.0.1"\nuser = "monitor"\npassword_file = "{password}"\n'
        self.start(server)
        self.client.settle("ups/main@127.0.0.1", "ok")
        os.chmod(password, 0o644)
        self.daemon.signal(signal.SIGHUP)
        self.daemon.wait_log("ups.server[0].password_file")

    def test_a_password_file_that_cannot_be_used_costs_its_server_alone(self):
        password = os.path.join(self.upsd.folder, "password")
        server = f'[[ups.server]]\nhost = "localhost"\nuser = "monitor"\npassword_file = "{password}"\n'
        self.start(server)
        self.daemon.wait_log("ups server localhost: not watching it until a reload: ")
        self.assertIn(f"ups.server[0].password_file: {password}: no such file", self.daemon.log())
        self.client.settle("ups/main", "ok")
        self.assertNotIn("ups/main@localhost", self.client.states())
        with open(os.open(password, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write("sesame\n")
        self.daemon.signal(signal.SIGHUP)
        self.client.settle("ups/main@localhost", "ok")

    def test_of_several_servers_each_stands_for_itself(self):
        """One here, one behind a link, and one whose name nobody knows."""
        far = harness.Namespace(self, "far")
        harness.veth(self.namespace, "near0", far, "far0", 1)
        other = Upsd(self, far, {"rack": ONLINE}, listen="10.82.1.2")
        self.start("".join(f'[[ups.server]]\nhost = "{host}"\nupses = ["rack"]\n'
                           for host in ("10.82.1.2", "nobody.invalid")))
        main = self.client.settle("ups/main", "ok")
        self.client.settle("ups/rack@10.82.1.2", "ok")
        self.client.wait_state("ups/rack@nobody.invalid", lambda state: "not reached" in state["reason"], patience=60)
        other.status("rack", "OB DISCHRG", battery_charge="95", battery_runtime="1100")
        self.client.wait_state("ups/rack@10.82.1.2", "warning")
        other.write("rack", ONLINE)
        self.client.wait_state("ups/rack@10.82.1.2", "ok")
        other.server.send_signal(signal.SIGSTOP)
        state = self.client.wait_state("ups/rack@10.82.1.2", "unknown")
        self.assertIn("not reached: no answer", state["reason"])
        other.server.send_signal(signal.SIGCONT)
        self.client.wait_state("ups/rack@10.82.1.2", "ok")
        self.assertEqual(self.client.states()["ups/main"]["change"], main["change"])

    def test_of_two_one_may_fail(self):
        self.start('[[ups.group]]\nname = "power"\nmembers = ["main", "second"]\n')
        self.client.settle("ups/power", "ok")
        self.upsd.status("main", "OB LB")
        self.assertIn("1 of 2 hold", self.client.wait_state("ups/power", "warning")["reason"])
        self.upsd.status("second", "OB LB")
        self.assertIn("0 of 2 hold", self.client.wait_state("ups/power", "critical")["reason"])


@needs_nut
@harness.needs_namespaces
@unittest.skipUnless(os.path.isdir(DEVICES), "needs the recorded devices in ../shared/data")
class RecordedDevices(unittest.TestCase):
    def test_every_recorded_device_has_the_state_that_its_status_means(self):
        devices, expected = {}, {}
        for number, file in enumerate(sorted(os.listdir(DEVICES))):
            name = f"ups{number}"
            with open(os.path.join(DEVICES, file), errors="replace") as stream:
                text = "".join(line for line in stream if not line.lstrip().startswith("#"))
            found = re.search(r"^ups\.status:[ \t]*(.*)$", text, re.M)
            status = (found.group(1).split("#")[0] if found else "").split()
            devices[name] = text
            expected[name] = (file, status)
        namespace = harness.Namespace(self, "nut")
        upsd = Upsd(self, namespace, devices)
        daemon = agent(self, QUIET + f'[ups]\nhost_needs = "0s"\ndriver_folder = "{upsd.folder}"\n', namespace)
        client = health(self, daemon, "state/")
        for name, (file, status) in expected.items():
            with self.subTest(device=file):
                if "OB" in status and "LB" in status:
                    word = "critical"
                elif "OB" in status or "LB" in status:
                    word = "warning"
                else:
                    word = "ok" if "OL" in status else "unknown"
                state = client.settle(f"ups/{name}", word)
                self.assertEqual(state["values"].get("ups_status", "").split()[:1], status[:1])


@harness.needs_namespaces
class Nonsense(unittest.TestCase):
    """A server of which anything may come."""

    def setUp(self):
        self.namespace = harness.Namespace(self, "nut")
        self.listener = self.namespace.enter(lambda: socket.create_server(("127.0.0.1", 4000)))
        self.addCleanup(self.listener.close)

    def serve(self, answer):
        """Answers each connection with the same bytes, and keeps it open."""
        kept = []

        def work():
            while True:
                try:
                    connection, _ = self.listener.accept()
                    kept.append(connection)
                    connection.sendall(answer)
                except OSError:
                    return
        threading.Thread(target=work, daemon=True).start()
        self.addCleanup(lambda: [connection.close() for connection in kept])

    def check(self, answer):
        self.serve(answer)
        server = '[ups]\ndiscover = false\nstale_dwell = "0s"\n'
        server += '[[ups.server]]\nhost = "127.0.0.1"\nport = 4000\nupses = ["main"]\n'
        daemon = agent(self, QUIET + server, self.namespace)
        client = health(self, daemon, "state/")
        state = client.until(
            lambda message: harness.subject_of(message) == "ups/main@127.0.0.1" and "not reached" in message["reason"],
            "the trouble with the server")[-1]
        self.assertEqual(state["status"], "unknown")
        self.assertTrue(daemon.is_running())
        self.assertEqual(daemon.stop(), 0)

    def test_binary_garbage(self):
        self.check(os.urandom(1000) + b"\n" + b"\n".join(os.urandom(20) for _ in range(100)) + b"\n")

    def test_another_protocol(self):
        self.check(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 20)

    def test_a_flood_without_a_line(self):
        self.check(b"A" * 5_000_000)

    def test_an_answer_that_stops_in_the_middle(self):
        self.check(b'BEGIN LIST VAR main\nVAR main ups.status "O')

    def test_silence(self):
        self.check(b"")


if __name__ == "__main__":
    unittest.main()
