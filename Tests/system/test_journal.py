"""The journal, with the real systemd-journald in a mount namespace of its own: fields, priority, MESSAGE_ID."""

import json
import os
import re
import shutil
import unittest

import harness

JOURNALD = "/lib/systemd/systemd-journald"

# Runs as root in a new mount namespace, so that the host's /run is not touched, and as the first process of a new
# process namespace, so that all that it started ends with it. The daemon's standard error is a file that
# JOURNAL_STREAM names, as the service manager would; nothing may be written to it.
SCRIPT = f"""
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal /run/test
{JOURNALD} >/dev/null 2>&1 &
journald=$!
while [ ! -S /run/systemd/journal/socket ]; do sleep 0.05; done
cat >/run/test/agent.toml <<'TOML'
[bus]
publish = ["ipc:///run/test/pub"]
request = ["ipc:///run/test/req"]
[nic]
enabled = false
[path]
enabled = false
[[process.watch]]
name = "matcher"
match_name = "no-such-process"
TOML
: >/run/test/stderr
export JOURNAL_STREAM=$(stat -c '%d:%i' /run/test/stderr) STATE_DIRECTORY=/run/test
run() {{ exec "$1" --config /run/test/agent.toml 2>/run/test/stderr; }}
entries() {{ journalctl -D /run/log/journal --no-pager -o json -t holdfast-agent "$@"; }}
run "$1" &
agent=$!
until entries HOLDFAST_STATUS=critical 2>/dev/null | grep -q MESSAGE; do sleep 0.05; kill -0 $agent; done
# The journal is gone for a while: nothing waits for it, and what it missed is told when it is back.
kill $journald; wait $journald || true
rm -f /run/systemd/journal/socket
for time in 1 2; do  # the second is only taken when the first has been dealt with
    kill -HUP $agent
    until grep -q 'ShdPnd:.0*$' /proc/$agent/status; do sleep 0.05; done
done
{JOURNALD} >/dev/null 2>&1 &
journald=$!
until entries | grep -q 'did not reach'; do sleep 0.05; kill -0 $agent; done
kill $agent; wait $agent
until entries | grep -q stopping; do sleep 0.05; done
printf '[nci]\n' >>/run/test/agent.toml
status=0
( run "$1" ) || status=$?
[ $status -eq 78 ]
until entries PRIORITY=2 | grep -q refused; do sleep 0.05; done
entries
echo "stderr: $(cat /run/test/stderr)"
kill $journald; wait $journald || true
"""


class Journal(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a /run of its own")
    @unittest.skipUnless(os.path.exists(JOURNALD), "needs systemd-journald")
    def test_a_state_change_is_one_structured_entry(self):
        """Each transition carries its subject, its status and the MESSAGE_ID of its kind; stderr stays empty."""
        done = harness.attempt(
            "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
            "bash", "-c", SCRIPT, "journal", harness.binary("holdfast-agent"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[-1], "stderr: ")
        entries = [json.loads(line) for line in lines[:-1]]
        for entry in entries:
            for field in ("MESSAGE_ID", "HOLDFAST_HOST", "HOLDFAST_INCARNATION"):
                self.assertIn(field, entry)
        changes = [entry for entry in entries if entry.get("HOLDFAST_STATUS") == "critical"]
        self.assertEqual(len(changes), 1)
        self.assertEqual(changes[0]["HOLDFAST_SUBJECT"], "process/matcher")
        self.assertEqual(changes[0]["HOLDFAST_PREVIOUS"], "unknown")
        self.assertEqual(changes[0]["HOLDFAST_REASON"], "not running")
        self.assertEqual(changes[0]["PRIORITY"], "3")
        self.assertIn("process/matcher is critical: not running", changes[0]["MESSAGE"])
        kinds = {entry["MESSAGE"].split()[0]: entry["MESSAGE_ID"] for entry in entries}
        self.assertEqual(len({kinds["started,"], kinds["stopping"], changes[0]["MESSAGE_ID"]}), 3)
        missed = [entry for entry in entries if "HOLDFAST_LOST" in entry]
        self.assertGreaterEqual(int(missed[0]["HOLDFAST_LOST"]), 1)
        refused = entries[-1]
        self.assertEqual((refused["HOLDFAST_FILE"], refused["HOLDFAST_LINE"]), ("/run/test/agent.toml", "11"))
        self.assertIn("/run/test/agent.toml:11: nci", refused["MESSAGE"])

    def test_the_catalogue_is_one(self):
        """journalctl takes the file, and explains each identifier that the daemons use."""
        root = harness.folder_of(self)
        for folder in ("usr/lib/systemd/catalog", "var/lib/systemd/catalog"):
            os.makedirs(os.path.join(root, folder))
        shutil.copy(os.path.join(harness.ROOT, "packaging/holdfast.catalog"),
                    os.path.join(root, "usr/lib/systemd/catalog"))
        harness.run("journalctl", f"--root={root}", "--update-catalog")
        listed = harness.run("journalctl", f"--root={root}", "--list-catalog").splitlines()
        with open(os.path.join(harness.ROOT, "Sources/Linux/JournalEvent.swift")) as file:
            known = re.findall(r'case \w+ = "([0-9a-f]{32})"', file.read())
        self.assertEqual(sorted(line.split()[0] for line in listed), sorted(known))
        self.assertTrue(all(line.split(maxsplit=2)[1] == "holdfast:" for line in listed), listed)


if __name__ == "__main__":
    unittest.main()
