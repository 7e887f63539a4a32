// Starting a program as a child of this process, apart from it: a session of its own, no descriptor but its output,
// no signal blocked or ignored, an environment that is given.
import CLinux
import Glibc

/// A child process, from its start to its end.
public enum Child {
    /// Starts a program. It may wait for the disk: for the worker.
    ///
    /// - Parameters:
    ///   - command: the program's path and its arguments.
    ///   - output: where its standard output and error go; stays with the caller.
    /// - Returns: the process id, which is also its group's.
    public static func start(_ command: [String], environment: [String], output: Int32) throws(SystemError)
        -> Int32
    {
        var pid: pid_t = 0
        let result = unsafe withWords(command) { words in
            unsafe withWords(environment) { variables in
                unsafe clinux_spawn(&pid, words, variables, output)
            }
        }
        guard result == 0 else { throw SystemError(command.first ?? "", number: result) }
        // The agent is protected from want of memory; what it starts is not.
        if let zero = unsafe fopen("/proc/\(pid)/oom_score_adj", "we") {
            unsafe fputs("0", zero)
            unsafe fclose(zero)
        }
        return pid
    }

    private static func withWords<R>(
        _ words: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
    )
        -> R
    {
        var pointers = unsafe words.map { unsafe strdup($0) } + [nil]
        // Another list, since the one that is passed may be changed.
        let copies = unsafe pointers
        defer { unsafe copies.forEach { unsafe free($0) } }
        return unsafe pointers.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!) }
    }

    /// Kills the child and all that it started and that did not leave its group. Call before `reap`, which frees the
    /// number for others.
    public static func killGroup(_ pid: Int32) {
        guard pid > 1 else { return }
        kill(-pid, SIGKILL)
    }

    /// How a child ended; `nil`: it has not.
    ///
    /// - Throws: ECHILD when somebody else has taken its end.
    public static func reap(_ pid: Int32) throws(SystemError) -> ProcessExit? {
        var status: Int32 = 0
        let result = try check("waitpid") { unsafe waitpid(pid, &status, WNOHANG) }
        return result == pid ? ProcessExit(waitStatus: status) : nil
    }
}

/// A descriptor that can be shared and let go of on its own.
public final class HeldDescriptor {
    public let descriptor: Descriptor

    init(owning raw: Int32) { descriptor = Descriptor(owning: raw) }
}

/// The two ends of a pipe. Reading never waits; writing does, as programs expect.
public struct Pipe {
    public let reading: HeldDescriptor
    public let writing: HeldDescriptor

    public init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        try check("pipe") { unsafe clinux_pipe(&ends) }
        reading = HeldDescriptor(owning: ends[0])
        writing = HeldDescriptor(owning: ends[1])
    }
}
