// Forecasts as dialogues: what grows for good is foretold, bursts and saw teeth are not.
import Basics
import Detection
import Testing

struct ForecastTests {
    /// A forecast over half an hour that saw a value each half minute.
    private func forecast(minutes: Int, _ value: (Double) -> Double) -> Forecast {
        var forecast = Forecast(window: .seconds(1800))
        for step in 0...(minutes * 2) {
            let seconds = Double(step) * 30
            forecast.observed(value(seconds), at: Instant(nanoseconds: Int64(step) * 30_000_000_000))
        }
        return forecast
    }

    @Test func `steady growth is foretold`() throws {
        let forecast = forecast(minutes: 30) { 1000 + 2 * $0 }
        let left = try #require(forecast.timeLeft(until: 1000 + 2 * 1800 + 7200))
        #expect(abs(left.inSeconds - 3600) < 1)
        #expect(abs((forecast.growthPerSecond ?? 0) - 2) < 0.001)
    }

    @Test func `before a third of the window nothing is foretold`() {
        #expect(forecast(minutes: 9) { $0 }.growthPerSecond == nil)
        #expect(forecast(minutes: 10) { $0 }.growthPerSecond != nil)
    }

    @Test func `what stands still or shrinks never fills up`() {
        #expect(forecast(minutes: 30) { _ in 5 }.timeLeft(until: 10) == nil)
        #expect(forecast(minutes: 30) { 5000 - $0 }.timeLeft(until: 10_000) == nil)
    }

    @Test(arguments: (0...30).map { Double($0) * 60 })
    func `a burst of five minutes foretells nothing, wherever in the window it is`(start: Double) {
        let forecast = forecast(minutes: 30) { 1000 + 50 * min(max($0 - start, 0), 300) }
        #expect(forecast.timeLeft(until: 100_000) == nil)
    }

    @Test func `a file that grows and is rotated away counts for little`() {
        let forecast = forecast(minutes: 30) { 1000 + $0.truncatingRemainder(dividingBy: 420) }
        // By the slope between two rotations it would be 9000 s.
        #expect(forecast.timeLeft(until: 10_000).map { $0 > .seconds(90_000) } ?? true)
    }

    @Test func `growth on top of noise is foretold`() throws {
        let forecast = forecast(minutes: 30) {
            1000 + 10 * $0 + ($0.truncatingRemainder(dividingBy: 60) > 0 ? 20 : 0)
        }
        let left = try #require(forecast.timeLeft(until: 1000 + 18_000 + 36_000))
        #expect((3000...4400).contains(left.inSeconds))
    }

    @Test func `what is past its bound has no time left, and nonsense is no measurement`() {
        var forecast = forecast(minutes: 30) { $0 }
        forecast.observed(.nan, at: Instant(nanoseconds: 1 << 60))
        forecast.observed(.infinity, at: Instant(nanoseconds: 1 << 60))
        #expect(forecast.timeLeft(until: 5) == .zero)
        forecast.reset()
        #expect(forecast.growthPerSecond == nil)
    }

    @Test func `points beyond the window are forgotten`() {
        // Grew for an hour, then stands still for half an hour.
        let forecast = forecast(minutes: 91) { min($0, 3600) }
        #expect(forecast.growthPerSecond == 0)
    }
}
