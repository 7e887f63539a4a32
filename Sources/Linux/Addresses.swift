// Socket addresses and interface names between Swift values and the kernel's structures.
public import Basics
import CLinux
import Glibc

extension IPv4Address {
    var inAddress: in_addr { in_addr(s_addr: number.bigEndian) }

    init(_ address: in_addr) { self.init(number: UInt32(bigEndian: address.s_addr)) }
}

extension IPv4Endpoint {
    var socketAddress: sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr = self.address.inAddress
        return address
    }

    init(_ address: sockaddr_in) {
        self.init(IPv4Address(address.sin_addr), UInt16(bigEndian: address.sin_port))
    }
}

/// Network interfaces by name.
public enum Interface {
    /// The index of an interface now; `nil` when there is none of that name.
    public static func index(of name: String) -> Int32? {
        let index = unsafe if_nametoindex(name)
        return index == 0 ? nil : Int32(index)
    }

    /// The first IPv4 address of an interface; `nil` when it has none.
    public static func address(of name: String) -> IPv4Address? {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return nil }
        defer { unsafe freeifaddrs(list) }
        var entry = unsafe list
        while let current = unsafe entry {
            defer { unsafe entry = current.pointee.ifa_next }
            guard let address = unsafe current.pointee.ifa_addr,
                unsafe address.pointee.sa_family == sa_family_t(AF_INET),
                unsafe String(cString: current.pointee.ifa_name) == name
            else { continue }
            return unsafe address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                unsafe IPv4Address($0.pointee.sin_addr)
            }
        }
        return nil
    }
}

/// This machine's name.
public func hostName() -> String {
    var buffer = [UInt8](repeating: 0, count: 256)
    let result = unsafe buffer.withUnsafeMutableBytes { unsafe gethostname($0.baseAddress!, $0.count - 1) }
    let name = result == 0 ? String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self) : ""
    return name.isEmpty ? "localhost" : name
}
