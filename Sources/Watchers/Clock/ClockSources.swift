// Who tells how the clock is: chronyd before the kernel, the kernel before the stamp of systemd-timesyncd. Each one's
// words become one reading.
import Basics
import Wire

/// How an attempt to ask chronyd ended.
public enum ChronyAnswer: Hashable, Sendable {
    case tracking(ChronyTracking)
    /// Nobody listens there.
    case absent
    /// No reply in time.
    case silent
    /// It answered, and not to the question.
    case refused(UInt16)
}

/// What the kernel says, without the units of adjtimex(2).
public struct KernelClockReading: Hashable, Sendable {
    public var isSynchronised: Bool
    public var hasFault: Bool
    /// In seconds: positive when the clock is fast.
    public var offset: Double
    public var maximumError: Double
    public var estimatedError: Double
    /// In parts per million: positive when the clock would be fast without correction.
    public var frequency: Double
    public var taiOffset: Int

    public init(
        isSynchronised: Bool, hasFault: Bool = false, offset: Double = 0, maximumError: Double = 0,
        estimatedError: Double = 0, frequency: Double = 0, taiOffset: Int = 0
    ) {
        self.isSynchronised = isSynchronised
        self.hasFault = hasFault
        self.offset = offset
        self.maximumError = maximumError
        self.estimatedError = estimatedError
        self.frequency = frequency
        self.taiOffset = taiOffset
    }
}

/// What one source says of the clock.
struct ClockReading: Hashable, Sendable {
    /// Who disciplines the clock, or who says so: `chrony follows 192.0.2.1`.
    var source: String
    /// Why it is not synchronised; `nil`: it is.
    var unsynchronised: String?
    /// Seconds: positive when the clock is fast.
    var offset: Double?
    var errorBound: Double?
    var values: [NamedValue]
}

extension ClockReading {
    init(_ tracking: ChronyTracking, at wall: WallTime) {
        let upstream = tracking.source ?? ClockReading.name(ofReference: tracking.referenceID)
        source = "chrony follows \(upstream)"
        if tracking.leap == .unsynchronised || tracking.stratum == 0 {
            unsynchronised = "chrony has no source that it trusts"
        } else if tracking.followsItself {
            unsynchronised = "chrony follows only this host's own clock"
        }
        offset = -tracking.correction
        errorBound = tracking.errorBound
        values = [
            NamedValue("source", .text("chrony")), NamedValue("reference", .text(upstream)),
            NamedValue("reference_id", .text(ClockReading.hexadecimal(tracking.referenceID))),
            NamedValue("stratum", .integer(Int64(tracking.stratum))),
            NamedValue("leap", .text(tracking.leap.word)),
            NamedValue("last_offset_s", .number(tracking.lastOffset)),
            NamedValue("rms_offset_s", .number(tracking.rmsOffset)),
            NamedValue("root_delay_s", .number(tracking.rootDelay)),
            NamedValue("root_dispersion_s", .number(tracking.rootDispersion)),
            NamedValue("frequency_ppm", .number(tracking.frequency)),
            NamedValue("skew_ppm", .number(tracking.skew)),
            NamedValue("update_interval_s", .number(tracking.updateInterval)),
        ]
        if let last = tracking.referenceTime {
            values.append(NamedValue("update_age_s", .number(max(0, (wall - last).inSeconds))))
        }
    }

    init(_ kernel: KernelClockReading) {
        source = "the kernel says so"
        if kernel.hasFault {
            unsynchronised = "the kernel says that the clock's hardware is at fault"
        } else if !kernel.isSynchronised {
            unsynchronised = "nobody disciplines it: see that chronyd or another time service runs"
        }
        offset = kernel.offset
        errorBound = kernel.maximumError
        values = [
            NamedValue("source", .text("kernel")),
            NamedValue("estimated_error_s", .number(kernel.estimatedError)),
            NamedValue("frequency_ppm", .number(kernel.frequency)),
            NamedValue("tai_offset_s", .integer(Int64(kernel.taiOffset))),
        ]
    }

    /// systemd-timesyncd touches a file at each synchronisation, at least every 2048 s by its defaults.
    init(stampAge age: Duration) {
        source = "systemd-timesyncd keeps it"
        if age > .seconds(2 * 2048) {
            unsynchronised = "systemd-timesyncd has not heard from its server for \(seconds(age))"
        }
        values = [
            NamedValue("source", .text("systemd-timesyncd")),
            NamedValue("update_age_s", .number(age.inSeconds)),
        ]
    }

    /// A reference clock has up to four letters for a name: `GPS`, `PPS`.
    private static func name(ofReference number: UInt32) -> String {
        if number == 0x7F7F_0101 { return "itself" }
        let letters = (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) }.filter {
            $0 != 0
        }
        let isName = !letters.isEmpty && letters.allSatisfy { (0x21...0x7E).contains($0) }
        return isName ? String(decoding: letters, as: UTF8.self) : hexadecimal(number)
    }

    private static func hexadecimal(_ number: UInt32) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

extension ChronyTracking.Leap {
    var word: String {
        switch self {
        case .none: "none"
        case .insert: "insert"
        case .delete: "delete"
        case .unsynchronised: "unsynchronised"
        }
    }
}
