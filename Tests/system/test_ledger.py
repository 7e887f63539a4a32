"""The demo's ledger is what says that nothing was lost: so it must find each thing that can go wrong."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../packaging/demonstration"))
from ledger import FeedLedger  # noqa: E402

SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND


def header(sequence, epoch=1, state="live", flags=(), age_s=0.0):
    return {"sequence": sequence, "epoch": epoch, "state": state, "flags": list(flags),
            "source_time": WALL - int(age_s * SECOND)}


class Dialogue(unittest.TestCase):
    """Messages of one instrument, every third sequence of a channel."""

    def setUp(self):
        self.ledger = FeedLedger("itch", "hot-hot", per_topic=False, freshness_s=1)
        self.at = 0.0

    def deliver(self, *counts, instrument="HF0001", **options):
        for count in counts:
            self.at += 0.01
            self.ledger.data(instrument, count, header(3 * count, **options), self.at, WALL)

    def expect(self, **figures):
        all_figures = dict.fromkeys(("lost", "gaps_told", "duplicates", "out_of_order", "false_live"), 0) | figures
        summary = self.ledger.summary(self.at)
        self.assertEqual({name: summary[name] for name in all_figures}, all_figures)


class Sequences(Dialogue):
    def test_an_unbroken_stream_is_clean(self):
        self.deliver(*range(1, 101))
        self.expect(received=100)

    def test_each_lost_message_is_counted(self):
        self.deliver(1, 2, 4, 5, 8)
        self.expect(lost=3)

    def test_a_told_gap_is_not_a_loss(self):
        self.deliver(1, 2)
        self.ledger.gap(9, 9, "")
        self.deliver(4)
        self.expect(gaps_told=1)

    def test_what_came_from_the_journal_is_not_lost(self):
        self.deliver(1, 2)
        for count in (2, 3, 4, 4):
            self.ledger.repaired("HF0001", count)
        self.deliver(6)
        self.expect(lost=1, repaired=2)

    def test_a_gap_told_too_late_is_a_loss(self):
        self.deliver(1, 2, 4)
        self.ledger.gap(9, 9, "")
        self.deliver(5)
        self.expect(lost=1, gaps_told=1)

    def test_a_gap_told_elsewhere_excuses_nothing(self):
        self.deliver(1, 2)
        self.ledger.gap(30, 40, "")
        self.deliver(4)
        self.expect(lost=1, gaps_told=11)

    def test_a_gap_shorter_than_the_hole_excuses_only_its_part(self):
        self.deliver(1)
        self.ledger.gap(6, 6, "")
        self.deliver(4)
        self.expect(lost=1, gaps_told=1)

    def test_a_duplicate_is_counted_and_loses_nothing(self):
        self.deliver(1, 2, 2, 3)
        self.expect(duplicates=1)

    def test_a_reordered_pair_is_counted(self):
        self.deliver(1, 3, 2, 4)
        self.expect(lost=1, out_of_order=1)

    def test_a_sequence_that_goes_back_is_out_of_order(self):
        self.deliver(1, 2)
        self.ledger.data("HF0001", 3, header(5), self.at, WALL)
        self.expect(out_of_order=1)

    def test_another_session_counts_from_its_own_start(self):
        self.deliver(1, 2, 3)
        self.deliver(1, 2, epoch=2)
        self.expect()

    def test_instruments_are_counted_apart(self):
        self.deliver(1, 2)
        self.deliver(7, 8, instrument="HF0002")
        self.deliver(3)
        self.expect()

    def test_a_new_window_starts_from_zero_and_goes_on_counting_messages(self):
        self.deliver(1, 3)
        self.expect(lost=1)
        self.ledger.open_window(self.at)
        self.deliver(4)
        self.expect()
        self.deliver(6)
        self.expect(lost=1)


class Freshness(Dialogue):
    def test_an_old_message_called_live_is_found(self):
        self.deliver(1)
        self.deliver(2, age_s=1.5)
        self.expect(false_live=1)

    def test_an_old_message_that_says_so_is_honest(self):
        for count, flag in enumerate(("late", "stale", "recovering"), 1):
            self.deliver(count, age_s=1.5, flags=[flag])
        self.expect()

    def test_an_old_message_in_a_state_that_is_not_live_is_honest(self):
        self.deliver(1, age_s=1.5, state="recovering")
        self.expect()

    def test_a_heartbeat_that_calls_silence_live_is_found(self):
        self.deliver(1)
        self.ledger.control("live", self.at + 1)
        self.expect()
        self.ledger.control("stale", self.at + 2)
        self.expect()
        self.ledger.control("live", self.at + 2)
        self.expect(false_live=1)


class TopicsOfTheirOwnSequence(unittest.TestCase):
    """A feed in which each topic has its own numbers, and one path is used at a time."""

    def setUp(self):
        self.ledger = FeedLedger("quotes", "hot-warm", per_topic=True, freshness_s=1)
        self.ledger.channel_state("live", "A", 0.0)
        self.ledger.open_window(10.0)

    def test_a_gap_of_another_instrument_excuses_nothing(self):
        self.ledger.data("X", 1, header(1), 10.1, WALL)
        self.ledger.gap(2, 2, "Y")
        self.ledger.data("X", 3, header(3), 10.2, WALL)
        self.assertEqual(self.ledger.summary(10.3)["lost"], 1)

    def test_a_gap_of_the_instrument_excuses_it(self):
        self.ledger.data("X", 1, header(1), 10.1, WALL)
        self.ledger.gap(2, 4, "X")
        self.ledger.data("X", 5, header(5), 10.2, WALL)
        summary = self.ledger.summary(10.3)
        self.assertEqual((summary["lost"], summary["gaps_told"]), (0, 3))

    def test_a_switch_is_timed_from_the_opening_of_the_window_to_live_on_the_other_path(self):
        self.assertTrue(self.ledger.channel_state("recovering", "B", 10.3))
        self.assertTrue(self.ledger.channel_state("live", "B", 10.5))
        self.assertFalse(self.ledger.channel_state("live", "B", 10.6))
        summary = self.ledger.summary(11.0)
        self.assertEqual((summary["switched_ms"], summary["switches"]), (500.0, 1))

    def test_silence_is_the_longest_pause_within_the_window(self):
        for at in (10.1, 10.2, 10.9):
            self.ledger.data("X", int(at * 10), header(int(at * 10)), at, WALL)
        self.assertEqual(self.ledger.summary(11.0)["longest_silence_ms"], 700.0)


if __name__ == "__main__":
    unittest.main()
