// When probes left, by the kernel's stamps. The kernel numbers what it was given on a socket from 0; the log
// knows which probe bore which number.
import Basics

/// The newest probes of one socket.
struct DepartureLog {
    private struct Departure {
        var index: UInt32
        var target: IPAddress
        var sequence: UInt16
    }

    private var newest = Ring<Departure>(capacity: 256)
    private var next: UInt32 = 0
    private var stamps: [UInt32: WallTime] = [:]

    /// The kernel took a probe.
    mutating func sent(to target: IPAddress, sequence: UInt16) {
        let departure = Departure(index: next, target: target, sequence: sequence)
        if let dropped = newest.append(departure) { stamps[dropped.index] = nil }
        next &+= 1
    }

    /// The probe of this number left.
    mutating func departed(_ index: UInt32, at time: WallTime) {
        guard next &- index <= UInt32(newest.capacity) else { return }
        stamps[index] = time
    }

    /// When the probe of this sequence left; `nil`: the kernel did not say.
    func departure(to target: IPAddress, sequence: UInt16) -> WallTime? {
        for index in stride(from: newest.count - 1, through: 0, by: -1) {
            let departure = newest[index]
            if departure.sequence == sequence, departure.target == target {
                return stamps[departure.index]
            }
        }
        return nil
    }
}
