// What a UPS says by two ways at once: its driver's own socket, which is ahead, and its server, which alone knows that the
// power is to be cut. A value: what each of them says in, the variables to judge out.

/// The words of a driver, and of the server of that driver.
public struct UPSVoices: Hashable, Sendable {
    /// `nil`: it is not heard, or has nothing fresh.
    private var driver: [String: String]?
    /// The server said last that a primary has called for a forced shutdown. That stands while the server is not heard:
    /// it goes down with the host, and may do so first.
    private var isForced = false

    public init() {}

    /// The driver pushed its variables; returns those to judge.
    public mutating func pushed(_ variables: [String: String]) -> [String: String] {
        driver = variables
        return UPSVoices.marked(variables, isForced)
    }

    /// The server answered; returns the variables to judge beside those of the driver, if the answer changes them: what
    /// it says of the UPS itself is older than what the driver says.
    public mutating func polled(_ variables: [String: String]) -> [String: String]? {
        let says = UPSVoices.words(variables).contains("FSD")
        guard says != isForced else { return nil }
        isForced = says
        return driver.map { UPSVoices.marked($0, says) }
    }

    /// The driver is not heard by its own socket, or has nothing fresh.
    public mutating func silenced() { driver = nil }

    private static func words(_ variables: [String: String]) -> [Substring] {
        (variables["ups.status"] ?? "").split(separator: " ")
    }

    /// As upsd writes it: in front.
    private static func marked(_ variables: [String: String], _ isForced: Bool) -> [String: String] {
        guard isForced, !words(variables).contains("FSD") else { return variables }
        var variables = variables
        variables["ups.status"] = "FSD " + (variables["ups.status"] ?? "")
        return variables
    }
}
