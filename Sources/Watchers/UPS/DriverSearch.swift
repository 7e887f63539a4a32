// When the socket of a UPS's driver is looked for, and which one it is: a driver may be started after upsd, and again
// under another name. A value: the time and names in; whether to look, and which socket to open, out.
import Basics

struct DriverSearch: Sendable {
    static let every: Duration = .seconds(5)

    /// When it is looked for next.
    private(set) var next = Instant.zero
    /// The driver's name, as its server tells it.
    private var driver: String?
    /// The socket that was found last.
    private var tried: String?

    mutating func isDue(at now: Instant) -> Bool {
        guard next <= now else { return false }
        next = now + DriverSearch.every
        return true
    }

    /// It is looked for anew, at once.
    mutating func restart() {
        next = .zero
        tried = nil
    }

    /// The server names the driver, or does not know it; returns whether it is another one than before, which is to be
    /// looked for at once.
    mutating func named(_ name: String?) -> Bool {
        guard let name, name != driver else { return false }
        driver = name
        restart()
        return true
    }

    /// The driver's socket is called after the driver and the UPS: `usbhid-ups-main`. As long as no name of the driver
    /// is known, it may be any that ends in the UPS's, and not in the longer one of another UPS; of several, each has
    /// its turn, since those of drivers that are gone may be left.
    ///
    /// - Parameter served: the names of all UPSes of the server.
    mutating func socket(of ups: String, among names: [String], served: [String]) -> String? {
        if let driver { return names.first { $0 == "\(driver)-\(ups)" } }
        let longer = served.filter { $0.hasSuffix("-\(ups)") }
        let found = names.sorted().filter { name in
            name.hasSuffix("-\(ups)") && !longer.contains { name.hasSuffix("-\($0)") }
        }
        tried = found.first { name in tried.map { $0 < name } ?? true } ?? found.first
        return tried
    }
}
