"""The Debian packages as files: what is in them, what they need, how large they are, and that they are the same
bytes wherever they are built. What they do on a host is in the tests of booted machines."""

import gzip
import os
import re
import shutil
import subprocess
import tarfile
import io
import unittest

import harness
import packages
from harness import run

# Debian's own shared libraries, and what makes the user.
ALLOWED = {"libc6", "libgcc-s1", "libpcap0.8", "libsodium23", "libssl3", "libstdc++6", "libsystemd0", "libzmq5",
           "systemd | systemd-standalone-sysusers | systemd-sysusers"}
AGENT_BYTES = 36_000_000

AGENT_FILES = """
etc/holdfast/agent.toml
lib/systemd/system/holdfast-agent.service
usr/bin/holdfast
usr/bin/holdfast-agent
usr/lib/systemd/catalog/holdfast.catalog
usr/lib/sysusers.d/holdfast.conf
usr/lib/tmpfiles.d/holdfast.conf
usr/share/bash-completion/completions/holdfast
usr/share/bash-completion/completions/holdfast-agent
usr/share/doc/holdfast/changelog.gz
usr/share/doc/holdfast/copyright
usr/share/fish/vendor_completions.d/holdfast-agent.fish
usr/share/fish/vendor_completions.d/holdfast.fish
usr/share/man/man1/holdfast.1.gz
usr/share/man/man5/holdfast.toml.5.gz
usr/share/man/man8/holdfast-agent.8.gz
usr/share/zsh/vendor-completions/_holdfast
usr/share/zsh/vendor-completions/_holdfast-agent
""".split()
GATEWAY_FILES = """
etc/holdfast/gateway.toml
lib/systemd/system/holdfast-gateway.service
usr/bin/holdfast-gateway
usr/lib/sysctl.d/10-holdfast-gateway.conf
usr/share/bash-completion/completions/holdfast-gateway
usr/share/doc/holdfast-gateway/changelog.gz
usr/share/doc/holdfast-gateway/copyright
usr/share/fish/vendor_completions.d/holdfast-gateway.fish
usr/share/man/man8/holdfast-gateway.8.gz
usr/share/zsh/vendor-completions/_holdfast-gateway
""".split()
DROP_INS = "usr/share/holdfast/drop-ins/"


def control(package):
    """The fields of a package's control file."""
    text = run("dpkg-deb", "--field", package)
    return dict(field.split(": ", 1) for field in re.split(r"\n(?! )", text.strip()))


