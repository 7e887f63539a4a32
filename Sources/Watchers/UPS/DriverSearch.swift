// When the socket of a UPS's driver is looked for: a driver may be started after upsd, and again under another name. A
// value: the time in, whether to look out.
import Basics

struct DriverSearch: Sendable {
    static let every: Duration = .seconds(5)

    /// When it is looked for next.
    private(set) var next = Instant.zero

    mutating func isDue(at now: Instant) -> Bool {
        guard next <= now else { return false }
        next = now + DriverSearch.every
        return true
    }

    /// It is looked for anew, at once.
    mutating func restart() { next = .zero }

    /// The driver's socket is called after the driver and the UPS: `usbhid-ups-main`.
    static func socket(of ups: String, among names: [String]) -> String? {
        names.sorted().first { $0.hasSuffix("-\(ups)") }
    }
}
