// Dumps of links, addresses and routes, made on the worker's thread: a request for links waits for the
// kernel's RTNL lock inside send(), which may take as long as somebody else's work.
import Basics
import Linux

/// A socket for questions that are asked again and again.
final class KernelSocket: Sendable {
    fileprivate let socket: NetlinkSocket

    init() throws(SystemError) { socket = try NetlinkSocket(isBlocking: true) }
}

/// What the kernel answered.
struct NetworkDump: Hashable, Sendable {
    var links: [LinkMessage] = []
    var addresses: [AddressMessage] = []
    var routes: [RouteMessage] = []
    /// By the index of the link.
    var statistics: [Int32: LinkStatistics] = [:]
    /// Messages that could not be decoded, and why the last one could not.
    var malformed: UInt64 = 0
    var defect: NetlinkDefect?
}

/// Why there is no dump.
enum DumpFailure: Error, Hashable, Sendable, CustomStringConvertible {
    case system(SystemError)
    case refused(Int32)
    /// The answer did not fit, or changed while it was given, each time.
    case unstable

    var description: String {
        switch self {
        case .system(let error): error.description
        case .refused(let number): "netlink dump: \(SystemError.text(number))"
        case .unstable: "netlink dump: the answer changed each time while it was given"
        }
    }
}

extension NetworkDump {
    private static let rounds = 4

    /// Asks the kernel for links without statistics, addresses and routes; blocks.
    static func take() -> Result<NetworkDump, DumpFailure> {
        do throws(DumpFailure) {
            var dump = NetworkDump()
            let socket: NetlinkSocket
            do throws(SystemError) { socket = try NetlinkSocket(isBlocking: true) } catch {
                throw .system(error)
            }
            try dump.ask(socket, linkRequest)
            for family in IPFamily.allCases {
                // A kernel without IPv6 may refuse to speak of it.
                let mayBeRefused = family == .v6
                try dump.ask(socket, request(22, familyOnly(family, 8)), mayBeRefused)
                try dump.ask(socket, request(26, familyOnly(family, 12)), mayBeRefused)
            }
            return .success(dump)
        } catch {
            return .failure(error)
        }
    }

    /// Asks the kernel for the counters of all links; blocks. Returns the socket for the next time, unless it failed:
    /// an answer that comes late is not to be taken for a later one.
    static func statistics(by held: KernelSocket?) -> (counters: [Int32: LinkStatistics], by: KernelSocket)? {
        guard let held = held ?? (try? KernelSocket()) else { return nil }
        var dump = NetworkDump()
        do throws(DumpFailure) { try dump.ask(held.socket, statisticsRequest) } catch { return nil }
        return (dump.statistics, held)
    }

    /// What the kernel knows of one neighbour; `nil`: nothing, or it cannot be asked. Blocks.
    static func neighbour(_ address: IPAddress, on index: Int32) -> NeighbourMessage? {
        guard let socket = try? NetlinkSocket(isBlocking: true),
            (try? socket.send(neighbourRequest(address, index))) != nil
        else { return nil }
        var buffer = [UInt8](repeating: 0, count: 8 << 10)
        guard case .datagram(let bytes, 0)? = try? socket.receive(into: &buffer) else { return nil }
        var reader = NetlinkFrameReader(bytes)
        guard let frame = try? reader.next(),
            case .neighbour(let told)? = try? RouteNetlinkMessage(frame)
        else {
            return nil
        }
        return told
    }

    /// `struct ndmsg` and NDA_DST.
    static func neighbourRequest(_ address: IPAddress, _ index: Int32) -> [UInt8] {
        var writer = ByteWriter()
        writer.append([address.family == .v4 ? 2 : 10, 0, 0, 0])
        writer.hostEndian(UInt32(bitPattern: index))
        writer.append([0, 0, 0, 0])
        writer.hostEndian(UInt16(4 + address.bytes.count))
        writer.hostEndian(UInt16(1))
        writer.append(address.bytes)
        return request(30, writer.bytes, flags: 1)
    }

    /// `struct nlmsghdr`, with NLM_F_REQUEST and NLM_F_DUMP unless other flags are given.
    private static func request(_ type: UInt16, _ payload: [UInt8], flags: UInt16 = 0x301) -> [UInt8] {
        var writer = ByteWriter()
        writer.hostEndian(UInt32(16 + payload.count))
        writer.hostEndian(type)
        writer.hostEndian(flags)
        writer.hostEndian(UInt32(type))
        writer.hostEndian(UInt32(0))
        writer.append(payload)
        return writer.bytes
    }

