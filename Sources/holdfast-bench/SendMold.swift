// A MoldUDP64 venue on two lines at a steady rate: packets of ITCH orders of 64 bytes, cut by the kernel from one
// large send (UDP_SEGMENT), so that the sender is not what limits.
import ArgumentParser
import Basics
import CLinux
import FeedProtocols
import Glibc
import Linux

struct SendMold: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "send-mold", abstract: "Send ITCH over MoldUDP64 on one or more lines.")

    @Option(help: "A line's ADDRESS:PORT.") var group: [String] = []
    @Option(help: "The interface.") var interface = "lo"
    @Option(help: "Messages a second on each line; 0: as fast as it goes.") var rate = 100_000.0
    @Option(help: "Messages to send behind the directory.") var messages = 1_000_000
    @Option(help: "Messages in a packet.") var perPacket = 10
    @Option(help: "Instruments.") var symbols = 8000

    /// What the kernel cuts from one send at the most, and the longest send, in bytes.
    private static let mostSegments = 64
    private static let longestSend = 65_000
    private static let messageBytes = 64

    func run() throws {
        let targets = group.compactMap { IPv4Endpoint($0) }
        guard targets.count == group.count, !targets.isEmpty, (1...1000).contains(perPacket),
            (1...SyntheticITCH.mostSymbols).contains(symbols), messages > 0
        else { throw ValidationError("--group ADDRESS:PORT, at least once; see --help") }
        let socket = try UDPSocket(sendingThrough: interface)
        var numbers = try sendDirectory(socket, targets)
        var train = Train(symbols: symbols, perPacket: perPacket, packets: packetsInTrain)
        var pace = Pace(rate: rate)
        var left = messages
        while left > 0 {
            pace.wait(for: train.messages)
            train.renumber(from: numbers)
            for target in targets { try train.send(socket, to: target) }
            numbers += UInt64(train.messages)
            left -= train.messages
        }
        let seconds = pace.seconds
        for _ in 0..<20 {
            for target in targets {
                _ = try socket.send(
                    MoldUDP64PacketBuilder.heartbeat(session: Train.session, next: numbers), to: target)
            }
            usleep(50_000)
        }
        tell([
            JSON.Member("messages", count: messages - left), JSON.Member("last", count: numbers - 1),
            JSON.Member("seconds", .number(seconds)),
            JSON.Member("rate", .number(Double(messages - left) / seconds)),
        ])
    }

    private var packetsInTrain: Int {
        min(SendMold.mostSegments, SendMold.longestSend / (20 + perPacket * (2 + SendMold.messageBytes)))
    }

    /// The session's start and its directory, slowly enough to be lost by nobody. Returns the next number.
    private func sendDirectory(_ socket: borrowing UDPSocket, _ targets: [IPv4Endpoint]) throws -> UInt64 {
        let day = SyntheticITCH(symbols: symbols, seed: 1, rate: 1, start: Clock.wall)
        var builder = MoldUDP64PacketBuilder(session: Train.session)
        builder.begin(at: 1)
        for number in 1...UInt64(symbols + 1) {
            var message = ByteWriter(capacity: 64)
            day.write(number, into: &message)
            if builder.append(message.bytes) { continue }
            for target in targets { _ = try socket.send(builder.bytes, to: target) }
            usleep(200)
            builder.begin(at: number)
            _ = builder.append(message.bytes)
        }
        for target in targets { _ = try socket.send(builder.bytes, to: target) }
        return UInt64(symbols + 2)
    }
}

/// Packets that are sent at once, all of one length.
struct Train {
    static let session = MoldSession("BENCH00001")

    let messages: Int
    private let perPacket: Int
    private let packetBytes: Int
    private var bytes: [UInt8] = []

    init(symbols: Int, perPacket: Int, packets: Int) {
        self.perPacket = perPacket
        messages = perPacket * packets
        let now = Clock.wall.nanoseconds
        let ofDay = UInt64(now - now.flooredQuotient(by: 86_400_000_000_000) * 86_400_000_000_000)
        var locate: UInt16 = 0
        for _ in 0..<packets {
            var builder = MoldUDP64PacketBuilder(session: Train.session, maximumLength: 65_507)
            builder.begin(at: 1)
            for _ in 0..<perPacket {
                // An odd step visits every instrument.
                locate = UInt16((Int(locate) + 7919) % symbols)
                _ = builder.append(Train.order(locate + 1, ofDay))
            }
            bytes += builder.bytes
        }
        packetBytes = bytes.count / packets
    }

    /// An order with what a venue might append, 64 bytes in all.
    private static func order(_ locate: UInt16, _ time: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        ITCH50Body.addOrder(
            reference: 1, side: .buy, shares: 100, symbol: SyntheticITCH.symbol(ofLocate: locate),
            price: 10_000
        ).write(ITCH50Stamp(locate: locate, timestamp: time), into: &writer)
        return writer.bytes + [UInt8](repeating: 0, count: 64 - writer.bytes.count)
    }

    /// Writes each packet's first number.
    mutating func renumber(from first: UInt64) {
        var number = first
        for start in stride(from: 0, to: bytes.count, by: packetBytes) {
            for byte in 0..<8 {
                bytes[start + 10 + byte] = UInt8(truncatingIfNeeded: number >> (56 - 8 * byte))
            }
            number += UInt64(perPacket)
        }
    }

    func send(_ socket: borrowing UDPSocket, to target: IPv4Endpoint) throws(SystemError) {
        try socket.sendSegments(bytes, ofBytes: UInt16(packetBytes), to: target)
    }
}
