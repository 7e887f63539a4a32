"""Two booted Debians joined by a veth pair: CURVE, keys, and who may read what."""

import time
import unittest

import zmq
from zmq.utils.monitor import recv_monitor_message

import harness
import packages
from curve import Door, Keys
from debian import AGENT, AGENT_TOML, GATEWAY, ITCH, LOCAL_AGENT, Lines, boot, follow, install, line, watch
from harness import HealthClient, MarketClient, veth
from nspawn import needs_machines, owner_of

BEYOND = """[bus]
publish = ["ipc:///run/holdfast/agent.pub", "tcp://10.82.3.1:5555"]
request = ["ipc:///run/holdfast/agent.req", "tcp://10.82.3.1:5556"]
"""
BEYOND_GATEWAY = """[bus]
publish = ["ipc:///run/holdfast/gateway.pub", "tcp://10.82.3.1:6555"]
request = ["ipc:///run/holdfast/gateway.req", "tcp://10.82.3.1:6556"]
[downstream]
publish = ["ipc:///run/holdfast/gateway.md", "tcp://10.82.3.1:7000"]
"""
PUBLISH, REQUEST = "tcp://10.82.3.1:5555", "tcp://10.82.3.1:5556"
CLIENT_REFUSED = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a30"
CLIENT_REMOVED = "5c1d3f0c7a5e4d2f9a4b0e6d1c2f7a31"
REFUSED_EVENTS = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_DISCONNECTED)


