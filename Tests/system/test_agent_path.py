"""ISP paths: black holes, carrier loss, loss at random, and probes that cannot be sent."""

import os
import socket
import struct
import threading
import time
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

    def test_loss_at_random_is_one_warning_that_stays_and_never_critical(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.isp.drop_ingress("peer", "numgen random mod 100 < 5 drop")
        self.desk.drop_ingress("eth0", "numgen random mod 100 < 5 drop")
        state = client.wait_state("path/isp-a", lambda message: message["status"] != "ok", patience=60)
        self.assertEqual(state["status"], "warning")
        self.assertIn("lost", state["reason"])
        news = [message for message in client.messages(20)
                if subject_of(message) == "path/isp-a" and message["change"] != state["change"]]
        self.assertEqual([(message["status"], message["reason"]) for message in news], [])

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

    def test_a_path_as_routed_follows_the_address_too(self):
        """A socket to a name server keeps the address that it had when it was opened, and is opened anew."""
        server = self.isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("10.82.1.2", 53))
        self.addCleanup(server.close)
        threading.Thread(target=self.answer_queries, args=(server,), daemon=True).start()
        self.daemon = agent(self, ISP.replace('interface = "eth0"\n', "") % '"dns://10.82.1.2"', self.desk)
        client = self.client = health(self, self.daemon, "state/", "sample/desk/path/")
        client.settle("path/isp-a", "ok")
        self.desk.ip("addr", "del", "10.82.1.1/24", "dev", "eth0")
        self.desk.ip("addr", "add", "10.82.1.77/24", "dev", "eth0")
        samples = []

        def is_fifth(message):
            if message["topic"].startswith("sample/"):
                samples.append(message)
            return len(samples) == 5
        news = client.until(is_fifth, "five samples")
        self.assertNotIn("critical", [message.get("status") for message in news])
        self.assertEqual(client.states()["path/isp-a"]["status"], "ok")

    def test_addresses_that_come_and_go_do_not_put_silence_off(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.isp.drop_ingress("peer")
        until, told = time.monotonic() + harness.PATIENCE_S, []
        while "critical" not in told:
            self.assertLess(time.monotonic(), until, told)
            self.desk.ip("addr", "add", "10.82.1.99/24", "dev", "eth0")
            self.desk.ip("addr", "del", "10.82.1.99/24", "dev", "eth0")
            told += [message["status"] for message in client.messages(0.2) if subject_of(message) == "path/isp-a"]
        self.assertNotIn("unknown", told)

    def test_an_error_that_comes_by_wire_costs_no_reply(self):
        """Protocol unreachable, as a router may say of a probe: one call fails with it, and the socket is as good as before."""
        client = self.start()
        client.settle("path/isp-a", "ok")
        raw = self.isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
        self.addCleanup(raw.close)
        probe = struct.pack("!BBHHHBBH4s4s8x", 0x45, 0, 44, 0, 0, 64, socket.IPPROTO_ICMP, 0,
                            socket.inet_aton("10.82.1.1"), socket.inet_aton("10.82.1.2"))
        error = checked(b"\3\2\0\0" + bytes(4) + probe)
        samples = health(self, self.daemon, "sample/desk/path/isp-a/")
        samples.wait(lambda message: raw.sendto(error, ("10.82.1.1", 0)) and message["values"]["unreachable_received"] >= 3,
                     "three errors")
        self.assertNotIn("opening its socket anew", self.daemon.log())

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

    def test_a_default_route_that_is_replaced_leaves_no_path_behind(self):
        self.isp.ip("addr", "add", "10.82.1.3/24", "dev", "peer")
        self.desk.ip("route", "add", "default", "via", "10.82.1.2")
        self.daemon = agent(self, "", self.desk)
        client = self.client = health(self, self.daemon, "state/")
        client.settle("path/eth0", "ok")
        self.isp.drop_ingress("peer", "ip daddr 10.82.1.2 drop")
        client.wait_state("path/eth0", "critical")
        self.desk.ip("route", "replace", "default", "via", "10.82.1.3")
        client.wait_state("path/eth0", "ok")
        self.assertEqual({name for name in client.states() if name.startswith("path/eth0")}, {"path/eth0"})

    def test_a_next_hop_that_does_not_answer_ARP_is_named(self):
        client = self.start()
        client.settle("path/isp-a", "ok")
        self.isp.ip("link", "set", "peer", "arp", "off")
        self.isp.ip("addr", "flush", "dev", "peer")
        self.desk.ip("neigh", "flush", "dev", "eth0")
        state = client.wait_state("path/isp-a", lambda message: "ARP" in message["reason"])
        self.assertEqual(state["status"], "critical")
        self.assertIn("the next hop 10.82.1.2 does not answer ARP", state["reason"])

    def test_TCP_and_DNS_answer_for_a_path_and_their_silence_is_an_outage(self):
        """A port that accepts, one that refuses, and a name server."""
        listener = self.isp.enter(lambda: socket.create_server(("10.82.1.2", 4430), backlog=4096))
        server = self.isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("10.82.1.2", 53))
        self.addCleanup(listener.close)
        self.addCleanup(server.close)
        threading.Thread(target=self.answer_queries, args=(server,), daemon=True).start()
        client = self.start("tcp://10.82.1.2:4430", "tcp://10.82.1.2:4431", "dns://10.82.1.2")
        state = client.settle("path/isp-a", "ok")
        client.wait_state("path/isp-a", lambda message: message["values"].get("targets_up") == 3)
        samples = health(self, self.daemon, "sample/desk/path/isp-a/")
        values = samples.wait(lambda message: "rtt_p99_s" in message["values"], "percentiles")["values"]
        self.assertLess(values["rtt_p50_s"], 1)
        self.isp.drop_ingress("peer", "tcp dport 4430 drop")
        state = client.wait_state("path/isp-a", "warning")
        self.assertRegex(state["reason"], "2 of 3 targets answer|lost")
        self.isp.clear_ingress("peer")
        self.isp.drop_ingress("peer", "ip protocol { tcp, udp } drop")
        client.wait_state("path/isp-a", "critical")
        self.isp.clear_ingress("peer")
        client.settle("path/isp-a", "ok", patience=60)

    def answer_queries(self, server):
        """A name server that refuses everything: it is there."""
        while True:
            try:
                query, client = server.recvfrom(512)
            except OSError:
                return
            server.sendto(query[:2] + b"\x81\x85" + query[4:], client)

    def test_garbage_from_a_name_server_is_no_answer(self):
        server = self.isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("10.82.1.2", 53))
        self.addCleanup(server.close)

        def babble():
            while True:
                try:
                    query, client = server.recvfrom(512)
                except OSError:
                    return
                for packet in (b"", query, query[:5], os.urandom(400), b"\0\0" + query[2:], query[:2] + b"\x81\x80"):
                    server.sendto(packet, client)
        threading.Thread(target=babble, daemon=True).start()
        client = self.start("dns://10.82.1.2")
        client.settle("path/isp-a", "critical")
        samples = health(self, self.daemon, "sample/desk/path/isp-a/")
        samples.wait(lambda message: message["values"]["replies_foreign"] > 10, "garbage that is counted")
        self.assertTrue(self.daemon.is_running())

    def test_queries_that_this_host_refuses_to_send_are_unknown_and_not_loss(self):
        server = self.isp.enter(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("10.82.1.2", 53))
        self.addCleanup(server.close)
        threading.Thread(target=self.answer_queries, args=(server,), daemon=True).start()
        client = self.start("dns://10.82.1.2")
        client.settle("path/isp-a", "ok")
        self.desk.nft("table ip own { chain out {\n type filter hook output priority 0;\n udp dport 53 drop\n }\n}\n")
        state = client.wait_state("path/isp-a", lambda message: message["status"] != "ok")
        self.assertEqual(state["status"], "unknown")
        self.assertIn("cannot be sent: Operation not permitted", state["reason"])

    def test_an_interface_that_does_not_exist_is_told_as_such(self):
        client = self.start("tcp://10.82.1.2:4431")
        client.settle("path/isp-a", "ok")
        self.desk.ip("link", "del", "eth0")
        state = client.wait_state("path/isp-a", lambda message: "does not exist" in message["reason"])
        self.assertEqual((state["status"], state["cause"]), ("critical", "nic/eth0"))

    def test_IPv6_targets_answer_and_their_silence_is_an_outage(self):
        self.desk.ip("addr", "add", "fd82::1/64", "dev", "eth0", "nodad")
        self.isp.ip("addr", "add", "fd82::2/64", "dev", "peer", "nodad")
        self.daemon = agent(self, ISP % '"fd82::2"' + '[nic]\ninclude = ["eth0"]\n', self.desk)
        client = self.client = health(self, self.daemon, "state/")
        client.settle("path/isp-a", "ok")
        samples = health(self, self.daemon, "sample/desk/path/isp-a/")
        values = samples.wait(lambda message: "rtt_s" in message["values"], "a round trip")["values"]
        self.assertLess(values["rtt_s"], 1)
        self.isp.drop_ingress("peer", "icmpv6 type echo-request drop")
        state = client.wait_state("path/isp-a", "critical")
        self.assertIn("fd82::2 silent for", state["reason"])

    def test_an_IPv6_default_route_is_found_and_followed(self):
        self.isp.ip("addr", "add", "fe80::99/64", "dev", "peer", "nodad")
        self.daemon = agent(self, "", self.desk)
        client = self.client = health(self, self.daemon, "state/")
        client.join()
        self.desk.ip("-6", "route", "add", "default", "via", "fe80::99", "dev", "eth0")
        state = client.wait_state("path/eth0-ipv6", "ok", patience=60)
        self.assertEqual(state["reason"], "fe80::99 answers")


