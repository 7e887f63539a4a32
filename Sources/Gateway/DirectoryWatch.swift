// When the directory of a feed's session is taken from its file, and what is said of the file. It may come while the
// gateway runs, and be written anew; a file of another session would give instruments the names of others.
import Basics
import FeedProtocols
import Linux

/// What was found under the path.
enum DirectoryReading: Sendable {
    /// There is nothing, or it cannot be read.
    case failed(String)
    /// What is known already.
    case unchanged
    case malformed(FileStamp, String)
    /// The entries that it has.
    case read(FileStamp, [[UInt8]])

    /// Blocks for as long as the disk takes.
    /// - Parameter known: is not read again.
    static func look(at path: String, unless known: FileStamp?) -> DirectoryReading {
        do throws(SystemError) {
            let stamp = try FileStamp(of: path)
            guard stamp != known else { return .unchanged }
            guard stamp.isRegular else { return .malformed(stamp, "is not a regular file") }
            return all(of: try OpenFile(path: path), stamp)
        } catch {
            return .failed(error.description)
        }
    }

    private static func all(of file: OpenFile, _ stamp: FileStamp) -> DirectoryReading {
        var directory = ITCH50Directory()
        var (left, isWhole) = (ITCH50Directory.mostBytes, false)
        do throws(MalformedInput) {
            while left > 0, !isWhole {
                let piece: [UInt8]
                switch file.read(atMost: min(left, FileSource.pieceBytes)) {
                case .success(let read): piece = read
                case .failure(let error): return .failed(error.description)
                }
                left -= piece.count
                isWhole = piece.isEmpty
                try directory.feed(piece)
            }
            let units = try directory.units(isWhole: isWhole)
            if units.isEmpty { return .malformed(stamp, "has no stock directory message (R) of ITCH 5.0") }
            return .read(stamp, units)
        } catch {
            return .malformed(stamp, "is no BinaryFILE of ITCH 5.0: \(error)")
        }
    }
}

/// Decides over one file.
struct DirectoryWatch {
    enum Step: Hashable {
        case nothing
        case tell(String)
        case learn([[UInt8]])
    }

    let path: String
    private let calendar: SessionCalendar?
    /// What is not to be read again.
    private(set) var known: FileStamp?
    /// What was said last, so that it is said once.
    private var told: String?

    init(_ path: String, calendar: SessionCalendar?) {
        (self.path, self.calendar) = (path, calendar)
    }

    /// What was found while the feed lacked its directory.
    mutating func take(_ reading: DirectoryReading, at wall: WallTime) -> Step {
        switch reading {
        case .unchanged: return .nothing
        case .failed(let why): return complain(why)
        case .malformed(let stamp, let why):
            known = stamp
            return complain("\(path) \(why)")
        case .read(let stamp, let units):
            guard isOfThisSession(stamp.modified, wall) else {
                known = stamp
                return complain(
                    "\(path) is of \(stamp.modified.rfc3339), another session: write it anew in this one")
            }
            return .learn(units)
        }
    }

    /// The venue's messages speak against it.
    mutating func refused(_ reading: DirectoryReading, because contradiction: String) -> Step {
        if case .read(let stamp, _) = reading { known = stamp }
        return complain("\(path) is another session's: \(contradiction)")
    }

    /// The feed has one. A later session needs another.
    mutating func taken() { (known, told) = (nil, nil) }

    private mutating func complain(_ why: String) -> Step {
        guard told != why else { return .nothing }
        told = why
        return .tell(why)
    }

    /// Without a calendar: of this day in UTC.
    private func isOfThisSession(_ modified: WallTime, _ wall: WallTime) -> Bool {
        if let calendar { return calendar.isOfThisSession(modified, now: wall) }
        return modified.dateInUTC == wall.dateInUTC
    }
}
