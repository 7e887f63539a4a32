// The file from which a feed takes its session's directory, read on the files' worker: a disk may take its time.
import Basics
import Linux
import Reactor

final class DirectoryFile {
    private var watch: DirectoryWatch
    private let loop: EventLoop
    private let worker: Worker
    private let log: EventLog
    private let learn: ([[UInt8]]) -> DirectoryVerdict
    private var isReading = false

    init(
        _ watch: DirectoryWatch, _ loop: EventLoop, _ worker: Worker, log: @escaping EventLog,
        learn: @escaping ([[UInt8]]) -> DirectoryVerdict
    ) {
        (self.watch, self.loop, self.worker) = (watch, loop, worker)
        (self.log, self.learn) = (log, learn)
    }

    /// Looks whether it is there, or another one than was refused. To be called again while the directory is lacking.
    func look() {
        guard !isReading else { return }
        let (path, known) = (watch.path, watch.known)
        isReading = worker.perform({ DirectoryReading.look(at: path, unless: known) }) {
            [weak self] in self?.found($0)
        }
    }

    private func found(_ reading: DirectoryReading) {
        isReading = false
        var step = watch.take(reading, at: loop.wall)
        if case .learn(let entries) = step {
            switch learn(entries) {
            case .contradicted(let why): step = watch.refused(reading, because: why)
            case .notNeeded: watch.taken()
            case .taken:
                watch.taken()
                log(
                    .directoryTaken,
                    "the directory of \(entries.count) instruments was taken from \(watch.path)")
            }
        }
        if case .tell(let why) = step { log(.directoryNotTaken, why) }
    }
}
