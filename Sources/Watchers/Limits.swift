// From what an operator writes to what a machine judges by.
import Configuration
import Detection

extension Limit {
    /// The limit as configured; a level without an edge to clear clears 5 % towards the good side.
    init(_ direction: Direction = .above, _ options: LimitOptions) {
        func level(_ raise: Double?, _ clear: Double?) -> Level? {
            raise.map { raise in
                let margin = abs(raise) * 0.05
                return Level(
                    raise: raise, clear: clear ?? (direction == .above ? raise - margin : raise + margin))
            }
        }
        self.init(
            direction, warning: level(options.warning, options.warningClear),
            critical: level(options.critical, options.criticalClear), dwell: options.dwell,
            hold: options.hold, flapCount: options.flapCount, flapWindow: options.flapWindow)
    }
}
