// The kernel's edges, tried on the real kernel: loopback, this process, its children.
import Basics
import Foundation
import Testing

@testable import Linux

@Suite struct SocketTests {
    @Test func `a datagram arrives with its sender and the kernel's stamp`() throws {
        let endpoint = try #require(IPv4Endpoint("127.0.0.1:40111"))
        let receiver = try UDPSocket(receivingAt: endpoint, bufferBytes: 1 << 20)
        let sender = try UDPSocket(sendingThrough: nil)
        #expect(try sender.send(Array("hello".utf8), to: endpoint))
        var seen: [String] = []
        var stamped = false
        try DatagramBatch(slots: 4, bytesPerSlot: 2048).receive(from: receiver.descriptor) { datagram in
            seen.append(String(decoding: datagram.payload, as: UTF8.self))
            stamped = datagram.receivedAt != nil
            #expect(datagram.sender.address == .loopback)
            #expect(!datagram.isTruncated)
        }
        #expect(seen == ["hello"])
        #expect(stamped)
    }

    @Test func `a datagram longer than its slot is marked as cut`() throws {
        let endpoint = try #require(IPv4Endpoint("127.0.0.1:40112"))
        let receiver = try UDPSocket(receivingAt: endpoint, bufferBytes: 1 << 20)
        let sender = try UDPSocket(sendingThrough: nil)
        _ = try sender.send([UInt8](repeating: 7, count: 100), to: endpoint)
        var cut: [Bool] = []
        try DatagramBatch(slots: 2, bytesPerSlot: 64).receive(from: receiver.descriptor) { datagram in
            cut.append(datagram.isTruncated)
            #expect(datagram.payload.count == 64)
        }
        #expect(cut == [true])
    }

    @Test func `an interface that does not exist is named in the error`() {
        #expect(throws: SystemError("interface nowhere0", number: ENODEV)) {
            _ = try UDPSocket(sendingThrough: "nowhere0")
        }
    }

    @Test func `nothing waiting is no error`() throws {
        let endpoint = try #require(IPv4Endpoint("127.0.0.1:40113"))
        let receiver = try UDPSocket(receivingAt: endpoint, bufferBytes: 1 << 16)
        let count = try DatagramBatch(slots: 1, bytesPerSlot: 64).receive(from: receiver.descriptor) { _ in }
        #expect(count == 0)
    }

    @Test func `who is answered gets a port that is none of those to be kept free`() throws {
        let kept = Set((1...UInt16.max).filter { $0 % 4 != 1 })
        for _ in 0..<20 {
            #expect(try UDPSocket(receivingAtPortOtherThan: kept, bufferBytes: 1 << 16).port % 4 == 1)
        }
    }

    @Test func `a group can be received at the port of who is answered`() throws {
        let asking = try UDPSocket(receivingAtPortOtherThan: [], bufferBytes: 1 << 16)
        let group = IPv4Endpoint(try #require(IPv4Address("239.1.2.3")), asking.port)
        _ = try UDPSocket(receivingAt: group, bufferBytes: 1 << 16)
    }

    @Test func `an echo request carries a checksum that verifies`() {
        let packet = ICMPSocket.echoRequest(identifier: 0x1234, sequence: 7)
        #expect(packet.count == 24)
        #expect(internetChecksum(packet) == 0)
    }

    @Test func `an echo reply is read behind its IP header, anything else is not`() {
        var packet: [UInt8] = [0x45] + [UInt8](repeating: 0, count: 19)
        packet += [0, 0, 0, 0, 0x12, 0x34, 0x00, 0x07]
        let reply = ICMPSocket.echoReply(packet, .v4, hasHeader: true)
        #expect(reply?.identifier == 0x1234)
        #expect(reply?.sequence == 7)
        #expect(ICMPSocket.echoReply(Array(packet.dropLast(3)), .v4, hasHeader: true) == nil)
        #expect(ICMPSocket.echoReply([0x41, 0, 0], .v4, hasHeader: true) == nil)
        #expect(ICMPSocket.echoReply([], .v4, hasHeader: true) == nil)
        let ofIPv6: [UInt8] = [129, 0, 0, 0, 0x12, 0x34, 0x00, 0x07]
        #expect(ICMPSocket.echoReply(ofIPv6, .v6, hasHeader: false)?.sequence == 7)
        #expect(ICMPSocket.echoReply(ofIPv6, .v4, hasHeader: false) == nil)
        #expect(ICMPSocket.echoRequest(.v6, identifier: 1, sequence: 2).first == 128)
    }

    @Test(.enabled(if: getuid() == 0), arguments: IPFamily.allCases)
    func `probes are numbered from 0, and again from there when that is asked for`(family: IPFamily) throws {
        let socket = try ICMPSocket(access: .raw, interface: "lo", family: family)
        let loopback = family == .v4 ? IPAddress.v4(.loopback) : .v6(.loopback)
        try socket.accept(identifier: 0x4848)
        var numbers: [UInt32] = []
        for sequence in UInt16(0)..<5 {
            if sequence == 3 { try socket.renumber() }
            #expect(try socket.sendEcho(to: loopback, identifier: 0x4848, sequence: sequence))
            while numbers.count <= Int(sequence) {
                var waited = pollfd(fd: socket.descriptor.raw, events: Int16(POLLIN), revents: 0)
                try #require(poll(&waited, 1, 30_000) == 1, "nothing came")
                while let receipt = try socket.receive() {
                    if case .departed(let number, _) = receipt { numbers.append(number) }
                }
            }
        }
        #expect(numbers == [0, 1, 2, 0, 1])
    }

    @Test(.enabled(if: getuid() == 0), arguments: IPFamily.allCases)
    func `loopback answers an echo, with kernel stamps`(family: IPFamily) throws {
        let socket = try ICMPSocket(access: .raw, interface: "lo", family: family)
        let loopback = family == .v4 ? IPAddress.v4(.loopback) : .v6(.loopback)
        try socket.accept(identifier: 0x4846)
        // The kernel switches stamps on a little after the first socket asks for them, so that early replies may
        // come without; every request has one reply.
        var isStamped = false
        var sequence: UInt16 = 0
        while !isStamped, sequence < 1000 {
            sequence += 1
            #expect(try socket.sendEcho(to: loopback, identifier: 0x4846, sequence: sequence))
            var stamp: WallTime??
            while stamp == nil {
                var waited = pollfd(fd: socket.descriptor.raw, events: Int16(POLLIN), revents: 0)
                try #require(poll(&waited, 1, 30_000) == 1, "nothing came")
                while let receipt = try socket.receive() {
                    if case .reply(loopback, 0x4846, sequence, let time) = receipt { stamp = time }
                }
            }
            isStamped = (stamp ?? nil) != nil
        }
        #expect(isStamped)
    }
}

