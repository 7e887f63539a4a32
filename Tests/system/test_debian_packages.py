"""The packages on a booted Debian, over their lives: the gateway's, upgrades from an older version, removal; and
the commands that README.md shows."""

import os
import re
import unittest

import harness
import packages
from curve import Keys
from debian import (AGENT, AGENT_TOML, GATEWAY, FeedHost, boot, follow, install, ready_after_ms, show, status, uplink,
                    watch)
from harness import Order, subject_of
from nspawn import needs_machines
from test_gateway_restart import Account


@needs_machines
@packages.needs_packages
class Gateway(unittest.TestCase):
    def test_from_the_package_to_live_data(self):
        """Installed it neither runs nor starts at the next boot; configured and enabled it works, in its sandbox."""
        host = FeedHost(self)
        machine = host.machine
        install(machine, "holdfast", "holdfast-gateway")
        self.assertEqual(machine.state(GATEWAY), "inactive")
        self.assertEqual(machine.attempt("systemctl", "is-enabled", GATEWAY).stdout.strip(), "disabled")
        self.assertEqual(machine.run("systemctl", "is-system-running").strip(), "running")
        host.start()
        show(f"gateway ready {ready_after_ms(machine, GATEWAY):.0f} ms after its start")
        client, quotes = host.itch(self), host.quotes(self)
        host.quote("HF1/")
        self.assertEqual(quotes.wait(lambda message: message["kind"] == "data", "a quote")["topic"], "md/quotes/HF1/")
        order = Order(per_topic=False)
        for _ in range(20):
            host.lines.both(host.lines.orders(3, "ALFA", "BRAVO"))
        for message in client.until(lambda message: message["sequence"] >= 62 and message["kind"] == "data", "62"):
            order.take(message)
        self.assertEqual((order.faults, order.missing), ([], 0))
        health = host.health(self, "state/")
        for subject in ("feed/itch", "feed-path/itch.A", "feed-path/itch.B", "feed/quotes", "feed-path/quotes.B"):
            health.settle(subject, "ok")
        self.assertRegex(status(machine), "nic/eth1 +ok")
        self.check_process(machine)
        self.check_warning(machine)

    def check_process(self, machine):
        """No capability at all."""
        pid = machine.show(GATEWAY, "MainPID")["MainPID"]
        status = dict(line.split(":\t", 1) for line in machine.read(f"/proc/{pid}/status").splitlines())
        self.assertEqual([int(status[name], 16) for name in ("CapEff", "CapPrm", "CapAmb", "CapBnd")], [0] * 4)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def check_warning(self, machine):
        """A receive buffer smaller than it asked for is told, once a line, where the kernel grants less."""
        with open("/proc/sys/net/core/rmem_max") as file:
            granted = int(file.read())
        told = [entry["MESSAGE"] for entry in machine.journal(f"_SYSTEMD_UNIT={GATEWAY}")
                if "receive buffer" in entry["MESSAGE"]]
        self.assertEqual(len(told), 2 if granted < 16 << 20 else 0, told)
        for text in told:
            self.assertIn("net.core.rmem_max", text)


