// What the daemon tells systemd about itself, by sd_notify(3). Without a service manager nothing happens.
public import Basics
import Linux

/// The service manager that started this process, if any.
public enum ServiceManager {
    /// READY=1 and what `systemctl status` shows.
    ///
    /// - Returns: whether it was taken, or there is nobody to take it; else say it again.
    public static func ready(status: String, waits: Bool) -> Bool {
        NotifySocket.environment == nil
            || NotifySocket.offer("READY=1\nSTATUS=\(oneLine(status))", waits: waits)
    }

    /// What `systemctl status` shows. A service manager that is behind does not get it: nobody waits for that.
    ///
    /// - Returns: whether it was taken.
    @discardableResult
    public static func status(_ text: String) -> Bool { NotifySocket.offer("STATUS=\(oneLine(text))") }

    /// RELOADING=1 with the stamp that Type=notify-reload wants; follow with `ready`.
    public static func reloading(at now: Instant) {
        _ = offer("RELOADING=1\nMONOTONIC_USEC=\(now.nanoseconds / 1000)")
    }

    public static func stopping(status: String) { _ = offer("STOPPING=1\nSTATUS=\(oneLine(status))") }

    private static func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 })
    }

    private static func offer(_ state: String) -> Bool { NotifySocket.offer(state, waits: true) }
}
