"""The units as files: their exposure is what their comments say, and what is promised."""

import glob
import os
import re
import shutil
import unittest

import harness

UNITS = os.path.join(harness.ROOT, "units")
PROMISED = 1.8


def systemd_version():
    found = re.search(r"systemd (\d+)", harness.attempt("systemd-analyze", "--version").stdout)
    return int(found[1]) if found else None


def exposure(folder, unit):
    """What `systemd-analyze security` says of a unit file, with the drop-ins beside it."""
    done = harness.attempt("systemd-analyze", "security", "--offline=true", "--no-pager", f"./{unit}", cwd=folder)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    if not found:
        raise AssertionError(f"systemd-analyze security {unit}: {done.stdout}{done.stderr}")
    return float(found[1])


def stated(path):
    with open(path) as file:
        scores = re.findall(r"[Ee]xposure(?: with this alone)?:? (\d+\.\d)", file.read())
    if len(scores) != 1:
        raise AssertionError(f"{path} states {len(scores)} scores, not one")
    return float(scores[0])


@unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
@unittest.skipUnless(systemd_version() == 252, "scores are stated for systemd 252, Debian 12's")
class Exposure(unittest.TestCase):
    def test_as_shipped(self):
        """Both daemons' units score what they state, and no more than is promised."""
        for path in sorted(glob.glob(f"{UNITS}/*.service")):
            with self.subTest(os.path.basename(path)):
                score = exposure(UNITS, os.path.basename(path))
                self.assertEqual(score, stated(path))
                self.assertLessEqual(score, PROMISED)

    def test_with_each_drop_in(self):
        """A drop-in states the score of its unit with it alone; it costs something, or it would do nothing."""
        found = sorted(glob.glob(f"{UNITS}/drop-ins/*.service.d/*.conf"))
        self.assertGreaterEqual(len(found), 3)
        for path in found:
            unit = os.path.basename(os.path.dirname(path)).removesuffix(".d")
            with self.subTest(os.path.relpath(path, UNITS)):
                folder = harness.folder_of(self)
                shutil.copy(os.path.join(UNITS, unit), folder)
                os.mkdir(os.path.join(folder, f"{unit}.d"))
                shutil.copy(path, os.path.join(folder, f"{unit}.d"))
                score = exposure(folder, unit)
                self.assertEqual(score, stated(path))
                self.assertGreater(score, stated(os.path.join(UNITS, unit)))


if __name__ == "__main__":
    unittest.main()
