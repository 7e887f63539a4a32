"""The venues that the other tests play: what they must not do to those tests."""

import socket
import struct
import unittest

import zmq

import harness
import venue

TOPIC = "HF1/"


class Upstream(unittest.TestCase):
    def test_its_idle_frame_comes_behind_what_it_numbered_before(self):
        market = venue.Market(self, "HF1")
        sub = harness.subscriber(zmq.Context.instance(), market.A.endpoint)
        self.addCleanup(sub.close)
        market.A.delay_s = 0.3  # the first quote is on its way when the topic is subscribed
        market.quote("HF1")
        sub.subscribe(TOPIC.encode())
        market.A.wait_held(self, TOPIC)
        market.quote("HF1")
        market.quote("HF1")
        told = []
        while not told or told[-1] != (venue.DATA, 3):
            self.assertTrue(sub.poll(harness.PATIENCE_S * 1000), told)
            fields = venue.FRAME.unpack_from(sub.recv(), len(TOPIC) + 1)
            told.append((fields[1], fields[5]))
        idle = told.index((venue.IDLE, 1))
        self.assertEqual([number for _, number in told[idle:]], [1, 2, 3], told)


class Wire(unittest.TestCase):
    def setUp(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        self.server.settimeout(harness.PATIENCE_S)
        self.wire = venue.Wire(self, "tcp://127.0.0.1:%d" % self.server.getsockname()[1])

    def connect(self):
        near = socket.create_connection(("127.0.0.1", int(self.wire.endpoint.rsplit(":", 1)[1])), harness.PATIENCE_S)
        self.addCleanup(near.close)
        far = self.server.accept()[0]
        self.addCleanup(far.close)
        far.settimeout(harness.PATIENCE_S)
        near.sendall(b"word")
        self.assertEqual(far.recv(4), b"word")
        return near, far

    def test_a_connection_that_is_reset_ends_and_others_go_on(self):
        near, far = self.connect()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.close()
        self.assertEqual(far.recv(1), b"")
        self.connect()

    def test_where_no_server_is_it_hangs_up_and_goes_on(self):
        self.server.close()
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", int(self.wire.endpoint.rsplit(":", 1)[1]))) as near:
                near.settimeout(harness.PATIENCE_S)
                self.assertEqual(near.recv(1), b"")


if __name__ == "__main__":
    unittest.main()
