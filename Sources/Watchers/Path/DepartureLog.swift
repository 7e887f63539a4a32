// When probes left, by the kernel's stamps, else by when they were handed to it. The kernel numbers what it was
// given on a socket from 0, and from there again when it is told to; the log knows which probe bore which number.
import Basics

/// The newest probes of one socket.
struct DepartureLog {
    private struct Departure {
        var target: IPAddress
        var sequence: UInt16
        var at: WallTime
    }

    private var newest = Ring<Departure>(capacity: 256)
    private var next: UInt32 = 0

    /// The kernel took a probe just now.
    mutating func sent(to target: IPAddress, sequence: UInt16, at time: WallTime) {
        newest.append(Departure(target: target, sequence: sequence, at: time))
        next &+= 1
    }

    /// The kernel numbers the probes that are to come from 0 again.
    mutating func renumbered() { next = 0 }

    /// The probe of this number left.
    mutating func departed(_ index: UInt32, at time: WallTime) {
        let back = next &- index
        guard back >= 1, back <= UInt32(newest.count) else { return }
        newest[newest.count - Int(back)].at = time
    }

    /// When the probe of this sequence left; `nil`: it was not sent by this socket, or long ago.
    func departure(to target: IPAddress, sequence: UInt16) -> WallTime? {
        for index in stride(from: newest.count - 1, through: 0, by: -1) {
            let departure = newest[index]
            if departure.sequence == sequence, departure.target == target { return departure.at }
        }
        return nil
    }
}
