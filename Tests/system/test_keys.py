"""Keys as operators make them, hand them out and take them back; and the command line beyond this host."""

import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import threading
import unittest

import zmq

import harness
from harness import Daemon, agent
from test_agent_bus import QUIET
from test_cli import tool

KEY = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{39}")
needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root, for files of other users")
needs_mounts = unittest.skipUnless(harness.can_use_namespaces(), "needs root, to see an /etc of its own")
NOBODY = 65534


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def text(path):
    with open(path) as file:
        return file.read()


def halves(path):
    """The public and the secret half in a key's file."""
    found = dict(re.findall(r'^(public|secret) = "(.{40})"$', text(path), flags=re.M))
    return found["public"], found["secret"]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = harness.folder_of(self)
        self.list = self.path("clients.toml")

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, content, permissions=0o644):
        with open(self.path(name), "w") as file:
            file.write(content)
        os.chmod(self.path(name), permissions)
        return self.path(name)

    def good(self, *words, **options):
        done = tool(*words, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def key(self, name):
        """A key in a file of this name; returns its public half."""
        return self.good("keygen", self.path(name)).stdout.strip()

    def authorize(self, *words):
        return self.good("authorize", *words, "--file", self.list)


class Keygen(Case):
    def test_a_key_is_a_pair_of_libzmq_s_in_a_file_of_its_owner(self):
        done = self.good("keygen", self.path("host.key"))
        public, secret = halves(self.path("host.key"))
        self.assertEqual(zmq.curve_public(secret.encode()).decode(), public)
        self.assertEqual(done.stdout, public + "\n", "the public half alone, for scripts")
        self.assertTrue(KEY.fullmatch(public))
        self.assertNotIn(secret, done.stdout + done.stderr)
        self.assertEqual(mode(self.path("host.key")), 0o600)
        self.assertEqual(os.listdir(self.folder), ["host.key"], "nothing is left beside it")

    def test_its_mode_does_not_hang_on_the_umask(self):
        for mask in (0, 0o777):
            name = f"host.{mask}"
            self.good("keygen", self.path(name), umask=mask)
            self.assertEqual(mode(self.path(name)), 0o600)

    def test_a_key_that_is_there_stays_unless_replaced(self):
        first = self.key("host.key")
        done = tool("keygen", self.path("host.key"))
        self.assertEqual((done.returncode, done.stdout), (73, ""))
        for word in (self.path("host.key"), "exists", "--replace"):
            self.assertIn(word, done.stderr)
        self.assertEqual(halves(self.path("host.key"))[0], first)
        self.assertEqual(self.good("keygen", "--show", self.path("host.key")).stdout.strip(), first)
        second = self.good("keygen", "--replace", self.path("host.key")).stdout.strip()
        self.assertNotEqual(first, second)
        self.assertEqual(halves(self.path("host.key"))[0], second)
        self.assertEqual(os.listdir(self.folder), ["host.key"])

    def test_a_link_is_followed_and_not_replaced(self):
        self.key("real.key")
        os.symlink("real.key", self.path("host.key"))
        second = self.good("keygen", "--replace", self.path("host.key")).stdout.strip()
        self.assertTrue(os.path.islink(self.path("host.key")))
        self.assertEqual(halves(self.path("real.key"))[0], second)

    def test_a_folder_that_is_not_there_is_told(self):
        done = tool("keygen", self.path("none/host.key"))
        self.assertEqual((done.returncode, done.stdout), (73, ""))
        self.assertIn("there is no folder " + self.path("none"), done.stderr)

    def test_a_full_disk_leaves_nothing(self):
        if not harness.can_use_namespaces():
            self.skipTest("needs root, to mount a file system that is full")
        script = ('mount -t tmpfs -o size=4k tmpfs "$1" && head -c 4096 /dev/zero >"$1/full"; "$2" keygen "$1/host.key"; '
                  'code=$?; ls "$1"; exit $code')
        done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.folder, harness.binary("holdfast")],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual((done.returncode, done.stdout), (73, "full\n"), done.stderr)
        self.assertIn("No space left", done.stderr)

    @needs_root
    def test_a_person_s_key_is_in_a_folder_of_their_own(self):
        program = shutil.copy(harness.binary("holdfast"), self.path("holdfast"))
        home = self.path("home")
        os.mkdir(home)
        os.chown(home, NOBODY, NOBODY)
        os.chmod(self.folder, 0o755)
        done = subprocess.run([program, "keygen"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True,
                              text=True, env={"HOME": home}, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        key = os.path.join(home, ".config/holdfast/client.key")
        self.assertEqual(done.stdout.strip(), halves(key)[0])
        self.assertIn("holdfast authorize", done.stderr)
        self.assertEqual((mode(os.path.dirname(key)), mode(key)), (0o700, 0o600))
        self.assertEqual(os.stat(key).st_uid, NOBODY)


class Authorize(Case):
    def test_a_client_is_written_and_the_list_is_good(self):
        key = self.key("a.key")
        done = self.authorize("desk-7", key)
        self.assertIn("desk-7: may read this host's health", done.stdout)
        self.assertIn("systemctl reload", done.stderr)
        self.assertIn(f'[[client]]\nname = "desk-7"\nkey = "{key}"\n', text(self.list))
        self.assertEqual(mode(self.list), 0o644)
        self.assertIn("a list of 1 client", self.good("check-config", self.list).stdout)

    def test_permissions_are_written_and_said(self):
        done = self.authorize("algo", self.key("a.key"), "--topic", "md/itch/", "--topic", "md/quotes/EURUSD/", "--operate")
        self.assertIn("md/itch/, md/quotes/EURUSD/", done.stdout)
        self.assertIn('topics = ["md/itch/", "md/quotes/EURUSD/"]\noperate = true\n', text(self.list))

    def test_rotation_exchanges_the_key_and_keeps_everything_else(self):
        first, other, second = self.key("a.key"), self.key("b.key"), self.key("c.key")
        before = (f'# The desk\n\n[[client]]  # Alice\nname = "desk"\nkey = "{first}"  # her laptop\n'
                  f'topics = ["md/"]\n\n# Operations\n[[client]]\nkey = "{other}"\nname = "ops"\noperate = true\n')
        self.put("clients.toml", before)
        done = self.authorize("desk", second, "--topic", "md/")
        self.assertEqual(text(self.list), before.replace(first, second))
        self.assertIn("its key is a new one", done.stderr)
        done = self.authorize("ops", other)
        self.assertEqual(text(self.list), before.replace(first, second).replace("operate = true", "operate = false"))
        self.assertIn("no longer has --operate", done.stderr)

    def test_removal_takes_its_lines_only(self):
        first, second = self.key("a.key"), self.key("b.key")
        self.authorize("a", first)
        self.authorize("b", second)
        self.authorize("a", "--remove")
        self.assertNotIn(first, text(self.list))
        self.assertIn(f'[[client]]\nname = "b"\nkey = "{second}"\n', text(self.list))
        done = tool("authorize", "a", "--remove", "--file", self.list)
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no client a; there are b", done.stderr)
        self.authorize("b", "--remove")
        self.assertIn("a list of 0 clients", self.good("check-config", self.list).stdout)

    def test_what_is_wrong_is_told_and_changes_nothing(self):
        key = self.key("a.key")
        self.authorize("a", key)
        before = text(self.list)
        for words, code, told in (
            (("b", key[:-1]), 64, "40 characters"), (("b", key + "x"), 64, "40 characters"), (("b",), 64, "--remove"),
            (("b c", self.key("b.key")), 64, "a name has"), (("b", key), 1, "that key is a's"),
            (("b", key, "--topic", "md/itch"), 64, "end in /"), (("b", key, "--topic", "control/itch/"), 64, "md/FEED/"),
            (("b", key, "--remove"), 64, "--remove takes a name only"),
        ):
            with self.subTest(words):
                done = tool("authorize", *words, "--file", self.list)
                self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
                self.assertIn(told, done.stderr)
                self.assertEqual(text(self.list), before)

    def test_a_broken_list_is_not_written_over(self):
        for content, permissions, told in (
            ('[[client]]\nname = "a"\n', 0o644, "clients.toml:1: client[0].key: is missing"),
            ("[[client\n", 0o644, "clients.toml:1: syntax"), ("", 0o664, "chmod go-w"), ("", 0o646, "chmod go-w"),
        ):
            with self.subTest(told, permissions=permissions):
                self.put("clients.toml", content, permissions)
                name = f"{len(os.listdir(self.folder))}.key"
                done = tool("authorize", "b", self.key(name), "--file", self.list)
                self.assertEqual(done.returncode, 78)
                self.assertIn(told, done.stderr)
                self.assertEqual(text(self.list), content)

    def test_many_at_once_lose_nobody(self):
        keys = {f"client-{number}": zmq.curve_keypair()[0].decode() for number in range(12)}
        children = [harness.spawn(self, [harness.binary("holdfast"), "authorize", "--file", self.list, "--", name, key],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name, key in keys.items()]
        for child in children:
            self.assertEqual(child.wait(harness.PATIENCE_S), 0)
        found = dict(re.findall(r'name = "(.*)"\nkey = "(.*)"', text(self.list)))
        self.assertEqual(found, keys)

    def test_a_list_keeps_its_mode_and_owner(self):
        self.put("clients.toml", "", 0o600)
        if os.geteuid() == 0:
            os.chown(self.list, NOBODY, NOBODY)
        owner = os.stat(self.list).st_uid
        self.authorize("a", self.key("a.key"))
        self.assertEqual((mode(self.list), os.stat(self.list).st_uid), (0o600, owner))


class CheckConfig(Case):
    def agent(self, publish="tcp://*:5555"):
        return self.put("agent.toml", f'# beyond this host\n[bus]\npublish = ["ipc:///run/a", "{publish}"]\n[curve]\n'
                                      f'key = "{self.path("host.key")}"\nclients = "{self.list}"\n')

    def test_keys_are_missed_at_the_line_of_the_endpoint(self):
        file = self.agent()
        done = tool("check-config", file)
        self.assertEqual(done.returncode, 78)
        for word in (f'{file}:3: bus.publish[1]: "tcp://*:5555": is beyond this host and needs a key',
                     f"sudo holdfast keygen {self.path('host.key')}", "holdfast authorize NAME KEY", "no such file"):
            self.assertIn(word, done.stderr)

    def test_the_commands_that_it_names_make_it_good(self):
        file = self.agent()
        told = tool("check-config", file).stderr
        commands = re.findall(r"run `sudo holdfast (.*?)`", told)
        self.assertEqual(len(commands), 2)
        client = self.key("client.key")
        for command in commands:
            self.good(*(client if word == "KEY" else word for word in command.replace("NAME", "desk").split()))
        self.assertIn("OK, for the agent", self.good("check-config", file).stdout)

    def test_files_that_others_may_touch_are_told(self):
        file = self.agent()
        self.key("host.key")
        self.put("clients.toml", "")
        self.good("check-config", file)
        for name, wide, command in (("host.key", 0o640, "chmod 600"), ("host.key", 0o604, "chmod 600"),
                                    ("clients.toml", 0o664, "chmod go-w"), ("clients.toml", 0o646, "chmod go-w")):
            good = mode(self.path(name))
            os.chmod(self.path(name), wide)
            done = tool("check-config", file)
            self.assertEqual(done.returncode, 78)
            self.assertIn(f"{command} {self.path(name)}", done.stderr)
            os.chmod(self.path(name), good)

    def test_halves_of_two_pairs_are_told(self):
        self.key("host.key")
        self.put("clients.toml", "")
        public, _ = halves(self.path("host.key"))
        other = zmq.curve_keypair()[0].decode()
        self.put("host.key", text(self.path("host.key")).replace(public, other), 0o600)
        done = tool("check-config", self.agent())
        self.assertEqual(done.returncode, 78)
        self.assertIn("not of one pair", done.stderr)
        self.assertNotIn(halves(self.path("host.key"))[1], done.stderr)

    def test_nothing_is_asked_for_on_this_host(self):
        self.good("check-config", self.agent(publish="tcp://127.0.0.1:5555"))

    @needs_root
    def test_who_may_not_read_the_key_is_told_so(self):
        file = self.agent()
        self.key("host.key")
        self.put("clients.toml", "")
        program = shutil.copy(harness.binary("holdfast"), self.path("holdfast"))
        os.chmod(self.folder, 0o755)
        done = subprocess.run([program, "check-config", file], user=NOBODY, group=NOBODY, extra_groups=[],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("permission denied", done.stderr)
        self.assertIn("its keys are not checked", done.stderr)

    def test_wrong_lines_of_the_list_are_told(self):
        key = zmq.curve_keypair()[0].decode()
        file = self.put("clients.toml", f'[[client]]\nname = "a"\nkey = "{key}"\n[[client]]\nname = "a"\nkey = "x"\n')
        done = tool("check-config", file)
        self.assertEqual(done.returncode, 78)
        for word in (f"{file}:5: client[1].name", f"{file}:6: client[1].key"):
            self.assertIn(word, done.stderr)


@needs_mounts
class OwnEtc(Case):
    """The default places, in an /etc of the test's own."""

    def setUp(self):
        super().setUp()
        self.etc = self.path("etc")
        os.makedirs(self.path("etc/holdfast"))
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"):
            source = os.path.join("/etc", name)
            if os.path.exists(source):
                (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, os.path.join(self.etc, name))

    def tool(self, *words):
        script = 'mount --bind "$1" /etc && shift && exec "$@"'
        return subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.etc, harness.binary("holdfast"), *words],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)

    def test_the_host_s_key_belongs_to_the_daemons_user(self):
        with open(os.path.join(self.etc, "passwd"), "a") as file:
            file.write("" if any(entry.pw_name == "holdfast" for entry in pwd.getpwall())
                       else "holdfast:x:4711:4712::/nonexistent:/usr/sbin/nologin\n")
        done = self.tool("keygen")
        self.assertEqual(done.returncode, 0, done.stderr)
        key = os.path.join(self.etc, "holdfast/host.key")
        owner = re.search(r"^holdfast:x:(\d+):(\d+):", text(os.path.join(self.etc, "passwd")), flags=re.M)
        found = os.stat(key)
        self.assertEqual((str(found.st_uid), str(found.st_gid), mode(key)), (owner[1], owner[2], 0o600))
        self.assertEqual(self.tool("keygen", "--show").stdout, done.stdout)
        self.assertEqual(self.tool("keygen").returncode, 73)
        self.assertEqual(self.tool("authorize", "desk", done.stdout.strip()).returncode, 0)
        with open(os.path.join(self.etc, "holdfast/gateway.toml"), "w") as file:
            file.write('[downstream]\npublish = ["tcp://*:7000"]\n')
        checked = self.tool("check-config", "/etc/holdfast/gateway.toml", "/etc/holdfast/clients.toml")
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))

    def test_without_anything_the_folder_is_made(self):
        os.rmdir(os.path.join(self.etc, "holdfast"))
        self.assertEqual(self.tool("keygen").returncode, 0)
        self.assertEqual(mode(os.path.join(self.etc, "holdfast")), 0o755)

    def test_a_bus_for_other_hosts_only_is_told(self):
        with open(os.path.join(self.etc, "holdfast/agent.toml"), "w") as file:
            file.write('[bus]\npublish = ["tcp://*:5555"]\nrequest = ["tcp://*:5556"]\n')
        done = self.tool("status", "--agent")
        self.assertEqual(done.returncode, 78)
        self.assertIn("bus.request has no endpoint for this host", done.stderr)


