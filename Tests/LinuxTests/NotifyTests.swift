// What may be lost on its way to the service manager, with a socket of the test's own in its place.
import Glibc
import Testing

@testable import Linux

@Suite struct NotifyTests {
    /// A datagram socket that reads when told to.
    private final class Manager {
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)

        /// - Parameter name: of a path, or abstract with a leading NUL.
        init(at name: [UInt8], isAbstract: Bool) {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
            let length = MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1)
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(length))
                }
            }
            #expect(bound == 0)
        }

        deinit { close(descriptor) }

        func read() -> String? {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
    }

    @Test func `a manager that does not read holds nobody up`() throws {
        let path = "/tmp/holdfast-notify-\(getpid())"
        unlink(path)
        let manager = Manager(at: Array(path.utf8), isAbstract: false)
        defer { unlink(path) }
        var taken = 0
        while taken < 100_000, NotifySocket.offer("STATUS=\(taken)", to: path) { taken += 1 }
        #expect(taken > 0)
        #expect(taken < 100_000)
        #expect(!NotifySocket.offer("STOPPING=1", to: path, waits: true))
        #expect(manager.read() == "STATUS=0")
        #expect(NotifySocket.offer("STATUS=again", to: path))
    }

    @Test func `an abstract socket is reached by its name`() {
        let manager = Manager(at: [0] + Array("holdfast-notify-\(getpid())".utf8), isAbstract: true)
        #expect(NotifySocket.offer("STATUS=fine", to: "@holdfast-notify-\(getpid())"))
        #expect(manager.read() == "STATUS=fine")
    }

    @Test(arguments: [nil, "", "@", "relative", "/nowhere/notify", "/" + String(repeating: "x", count: 200)])
    func `where nobody listens nothing is taken`(path: String?) {
        #expect(NotifySocket.offer("STATUS=fine", to: path) == false)
    }
}
