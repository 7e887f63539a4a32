// What a person reads of a simulation: one line per event, with its simulated time, what it is and what came of
// it. Nothing is put together unless somebody reads.
import Basics

final class Trace {
    /// `nil`: nobody reads.
    private let write: ((String) -> Void)?
    private let start: Instant

    init(from start: Instant, _ write: ((String) -> Void)?) {
        self.start = start
        self.write = write
    }

    /// - Parameter whose: what the line is about: `itch`, `itch/A`, `client 3`.
    func say(_ now: Instant, _ whose: @autoclosure () -> String, _ what: @autoclosure () -> String) {
        guard let write else { return }
        let micros = (now - start).microseconds
        let name = whose()
        write(
            "\(padded(micros / 1_000_000, 4)).\(padded(micros % 1_000_000, 6)) "
                + name + String(repeating: " ", count: max(1, 12 - name.count)) + what())
    }
}
