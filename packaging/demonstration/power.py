"""The demo's UPS: Debian's upsd, and NUT's dummy-ups as its driver, which is told over its socket what to say."""

import os
import socket

import watched

NUT = "/lib/nut"
NAME = "rack"
ON_MAINS, ON_BATTERY = "OL", "OB DISCHRG"
DEVICE = "ups.status: OL\nbattery.charge: 100\nbattery.runtime: 1200\nups.load: 20\n"


class Power:
    """A UPS that feeds the desk, with NUT's files in a folder of its own."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "nut")
        os.mkdir(self.folder, 0o700)
        for name, text in (
            ("ups.conf", f"user = root\n[{NAME}]\n driver = dummy-ups\n mode = dummy-once\n"
                         f" port = {self.folder}/{NAME}.dev\n"),
            ("upsd.conf", f"LISTEN 127.0.0.1 3493\nSTATEPATH {self.folder}\n"), ("upsd.users", ""),
            (f"{NAME}.dev", DEVICE),
        ):
            with open(os.path.join(self.folder, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(self.folder, name), 0o600)
        self.environment = {"NUT_CONFPATH": self.folder, "NUT_STATEPATH": self.folder, "NUT_ALTPIDPATH": self.folder,
                            "NUT_QUIET_INIT_SSL": "true"}
        self.driver = os.path.join(self.folder, f"dummy-ups-{NAME}")

    def start(self, spawn, on_desk):
        """`spawn(name, words, **options)` starts a process; `on_desk(words)` puts it into the desk's namespace."""
        environment = os.environ | self.environment
        spawn("ups-driver", on_desk([f"{NUT}/dummy-ups", "-a", NAME, "-F", "-u", "root"]), env=environment)
        watched.wait(os.path.dirname(self.driver), lambda: os.path.exists(self.driver), 10)
        spawn("upsd", on_desk([f"{NUT}/upsd", "-F", "-u", "root"]), env=environment)

    def switch(self, status):
        """Connects now; returns a function that makes the driver know another status at once."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.connect(self.driver)
        return lambda: link.sendall(f'SET ups.status "{status}"\n'.encode())
