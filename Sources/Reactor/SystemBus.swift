// A connection to the host's message bus (D-Bus, through sd-bus) on the loop: connecting, signals and calls. Nothing
// here ever waits: a call has a time limit, and whoever uses it decides when to connect again.
import Basics
public import Linux
import CSystemd
import Glibc

/// Why a call brought nothing.
public struct BusFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The error's name on the bus: `org.freedesktop.systemd1.NoSuchUnit`.
    public var name: String
    public var text: String

    public init(name: String, text: String) {
        self.name = name
        self.text = text
    }

    public var description: String { text.isEmpty ? name : text }
}

/// A call on the bus.
public struct BusCall: Hashable, Sendable {
    public enum Argument: Hashable, Sendable {
        case text(String)
        case texts([String])
    }

    public var destination: String
    public var path: String
    public var interface: String
    public var member: String
    public var arguments: [Argument]

    public init(
        to destination: String, path: String, interface: String, member: String, _ arguments: [Argument] = []
    ) {
        self.destination = destination
        self.path = path
        self.interface = interface
        self.member = member
        self.arguments = arguments
    }
}

/// A client's connection to the message bus.
@safe
public final class SystemBus {
    public enum Event: Hashable, Sendable {
        case connected
        /// It is over, and why. Let go of it.
        case closed(String)
    }

    /// Calls that may wait for their replies.
    private static let mostCalls = 1024

    private var bus: OpaquePointer?
    private let onEvent: (Event) -> Void
    private var calls: [UInt64: PendingCall] = [:]
    private var nextCall: UInt64 = 0
    private var connected: OpaquePointer?
    private var disconnected: OpaquePointer?

    /// Where the bus of the system listens, as every client finds it (D-Bus specification, "well-known bus
    /// instances").
    public static var defaultAddress: String {
        environmentVariable("DBUS_SYSTEM_BUS_ADDRESS") ?? "unix:path=/run/dbus/system_bus_socket"
    }

    /// Begins to connect.
    ///
    /// - Throws: what keeps it from being tried: ENOENT and ECONNREFUSED where no bus listens.
    public init(_ loop: EventLoop, address: String, onEvent: @escaping (Event) -> Void) throws(SystemError) {
        self.onEvent = onEvent
        try checked("sd_bus_new", unsafe sd_bus_new(&bus))
        try checked("bus address \(address)", unsafe sd_bus_set_address(bus, address))
        unsafe sd_bus_set_bus_client(bus, 1)
        unsafe sd_bus_negotiate_fds(bus, 0)
        unsafe sd_bus_set_connected_signal(bus, 1)
        // At its end the loop would otherwise wait until all is sent.
        unsafe sd_bus_set_close_on_exit(bus, 0)
        try checked("connect \(address)", unsafe sd_bus_start(bus))
        try checked("sd_bus_attach_event", unsafe sd_bus_attach_event(bus, loop.event, 0))
        try listen()
    }

    deinit {
        calls = [:]
        unsafe sd_bus_slot_unref(connected)
        unsafe sd_bus_slot_unref(disconnected)
        unsafe sd_bus_detach_event(bus)
        unsafe sd_bus_close(bus)
        unsafe sd_bus_unref(bus)
    }

    /// sd-bus tells of itself by signals that never leave the process.
    private func listen() throws(SystemError) {
        let pointer = unsafe Unmanaged.passUnretained(self).toOpaque()
        var result = unsafe sd_bus_add_match(
            bus, &connected, SystemBus.rule("Connected"),
            { _, userdata, _ in
                unsafe systemBus(userdata).onEvent(.connected)
                return 0
            }, pointer)
        try checked("sd_bus_add_match", result)
        result = unsafe sd_bus_add_match(
            bus, &disconnected, SystemBus.rule("Disconnected"),
            { _, userdata, _ in
                unsafe systemBus(userdata).onEvent(.closed("the connection was closed"))
                return 0
            }, pointer)
        try checked("sd_bus_add_match", result)
    }

    private static func rule(_ member: String) -> String {
        let name = "org.freedesktop.DBus.Local"
        return "type='signal',sender='\(name)',interface='\(name)',member='\(member)'"
    }

    /// Hears signals that a rule of the bus matches, for as long as the result is kept.
    ///
    /// - Parameter onSignal: the message is valid during the call only.
    public func match(_ rule: String, _ onSignal: @escaping (BusMessage) -> Void) throws(SystemError)
        -> BusMatch
    {
        unsafe try BusMatch(bus, rule, onSignal)
    }