@needs_machines
@packages.needs_packages
class Upgrade(unittest.TestCase):
    """From an older version's packages, with subscribers who stay."""

    def test_subscribers_of_the_agent(self):
        """Every change of the old run is there, then a later run, whose states are whole."""
        machine = boot(self, older=True)
        uplink(self, machine)
        install(machine, "holdfast", folder="/root/older", version=packages.OLDER)
        machine.run("systemd-run", "--unit=matcher", "sleep", "86425")
        machine.write(AGENT_TOML, watch("matcher", 'match_command = ["86425"]'))
        machine.run("systemctl", "reload", AGENT)
        client = follow(self, machine, "state/", "heartbeat/")
        client.settle("process/matcher", "ok")
        client.settle("pressure/softnet", "ok")  # read with the first samples
        old = client.join()
        install(machine, "holdfast")
        self.assertEqual(machine.run("dpkg-query", "--show", "--showformat=${Version}", "holdfast"), packages.VERSION)
        last = old["change"]
        for message in client.until(lambda message: message["incarnation"] != old["incarnation"], "a later run")[:-1]:
            self.assertLessEqual(message["change"], last + 1, "a change was missed before the upgrade")
            last = max(last, message["change"])
        new = client.join()
        self.assertGreater(new["incarnation"], old["incarnation"])
        client.settle("process/matcher", "ok")
        self.assertEqual(set(client.states()), {subject_of(state) for state in old["states"]})
        self.assertIn(watch("matcher", 'match_command = ["86425"]'), machine.read(AGENT_TOML))

    def test_a_configuration_that_the_new_version_refuses(self):
        """The old process goes on, apt says the line, and a restart after the correction is the new version."""
        machine = boot(self, older=True)
        uplink(self, machine)
        install(machine, "holdfast", folder="/root/older", version=packages.OLDER)
        client = follow(self, machine, "heartbeat/")
        old = client.wait(lambda message: True, "a heartbeat")["incarnation"]
        pid = machine.show(AGENT, "MainPID")
        machine.write(AGENT_TOML, "[path]\nenabled = 1\n")
        before = machine.moment()
        self.assertIn(f"{AGENT_TOML}:2", install(machine, "holdfast"))
        machine.wait_entry(lambda entry: f"{AGENT_TOML}:2" in entry["MESSAGE"], "the line", after=before)
        self.assertEqual(machine.show(AGENT, "MainPID"), pid)
        client.sync()
        self.assertEqual(client.wait(lambda message: True, "a heartbeat")["incarnation"], old)
        machine.write(AGENT_TOML, "")
        machine.run("systemctl", "restart", AGENT)
        new = client.wait(lambda message: message["incarnation"] != old, "a later run")
        self.assertGreater(new["incarnation"], old)

    def older_agent(self):
        """A machine with the older version, whose agent runs."""
        machine = boot(self, older=True)
        uplink(self, machine)
        install(machine, "holdfast", folder="/root/older", version=packages.OLDER)
        return machine

    def begin_with(self, machine, path, group="holdfast", **words):
        """Starts the agent anew with another file, which this group may read, and with settings of a drop-in."""
        machine.write(path, "", mode=0o640)
        machine.run("chgrp", group, path)
        folder = f"/etc/systemd/system/{AGENT}.d"
        machine.run("mkdir", "-p", folder)
        settings = {"SupplementaryGroups": group, "ExecStart": f"/usr/bin/holdfast-agent --config {path}"} | words
        machine.write(f"{folder}/site.conf", "[Service]\nExecStart=\n"
                      + "".join(f"{name}={value}\n" for name, value in settings.items()))
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", AGENT)

    def upgraded(self, machine):
        """Upgrades, and returns whether another process runs now, and what apt said."""
        pid = machine.show(AGENT, "MainPID")
        told = install(machine, "holdfast")
        self.assertEqual(machine.state(AGENT), "active", told)
        return machine.show(AGENT, "MainPID") != pid, told

    def test_a_password_that_a_start_does_without(self):
        """It costs one server and is no reason to stay with the old version."""
        machine = self.older_agent()
        machine.write("/etc/holdfast/upsd.password", "sesame\n", mode=0o600)
        machine.write(AGENT_TOML, '[[ups.server]]\nhost = "127.0.0.1"\nuser = "monitor"\n'
                      'password_file = "/etc/holdfast/upsd.password"\n')
        machine.run("systemctl", "restart", AGENT)
        is_new, told = self.upgraded(machine)
        self.assertTrue(is_new, told)

    def test_a_file_of_a_drop_in_that_the_new_version_refuses(self):
        """What the unit starts with is checked, not the default file, which is good."""
        machine, path = self.older_agent(), "/etc/holdfast/site.toml"
        self.begin_with(machine, path)
        machine.write(path, "[path]\nenabled = 1\n", mode=0o640)
        is_new, told = self.upgraded(machine)
        self.assertFalse(is_new, told)
        self.assertIn(f"{path}:2", told)

    def test_a_file_that_only_a_drop_in_makes_readable(self):
        """It is named by a variable, stands in the sandbox in place of one that is refused, and is a group's."""
        machine, path, seen = self.older_agent(), "/etc/holdfast/site.toml", "/etc/holdfast/seen.toml"
        for refused in (AGENT_TOML, seen):
            machine.write(refused, "[path]\nenabled = 1\n")
        self.begin_with(machine, path, "adm", Environment=f"SITE={seen}", BindReadOnlyPaths=f"{path}:{seen}",
                        ExecStart="/usr/bin/holdfast-agent --config ${SITE}")
        is_new, told = self.upgraded(machine)
        self.assertTrue(is_new, told)

    def test_subscribers_of_the_gateway(self):
        """Market data while the gateway is upgraded: each sequence once and in order but for what a client knows to be
        missing, exactly, by what the document says."""
        host = FeedHost(self, older=True)
        machine = host.machine
        install(machine, "holdfast", "holdfast-gateway", folder="/root/older", version=packages.OLDER)
        host.start()
        itch, quotes, health = host.itch(self), host.quotes(self), host.health(self, "heartbeat/")
        old = health.wait(lambda message: True, "a heartbeat")["incarnation"]
        stop = host.play(self)
        itch.wait(lambda message: message["kind"] == "data", "data of the old run")
        install(machine, "holdfast", "holdfast-gateway")
        new = health.wait(lambda message: message["incarnation"] != old, "a later run")["incarnation"]
        self.assertGreater(new, old)
        self.check_itch(self.to_the_end(itch, host.lines.next))
        self.check_quotes(self.to_the_end(quotes, host.quote("HF1/")))
        stop()

    def to_the_end(self, client, sequence):
        """What came before and after the upgrade: data beyond a sequence, and a heartbeat of the later run."""
        messages = client.until(
            lambda message: message["kind"] == "data" and message["sequence"] > sequence, "data of the later run")
        return messages + client.until(lambda message: message["kind"] == "heartbeat", "a heartbeat")

    def hole(self, data):
        """The one place where a sequence is not the next one: the message before it, and the one after it."""
        holes = [pair for pair in zip(data, data[1:]) if pair[1]["sequence"] != pair[0]["sequence"] + 1]
        self.assertEqual(len(holes), 1, holes)
        self.assertGreater(holes[0][1]["sequence"], holes[0][0]["sequence"])
        show(f"{holes[0][0]['topic']}: {holes[0][1]['sequence'] - holes[0][0]['sequence'] - 1} missed in the upgrade")
        return holes[0]

    def check_run(self, messages):
        """The headers tell that another run has begun."""
        runs = [message["run"] for message in messages]
        self.assertEqual(sum(before != after for before, after in zip(runs, runs[1:])), 1, set(runs))

    def check_itch(self, messages):
        """By the document's rules each sequence was received or is known to be missing."""
        self.check_run(messages)
        account = Account()
        for message in messages:
            account.take(message)
        self.assertEqual(account.faults, [])
        self.assertIn("restart", account.reasons)
        received = {number for numbers in account.received.values() for number in numbers}
        known = {number for ranges in account.missing.values() for first, last in ranges
                 for number in range(first, last + 1)}
        self.assertEqual(set(range(min(received), max(received) + 1)) - received - known, set())
        self.assertEqual([pair for pair in account.missing[None] if received & set(range(pair[0], pair[1] + 1))], [])
        show(f"{len(known - received)} sequences of itch missed in the upgrade")

    def check_quotes(self, messages):
        """The first message of each topic does not name the last one as its predecessor."""
        self.check_run(messages)
        for symbol in ("HF1", "HF2"):
            topic = f"md/quotes/{symbol}/"
            data = [message for message in messages if message["kind"] == "data" and message["topic"] == topic]
            before, after = self.hole(data)
            self.assertNotEqual(after["previous"], before["sequence"])


