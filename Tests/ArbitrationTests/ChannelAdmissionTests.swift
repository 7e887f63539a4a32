// Which channels of a feed are opened.
import Arbitration
import Basics
import Testing

@Suite struct ChannelAdmissionTests {
    /// Asks with times in seconds.
    private final class Door {
        private var admission: ChannelAdmission

        init(isOverConnection: Bool = false) {
            admission = ChannelAdmission(isOverConnection: isOverConnection)
        }

        func admits(_ channel: UInt16, path: Int, receivedAt: Int64, at now: Int64) -> Bool {
            let verdict = admission.judge(
                channel, path: path, receivedAt: WallTime(nanoseconds: receivedAt),
                at: Instant(nanoseconds: now * 1_000_000_000))
            return verdict == .admitted
        }
    }

    @Test func `the second packet opens a channel, a copy of the first does not`() {
        let door = Door()
        #expect(!door.admits(7, path: 0, receivedAt: 1, at: 0))
        #expect(!door.admits(7, path: 0, receivedAt: 1, at: 0))
        #expect(door.admits(7, path: 1, receivedAt: 1, at: 0))
    }

    @Test func `over a connection the first packet opens a channel`() {
        let door = Door(isOverConnection: true)
        for channel in 1...100 as ClosedRange<UInt16> {
            let isOpen = door.admits(channel, path: 0, receivedAt: 1, at: 0)
            #expect(isOpen == (channel <= UInt16(ChannelAdmission.most)))
        }
    }

    @Test func `a second packet that is long in coming is a first one`() {
        let door = Door()
        #expect(!door.admits(7, path: 0, receivedAt: 1, at: 0))
        #expect(!door.admits(7, path: 0, receivedAt: 2, at: 11))
        #expect(door.admits(7, path: 0, receivedAt: 3, at: 12))
    }

    @Test func `there are so many channels and no more`() {
        let door = Door()
        for channel in 1...100 as ClosedRange<UInt16> {
            _ = door.admits(channel, path: 0, receivedAt: 1, at: 0)
            let isOpen = door.admits(channel, path: 0, receivedAt: 2, at: 0)
            #expect(isOpen == (channel <= UInt16(ChannelAdmission.most)))
        }
    }
}