@Suite struct ProcessTests {
    @Test func `a pidfd tells that its process ended, and how where the kernel does`() throws {
        let child = Process()
        child.executableURL = URL(fileURLWithPath: "/bin/sleep")
        child.arguments = ["60"]
        try child.run()
        let held = try PIDFD(opening: child.processIdentifier)
        let before = (held.hasEnded, held.exit)
        #expect(!before.0 && before.1 == nil)
        kill(child.processIdentifier, SIGKILL)
        child.waitUntilExit()
        let ended = held.hasEnded
        #expect(ended)
        if let exit = held.exit { #expect(exit == .signal(SIGKILL)) }
    }

    @Test func `a wait status is an exit status or a signal`() {
        #expect(ProcessExit(waitStatus: 3 << 8) == .status(3))
        #expect(ProcessExit(waitStatus: 9) == .signal(9))
        #expect(ProcessExit(waitStatus: 0x80 | 11) == .signal(11))
    }

    @Test func `no such process is ESRCH`() {
        #expect(throws: SystemError.self) { _ = try PIDFD(opening: 4_194_304) }
    }
}

@Suite struct FileTests {
    @Test func `a file beyond its bound is refused with its name`() {
        #expect(throws: SystemError("read /proc/self/maps", number: EFBIG)) {
            _ = try Files.read("/proc/self/maps", limit: 16)
        }
    }

    @Test func `journal fields are capitals with our prefix, the message id without`() {
        #expect(JournalEntry.fieldName("subject") == "HOLDFAST_SUBJECT")
        #expect(JournalEntry.fieldName("message_id") == "MESSAGE_ID")
        #expect(JournalEntry.fieldName("feed-path") == "HOLDFAST_FEED_PATH")
    }

    @Test func `a polled file gives its number again and again`() throws {
        let path = NSTemporaryDirectory() + "holdfast-polled-\(getpid())"
        try "41\n".write(toFile: path, atomically: false, encoding: .utf8)
        defer { unlink(path) }
        let file = try PolledFile(path: path)
        let number = try file.integer()
        #expect(number == 41)
        try "x".write(toFile: path, atomically: false, encoding: .utf8)
        let none = try file.integer()
        #expect(none == nil)
    }
}
