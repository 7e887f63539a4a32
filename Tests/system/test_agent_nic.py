"""NICs: carrier, names, switches and unplugging, as an independent subscriber sees them."""

import signal
import unittest

import harness
from harness import Namespace, Tap, agent, health, needs_namespaces, needs_tap

NICS = """[nic]
include = [%s]
[path]
enabled = false
"""


def is_state(subject, status):
    return lambda message: harness.subject_of(message) == subject and message["status"] == status


class Case(unittest.TestCase):
    def start(self, *names, more=""):
        included = ", ".join(f'"{name}"' for name in names)
        self.daemon = agent(self, NICS % included + more, self.desk)
        self.client = health(self, self.daemon, "state/")
        return self.client


@needs_namespaces
class Veth(Case):
    def setUp(self):
        self.desk, self.isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(self.desk, "eth0", self.isp, "peer", 1)
        self.link = self.isp.link("peer")
        self.addCleanup(self.link.close)

    def test_carrier_loss_and_return(self):
        client = self.start("eth0")
        first = client.settle("nic/eth0", "ok")
        self.link.set(False)
        lost = client.wait_state("nic/eth0", "critical")
        self.assertEqual((lost["reason"], lost["previous"], lost["cause"]), ("no carrier", "ok", None))
        self.assertGreater(lost["change"], first["change"])
        self.link.set(True)
        back = client.wait_state("nic/eth0", "ok")
        self.assertEqual(back["previous"], "critical")
        # Both may have been read at once, and then bear one stamp.
        self.assertGreaterEqual(back["since"], lost["since"])
        self.assertGreater(back["change"], lost["change"])

    def test_each_of_many_losses_is_published_and_they_count_as_flapping(self):
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        statuses = []
        for _ in range(3):
            self.link.set(False)
            statuses.append(client.wait_state("nic/eth0", lambda message: message["status"] == "critical"
                                              and message["reason"] == "no carrier")["status"])
            self.link.set(True)
            statuses.append(client.wait_state("nic/eth0", lambda message: message["status"] != "critical")["status"])
        self.assertEqual(statuses, ["critical", "ok", "critical", "ok", "critical", "warning"])

    def test_flapping_is_over_after_its_window(self):
        client = self.start("eth0", more='[process]\nenabled = false\n')
        self.daemon.configure(harness.AGENT_BUS + (NICS % '"eth0"').replace(
            "[path]", 'flap_window = "2s"\nflap_count = 2\n[path]'))
        self.daemon.stop()
        self.daemon.start()
        client = self.client = health(self, self.daemon, "state/")
        client.settle("nic/eth0", "ok")
        for _ in range(2):
            self.link.set(False)
            client.wait_state("nic/eth0", "critical")
            self.link.set(True)
            client.wait_state("nic/eth0", lambda message: message["status"] != "critical")
        client.settle("nic/eth0", "ok")

    def test_administratively_down_is_told_apart_from_no_carrier(self):
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        self.desk.ip("link", "set", "eth0", "down")
        self.assertEqual(client.wait_state("nic/eth0", "critical")["reason"], "administratively down")
        self.desk.ip("link", "set", "eth0", "up")
        client.wait_state("nic/eth0", "ok")

    def test_a_renamed_NIC_says_under_the_old_name_where_it_went(self):
        client = self.start("eth0", "lan0")
        client.settle("nic/eth0", "ok")
        client.settle("nic/lan0", "critical")
        self.desk.ip("link", "set", "eth0", "down")
        client.wait_state("nic/eth0", "critical")
        self.desk.ip("link", "set", "eth0", "name", "lan0")
        old = client.wait_state("nic/eth0", lambda message: "renamed" in message["reason"])
        self.assertEqual((old["status"], old["reason"]), ("critical", "renamed to lan0"))
        self.desk.ip("link", "set", "lan0", "up")
        self.assertEqual(client.settle("nic/lan0", "ok")["reason"], "up")

    def test_a_renamed_NIC_that_only_a_wildcard_named_leaves_a_tombstone(self):
        client = self.start("eth*", "lan*")
        client.settle("nic/eth0", "ok")
        self.desk.ip("link", "set", "eth0", "down")
        self.desk.ip("link", "set", "eth0", "name", "lan0")
        self.desk.ip("link", "set", "lan0", "up")
        seen = client.until(is_state("nic/lan0", "ok"), "lan0")
        states = client.states()
        self.assertEqual(states["nic/lan0"]["status"], "ok")
        gone = any(message.get("gone") and message["name"] == "eth0" for message in seen)
        self.assertTrue(gone or "renamed" in states["nic/eth0"]["reason"], states.get("nic/eth0"))

    def test_an_unplugged_NIC_is_critical_and_comes_back(self):
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        self.desk.ip("link", "del", "eth0")
        client.wait_state("nic/eth0", lambda message: message["reason"] == "removed"
                          and message["status"] == "critical")
        harness.veth(self.desk, "eth0", self.isp, "peer", 1)
        client.wait_state("nic/eth0", "ok")

    def test_a_NIC_that_was_never_there_is_critical_until_it_appears(self):
        client = self.start("eth9")
        self.assertEqual(client.settle("nic/eth9", "critical")["reason"], "no such interface")
        harness.veth(self.desk, "eth9", self.isp, "peer9", 9)
        client.wait_state("nic/eth9", "ok")

    def test_excluded_NICs_are_not_watched(self):
        harness.veth(self.desk, "eth1", self.isp, "peer1", 2)
        self.daemon = agent(self, '[nic]\ninclude = ["*"]\nexclude = ["eth1", "lo"]\n[path]\nenabled = false\n', self.desk)
        client = health(self, self.daemon, "state/")
        client.settle("nic/eth0", "ok")
        self.assertEqual({name for name in client.states() if name.startswith("nic/")}, {"nic/eth0"})

    def test_samples_carry_counters_with_their_units(self):
        self.start("eth0")
        samples = health(self, self.daemon, "sample/desk/nic/eth0/")
        values = samples.wait(lambda message: "rx_bytes" in message["values"], "a sample")["values"]
        self.assertLessEqual({"rx_bytes", "tx_bytes", "rx_packets", "rx_errors", "carrier_down_count"}, values.keys())
        values = samples.wait(lambda message: "errors_per_second" in message["values"], "rates")["values"]
        self.assertEqual(values["errors_per_second"], 0)

    def test_a_veth_whose_peer_has_its_index_is_not_late_either(self):
        """The kernel takes it for a real NIC and holds its second event back."""
        harness.run("ip", "link", "add", "eth5", "index", "55", "netns", self.desk.name, "type", "veth",
                    "peer", "name", "peer5", "index", "55", "netns", self.isp.name)
        self.desk.ip("link", "set", "eth5", "up")
        self.isp.ip("link", "set", "peer5", "up")
        client = self.start("eth5")
        first = client.settle("nic/eth5", "ok")
        link = self.isp.link("peer5")
        self.addCleanup(link.close)
        for number in (1, 2):
            link.set(False)
            lost = client.wait_state("nic/eth5", "critical")
            self.assertEqual(lost["values"]["carrier_down_count"], first["values"]["carrier_down_count"] + number)
            link.set(True)
            client.wait_state("nic/eth5", lambda message: message["status"] != "critical")

    def test_a_flood_of_other_links_hides_nothing(self):
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        batch = "".join(f"link add other{number} type veth peer name far{number}\nlink set other{number} up\n"
                        for number in range(100))
        harness.run("ip", "-n", self.desk.name, "-batch", "-", input=batch)
        self.link.set(False)
        client.wait_state("nic/eth0", "critical")
        self.link.set(True)
        client.wait_state("nic/eth0", "ok")
        self.assertEqual({name for name in client.states() if name.startswith("nic/")}, {"nic/eth0"})


    def test_news_that_the_kernel_dropped_are_made_good_by_a_new_picture(self):
        """The agent is held still until its socket overflows (ENOBUFS), and only then the carrier is lost."""
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        harness.veth(self.desk, "other", self.isp, "far", 2)
        self.daemon.signal(signal.SIGSTOP)
        try:
            harness.run("ip", "-n", self.desk.name, "-batch", "-",
                        input="".join(f"link set other alias {'x' * 200}{number}\n" for number in range(1500)))
            self.link.set(False)
        finally:
            self.daemon.signal(signal.SIGCONT)
        client.wait_state("nic/eth0", "critical")
        self.daemon.wait_log("netlink messages were lost")
        self.link.set(True)
        client.wait_state("nic/eth0", "ok")

    def test_the_loss_of_the_last_address_and_of_the_default_route_are_warnings(self):
        self.desk.ip("route", "add", "default", "via", "10.82.1.2")
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        self.desk.ip("route", "del", "default")
        state = client.wait_state("nic/eth0", "warning")
        self.assertEqual(state["reason"], "has lost its IPv4 default route via 10.82.1.2")
        self.desk.ip("route", "add", "default", "via", "10.82.1.2")
        client.wait_state("nic/eth0", "ok")
        self.desk.ip("addr", "del", "10.82.1.1/24", "dev", "eth0")
        state = client.wait_state("nic/eth0", "warning")
        self.assertEqual(state["reason"], "has lost its last IPv4 address 10.82.1.1")
        self.desk.ip("addr", "add", "10.82.1.1/24", "dev", "eth0")
        client.wait_state("nic/eth0", lambda message: "default route" in message["reason"])

    def test_a_lost_parent_is_the_cause_of_a_macvlan(self):
        self.desk.ip("link", "add", "link", "eth0", "name", "mv0", "type", "macvlan")
        self.desk.ip("link", "set", "mv0", "up")
        client = self.start("mv0")
        client.settle("nic/mv0", "ok")
        client.settle("nic/eth0", "ok")
        self.link.set(False)
        state = client.wait_state("nic/mv0", lambda message: message["status"] == "critical" and message["cause"])
        self.assertEqual((state["reason"], state["cause"]), ("no carrier", "nic/eth0"))
        self.link.set(True)
        client.wait_state("nic/mv0", "ok")

    def test_ports_of_a_bridge_come_and_go_and_are_no_other_NICs(self):
        try:
            self.desk.ip("link", "add", "br0", "type", "bridge")
        except RuntimeError as error:
            self.skipTest(f"this kernel has no bridges: {error}")
        self.desk.ip("link", "add", "guest", "type", "veth", "peer", "name", "inner", "netns", self.isp.name)
        self.desk.ip("link", "set", "guest", "up")
        self.desk.ip("link", "set", "br0", "up")
        client = self.start("eth0")
        client.settle("nic/eth0", "ok")
        for port in ("eth0", "guest"):
            self.desk.ip("link", "set", port, "master", "br0")
        for port in ("eth0", "guest"):
            self.desk.ip("link", "set", port, "nomaster")
        self.desk.ip("link", "set", "eth0", "down")
        seen = client.until(is_state("nic/eth0", "critical"), "eth0 switched off")
        self.assertEqual([(harness.subject_of(message), message["reason"]) for message in seen
                          if message["kind"] == "nic" and message["status"] == "critical"],
                         [("nic/eth0", "administratively down")])
        self.assertNotIn("nic/guest", client.states())

    def test_the_backlog_of_the_host_is_told(self):
        client = self.start("eth0")
        state = client.settle("pressure/softnet", "ok")
        self.assertLessEqual({"dropped_packets", "time_squeezes"}, state["values"].keys())

    def test_two_hundred_NICs_are_watched_and_told(self):
        batch = "".join(f"link add many{number} type veth peer name far{number} netns {self.isp.name}\n"
                        f"link set many{number} up\n" for number in range(200))
        harness.run("ip", "-n", self.desk.name, "-batch", "-", input=batch)
        harness.run("ip", "-n", self.isp.name, "-batch", "-",
                    input="".join(f"link set far{number} up\n" for number in range(200)))
        client = self.start("many*")
        client.settle("nic/many199", "ok")
        client.wait(lambda message: len([name for name, state in client.states().items()
                                         if name.startswith("nic/many") and "speed_bits_per_second" in state["values"]])
                    == 200, "200 NICs with their speeds")