@needs_machines
@packages.needs_packages
class TwoHosts(unittest.TestCase):
    """fra-1 publishes to ldn-1 over a veth pair, in CURVE and to whom it knows."""

    @classmethod
    def setUpClass(cls):
        owner = owner_of(cls)
        cls.fra, cls.ldn = boot(owner, "fra-1"), boot(owner, "ldn-1")
        veth(cls.fra, "wan", cls.ldn, "wan", 3)
        for machine in (cls.fra, cls.ldn):
            install(machine, "holdfast", "holdfast-gateway")
        cls.fra.run("holdfast", "keygen")
        cls.fra.write("/etc/holdfast/clients.toml", "")
        cls.fra.write(AGENT_TOML, BEYOND + watch("matcher", 'match_command = ["86426"]'))
        cls.fra.run("systemctl", "restart", AGENT)

    def public(self, machine):
        return machine.run("holdfast", "keygen", "--show").strip()

    def authorize(self, name, *words):
        self.fra.run("holdfast", "authorize", name, *words)
        self.fra.run("systemctl", "reload", AGENT)

    def subscribe(self, keys, *topics, server=None):
        """A client on ldn-1 with these keys."""
        return HealthClient(self, PUBLISH, REQUEST, *topics, curve=(keys, server or self.public(self.fra)),
                            namespace=self.ldn)

    def test_an_authorized_client_follows(self):
        """keygen, authorize, reload: a program and the command line on the other host see the first one's faults."""
        keys = Keys()
        self.authorize("dashboard", keys.public)
        self.fra.run("systemd-run", "--unit=matcher", "sleep", "86426")
        client = self.subscribe(keys, "state/")
        client.settle("process/matcher", "ok")
        self.fra.run("systemctl", "kill", "--signal=KILL", "matcher")
        self.assertEqual(client.wait_state("process/matcher", "critical")["host"], "fra-1")
        self.ldn.attempt("holdfast", "keygen")
        self.authorize("ldn-1", self.public(self.ldn))
        done = self.ldn.attempt("holdfast", "status", "--endpoint", REQUEST, "--server-key", self.public(self.fra))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stdout, "process/matcher +critical")

    def test_an_unauthorized_client_gets_nothing(self):
        """It is refused, and logged with its address; who is known meanwhile misses nothing."""
        known, stranger = Keys(), Keys()
        self.authorize("known", known.public)
        witness = self.subscribe(known, "heartbeat/")
        witness.wait(lambda message: True, "a heartbeat")
        before = self.fra.moment()
        context = zmq.Context()
        self.addCleanup(context.destroy, linger=0)
        sub = self.ldn.enter(lambda: context.socket(zmq.SUB))  # libzmq's thread is of where its first socket is
        events = sub.get_monitor_socket()
        stranger.client(sub, self.public(self.fra))
        sub.subscribe(b"")
        self.ldn.enter(lambda: sub.connect(PUBLISH))
        self.wait_event(events, *REFUSED_EVENTS)
        entry = self.fra.wait_entry(lambda entry: True, "the refusal", f"MESSAGE_ID={CLIENT_REFUSED}",
                                    f"_SYSTEMD_UNIT={AGENT}", after=before)
        self.assertTrue(entry["HOLDFAST_CLIENT_ADDRESS"].startswith("10.82.3.2"), entry)
        for _ in range(4):
            witness.wait(lambda message: True, "a heartbeat")
        self.assertEqual(sub.poll(0), 0)
        sub.disable_monitor()

    def wait_event(self, monitor, *wanted):
        until = time.monotonic() + harness.PATIENCE_S
        while (left := until - time.monotonic()) > 0:
            if monitor.poll(left * 1000) and recv_monitor_message(monitor)["event"] in wanted:
                return
        self.fail(f"no event of {wanted} in {harness.PATIENCE_S} s")

    def test_a_removed_client_is_hung_up_on(self):
        """At once on the reload, and only this one."""
        gone, stays = Keys(), Keys()
        self.authorize("gone", gone.public)
        self.authorize("stays", stays.public)
        leaving, staying = self.subscribe(gone, "heartbeat/"), self.subscribe(stays, "heartbeat/")
        leaving.wait(lambda message: True, "a heartbeat")
        first = staying.wait(lambda message: True, "a heartbeat")
        before = self.fra.moment()
        events = leaving.sub.get_monitor_socket()
        self.authorize("gone", "--remove")
        self.wait_event(events, zmq.EVENT_DISCONNECTED)
        entry = self.fra.wait_entry(lambda entry: True, "the removal", f"MESSAGE_ID={CLIENT_REMOVED}", after=before)
        self.assertEqual(entry["HOLDFAST_CLIENT"], "gone")
        after = staying.wait(lambda message: True, "a heartbeat")
        self.assertEqual(after["incarnation"], first["incarnation"])
        leaving.sub.disable_monitor()

    def test_another_host_key_without_a_restart(self):
        """keygen --replace and a reload: clients with the new key come in, the run is the same."""
        keys = Keys()
        self.authorize("rotates", keys.public)
        before = self.subscribe(keys, "heartbeat/").wait(lambda message: True, "a heartbeat")
        old = self.public(self.fra)
        self.fra.run("holdfast", "keygen", "--replace")
        self.assertNotEqual(self.public(self.fra), old)
        self.fra.run("systemctl", "reload", AGENT)
        after = self.subscribe(keys, "heartbeat/").wait(lambda message: True, "a heartbeat under the new key")
        self.assertEqual(after["incarnation"], before["incarnation"])

    def test_bad_keys_change_nothing(self):
        """A reload with a key file that others may read, or a list that they may write, fails and says so."""
        keys = Keys()
        self.authorize("steady", keys.public)
        client = self.subscribe(keys, "heartbeat/")
        client.wait(lambda message: True, "a heartbeat")
        for path, wide, right in (("host.key", "644", "600"), ("clients.toml", "666", "644")):
            with self.subTest(path):
                self.fra.run("chmod", wide, f"/etc/holdfast/{path}")
                done = self.fra.attempt("systemctl", "reload", AGENT)
                self.fra.run("chmod", right, f"/etc/holdfast/{path}")
                self.assertNotEqual(done.returncode, 0)
                self.fra.run("journalctl", "--sync")
                self.assertIn(f"/etc/holdfast/{path}", self.fra.attempt("systemctl", "status", AGENT).stdout)
                client.sync()
                client.wait(lambda message: True, "a heartbeat")

    def test_no_keys_no_start(self):
        """An address beyond the host without a key: the line, and what to do."""
        machine = self.ldn
        machine.write(AGENT_TOML, BEYOND.replace("10.82.3.1", "10.82.3.2"))
        self.addCleanup(machine.run, "systemctl", "restart", AGENT)
        self.addCleanup(machine.write, AGENT_TOML, "")
        machine.run("rm", "-f", "/etc/holdfast/host.key")
        self.assertNotEqual(machine.attempt("systemctl", "restart", AGENT).returncode, 0)
        machine.run("journalctl", "--sync")
        status = machine.attempt("systemctl", "status", "--full", AGENT).stdout
        self.assertIn(f"{AGENT_TOML}:2", status)
        self.assertIn("holdfast keygen", status)
        self.assertEqual(machine.state(AGENT), "failed")

    def test_an_agent_reports_to_a_collector(self):
        """It connects out: the collector needs one key, and no address of the agent's."""
        collector = Keys()
        context = zmq.Context()
        self.addCleanup(context.destroy, linger=0)
        sub = context.socket(zmq.SUB)
        collector.server(sub)
        sub.subscribe(b"state/ldn-1/process/")
        self.fra.enter(lambda: sub.bind("tcp://10.82.3.1:5570"))
        self.ldn.attempt("holdfast", "keygen")
        Door(self, context, self.keys_of(self.ldn))
        self.ldn.write(AGENT_TOML, f'[[report_to]]\nendpoint = "tcp://10.82.3.1:5570"\n'
                       f'server_key = "{collector.public}"\n' + watch("pid1", 'match_name = "systemd"'))
        self.addCleanup(self.ldn.run, "systemctl", "restart", AGENT)
        self.addCleanup(self.ldn.write, AGENT_TOML, "")
        self.ldn.run("systemctl", "restart", AGENT)
        self.assertTrue(sub.poll(harness.PATIENCE_S * 1000), "nothing arrives at the collector")
        self.assertEqual(sub.recv_multipart()[0], b"state/ldn-1/process/pid1/")

    def keys_of(self, machine):
        keys = Keys()
        keys.public = self.public(machine)
        return keys

    def test_market_data_by_entitlement(self):
        """The gateway gives each client what its topics allow, and no more."""
        isps = {"A": line(self, self.fra, "eth0", 1), "B": line(self, self.fra, "eth1", 2)}
        lines = Lines(self, **isps)
        self.fra.write("/etc/holdfast/gateway.toml", BEYOND_GATEWAY + LOCAL_AGENT + ITCH)
        some, nothing = Keys(), Keys()
        self.fra.run("holdfast", "authorize", "some", some.public, "--topic", "md/itch/ALFA/")
        self.fra.run("holdfast", "authorize", "nothing", nothing.public)
        self.fra.run("systemctl", "enable", "--now", GATEWAY)
        self.addCleanup(self.fra.run, "systemctl", "disable", "--now", GATEWAY)
        server = self.public(self.fra)

        def subscribe(keys, everything):
            return MarketClient(self, "tcp://10.82.3.1:7000", "itch", "ALFA", everything=everything,
                                curve=(keys, server), namespace=self.ldn)
        client, other = subscribe(some, True), subscribe(nothing, True)
        client.sync(), other.sync()
        lines.wait_heard(follow(self, self.fra, name="gateway"))
        lines.open("ALFA", "BRAVO")
        client.wait_live()
        for _ in range(10):
            lines.both(lines.orders(4, "ALFA", "BRAVO"))
        messages = client.until(
            lambda message: message["kind"] == "data" and message["sequence"] >= 41, "the last order")
        self.assertEqual({message["topic"] for message in messages if message["kind"] == "data"}, {"md/itch/ALFA/"})
        self.assertEqual([message["topic"] for message in other.sync()], [], "nothing was entitled")


if __name__ == "__main__":
    unittest.main()