    /// Makes a call.
    ///
    /// - Parameters:
    ///   - limit: without a reply for so long the call has failed.
    ///   - then: called once, unless the connection is let go of before; the message is valid during the call
    ///     only.
    public func call(
        _ call: BusCall, limit: Duration, then: @escaping (Result<BusMessage, BusFailure>) -> Void
    ) throws(SystemError) {
        guard calls.count < SystemBus.mostCalls else {
            throw SystemError("call \(call.member)", number: EBUSY)
        }
        let message = unsafe try OutgoingCall(bus, call)
        nextCall += 1
        let id = nextCall
        let pending = PendingCall { [unowned self] result in
            calls[id] = nil
            then(result)
        }
        unsafe try pending.start(bus, message, limit)
        calls[id] = pending
    }

    /// An object's path that holds any name, as sd_bus_path_encode(3) writes it.
    public static func path(_ prefix: String, _ name: String) -> String? {
        var made: UnsafeMutablePointer<CChar>?
        guard unsafe sd_bus_path_encode(prefix, name, &made) >= 0, let text = unsafe made else { return nil }
        defer { unsafe free(text) }
        return unsafe String(cString: text)
    }
}

/// The bus behind a callback's user data.
private func systemBus(_ userdata: UnsafeMutableRawPointer?) -> SystemBus {
    unsafe Unmanaged<SystemBus>.fromOpaque(userdata!).takeUnretainedValue()
}

/// Signals that are heard; letting go of it ends that.
@safe
public final class BusMatch {
    private var slot: OpaquePointer?
    private let onSignal: (BusMessage) -> Void

    fileprivate init(_ bus: OpaquePointer?, _ rule: String, _ onSignal: @escaping (BusMessage) -> Void)
        throws(SystemError)
    {
        self.onSignal = onSignal
        let pointer = unsafe Unmanaged.passUnretained(self).toOpaque()
        let result = unsafe sd_bus_add_match_async(
            bus, &slot, rule,
            { message, userdata, _ in
                let match = unsafe Unmanaged<BusMatch>.fromOpaque(userdata!).takeUnretainedValue()
                if let message = unsafe message { unsafe match.onSignal(BusMessage(message)) }
                return 0
            },
            // A rule that the bus refuses is heard of by nobody; without this callback sd-bus would hang up.
            { _, _, _ in 0 }, pointer)
        try checked("match \(rule)", result)
    }

    deinit { unsafe sd_bus_slot_unref(slot) }
}

/// A call whose reply is awaited.
@safe
private final class PendingCall {
    private var slot: OpaquePointer?
    private let then: (Result<BusMessage, BusFailure>) -> Void

    init(_ then: @escaping (Result<BusMessage, BusFailure>) -> Void) { self.then = then }

    deinit { unsafe sd_bus_slot_unref(slot) }

    func start(_ bus: OpaquePointer?, _ message: OutgoingCall, _ limit: Duration) throws(SystemError) {
        let pointer = unsafe Unmanaged.passUnretained(self).toOpaque()
        let result = unsafe sd_bus_call_async(
            bus, &slot, message.message,
            { message, userdata, _ in
                let call = unsafe Unmanaged<PendingCall>.fromOpaque(userdata!).takeUnretainedValue()
                if let message = unsafe message { unsafe call.then(BusMessage(message).result) }
                return 0
            }, pointer, UInt64(clamping: max(1, limit.microseconds)))
        try checked("sd_bus_call_async", result)
    }
}

/// The message of a call, as it is put together.
@safe
private final class OutgoingCall {
    fileprivate var message: OpaquePointer?

    init(_ bus: OpaquePointer?, _ call: BusCall) throws(SystemError) {
        let result = unsafe sd_bus_message_new_method_call(
            bus, &message, call.destination, call.path, call.interface, call.member)
        try checked("call \(call.member)", result)
        for argument in call.arguments {
            switch argument {
            case .text(let text): try append(text)
            case .texts(let texts):
                try checked("open", unsafe sd_bus_message_open_container(message, OutgoingCall.array, "s"))
                for text in texts { try append(text) }
                try checked("close", unsafe sd_bus_message_close_container(message))
            }
        }
    }

    deinit { unsafe sd_bus_message_unref(message) }

    private static let array = CChar(UInt8(ascii: "a"))
    private static let string = CChar(UInt8(ascii: "s"))

    private func append(_ text: String) throws(SystemError) {
        let result = unsafe text.withCString {
            unsafe sd_bus_message_append_basic(message, OutgoingCall.string, $0)
        }
        try checked("append", result)
    }
}
