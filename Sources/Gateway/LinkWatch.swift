// Hears from the kernel that links come and go, so that multicast groups are joined again: a switch forgets a
// port's groups when its link drops. Only three fields of each message are read.
import Basics
import CLinux
import Linux
import Reactor

/// What the kernel said of one interface.
struct LinkNews: Hashable, Sendable {
    var index: Int32
    /// Up, and with a carrier.
    var isRunning: Bool
    var isGone: Bool
}

/// Link messages of rtnetlink (RFC 3549, section 2.3.3.1), as far as they matter here.
enum LinkMessages {
    private static let headerBytes = 16
    private static let lowerUp: UInt32 = 1 << 16

    /// The news in one datagram; what is cut short or of another kind is skipped.
    static func read(_ datagram: ArraySlice<UInt8>) -> [LinkNews] {
        var news: [LinkNews] = []
        var reader = ByteReader(datagram)
        while let one = try? message(&reader) {
            if let link = one { news.append(link) }
        }
        return news
    }

    private static func message(_ reader: inout ByteReader) throws(EndOfBytes) -> LinkNews?? {
        let length = Int(try reader.hostEndian(UInt32.self))
        let type = try reader.hostEndian(UInt16.self)
        _ = try reader.take(10)
        let body = try reader.take(max(0, length - headerBytes))
        _ = try? reader.take(min(reader.count, (4 - length % 4) % 4))
        guard length >= headerBytes else {
            throw EndOfBytes(offset: reader.offset, wanted: headerBytes, left: length)
        }
        guard type == UInt16(RTM_NEWLINK) || type == UInt16(RTM_DELLINK) else { return .some(nil) }
        var fields = ByteReader(body)
        _ = try fields.take(4)
        let index = try fields.hostEndian(Int32.self)
        let flags = try fields.hostEndian(UInt32.self)
        return LinkNews(index: index, isRunning: flags & lowerUp != 0, isGone: type == UInt16(RTM_DELLINK))
    }
}

/// Listens to rtnetlink.
final class LinkWatch {
    enum Event {
        case link(LinkNews)
        /// Messages were lost: anything may have changed.
        case unknown
    }

    private let socket: NetlinkSocket
    private var source: IOSource?
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)
    private let onEvent: (Event) -> Void
    /// Datagrams that did not come from the kernel.
    private(set) var foreign: UInt64 = 0

    init(_ loop: EventLoop, onEvent: @escaping (Event) -> Void) throws(SystemError) {
        self.onEvent = onEvent
        socket = try NetlinkSocket(groups: [UInt32(RTNLGRP_LINK.rawValue)])
        source = try IOSource(loop, descriptor: socket.descriptor.raw) { [unowned self] in receive() }
    }

    private func receive() {
        while true {
            switch try? socket.receive(into: &buffer) {
            case .datagram(let bytes, sender: 0):
                for news in LinkMessages.read(bytes) { onEvent(.link(news)) }
            case .datagram: foreign &+= 1
            case .overrun, .truncated: onEvent(.unknown)
            case .nothing, nil: return
            }
        }
    }
}