@needs_machines
@packages.needs_packages
class Removal(unittest.TestCase):
    # What the machine itself writes all the time, and where Debian keeps its own books.
    passing = re.compile(r"^/(var/(log|cache|lib/(apt|dpkg|systemd|private))|etc/(ld\.so\.cache|\.pwd\.lock)|root|tmp|"
                         r"etc/(passwd|group|shadow|gshadow)-?)(/|$)")

    # What a package that is removed and not purged leaves: configuration, data, and that a unit was enabled.
    kept = "/etc/holdfast|/var/lib/holdfast|/etc/systemd/system/multi-user.target.wants/holdfast-"

    def listing(self, machine):
        return set(machine.run("find", "/", "-xdev").splitlines())

    def test_remove_and_purge(self):
        """Remove keeps the configuration and nothing that runs; purge leaves the user, as Debian's policy says."""
        machine = boot(self)
        uplink(self, machine)
        machine.run("apt-get", "install", "--yes", "libzmq5", "libpcap0.8")
        before = self.listing(machine)
        self.assertIn("/usr/bin/apt-get", before)
        install(machine, "holdfast", "holdfast-gateway")
        machine.run("install", "-m", "600", "-o", "holdfast", "/dev/null", "/etc/holdfast/host.key")
        machine.run("install", "-m", "644", "/dev/null", "/etc/holdfast/clients.toml")
        machine.run("systemctl", "enable", "--now", GATEWAY)
        pid = machine.show(AGENT, "MainPID")["MainPID"]
        machine.run("apt-get", "remove", "--yes", "holdfast", "holdfast-gateway")
        self.assertFalse(machine.exists(f"/proc/{pid}"))
        self.assertFalse(machine.exists("/run/holdfast"))
        left = {path for path in self.listing(machine) - before if not self.passing.match(path)}
        self.assertIn(AGENT_TOML, left)
        self.assertEqual({path for path in left if not re.match(self.kept, path)}, set())
        machine.run("apt-get", "purge", "--yes", "holdfast", "holdfast-gateway")
        after = self.listing(machine)
        self.assertEqual({path for path in after - before if not self.passing.match(path)}, set())
        self.assertEqual({path for path in before - after if not self.passing.match(path)}, set())
        self.assertEqual(machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "holdfast*"), "")
        machine.run("getent", "passwd", "holdfast")


