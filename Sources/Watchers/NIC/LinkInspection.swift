// What no link message tells: speed, duplex and why a link is down, asked of ethtool over generic netlink or, on
// kernels before 5.6, read from sysfs. Both wait for RTNL, so this is the worker's.
import Basics
import Linux

/// Asks for the details of links; blocks.
struct LinkInspection: Sendable {
    let roots: FileRoots
    let withoutEthtool: Bool

    /// The details of each link, by index; what the kernel does not tell is left out.
    func take(_ links: [Int32: String]) -> [Int32: LinkDetails] {
        let ethtool = withoutEthtool ? nil : Ethtool()
        var details: [Int32: LinkDetails] = [:]
        for (index, name) in links {
            details[index] = ethtool?.details(of: index) ?? fromFiles(name)
        }
        return details
    }

    private func fromFiles(_ name: String) -> LinkDetails {
        let folder = "\(roots.sys)/class/net/\(name)"
        let speed = (try? Files.text("\(folder)/speed", limit: 64)).flatMap { Int64($0) }
        let duplex = try? Files.text("\(folder)/duplex", limit: 64)
        return LinkDetails(
            speed: speed.flatMap { $0 > 0 ? $0 : nil },
            isFullDuplex: duplex == "full" ? true : duplex == "half" ? false : nil)
    }
}

/// A conversation with ethtool's family.
private final class Ethtool {
    private let socket: NetlinkSocket
    private var family: UInt16?
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)

    /// `nil`: this kernel has no such family, or does not let us ask.
    init?() {
        guard let opened = try? NetlinkSocket(.generic, isBlocking: true) else { return nil }
        socket = opened
        guard case .family(let number)? = ask(.ethtoolFamily) else { return nil }
        family = number
    }

    /// `nil`: the driver answers neither question.
    func details(of index: Int32) -> LinkDetails? {
        guard let family else { return nil }
        var details = LinkDetails()
        var isAnswered = false
        if case .linkModes(let speed, let isFullDuplex)? = ask(.linkModes(family: family, index: index)) {
            (details.speed, details.isFullDuplex, isAnswered) = (speed, isFullDuplex, true)
        }
        if case .linkState(let reason)? = ask(.linkState(family: family, index: index)) {
            (details.downReason, isAnswered) = (reason, true)
        }
        return isAnswered ? details : nil
    }

    /// The first message that answers; `nil`: refused, garbled or none in time.
    private func ask(_ request: GenericNetlinkRequest) -> GenericNetlinkMessage? {
        guard (try? socket.send(request.bytes)) != nil else { return nil }
        for _ in 0..<8 {
            guard case .datagram(let bytes, let sender)? = try? socket.receive(into: &buffer) else {
                return nil
            }
            guard sender == 0 else { continue }
            var reader = NetlinkFrameReader(bytes)
            while let frame = try? reader.next() {
                switch try? GenericNetlinkMessage(frame, ethtool: family) {
                case .failed(let code): if code != 0 { return nil }
                case .other: break
                case .family, .linkState, .linkModes:
                    return try? GenericNetlinkMessage(frame, ethtool: family)
                case nil: return nil
                }
            }
        }
        return nil
    }
}