class BeyondThisHost(Case):
    COMMANDS = (("status",), ("switch", "quotes", "B"), ("switch", "quotes", "--release"),
                ("mute", "nic/eth0", "--for", "1m"), ("unmute", "nic/eth0"))

    def test_no_command_goes_there_without_a_key(self):
        for words in self.COMMANDS:
            with self.subTest(words):
                done = tool(*words, "--endpoint", "tcp://192.0.2.1:5556")
                self.assertEqual((done.returncode, done.stdout), (64, ""))
                for word in ("tcp://192.0.2.1:5556 is beyond this host", "--server-key", "keygen --show"):
                    self.assertIn(word, done.stderr)
        done = tool("watch", "--endpoint", "tcp://192.0.2.1:5555,tcp://192.0.2.1:5556")
        self.assertEqual(done.returncode, 64)
        self.assertIn("--server-key", done.stderr)

    def test_our_own_key_is_missed_with_what_to_do(self):
        server = zmq.curve_keypair()[0].decode()
        done = tool("status", "--endpoint", "tcp://192.0.2.1:5556", f"--server-key={server}", "--key", self.path("my.key"))
        self.assertEqual(done.returncode, 66)
        for word in (self.path("my.key"), "no such file", f"holdfast keygen {self.path('my.key')}"):
            self.assertIn(word, done.stderr)
        self.key("my.key")
        os.chmod(self.path("my.key"), 0o644)
        done = tool("status", "--endpoint", "tcp://192.0.2.1:5556", f"--server-key={server}", "--key", self.path("my.key"))
        self.assertEqual(done.returncode, 78)
        self.assertIn("chmod 600", done.stderr)

    def test_a_key_that_is_none_and_a_key_for_ipc_are_wrong_use(self):
        self.key("my.key")
        server = self.key("server.key")
        for words in (("--endpoint", "tcp://192.0.2.1:5556", "--server-key", "short"),
                      ("--endpoint", "ipc:///nonexistent/agent.req", f"--server-key={server}", "--key", self.path("my.key"))):
            done = tool("status", *words)
            self.assertEqual((done.returncode, done.stdout), (64, ""), done.stderr)
            self.assertIn("server-key", done.stderr)

    def serve(self, key_file, answers):
        """A CURVE server that lets everybody in and gives these answers; returns its endpoint."""
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        router.linger = 0
        public, secret = halves(key_file)
        router.curve_server, router.curve_publickey, router.curve_secretkey = True, public.encode(), secret.encode()
        port = router.bind_to_random_port("tcp://127.0.0.1")

        def run():
            for answer in answers:
                if not router.poll(harness.PATIENCE_S * 1000):
                    break
                sender, *_ = router.recv_multipart()
                router.send_multipart([sender, json.dumps(answer).encode()])
            if not answers:
                self.heard = router.poll(1000)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def close():
            thread.join()
            router.linger = 1000
            router.close()
            context.term()
        self.addCleanup(close)
        return f"tcp://127.0.0.1:{port}"

    def test_it_speaks_curve_with_the_keys_that_are_named(self):
        server, _ = self.key("server.key"), self.key("my.key")
        endpoint = self.serve(self.path("server.key"), [{"v": 1, "ok": True}])
        done = tool("unmute", "nic/eth0", "--endpoint", endpoint, "--server-key", server, "--key", self.path("my.key"))
        self.assertEqual((done.returncode, done.stdout), (0, "nic/eth0: no longer muted\n"), done.stderr)

    def test_another_server_than_the_one_named_hears_nothing(self):
        self.key("server.key"), self.key("my.key")
        other = self.key("other.key")
        endpoint = self.serve(self.path("server.key"), [])
        done = tool("unmute", "nic/eth0", "--endpoint", endpoint, "--server-key", other, "--key", self.path("my.key"),
                    "--time-limit", "500ms")
        self.assertEqual(done.returncode, 69)
        self.doCleanups()
        self.assertEqual(self.heard, 0)


