// ICMP echo of one path and family: raw where allowed, else a datagram socket, and round trips by the kernel's
// stamps. Replies bear the time of their arrival, so that they can be read when the next probe is due: a path that
// answers wakes nobody.
import Basics
import Linux
import Reactor

/// Echo requests and replies.
final class EchoTransport {
    /// Receipts taken before others get their turn.
    private static let batch = 256

    /// A socket on the loop.
    private final class OpenSocket {
        let icmp: ICMPSocket
        var source: IOSource?
        var departures = DepartureLog()
        /// The kernel's numbers are ours as long as every send succeeds: it may or may not have counted one that
        /// failed. Those of before it stay what they are.
        var mustRenumber = false
        /// The kernel numbers as we do.
        var hasReliableNumbers = true

        init(_ icmp: consuming ICMPSocket) { self.icmp = icmp }
    }

    private let context: WatcherContext
    private let interface: String?
    private let family: IPFamily
    private let onEvent: (ProbeEvent) -> Void
    private var socket: OpenSocket?
    private var pace = ReopenPace()
    private var identifier: UInt16 = 0
    /// Whether replies are read as they arrive; else when `collect` is called.
    var isPrompt: Bool {
        didSet { if isPrompt != oldValue { socket?.source?.setEnabled(isPrompt) } }
    }

    init(
        _ context: WatcherContext, _ interface: String?, _ family: IPFamily, isPrompt: Bool,
        onEvent: @escaping (ProbeEvent) -> Void
    ) {
        self.context = context
        self.interface = interface
        self.family = family
        self.isPrompt = isPrompt
        self.onEvent = onEvent
    }

    deinit { socket?.source = nil }

    /// Sends one echo request; returns why it could not be sent.
    func send(to address: IPAddress, identifier: UInt16, sequence: UInt16) -> String? {
        self.identifier = identifier
        openIfNeeded()
        guard let socket else { return pace.failure }
        renumberIfNeeded(socket)
        if let reason = trySending(socket, address, sequence) {
            socket.mustRenumber = true
            return reason
        }
        socket.departures.sent(to: address, sequence: sequence, at: Clock.wall)
        return nil
    }

    /// Has the kernel number anew after a send that failed. The socket stays: replies are under way to it.
    private func renumberIfNeeded(_ socket: OpenSocket) {
        guard socket.mustRenumber else { return }
        socket.hasReliableNumbers = (try? socket.icmp.renumber()) != nil
        guard socket.hasReliableNumbers else { return }
        socket.departures.renumbered()
        socket.mustRenumber = false
    }

    func rotate(to identifier: UInt16) {
        self.identifier = identifier
        guard let socket else { return }
        guard socket.icmp.access == .raw else { return close() }
        do throws(SystemError) { try socket.icmp.accept(identifier: identifier) } catch { close() }
    }

    private func close() {
        socket?.source = nil
        socket = nil
    }

    // MARK: Opening

    private func openIfNeeded() {
        let now = context.loop.now
        guard socket == nil, pace.mayOpen(at: now) else { return }
        do throws(SystemError) {
            socket = try open()
        } catch {
            if pace.failed(error, at: now) { onEvent(.trouble("\(error); its probes cannot be sent")) }
        }
    }

    /// Raw where allowed, else a datagram socket.
    private func open() throws(SystemError) -> OpenSocket {
        let opened = try context.without.rawICMP ? openDatagram() : openPreferringRaw()
        if opened.icmp.access == .raw { try opened.icmp.accept(identifier: identifier) }
        opened.source = try IOSource(context.loop, descriptor: opened.icmp.descriptor.raw) {
            [unowned self] in
            collect()
        }
        opened.source?.setEnabled(isPrompt)
        return opened
    }

    private func openDatagram() throws(SystemError) -> OpenSocket {
        OpenSocket(try ICMPSocket(access: .datagram, interface: interface, family: family))
    }

    private func openPreferringRaw() throws(SystemError) -> OpenSocket {
        do throws(SystemError) {
            return OpenSocket(try ICMPSocket(access: .raw, interface: interface, family: family))
        } catch {
            guard let datagram = try? openDatagram() else { throw error }
            return datagram
        }
    }

    // MARK: Receiving and sending

    /// Takes all that has come, the kernel's stamps first: a reply may be read before the stamp of its probe.
    func collect() {
        guard let socket else { return }
        var receipts: [ICMPReceipt] = []
        do throws(SystemError) {
            while receipts.count < EchoTransport.batch, let receipt = try socket.icmp.receive() {
                receipts.append(receipt)
            }
        } catch {
            onEvent(.trouble("\(error), opening its socket anew"))
            close()
        }
        for case .departed(let index, let time) in receipts where socket.hasReliableNumbers {
            socket.departures.departed(index, at: time)
        }
        for receipt in receipts { take(receipt, socket) }
    }

    private func take(_ receipt: ICMPReceipt, _ socket: OpenSocket) {
        switch receipt {
        case .reply(let source, let told, let sequence, let receivedAt):
            let left = socket.departures.departure(to: source, sequence: sequence)
            let roundTrip = left.flatMap { left in receivedAt.map { $0 - left } }
            // A datagram socket's identifier is the kernel's choice, and the kernel has matched it.
            let matched = socket.icmp.access == .raw ? told : identifier
            onEvent(.echo(source: source, identifier: matched, sequence: sequence, roundTrip: roundTrip))
        case .unreachable: onEvent(.unreachable)
        case .departed, .other: break
        }
    }

    /// Sends one probe; returns why it could not be sent. A pending error of an earlier probe (an ICMP answer)
    /// fails one call and is cleared by it.
    private func trySending(_ socket: OpenSocket, _ address: IPAddress, _ sequence: UInt16) -> String? {
        var reason: String?
        for _ in 0..<2 {
            do throws(SystemError) {
                return try socket.icmp.sendEcho(to: address, identifier: identifier, sequence: sequence)
                    ? nil : "the socket's buffer is full"
            } catch {
                reason = SystemError.text(error.number)
            }
        }
        return reason
    }
}
