"""What both lines of a PITCH feed lost is asked for again at Gap Request Proxies, and comes by multicast."""

import os
import random
import time
import unittest

import gap_proxy
import harness
import market
from gap_proxy import GapProxy
from harness import GATEWAY_BUS, Daemon, HealthClient, MarketClient, needs_namespaces
from market import Account, Lines, Loss

GAP_GROUP = ("239.83.9.1", 31009)

TEXT = GATEWAY_BUS + """[[feed]]
name = "md"
policy = "hot-hot"
protocol = "pitch"
channels = [1, 2]
reorder_time = "5ms"
%s
[feed.recover]
servers = [%s]
login_file = "~/grp.login"
group = "%s:%d"
interface = "nearA"
%s
"""


class Case(unittest.TestCase):
    count, limits, feed, password = 1, 'within = "5s"', "", gap_proxy.PASSWORD

    def setUp(self):
        self.lines = Lines(self)
        self.proxies = [GapProxy(self, GAP_GROUP, "10.82.1.2", address="10.82.1.2", namespace=self.lines.venue)
                        for _ in range(self.count)]
        servers = ", ".join(f'"{proxy.endpoint}"' for proxy in self.proxies)
        text = TEXT % (self.feed, servers, *GAP_GROUP, self.limits) + self.lines.paths()
        self.daemon = Daemon(self, "holdfast-gateway", text, self.lines.desk)
        file = os.path.join(self.daemon.folder, "grp.login")
        with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w") as login:
            login.write(f'session = "{gap_proxy.SESSION}"\nuser = "{gap_proxy.USER}"\npassword = "{self.password}"\n')
        self.next, self.chance = {1: 1, 2: 1}, random.Random(11)
        self.account, self.loss = Account(self), Loss(3, 0.3)
        self.daemon.start()
        self.client = MarketClient(self, self.daemon.endpoint("gateway.md"), "md", everything=True)
        self.client.sync()
        self.health = HealthClient(self, self.daemon.endpoint("gateway.pub"), self.daemon.endpoint("gateway.req"))
        self.lines.wait_heard(self.health, self.heartbeats)
        self.health.subscribe("state/desk/feed/md/", "sample/desk/feed-path/md.A/")
        self.begin()

    def begin(self):
        self.wait_state(lambda state: state["values"]["recovery_connected"] == self.count, "logged in")
        self.wait_joined()
        for unit in self.next:
            self.packet(unit, "AB")
            self.follow(unit)

    def wait_joined(self):
        """Until the gateway hears the gap multicast: it joins after it says that it is ready."""
        self.wait_state(lambda state: state["values"]["recovery_packets"] > 0, "the gap multicast is heard",
                        lambda: self.proxies[0].multicast(market.unit(0, 0, [])))

    def heartbeats(self):
        return [market.unit(unit, following, []) for unit, following in self.next.items()]

    def packet(self, unit, lines, count=None, kept=True):
        """The next packet of a unit, which the proxies keep as a rule."""
        first = self.next[unit]
        count = count or self.chance.randrange(1, 6)
        made = [market.pitch_trade(f"S{(first + index) % 7}") for index in range(count)]
        for index, message in enumerate(made):
            self.account.note(unit, 0, first + index, {f"S{(first + index) % 7}": message}, not lines and not kept)
        self.next[unit] += count
        packet = market.unit(unit, first, made)
        for proxy in self.proxies if kept else ():
            proxy.keep(packet)
        self.lines.send(packet, lines)
        return list(range(first, first + count))

    def follow(self, unit):
        """Takes what comes until all of a unit that was sent is settled."""
        space, last = (unit, 0), self.next[unit] - 1
        self.client.wait(lambda message: self.account.take(message) or self.account.order.get(space, 0) >= last,
                         f"sequence {last} of unit {unit}")

    def state(self):
        return self.health.states()["feed/md"]

    def looks(self, says=lambda: None):
        """The feed's state each time that something may be new; meanwhile `says` something, once a second at least."""
        says()
        yield self.state()
        for _ in self.health.messages(harness.PATIENCE_S):
            says()
            yield self.state()

    def wait_state(self, condition, what, says=None):
        """Waits for a state of the feed; both lines have heartbeats meanwhile."""
        def heartbeats():
            for packet in self.heartbeats():
                self.lines.send(packet)
        for state in self.looks(says or heartbeats):
            if condition(state):
                return state
        self.fail(f"{what}: {state}")

    def settle(self):
        """Both lines bring the last packets, and all that was sent is delivered, or told where nobody kept it."""
        for unit in self.next:
            self.packet(unit, "AB")
            self.follow(unit)
        for space, sent in self.account.sent.items():
            lost = self.account.lost.get(space, set())
            self.assertEqual(sorted(self.account.gaps.get(space, [])), sorted(lost), f"{space}: gaps")
            self.assertEqual(self.account.data[space], {sequence: parts for sequence, parts in sent.items()
                                                        if sequence not in lost}, f"{space}: data")
        self.assertEqual([missing for missing in self.account.missing if missing[3] == "own"], [])