    /// A fixed part of which only the first byte, AF_INET or AF_INET6, is set.
    private static func familyOnly(_ family: IPFamily, _ count: Int) -> [UInt8] {
        [family == .v4 ? 2 : 10] + Array(repeating: 0, count: count - 1)
    }

    /// `struct ifinfomsg` and IFLA_EXT_MASK with RTEXT_FILTER_SKIP_STATS.
    private static var linkRequest: [UInt8] {
        var writer = ByteWriter()
        writer.append(repeatElement(0, count: 16))
        writer.hostEndian(UInt16(8))
        writer.hostEndian(UInt16(29))
        writer.hostEndian(UInt32(8))
        return request(18, writer.bytes)
    }

    /// `struct if_stats_msg` with IFLA_STATS_LINK_64 in its mask: a fifth of what a dump of links is.
    private static var statisticsRequest: [UInt8] {
        var writer = ByteWriter()
        writer.append(repeatElement(0, count: 8))
        writer.hostEndian(UInt32(1))
        return request(94, writer.bytes)
    }

    private mutating func ask(
        _ socket: borrowing NetlinkSocket, _ request: [UInt8], _ mayBeRefused: Bool = false
    ) throws(DumpFailure) {
        for _ in 0..<NetworkDump.rounds {
            var answer = self
            do throws(DumpFailure) {
                guard try answer.exchange(socket, request) else { continue }
            } catch {
                if mayBeRefused, case .refused = error { return }
                throw error
            }
            self = answer
            return
        }
        throw .unstable
    }

    /// One request and its answer; `false` if the answer was inconsistent and is to be asked for again.
    private mutating func exchange(_ socket: borrowing NetlinkSocket, _ request: [UInt8])
        throws(DumpFailure)
        -> Bool
    {
        // As the kernel fills it, and no more of it, it costs memory.
        var buffer = unsafe [UInt8](unsafeUninitializedCapacity: 64 << 10) { $1 = $0.count }
        var isConsistent = true
        do throws(SystemError) { try socket.send(request) } catch { throw .system(error) }
        while true {
            let receipt: NetlinkReceipt
            do throws(SystemError) { receipt = try socket.receive(into: &buffer) } catch {
                throw .system(error)
            }
            switch receipt {
            case .nothing: throw .system(SystemError("receive by netlink", number: 110))
            case .overrun, .truncated: isConsistent = false
            case .datagram(let bytes, let sender):
                guard sender == 0 else { continue }
                if try take(bytes, &isConsistent) { return isConsistent }
            }
        }
    }

    /// Takes one datagram in; `true` at the end of the dump.
    private mutating func take(_ bytes: ArraySlice<UInt8>, _ isConsistent: inout Bool)
        throws(DumpFailure)
        -> Bool
    {
        var reader = NetlinkFrameReader(bytes)
        while let message = next(&reader, &isConsistent) {
            switch message {
            case .link(let link): links.append(link)
            case .address(let address): addresses.append(address)
            case .route(let route): routes.append(route)
            case .statistics(let index, let counters): statistics[index] = counters
            case .done(let code), .failed(let code):
                if code < 0 { throw .refused(-max(code, -4095)) }
                return true
            case .overrun: isConsistent = false
            case .linkRemoved, .addressRemoved, .routeRemoved, .routeReplaced, .neighbour, .other: break
            }
        }
        return false
    }

    /// The next message that can be decoded; those that cannot are counted. NLM_F_DUMP_INTR says that the
    /// kernel's lists changed in the middle.
    private mutating func next(_ reader: inout NetlinkFrameReader, _ isConsistent: inout Bool)
        -> RouteNetlinkMessage?
    {
        while true {
            do throws(NetlinkDefect) {
                guard let frame = try reader.next() else { return nil }
                if frame.flags & 0x10 != 0 { isConsistent = false }
                return try RouteNetlinkMessage(frame)
            } catch {
                malformed &+= 1
                defect = error
            }
        }
    }
}

extension ByteWriter {
    /// An integer in the host's own byte order, as netlink uses.
    mutating func hostEndian<T: FixedWidthInteger>(_ value: T) {
        #if _endian(little)
            littleEndian(value)
        #else
            bigEndian(value)
        #endif
    }
}