# README


def commands(section):
    """The shell commands of a section of README.md, up to the next heading, one a line."""
    with open(os.path.join(harness.ROOT, "README.md")) as file:
        parts = re.split(r"^(#+ .*)$", file.read(), flags=re.M)
    heading = next((index for index, part in enumerate(parts) if re.fullmatch(rf"#+ {section}", part)), None)
    if heading is None:
        raise AssertionError(f"README.md has no section \"{section}\"")
    text = "".join(re.findall(r"^```sh\n(.*?)^```", parts[heading + 1], flags=re.M | re.S)).replace("\\\n", " ")
    found = [re.sub(r"(^|\s+)# .*", "", line).strip() for line in text.splitlines()]
    return [command for command in found if command]


@needs_machines
@packages.needs_packages
class Readme(unittest.TestCase):
    """The commands that README.md shows, typed as they stand."""

    # These go on until they are interrupted.
    follows = re.compile(r"holdfast watch|journalctl .*(-f\b|--follow)")

    def type(self, machine, command, **variables):
        """Runs a command in root's folder; questions are answered with yes."""
        words = ["timeout", "--signal=INT", "2"] if self.follows.search(command) else []
        given = [f"{name}={value}" for name, value in variables.items()]
        done = machine.attempt("env", "--chdir=/root", *given, *words, "bash", "-c", command, input="y\n" * 10)
        # 3: something is not known yet; 1 of doctor: there is something to do.
        allowed = (0, 1, 2, 3) if re.search("holdfast (status|doctor)", command) else (0, 124, 130) if words else (0,)
        self.assertIn(done.returncode, allowed, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def test_install_on_a_host(self):
        """The first is for where a toolchain is, and has made what lies in /root/dist."""
        host = FeedHost(self)
        build, *typed = commands("Install on a host")
        self.assertEqual(build, "packaging/build-deb dist")
        self.assertGreaterEqual(len(typed), 4)
        for command in typed:
            with self.subTest(command):
                if "enable" in command:
                    host.write_configuration()
                self.type(host.machine, command)
        self.assertEqual([host.machine.state(unit) for unit in (AGENT, GATEWAY)], ["active"] * 2)

    def test_operate(self):
        """On a host where both feeds play."""
        host = FeedHost(self)
        install(host.machine, "holdfast", "holdfast-gateway")
        host.start()
        host.itch(self), host.quotes(self)
        host.play(self)
        typed = commands("Operate")
        self.assertGreaterEqual(len(typed), 5)
        for command in typed:
            with self.subTest(command):
                self.type(host.machine, command)

    def test_keys(self):
        """From no key to a client that comes and goes."""
        machine = boot(self)
        install(machine, "holdfast")
        typed = commands("Keys")
        self.assertTrue(any("authorize" in command for command in typed))
        machine.run("useradd", "--create-home", "alice")
        for command in typed:
            with self.subTest(command):
                person = command if command.startswith("sudo ") else f"sudo --user=alice --set-home {command}"
                self.type(machine, person, KEY=Keys().public)
        listed = machine.read("/etc/holdfast/clients.toml")
        self.assertNotIn("strategy-7", listed)


if __name__ == "__main__":
    unittest.main()
