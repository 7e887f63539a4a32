"""The journal, with the real systemd-journald in a mount namespace of its own: fields, priority, MESSAGE_ID."""

import json
import os
import subprocess
import unittest

import harness

JOURNALD = "/lib/systemd/systemd-journald"

# Runs as root in a new mount namespace, so that the host's /run is not touched. The daemon's standard error
# is a file that JOURNAL_STREAM names, as the service manager would; nothing may be written to it.
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
JOURNAL_STREAM=$(stat -c '%d:%i' /run/test/stderr) "$1" --config /run/test/agent.toml 2>/run/test/stderr &
agent=$!
entries() {{ journalctl -D /run/log/journal --no-pager -o json -t holdfast-agent "$@"; }}
until entries HOLDFAST_STATUS=critical 2>/dev/null | grep -q MESSAGE; do sleep 0.05; kill -0 $agent; done
kill $agent; wait $agent
until entries | grep -q stopping; do sleep 0.05; done
entries
echo "stderr: $(cat /run/test/stderr)"
kill $journald; wait $journald || true
"""


@unittest.skipUnless(os.geteuid() == 0, "needs root, to mount a /run of its own")
@unittest.skipUnless(os.path.exists(JOURNALD), "needs systemd-journald")
class Journal(unittest.TestCase):
    def test_a_state_change_is_one_structured_entry(self):
        """Each transition carries its subject, its status and the MESSAGE_ID of its kind; stderr stays empty."""
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", SCRIPT, "journal",
             harness.binary("holdfast-agent")], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[-1], "stderr: ")
        entries = [json.loads(line) for line in lines[:-1]]
        changes = [entry for entry in entries if entry.get("HOLDFAST_STATUS") == "critical"]
        self.assertEqual(len(changes), 1)
        self.assertEqual(changes[0]["HOLDFAST_SUBJECT"], "process/matcher")
        self.assertEqual(changes[0]["PRIORITY"], "3")
        self.assertIn("process/matcher is critical: not running", changes[0]["MESSAGE"])
        kinds = {entry["MESSAGE"].split()[0]: entry["MESSAGE_ID"] for entry in entries if "MESSAGE_ID" in entry}
        self.assertEqual(len({kinds["started,"], kinds["stopping"], changes[0]["MESSAGE_ID"]}), 3)


if __name__ == "__main__":
    unittest.main()
