"""ISP paths: black holes, carrier loss, loss at random, and probes that cannot be sent."""

import os
import socket
import unittest

import harness
from harness import Namespace, agent, health, needs_namespaces, subject_of

ISP = '[[path.isp]]\nname = "isp-a"\ninterface = "eth0"\ntargets = [%s]\n'


def checked(packet):
    """An ICMP message with its checksum in place (RFC 1071)."""
    total = sum(int.from_bytes(packet[at:at + 2].ljust(2, b"\0"), "big") for at in range(0, len(packet), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:2] + (~total & 0xFFFF).to_bytes(2, "big") + packet[4:]


@needs_namespaces
class Path(unittest.TestCase):
    def setUp(self):
        self.desk, self.isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(self.desk, "eth0", self.isp, "peer", 1)
        self.link = self.isp.link("peer")
        self.addCleanup(self.link.close)

    def start(self, *targets, more=""):
        listed = ", ".join(f'"{target}"' for target in targets or ("10.82.1.2",))
        self.daemon = agent(self, '[nic]\ninclude = ["eth0"]\n' + ISP % listed + more, self.desk)
        self.client = health(self, self.daemon, "state/")
        return self.client

    def test_a_black_hole_is_critical_and_nothing_else_is_blamed(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.isp.drop_ingress("peer")
        state = client.wait_state("path/isp-a", "critical")
        self.assertIn("10.82.1.2 silent for", state["reason"])
        self.assertIsNone(state["cause"])
        self.assertEqual(client.states()["nic/eth0"]["status"], "ok")
        self.isp.clear_ingress("peer")
        back = client.wait_state("path/isp-a", lambda message: message["status"] in ("ok", "warning"))
        self.assertEqual(back["previous"], "critical")
        client.settle("path/isp-a", "ok", patience=60)

    def test_replies_alone_swallowed_are_a_black_hole_too(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.desk.drop_ingress("eth0")
        client.wait_state("path/isp-a", "critical")

    def test_carrier_loss_is_the_cause_of_the_path(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        client.settle("nic/eth0", "ok")
        self.link.set(False)
        state = client.wait_state("path/isp-a", lambda message: message["status"] == "critical" and message["cause"])
        self.assertEqual(state["cause"], "nic/eth0")
        self.assertIn("eth0", state["reason"])
        self.link.set(True)
        client.settle("path/isp-a", "ok", patience=60)
        self.assertIsNone(client.states()["path/isp-a"]["cause"])

    def test_one_silent_target_of_three_is_a_warning_and_two_are_an_outage(self):
        for number in (3, 4):
            self.isp.ip("addr", "add", f"10.82.1.{number}/24", "dev", "peer")
        client = self.start("10.82.1.2", "10.82.1.3", "10.82.1.4")
        client.settle("path/isp-a", "ok")
        self.isp.drop_ingress("peer", "ip daddr 10.82.1.3 drop")
        state = client.wait_state("path/isp-a", "warning")
        self.assertRegex(state["reason"], "2 of 3 targets|lost")
        self.isp.clear_ingress("peer")
        self.isp.drop_ingress("peer", "ip daddr { 10.82.1.3, 10.82.1.4 } drop")
        client.wait_state("path/isp-a", "critical")

    def test_loss_at_random_is_a_warning_and_never_critical(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.isp.drop_ingress("peer", "numgen random mod 100 < 5 drop")
        self.desk.drop_ingress("eth0", "numgen random mod 100 < 5 drop")
        state = client.wait_state("path/isp-a", lambda message: message["status"] != "ok", patience=60)
        self.assertEqual(state["status"], "warning")
        self.assertIn("lost", state["reason"])
        statuses = [message["status"] for message in client.messages(20) if subject_of(message) == "path/isp-a"]
        self.assertNotIn("critical", statuses)

    def test_probes_that_cannot_be_sent_are_unknown_and_not_loss(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.desk.nft("table ip own { chain out {\n type filter hook output priority 0;\n"
                      " icmp type echo-request drop\n }\n}\n")
        state = client.wait_state("path/isp-a", lambda message: message["status"] != "ok")
        self.assertEqual(state["status"], "unknown")
        self.assertIn("cannot be sent", state["reason"])
        harness.run(*self.desk.command("nft", "delete", "table", "ip", "own"))
        client.settle("path/isp-a", "ok", patience=60)

    def test_another_address_of_the_interface_is_used_at_once(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.desk.ip("addr", "add", "10.82.1.77/24", "dev", "eth0")
        self.desk.ip("addr", "del", "10.82.1.1/24", "dev", "eth0")
        self.desk.ip("addr", "replace", "10.82.1.77/24", "dev", "eth0")
        client.settle("path/isp-a", "ok", patience=60)

    def test_hostile_replies_are_counted_and_believed_by_nobody(self):
        self.isp.ip("addr", "add", "10.82.1.9/24", "dev", "peer")
        client = self.start()
        client.settle("path/isp-a", "ok")
        wire = self.isp.enter(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)))
        raw = self.isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        self.addCleanup(wire.close)
        self.addCleanup(raw.close)
        wire.bind(("peer", 3))  # all protocols: seen before the ingress hook drops them
        wire.settimeout(harness.PATIENCE_S)
        raw.bind(("10.82.1.9", 0))  # not the host that is asked
        self.isp.drop_ingress("peer", "ip daddr 10.82.1.2 icmp type echo-request drop")
        samples = health(self, self.daemon, "sample/desk/path/isp-a/")
        foreign, until_critical = 0, []
        while not (foreign and until_critical):
            packet = wire.recv(2000)
            if packet[:1] == b"\x45" and packet[9] == socket.IPPROTO_ICMP and packet[20] == 8:
                for reply in self.forged(packet[24:28], packet[28:]):
                    raw.sendto(reply, ("10.82.1.1", 0))
            for message in samples.messages(0.001):
                foreign = message["values"]["replies_foreign"]
            until_critical += [message for message in client.messages(0.001) if message["status"] == "critical"]
        self.assertEqual(client.states()["path/isp-a"]["status"], "critical")
        self.assertTrue(self.daemon.is_running())

    def forged(self, identity, payload):
        """Replies to a probe: from another host, with another payload, cut, and with a wrong checksum."""
        yield checked(b"\0\0\0\0" + identity + payload)
        yield checked(b"\0\0\0\0" + identity + os.urandom(len(payload)))
        yield checked(b"\0\0\0\0" + identity)
        yield checked(b"\0\0\0\0" + os.urandom(4) + payload)
        yield b"\0\0\x12\x34" + identity + payload
        yield b"\0\0\0\0\0\0\0\0"
        yield checked(b"\0\0\0\0" + identity + os.urandom(1400))

    def test_the_default_route_is_found_and_followed(self):
        self.daemon = agent(self, "", self.desk)
        client = self.client = health(self, self.daemon, "state/")
        client.join()
        self.desk.ip("route", "add", "default", "via", "10.82.1.2")
        client.wait_state("path/eth0", "ok")
        self.desk.ip("route", "del", "default")
        client.wait_state("path/eth0", lambda message: message.get("gone"))


if __name__ == "__main__":
    unittest.main()
