// Receiving datagrams in batches with recvmmsg(2): one call for up to 64 packets, with the kernel's stamp of
// each arrival and its count of packets dropped.
public import Basics
import CLinux
import Glibc

/// One received datagram. `payload` is a window into the batch's buffer: copy it to keep it beyond the next
/// `receive`.
public struct Datagram {
    public var payload: ArraySlice<UInt8>
    public var sender: IPv4Endpoint
    /// When the kernel took it from the wire; `nil` without `SO_TIMESTAMPNS`.
    public var receivedAt: WallTime?
    /// How many packets the kernel has dropped on this socket so far, for want of buffer.
    public var dropped: UInt32?
    /// The datagram was longer than a slot and was cut.
    public var isTruncated: Bool
}

/// Buffers for one recvmmsg call, used again and again.
@safe
public final class DatagramBatch {
    private let slots: Int
    private let bytesPerSlot: Int
    private var storage: [UInt8]
    private let headers: UnsafeMutablePointer<clinux_mmsghdr>
    private let vectors: UnsafeMutablePointer<iovec>
    private let senders: UnsafeMutablePointer<sockaddr_in>
    private let controls: UnsafeMutableRawPointer
    private static let controlBytes = 128

    /// - Parameter bytesPerSlot: the longest datagram taken whole; 9216 holds a jumbo frame.
    public init(slots: Int = 64, bytesPerSlot: Int = 9216) {
        self.slots = slots
        self.bytesPerSlot = bytesPerSlot
        storage = [UInt8](repeating: 0, count: slots * bytesPerSlot)
        unsafe headers = .allocate(capacity: slots)
        unsafe headers.initialize(repeating: clinux_mmsghdr(), count: slots)
        unsafe vectors = .allocate(capacity: slots)
        unsafe vectors.initialize(repeating: iovec(), count: slots)
        unsafe senders = .allocate(capacity: slots)
        unsafe senders.initialize(repeating: sockaddr_in(), count: slots)
        unsafe controls = .allocate(byteCount: slots * DatagramBatch.controlBytes, alignment: 16)
    }

    deinit {
        unsafe headers.deallocate()
        unsafe vectors.deallocate()
        unsafe senders.deallocate()
        unsafe controls.deallocate()
    }

    /// Takes what has arrived, at most one batch, and calls `body` with each. Returns how many there were;
    /// 0: nothing now.
    @discardableResult
    public func receive(from socket: borrowing Descriptor, _ body: (Datagram) -> Void) throws(SystemError)
        -> Int
    {
        let raw = socket.raw
        let count = try checkNow("recvmmsg") {
            unsafe storage.withUnsafeMutableBytes { buffer in
                unsafe prepare(buffer)
                return unsafe clinux_recvmmsg(raw, headers, UInt32(slots), Int32(MSG_DONTWAIT))
            }
        }
        guard let count, count > 0 else { return 0 }
        for slot in 0..<Int(count) { body(datagram(slot)) }
        return Int(count)
    }

    private func prepare(_ buffer: UnsafeMutableRawBufferPointer) {
        for slot in 0..<slots {
            unsafe vectors[slot].iov_base = buffer.baseAddress! + slot * bytesPerSlot
            unsafe vectors[slot].iov_len = bytesPerSlot
            var header = unsafe msghdr()
            unsafe header.msg_name = UnsafeMutableRawPointer(senders + slot)
            unsafe header.msg_namelen = socklen_t(MemoryLayout<sockaddr_in>.size)
            unsafe header.msg_iov = vectors + slot
            unsafe header.msg_iovlen = 1
            unsafe header.msg_control = controls + slot * DatagramBatch.controlBytes
            unsafe header.msg_controllen = DatagramBatch.controlBytes
            unsafe headers[slot].msg_hdr = header
        }
    }

    private func datagram(_ slot: Int) -> Datagram {
        let start = slot * bytesPerSlot
        let length = unsafe min(Int(headers[slot].msg_len), bytesPerSlot)
        let flags = unsafe headers[slot].msg_hdr.msg_flags
        var datagram = Datagram(
            payload: storage[start..<(start + length)], sender: unsafe IPv4Endpoint(senders[slot]),
            receivedAt: nil, dropped: nil, isTruncated: flags & Int32(MSG_TRUNC) != 0)
        unsafe readControls(&headers[slot].msg_hdr, into: &datagram)
        return datagram
    }

    private func readControls(_ header: UnsafeMutablePointer<msghdr>, into datagram: inout Datagram) {
        var control = unsafe clinux_cmsg_first(header)
        while let current = unsafe control {
            let data = unsafe UnsafeRawPointer(clinux_cmsg_data(current)!)
            if unsafe current.pointee.cmsg_level == SOL_SOCKET {
                if unsafe current.pointee.cmsg_type == SO_TIMESTAMPNS {
                    let time = unsafe data.loadUnaligned(as: timespec.self)
                    datagram.receivedAt = WallTime(nanoseconds: nanoseconds(time))
                } else if unsafe current.pointee.cmsg_type == SO_RXQ_OVFL {
                    datagram.dropped = unsafe data.loadUnaligned(as: UInt32.self)
                }
            }
            unsafe control = clinux_cmsg_next(header, current)
        }
    }
}
