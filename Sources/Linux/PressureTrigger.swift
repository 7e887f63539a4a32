// Pressure triggers: a descriptor that the kernel makes urgent when tasks waited for more than a share of 2 s. Source:
// the kernel's document on pressure stall information.
import CLinux
import Glibc

/// A wish to be told of pressure.
public struct PressureTrigger: ~Copyable {
    public let descriptor: Descriptor
    /// The only window that needs no capability, and no thread of the kernel's (Linux 6.5).
    private static let windowMicroseconds = 2_000_000

    /// - Parameter share: from 0 to 1, of the time in which some task waited.
    /// - Throws: EINVAL or EPERM where the kernel keeps triggers for the privileged.
    public init(_ path: String, share: Double) throws(SystemError) {
        let flags = O_RDWR | O_NONBLOCK | O_CLOEXEC
        let owned = Descriptor(owning: try check("open \(path)") { unsafe open(path, flags) })
        let window = PressureTrigger.windowMicroseconds
        let least = Int((min(max(share, 0.001), 0.999) * Double(window)).rounded())
        let wish = Array("some \(least) \(window)".utf8) + [0]
        let raw = owned.raw
        try check("write \(path)") { unsafe write(raw, wish, wish.count) }
        descriptor = owned
    }
}

/// What this process may do beyond its user's rights.
public enum Capabilities {
    private static let resource: UInt64 = 24

    /// CAP_SYS_RESOURCE.
    public static var hasResource: Bool {
        guard let text = try? Files.text("/proc/self/status", limit: 65_536) else { return false }
        let line = text.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        let digits = line?.split(whereSeparator: \.isWhitespace).last
        return digits.flatMap { UInt64($0, radix: 16) }.map { $0 >> resource & 1 == 1 } ?? false
    }
}
