// The terminal as a device: its size, whether it takes colours, and the mode in which single keys arrive. What
// was changed is put back when the owner goes.
import CLinux
import Glibc
import Terminal

/// A full-screen terminal for as long as it lives.
final class Screen {
    private var before = termios()
    private let hasKeys: Bool

    /// Switches to the alternate screen, and to keys without Enter if standard input is a terminal.
    init() {
        hasKeys = unsafe tcgetattr(STDIN_FILENO, &before) == 0
        enter()
    }

    deinit { leave() }

    func enter() {
        if hasKeys {
            var mode = before
            mode.c_lflag &= ~tcflag_t(ICANON | ECHO)
            unsafe tcsetattr(STDIN_FILENO, TCSANOW, &mode)
        }
        writeToTerminal("\u{1B}[?1049h\u{1B}[?25l")
    }

    func leave() {
        writeToTerminal("\u{1B}[?25h\u{1B}[?1049l")
        if hasKeys { unsafe tcsetattr(STDIN_FILENO, TCSANOW, &before) }
    }

    /// Whether keys can be read.
    var takesKeys: Bool { hasKeys }

    /// Draws the lines over what was there, without a flicker.
    func draw(_ lines: [String]) {
        writeToTerminal("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// Columns and rows of the terminal on standard output; 80 by 24 if it does not say.
    static var size: (width: Int, height: Int) {
        var size = winsize()
        let result = unsafe withUnsafeMutablePointer(to: &size) {
            unsafe clinux_ioctl_pointer(STDOUT_FILENO, UInt(TIOCGWINSZ), $0)
        }
        guard result == 0, size.ws_col > 0, size.ws_row > 0 else { return (80, 24) }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    /// The width to keep to; `nil` for files and pipes.
    static var outputWidth: Int? { isTerminal ? size.width : nil }

    /// Colours only on a terminal that has them, and without NO_COLOR (no-color.org).
    static var outputPalette: Palette {
        let wantsNone = unsafe getenv("NO_COLOR").map { unsafe $0.pointee != 0 } ?? false
        let isDumb = unsafe getenv("TERM").map { unsafe String(cString: $0) == "dumb" } ?? true
        return Palette(isColoured: isTerminal && !wantsNone && !isDumb)
    }
}
