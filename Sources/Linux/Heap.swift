// The C library's heap, as a daemon wants it.
import CLinux

/// The heap of the process.
public enum Heap {
    /// All threads take their memory from one heap: what one of them allocated and another gave back can be used by
    /// all, which matters where most of it goes from hand to hand. Call it before there are threads (mallopt(3)).
    public static func share() { mallopt(M_ARENA_MAX, 1) }
}