@needs_namespaces
class Recovery(Case):
    def test_what_both_lines_of_two_units_lost_is_filled_exactly(self):
        for index in range(400):
            unit = index % 2 + 1
            self.packet(unit, self.loss.lines())
            if index % 20 > 17:
                self.packet(unit, "AB")
                self.follow(unit)
        self.settle()
        requests = self.proxies[0].requests
        self.assertTrue(requests, "some were lost on both lines")
        self.assertEqual({unit for unit, _, _ in requests}, {1, 2})
        self.assertTrue(all(count <= 100 for *_, count in requests))
        state = self.wait_state(lambda state: state["values"]["recovered"] > 0, "recovered")
        self.assertEqual((state["values"]["gaps"], state["values"]["epochs"]), (0, 0))
        states = self.health.states()
        for line in market.GROUPS:
            self.assertEqual(states[f"feed-path/md.{line}"]["values"]["divergent"], 0)

    def test_a_wide_hole_is_asked_for_in_requests_of_a_hundred(self):
        for _ in range(60):
            self.packet(1, "", 5)
        self.packet(1, "AB")
        self.follow(1)
        self.settle()
        self.assertGreaterEqual(len(self.proxies[0].requests), 3)

    def test_a_loss_that_only_one_line_has_asks_nobody(self):
        for number in range(200):
            self.packet(1, "AB"[number % 2])
        self.packet(1, "AB")
        self.follow(1)
        self.settle()
        self.assertEqual(self.proxies[0].requests, [])

    def test_what_the_multicast_loses_is_asked_for_again(self):
        lost = []
        self.proxies[0].sends = lambda packet: len(lost) >= 2 or lost.append(packet)
        self.packet(1, "", 4)
        self.packet(1, "AB")
        self.follow(1)
        self.settle()
        self.assertEqual(len(lost), 2)
        self.assertGreaterEqual(len(self.proxies[0].requests), 3)

    def test_garbage_and_what_nobody_asked_for_disturb_nothing(self):
        proxy = self.proxies[0]
        proxy.sends = lambda packet: [proxy.multicast(other) for other in (
            b"", os.urandom(5), os.urandom(900), market.unit(200, 1, [market.pitch_trade("S1")]),
            market.unit(1, 1, [market.pitch_trade("S1")] * 3), market.unit(1, 10**6, [market.pitch_trade("S1")]),
            market.unit(1, 0, [market.pitch_trade("S1")]))] or True
        for _ in range(20):
            self.packet(1, "", 2)
            self.packet(1, "AB")
            self.follow(1)
        self.settle()
        state = self.wait_state(lambda state: "recovery_refused_truncated" in state["values"], "refused packets")
        self.assertEqual((state["values"]["gaps"], state["values"]["epochs"]), (0, 0))
        self.assertTrue(self.daemon.is_running())

    def test_what_is_sent_again_keeps_no_line_alive(self):
        again = market.unit(1, 1, [market.pitch_trade("S1")])
        self.wait_state(lambda state: state["status"] == "critical", "both are silent",
                        lambda: self.proxies[0].multicast(again))
        self.client.wait(lambda message: message["kind"] == "state" and message["state"] == "stale", "stale")

    def test_a_connection_that_ends_is_made_again(self):
        self.proxies[0].drop()
        self.proxies[0].wait_login(self, count=2)
        self.wait_state(lambda state: state["values"]["recovery_connects"] >= 2
                        and state["values"]["recovery_connected"] == 1, "logged in again")
        self.packet(1, "", 3)
        self.packet(1, "AB")
        self.follow(1)
        self.settle()
        self.daemon.wait_log("until then nothing can be asked for there")
        self.daemon.wait_log("logged in at")