@needs_namespaces
class Site(unittest.TestCase):
    def test_one_of_two_ways_out_is_a_warning_and_its_NIC_the_cause(self):
        desk, isp = Namespace(self, "desk"), Namespace(self, "isp")
        text = ""
        for number in (0, 1):
            harness.veth(desk, f"eth{number}", isp, f"peer{number}", number + 1)
            text += f'[[path.isp]]\nname = "isp-{number}"\ninterface = "eth{number}"\n' \
                    f'targets = ["10.82.{number + 1}.2"]\n'
        links = [isp.link(f"peer{number}") for number in (0, 1)]
        for link in links:
            self.addCleanup(link.close)
        daemon = agent(self, text, desk)
        client = health(self, daemon, "state/")
        state = client.settle("path/site", "ok")
        self.assertEqual(state["reason"], "all 2 independent paths are there")
        links[0].set(False)
        state = client.wait_state("path/site", lambda message: message["status"] == "warning" and message["cause"])
        self.assertEqual((state["reason"], state["cause"]), ("1 of 2 independent paths is left", "nic/eth0"))
        links[1].set(False)
        self.assertEqual(client.wait_state("path/site", "critical")["reason"], "no path out is left")
        for link in links:
            link.set(True)
        client.settle("path/site", "ok", patience=60)

    def test_fifty_paths_are_watched(self):
        desk, isp = Namespace(self, "desk"), Namespace(self, "isp")
        harness.veth(desk, "eth0", isp, "peer", 1)
        for number in range(3, 53):
            isp.ip("addr", "add", f"10.82.1.{number}/24", "dev", "peer")
        daemon = agent(self, "".join(
            f'[[path.isp]]\nname = "isp-{number}"\ninterface = "eth0"\ntargets = ["10.82.1.{number}"]\n'
            for number in range(3, 53)), desk)
        client = health(self, daemon, "state/", "heartbeat/")
        client.wait(lambda message: len([name for name, state in client.states().items()
                                         if name.startswith("path/isp-") and state["status"] == "ok"]) == 50,
                    "50 paths that are well")


if __name__ == "__main__":
    unittest.main()
