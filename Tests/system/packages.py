"""The Debian packages of this tree, built when a test first wants them and once for a run of the tests.

HOLDFAST_PACKAGES may name a folder that keeps them from one run to the next: what is there is taken as it is."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import unittest

import harness

VERSION = "0.1.0"
OLDER = "0.0.9"  # for upgrades; the programs in it are those of this tree
NAMES = ["holdfast", "holdfast-gateway", "holdfast-dbgsym", "holdfast-gateway-dbgsym"]
NEEDED = ["swift", "dpkg-buildpackage", "dh"]

missing = [name for name in NEEDED if shutil.which(name) is None]
BUILD_LIMIT_S = 3600.0  # for hangs only: a build takes minutes


def needs_packages(case):
    """Of a test class. Whichever test first wants the packages builds them."""
    case.limit_s = BUILD_LIMIT_S
    return unittest.skipIf(missing, f"needs {', '.join(missing)} to build packages")(case)


@functools.cache
def kept():
    """The folder that the packages are in, a folder for each version."""
    if folder := os.environ.get("HOLDFAST_PACKAGES"):
        return os.path.abspath(folder)
    folder = tempfile.mkdtemp(prefix=harness.PREFIX)
    harness.GUARDIAN.note("+", "folder", folder)

    def remove():
        shutil.rmtree(folder, ignore_errors=True)
        harness.GUARDIAN.note("-", "folder", folder)
    atexit.register(remove)
    return folder


def build(tree, folder, version=VERSION, **environment):
    """Builds a tree's packages into a folder and returns their paths."""
    words = [os.path.join(tree, "packaging/build-deb"), folder]
    if version != VERSION:
        words += ["--version", version]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | environment,
                          timeout=BUILD_LIMIT_S)
    if done.returncode:
        raise AssertionError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout.splitlines()


@functools.cache
def folder(version=VERSION):
    """The folder with the packages of a version; those with debug symbols are there for VERSION only."""
    place = os.path.join(kept(), version)
    if not os.path.exists(path("holdfast-gateway", version)):
        options = {} if version == VERSION else {"DEB_BUILD_OPTIONS": "noautodbgsym"}
        build(harness.ROOT, place, version, **options)
    return place


def path(name, version=VERSION):
    """Where a package is, once `folder` has been asked for."""
    return os.path.join(kept(), version, f"{name}_{version}_amd64.deb")