@needs_namespaces
class Refused(Case):
    limits = 'within = "300ms"\nanswer_within = "50ms"'

    def test_each_refusal_is_an_exact_gap_and_the_rest_goes_on(self):
        proxy = self.proxies[0]
        for status, name in (("O", "out-of-range"), ("C", "count"), ("I", "invalid-unit"), ("U", "unit-unavailable")):
            proxy.status = lambda unit, first, count, status=status: status
            self.packet(1, "", 3, kept=False)
            self.packet(2, "AB")
            self.packet(1, "AB")
            self.follow(1)
            self.wait_state(lambda state: state["values"].get(f"recovery_rejected_{name}", 0) > 0, name)
        finals = [first for _, first, _ in proxy.requests]
        self.assertEqual(len(set(finals[:3])), 3, "what is refused for good is not asked for again")
        proxy.status = lambda *request: "A"
        self.packet(1, "", 3)
        self.settle()
        self.wait_state(lambda state: state["values"]["gaps"] == 12, "three for each refusal")
        self.daemon.wait_log("rejected: ")

    def test_when_the_quota_is_used_up_nothing_is_asked_and_it_is_said(self):
        proxy = self.proxies[0]
        for status, name in (("S", "second-quota"), ("M", "minute-quota")):
            proxy.status = lambda unit, first, count, status=status: status
            self.packet(1, "", 2, kept=False)
            self.packet(1, "AB")
            self.follow(1)
            self.wait_state(lambda state: state["values"].get(f"recovery_rejected_{name}", 0) > 0, name)
            if status == "S":
                self.proxies[0].status = lambda *request: "A"
                # The next second's requests are served again.
                self.wait_state(lambda state: "second-quota" not in state["reason"], "asked again")
        asked = len(proxy.requests)
        for _ in range(3):
            self.packet(1, "", 2, kept=False)
            self.packet(1, "AB")
            self.follow(1)
        self.assertEqual(len(proxy.requests), asked, "the minute is not over")
        state = self.wait_state(lambda state: "cannot recover: refused: minute-quota" in state["reason"], "the quota")
        self.assertEqual(state["status"], "warning")
        self.settle()

    def test_a_server_that_is_gone_costs_what_both_lines_lose_and_nothing_else(self):
        self.proxies[0].close()
        self.wait_state(lambda state: state["values"]["recovery_connected"] == 0, "no connection")
        lost = self.packet(1, "", 4, kept=False)
        self.packet(2, "AB")
        self.packet(1, "AB")
        self.follow(1)
        self.settle()
        state = self.wait_state(lambda state: state["values"]["gaps"] == len(lost)
                                and state["values"]["recovery_attempts"] > 1, "what was lost, and attempts")
        self.assertEqual(state["status"], "warning")
        self.assertIn("cannot recover: ", state["reason"])

    def test_a_server_that_says_nothing_is_no_different(self):
        self.proxies[0].frozen = True
        self.packet(1, "", 4, kept=False)
        self.packet(1, "AB")
        self.follow(1)
        self.settle()
        self.wait_state(lambda state: state["values"]["recovery_unanswered"] > 0, "no answer")
        self.wait_state(lambda state: "no word for 1400 ms" in state["reason"], "a silent server")


@needs_namespaces
class Quota(Case):
    limits = 'within = "300ms"\nrequests_per_second = 5\nrequests_per_minute = 8\nmessages_per_request = 1'

    def test_no_minute_has_more_requests_than_allowed(self):
        self.proxies[0].status = lambda *request: "U"
        began = time.monotonic()
        for unit in (1, 2) * 4:  # each unit asks by itself: the quota is of all together
            self.packet(unit, "", 8, kept=False)
            self.packet(unit, "AB")
            self.packet(3 - unit, "AB")
            self.follow(unit)
        minutes = 1 + (time.monotonic() - began) // 60
        self.assertIn(len(self.proxies[0].requests), range(8, int(8 * minutes) + 1))
        self.settle()


@needs_namespaces
class TwoProxies(Case):
    count = 2
    limits = 'within = "5s"\nanswer_within = "50ms"'

    def test_what_one_refuses_the_other_sends(self):
        self.proxies[0].status = lambda *request: "O"
        for _ in range(20):
            self.packet(1, "", 2)
            self.packet(1, "AB")
            self.follow(1)
        self.settle()
        self.assertTrue(self.proxies[1].requests)

    def test_when_one_is_gone_the_other_is_asked(self):
        self.proxies[0].close()
        for _ in range(20):
            self.packet(2, "", 2)
            self.packet(2, "AB")
            self.follow(2)
        self.settle()
        self.assertNotIn("cannot recover", self.state()["reason"])


@needs_namespaces
class WrongPassword(Case):
    password, limits = "hunter2", 'within = "100ms"'

    def begin(self):
        self.proxies[0].wait_login(self)

    def test_it_is_told_once_without_showing_it_and_not_tried_again_and_again(self):
        state = self.wait_state(lambda state: "login rejected: not authorised" in state["reason"], "the refusal")
        self.assertEqual(state["status"], "warning")
        self.assertGreaterEqual(state["values"]["recovery_retry_after_s"], 30)
        for unit in self.next:
            self.packet(unit, "AB")
            self.packet(unit, "", 2, kept=False)
        self.settle()
        self.daemon.wait_log("login rejected: not authorised")
        self.assertEqual(len(self.proxies[0].logins), 1)
        self.assertNotIn("hunter2", self.daemon.log())


if __name__ == "__main__":
    unittest.main()
