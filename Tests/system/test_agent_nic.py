"""NICs: carrier, names, switches and unplugging, as an independent subscriber sees them."""

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
        self.assertGreater(back["since"], lost["since"])

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
        self.assertEqual(client.states().keys(), {"nic/eth0"})

    def test_samples_carry_counters_with_their_units(self):
        self.start("eth0")
        samples = health(self, self.daemon, "sample/desk/nic/eth0/")
        values = samples.wait(lambda message: "rx_bytes" in message["values"], "a sample")["values"]
        self.assertLessEqual({"rx_bytes", "tx_bytes", "rx_packets", "rx_errors", "carrier_down_count"}, values.keys())

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
        self.assertEqual(client.states().keys(), {"nic/eth0"})


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

    def test_a_closed_tap_is_removed_and_a_new_one_is_the_same_NIC(self):
        client = self.start("tap0")
        client.settle("nic/tap0", "ok")
        self.desk.ip("link", "del", "tap0")
        client.wait_state("nic/tap0", lambda message: message["reason"] == "removed")
        Tap(self, self.desk, "tap0")
        client.wait_state("nic/tap0", "ok")


if __name__ == "__main__":
    unittest.main()
