// Bodies of any length in blocks of one size, so that whatever one gives up suits any other and nothing lies idle
// between them: 64 bytes take two blocks of 32, and four bytes for each.

/// Bodies, each a chain of blocks; a chain is what its owner keeps of it.
struct BlockChains: ~Copyable, Sendable {
    /// One body. Whoever loses it loses its blocks.
    struct Chain: Sendable {
        fileprivate var first = BlockChains.none
        /// Bytes of the body.
        fileprivate(set) var length: UInt32 = 0
    }

    static let blockSize = 32
    /// 64 KiB: so much is reserved at a time.
    private static let blocksPerChunk = 2048
    private static let none = UInt32.max

    /// How many blocks may be in chains.
    let limit: Int
    private var chunks: [[UInt8]] = []
    /// Of each block the one behind it, in its chain or among those that are free.
    private var next: [UInt32] = []
    private var free = BlockChains.none
    /// Blocks that are in chains.
    private var used = 0

    /// - Parameter bytes: how much all blocks in chains may have.
    init(bytes: Int) { limit = min(bytes / BlockChains.blockSize, Int(BlockChains.none)) }

    /// What the blocks in chains have, in bytes.
    var bytes: Int { used * BlockChains.blockSize }
    /// What is reserved in all, in bytes.
    var memory: Int {
        chunks.count * BlockChains.blocksPerChunk * BlockChains.blockSize
            + next.capacity * MemoryLayout<UInt32>.stride
    }

    /// Whether a chain can have a body of this length instead of its own.
    func hasRoom(for length: Int, in chain: Chain) -> Bool {
        used + blocks(length) - blocks(Int(chain.length)) <= limit
    }

    /// Puts another body in the place of a chain's; one of as many blocks is written over it.
    ///
    /// - Precondition: there is room for it.
    mutating func put(_ body: Span<UInt8>, in chain: inout Chain) {
        resize(&chain, to: body.count)
        var block = chain.first
        unsafe body.withUnsafeBytes { body in
            var start = 0
            while start < body.count {
                let last = self.last(from: block, for: body.count - start)
                let end = min(start + Int(last - block + 1) * BlockChains.blockSize, body.count)
                unsafe write(UnsafeRawBufferPointer(rebasing: body[start..<end]), to: Int(block))
                (start, block) = (end, next[Int(last)])
            }
        }
    }

    func body(of chain: Chain) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(Int(chain.length))
        var block = chain.first
        while body.count < Int(chain.length) {
            let (chunk, start) = BlockChains.place(Int(block))
            let size = min(BlockChains.blockSize, Int(chain.length) - body.count)
            body.append(contentsOf: chunks[chunk][start..<(start + size)])
            block = next[Int(block)]
        }
        return body
    }

    /// Gives a body up.
    mutating func clear(_ chain: inout Chain) { resize(&chain, to: 0) }

    @inline(__always)
    private func blocks(_ length: Int) -> Int {
        (length + BlockChains.blockSize - 1) / BlockChains.blockSize
    }

    @inline(__always)
    private static func place(_ block: Int) -> (chunk: Int, start: Int) {
        (block / blocksPerChunk, block % blocksPerChunk * blockSize)
    }

    @inline(__always)
    private mutating func write(_ piece: UnsafeRawBufferPointer, to block: Int) {
        let (chunk, start) = BlockChains.place(block)
        unsafe chunks[chunk].withUnsafeMutableBytes { bytes in
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + piece.count)])
                .copyMemory(from: piece)
        }
    }

    /// How far a chain goes on in neighbouring blocks of a chunk, if so many bytes need it.
    @inline(__always)
    private func last(from block: UInt32, for length: Int) -> UInt32 {
        var (last, room) = (block, BlockChains.blockSize)
        while room < length, next[Int(last)] == last + 1, Int(last + 1) % BlockChains.blocksPerChunk != 0 {
            last += 1
            room += BlockChains.blockSize
        }
        return last
    }

    /// Adds blocks to the front of a chain, or takes them from there.
    @inline(__always)
    private mutating func resize(_ chain: inout Chain, to length: Int) {
        let (has, wants) = (blocks(Int(chain.length)), blocks(length))
        chain.length = UInt32(length)
        if has != wants { resize(&chain.first, from: has, to: wants) }
    }

    private mutating func resize(_ first: inout UInt32, from has: Int, to wants: Int) {
        precondition(used + wants - has <= limit, "whoever wants more asks whether there is room")
        while next.count - used < wants - has { reserve() }
        used += wants - has
        if wants > has {
            (free, first) = move(wants - has, of: free, before: first)
        } else {
            (first, free) = move(has - wants, of: first, before: free)
        }
    }

    /// Moves the first blocks of a chain, in their order, to the front of another; returns what both begin with then.
    private mutating func move(_ count: Int, of source: UInt32, before target: UInt32) -> (UInt32, UInt32) {
        var last = Int(source)
        for _ in 1..<count { last = Int(next[last]) }
        let rest = next[last]
        next[last] = target
        return (rest, source)
    }

    /// Another chunk, all of whose blocks are free.
    private mutating func reserve() {
        let from = UInt32(next.count)
        chunks.append([UInt8](repeating: 0, count: BlockChains.blocksPerChunk * BlockChains.blockSize))
        next += (from + 1)..<(from + UInt32(BlockChains.blocksPerChunk))
        next.append(free)
        free = from
    }
}