class Daemons(Case):
    def test_neither_starts_beyond_this_host_without_keys(self):
        for program, section in (("holdfast-agent", "[bus]\npublish"), ("holdfast-gateway", "[downstream]\npublish")):
            with self.subTest(program):
                daemon = Daemon(self, program, f'[curve]\nkey = "~/host.key"\nclients = "~/clients.toml"\n{section} = '
                                               '["tcp://*:5999"]\n')
                daemon.start(ready=False)
                self.assertEqual(daemon.wait_exit(), 78)
                for word in (f"{program}.toml:5", "tcp://*:5999", "needs a key", "holdfast keygen", "holdfast authorize"):
                    self.assertIn(word, daemon.log())

    def test_a_reload_with_bad_keys_changes_nothing(self):
        daemon = agent(self, QUIET)
        with open(daemon.file) as file:
            good = file.read()
        key = os.path.join(daemon.folder, "host.key")
        server = self.key("server.key")
        for content, told in ((None, "no such file"), ('public = "x"\nsecret = "y"\n', "host.key:1: public: must be 40"),
                              ("[&", "host.key:1: syntax"), ('secret = "', "host.key:1: syntax")):
            with self.subTest(content):
                if content is not None:
                    with open(key, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                        file.write(content)
                daemon.configure(good + f'[curve]\nkey = "~/host.key"\n[[report_to]]\nendpoint = "tcp://192.0.2.9:1"\n'
                                 f'server_key = "{server}"\n')
                daemon.signal(signal.SIGHUP)
                daemon.wait_told("RELOADING=1")
                status = daemon.wait_told("READY=1")
                self.assertTrue(any("refused" in line for line in status), status)
                daemon.wait_log(told)
        self.assertTrue(daemon.is_running())

    def test_no_text_of_a_file_ends_a_daemon(self):
        """Texts over which the TOML library would end the process."""
        daemon = agent(self, QUIET)
        for text in ("[&", "[\n", "[[[a]]]", "a = [1, }", "a = 1979-05-28T)7:00", "a = 1979-05-28T'"):
            with self.subTest(text):
                daemon.configure(text)
                daemon.signal(signal.SIGHUP)
                daemon.wait_told("RELOADING=1")
                daemon.wait_told("READY=1")
                self.assertTrue(daemon.is_running())
        self.assertIn("syntax: ", daemon.log())


if __name__ == "__main__":
    unittest.main()