def files(package):
    """The files of a package: tar's members by path, but for folders."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True,
                          timeout=harness.COMMAND_S).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name.removeprefix("./"): member for member in archive if not member.isdir()}


@harness.needs_namespaces
class Purge(unittest.TestCase):
    def test_a_journal_on_a_disk_of_its_own_leaves_no_package_half_purged(self):
        root = harness.folder_of(self)
        for folder in ("run", "etc/holdfast", "var/lib/holdfast/journal"):
            os.makedirs(os.path.join(root, folder))
        key = os.path.join(root, "etc/holdfast/host.key")
        open(key, "w").close()
        script = 'mount -t tmpfs tmpfs "$DPKG_ROOT/var/lib/holdfast/journal" && exec sh "$1" purge'
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
             os.path.join(harness.ROOT, "packaging/debian/holdfast.postrm")],
            env=dict(os.environ, DPKG_ROOT=root), capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("is a file system mounted there?", done.stderr)
        self.assertFalse(os.path.exists(key))


class Built(unittest.TestCase):
    """Tests of the packages as they come from packaging/build-deb, unpacked."""

    @classmethod
    def setUpClass(cls):
        packages.folder()
        cls.addClassCleanup(lambda: shutil.rmtree(cls.root, ignore_errors=True))
        cls.root = harness.tempfile.mkdtemp(prefix=harness.PREFIX)
        for name in packages.NAMES:
            run("dpkg-deb", "--extract", packages.path(name), cls.root)

    def inside(self, path):
        return os.path.join(self.root, path)


@packages.needs_packages
class Contents(Built):
    def test_each_file_is_meant(self):
        """Nothing more and nothing less, all of it root's, and nothing that others may write."""
        for name, expected in (("holdfast", AGENT_FILES), ("holdfast-gateway", GATEWAY_FILES)):
            with self.subTest(name):
                members = files(packages.path(name))
                drop_ins = {path for path in members if path.startswith(DROP_INS)}
                self.assertEqual(sorted(members.keys() - drop_ins), expected)
                self.assertEqual(bool(drop_ins), name == "holdfast")
                for path, member in members.items():
                    self.assertEqual((member.uname, member.gname), ("root", "root"), path)
                    self.assertEqual(member.mode, 0o755 if path.startswith("usr/bin/") else 0o644, path)

    def test_they_need_only_what_debian_has(self):
        """No Swift on the host, and no library of anyone else's."""
        for name in ("holdfast", "holdfast-gateway"):
            needed = {re.sub(r" \([^)]*\)", "", word) for word in control(packages.path(name))["Depends"].split(", ")}
            own = {"holdfast"} if name == "holdfast-gateway" else set()
            self.assertLessEqual(needed, ALLOWED | own, name)
            self.assertLessEqual({"libc6", "libsystemd0", "libzmq5"} | own, needed, name)

    def test_the_gateway_goes_with_the_agent_of_its_version(self):
        self.assertIn(f"holdfast (= {packages.VERSION})", control(packages.path("holdfast-gateway"))["Depends"])

    def test_configuration_is_the_operator_s(self):
        """Files under /etc are conffiles: an upgrade asks before it replaces what was changed."""
        for name, file in (("holdfast", "agent"), ("holdfast-gateway", "gateway")):
            self.assertEqual(run("dpkg-deb", "--info", packages.path(name), "conffiles"), f"/etc/holdfast/{file}.toml\n")

    def test_the_agent_s_package_is_small(self):
        self.assertLess(int(control(packages.path("holdfast"))["Installed-Size"]) * 1024, AGENT_BYTES)

    def test_programs_and_packages_have_one_version(self):
        with gzip.open(self.inside("usr/share/doc/holdfast/changelog.gz"), "rt") as changelog:
            self.assertIn(f"({packages.VERSION})", changelog.readline())
        for name in ("holdfast", "holdfast-agent", "holdfast-gateway"):
            self.assertIn(packages.VERSION, run(self.inside(f"usr/bin/{name}"), "--version"))

    def test_programs_are_hardened_and_their_symbols_apart(self):
        for name in ("holdfast", "holdfast-agent", "holdfast-gateway"):
            with self.subTest(name):
                facts = run("readelf", "--wide", "--file-header", "--program-headers", "--dynamic", "--notes",
                            "--section-headers", self.inside(f"usr/bin/{name}"))
                self.assertRegex(facts, r"Type:\s+DYN \(Position-Independent Executable file\)")
                self.assertIn("GNU_RELRO", facts)
                self.assertRegex(facts, r"FLAGS.*BIND_NOW|FLAGS_1.*\bNOW\b")
                self.assertRegex(facts, r"GNU_STACK\s+\S+ \S+ \S+ \S+ \S+ RW ")
                self.assertNotIn(".debug_info", facts)
                build = re.search(r"Build ID: (..)(\w+)", facts)
                symbols = self.inside(f"usr/lib/debug/.build-id/{build[1]}/{build[2]}.debug")
                self.assertIn(".debug_info", run("readelf", "--wide", "--section-headers", symbols))

    def test_no_path_of_the_build_is_in_them(self):
        """Nor in debug symbols: those are compressed here, but another folder gives the same bytes."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(harness.ROOT.encode() + b"/", file.read(), name)

    def completions(self, program):
        """The texts for each shell."""
        for path in (f"bash-completion/completions/{program}", f"zsh/vendor-completions/_{program}",
                     f"fish/vendor_completions.d/{program}.fish"):
            with open(self.inside(f"usr/share/{path}")) as file:
                yield path, file.read()

    def test_completions_know_each_command(self):
        commands = re.findall(r"^  ([a-z][a-z-]+) ", run(self.inside("usr/bin/holdfast"), "--help"), re.M)
        self.assertGreater(len(commands), 5)
        for path, text in self.completions("holdfast"):
            for command in commands:
                self.assertRegex(text, rf"\b{command}\b", path)

    def test_completions_know_each_option_of_the_daemons(self):
        for program in ("holdfast-agent", "holdfast-gateway"):
            options = set(re.findall(r"--([a-z]+)", run(self.inside(f"usr/bin/{program}"), "--help")))
            self.assertGreaterEqual(len(options), 4)
            for path, text in self.completions(program):
                for option in options:
                    self.assertRegex(text, rf"(--|-l ){option}\b", path)

    def test_bash_offers_commands_and_options(self):
        """As someone who presses the tab key."""
        script = ('. "$1"; COMP_LINE="$2 $3"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=("$2" "$3"); COMP_CWORD=1; '
                  'shopt -s extglob; $(complete -p "$2" | sed "s/.*-F \\([^ ]*\\) .*/\\1/") "$2" "$3" "$2"; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        for program, typed, offered in (("holdfast", "sta", "status"), ("holdfast-agent", "--ch", "--check"),
                                        ("holdfast-gateway", "--con", "--config")):
            path = self.inside(f"usr/share/bash-completion/completions/{program}")
            self.assertEqual(run("bash", "-c", script, "bash", path, program, typed).split(), [offered])

    def test_lintian_has_nothing_to_say(self):
        """No error, no warning, and nothing that is overridden."""
        if shutil.which("lintian") is None:
            self.skipTest("needs lintian")
        done = harness.attempt("lintian", "--allow-root", "--show-overrides", "--fail-on=error,warning",
                               *map(packages.path, packages.NAMES), timeout=packages.BUILD_LIMIT_S)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)


@packages.needs_packages
class Pages(Built):
    def test_manual_pages_format_without_a_warning(self):
        if shutil.which("man") is None:
            self.skipTest("needs man-db")
        pages = [path for path in AGENT_FILES + GATEWAY_FILES if "/man/" in path]
        self.assertEqual(len(pages), 4)
        for page in pages:
            with self.subTest(os.path.basename(page)):
                done = harness.attempt("man", "--warnings", "--encoding=UTF-8", "--local-file", self.inside(page),
                                       env=os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertGreater(len(done.stdout.splitlines()), 40)


@packages.needs_packages
@unittest.skipUnless(os.path.exists(os.path.join(harness.ROOT, ".git")), "needs git, to copy what is tracked")
class Reproducible(unittest.TestCase):
    is_last = True  # it builds everything once more

    def test_another_folder_gives_the_same_bytes(self):
        """All packages, debug symbols too, built anew from a copy of the tree, elsewhere, by another clock."""
        packages.folder()
        tree = os.path.join(harness.folder_of(self), "a folder", "of another name")
        for path in run("git", "ls-files", "-z", cwd=harness.ROOT).split("\0")[:-1]:
            copy = os.path.join(tree, path)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(os.path.join(harness.ROOT, path), copy)
        output = os.path.join(tree, "output")
        packages.build(tree, output, TZ="Asia/Tokyo", LC_ALL="C")
        for name in packages.NAMES:
            first, second = packages.path(name), os.path.join(output, os.path.basename(packages.path(name)))
            self.assertTrue(self.same(first, second), f"{name} differs: {self.differences(first, second)}")

    @staticmethod
    def same(first, second):
        with open(first, "rb") as one, open(second, "rb") as two:
            return one.read() == two.read()

    def differences(self, first, second):
        """The members that differ, for whoever has to find out why."""
        folders = []
        for package in (first, second):
            folders.append(os.path.join(harness.folder_of(self), "unpacked"))
            run("dpkg-deb", "--raw-extract", package, folders[-1])
        return harness.attempt("diff", "--recursive", "--brief", *folders).stdout
