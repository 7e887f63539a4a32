// What the daemon tells systemd about itself, by sd_notify(3). Without a service manager nothing happens.
public import Basics
import CSystemd
import Linux

/// The service manager that started this process, if any.
public enum ServiceManager {
    /// READY=1 and what `systemctl status` shows.
    public static func ready(status: String) { notify("READY=1\nSTATUS=\(oneLine(status))") }

    /// What `systemctl status` shows. A service manager that is behind does not get it: nobody waits for that.
    ///
    /// - Returns: whether it was taken.
    @discardableResult
    public static func status(_ text: String) -> Bool { NotifySocket.offer("STATUS=\(oneLine(text))") }

    /// RELOADING=1 with the stamp that Type=notify-reload wants; follow with `ready`.
    public static func reloading(at now: Instant) {
        notify("RELOADING=1\nMONOTONIC_USEC=\(now.nanoseconds / 1000)")
    }

    public static func stopping(status: String) { notify("STOPPING=1\nSTATUS=\(oneLine(status))") }

    private static func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 })
    }

    private static func notify(_ state: String) { unsafe sd_notify(0, state) }
}