@needs_namespaces
class Bond(Case):
    def setUp(self):
        self.desk, self.isp = Namespace(self, "desk"), Namespace(self, "isp")
        try:
            self.desk.ip("link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "50")
        except RuntimeError as error:
            self.skipTest(f"this kernel has no bonds: {error}")
        self.links = []
        for number in (0, 1):
            harness.veth(self.desk, f"eth{number}", self.isp, f"peer{number}", number + 1)
            self.desk.ip("link", "set", f"eth{number}", "down")
            self.desk.ip("link", "set", f"eth{number}", "master", "bond0")
            self.links.append(self.isp.link(f"peer{number}"))
            self.addCleanup(self.links[-1].close)
        self.desk.ip("link", "set", "bond0", "up")

    def test_a_bond_that_loses_a_member_is_a_warning_and_names_it(self):
        client = self.start("bond0")
        client.settle("nic/bond0", "ok")
        self.links[0].set(False)
        state = client.wait_state("nic/bond0", "warning")
        self.assertEqual(state["reason"], "1 of 2 members is up: eth0 has no carrier")
        self.links[1].set(False)
        client.wait_state("nic/bond0", "critical")


@needs_namespaces
class VLAN(Case):
    def setUp(self):
        self.desk, self.isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(self.desk, "eth0", self.isp, "peer", 1)
        try:
            self.desk.ip("link", "add", "link", "eth0", "name", "eth0.5", "type", "vlan", "id", "5")
        except RuntimeError as error:
            self.skipTest(f"this kernel has no VLANs: {error}")
        self.desk.ip("link", "set", "eth0.5", "up")

    def test_a_lost_parent_is_the_cause_of_a_VLAN(self):
        client = self.start("eth0.5")
        client.settle("nic/eth0.5", "ok")
        link = self.isp.link("peer")
        self.addCleanup(link.close)
        link.set(False)
        state = client.wait_state("nic/eth0.5", lambda message: message["status"] == "critical" and message["cause"])
        self.assertEqual(state["cause"], "nic/eth0")


@needs_namespaces
@needs_tap
class TapDevice(Case):
    def setUp(self):
        self.desk = Namespace(self, "desk")
        self.tap = Tap(self, self.desk, "tap0")

    def test_a_second_loss_within_a_second_is_published_although_the_kernel_holds_its_event_back(self):
        client = self.start("tap0")
        first = client.settle("nic/tap0", "ok")
        self.tap.carrier(False)
        client.wait_state("nic/tap0", "critical")
        self.tap.carrier(True)
        client.wait_state("nic/tap0", "ok")
        self.tap.carrier(False)
        second = client.wait_state("nic/tap0", "critical")
        down = first["values"]["carrier_down_count"]
        self.assertEqual(second["values"]["carrier_down_count"], down + 2)

    def test_losses_that_are_over_before_anyone_looked_are_published_too(self):
        client = self.start("tap0")
        client.settle("nic/tap0", "ok")
        self.tap.carrier(False)
        self.tap.carrier(True)
        lost = client.wait_state("nic/tap0", "critical")
        self.assertEqual(lost["reason"], "no carrier")
        client.wait_state("nic/tap0", "ok")

    def test_a_speed_that_fell_is_a_warning(self):
        self.tap.set_speed(1000)
        client = self.start("tap0")
        client.wait_state("nic/tap0", lambda message: message["values"].get("speed_bits_per_second") == 1_000_000_000)
        self.tap.set_speed(100)
        self.tap.carrier(False)
        client.wait_state("nic/tap0", "critical")
        self.tap.carrier(True)
        state = client.wait_state("nic/tap0", "warning")
        self.assertEqual(state["reason"], "its speed fell from 1000 to 100 Mbit/s")

    def test_a_closed_tap_is_removed_and_a_new_one_is_the_same_NIC(self):
        client = self.start("tap0")
        client.settle("nic/tap0", "ok")
        self.desk.ip("link", "del", "tap0")
        client.wait_state("nic/tap0", lambda message: message["reason"] == "removed")
        Tap(self, self.desk, "tap0")
        client.wait_state("nic/tap0", "ok")


if __name__ == "__main__":
    unittest.main()
