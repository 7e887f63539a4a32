// Where names lie, and names as numbers that come and go, beside plain collections.
import Basics
import Testing

@testable import Arbitration

@Suite struct PackedBytesTests {
    @Test func `each string is found by its number`() {
        var strings = PackedBytes()
        let long = [UInt8](repeating: 7, count: 65_535)
        strings.append("one".utf8)
        strings.append([])
        strings.append(long)
        strings.append(Array("xfour".utf8)[1...])
        #expect(strings.count == 4)
        #expect(strings[0].elementsEqual("one".utf8))
        #expect(strings[1].isEmpty)
        #expect(strings[2].elementsEqual(long))
        #expect(strings[3].elementsEqual("four".utf8))
    }

    @Test(arguments: 0..<10) func `what is gone leaves its place, and not its bytes`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var strings = PackedBytes()
        var expected: [[UInt8]?] = []
        for _ in 0..<5000 {
            let string = [UInt8](
                repeating: .random(in: 0...255, using: &random), count: .random(in: 0...60, using: &random))
            let number = expected.indices.randomElement(using: &random)
            switch number.map({ expected[$0] }) {
            case .some(.some) where expected.count > 200:
                strings.remove(number!)
                strings.remove(number!)
                expected[number!] = nil
            case .some(.none):
                strings.put(string, at: number!)
                expected[number!] = string
            default:
                strings.append(string)
                expected.append(string)
            }
        }
        for (number, string) in expected.enumerated() { #expect(strings[number].elementsEqual(string ?? [])) }
        let held = expected.compactMap(\.self).reduce(0) { $0 + $1.count + 2 }
        #expect(strings.size <= max(2 * held, held + 5000))
    }
}

@Suite struct NameBookTests {
    @Test func `a name has its number until its last use is gone, and the number is given anew`() {
        var book = NameBook()
        let first = book.take("a")
        #expect(book.take("a") == first)
        #expect(book.uses(of: first) == 2)
        let second = book.take("b")
        #expect(second != first)
        book.drop(first)
        #expect(book.find("a") == first)
        book.drop(first)
        #expect(book.find("a") == nil)
        #expect(book.count == 1)
        #expect(book.take("c") == first)
        #expect(book[first] == "c")
        book.use(first)
        #expect(book.uses(of: first) == 2)
        #expect(book.find("b") == second)
        #expect(book.count == 2)
        #expect(Set(book.names) == ["b", "c"])
    }

    @Test(arguments: 0..<20) func `whatever comes and goes, each name is found by its number`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var book = NameBook()
        var uses: [String: UInt32] = [:]
        for _ in 0..<5000 {
            let name = "instrument \(Int.random(in: 0..<300, using: &random))"
            if Bool.random(using: &random) {
                let number = book.take(name)
                uses[name, default: 0] += 1
                #expect(book[number] == name)
                #expect(book.uses(of: number) == uses[name])
            } else if let number = book.find(name) {
                book.drop(number)
                uses[name] = uses[name] == 1 ? nil : uses[name]! - 1
            } else {
                #expect(uses[name] == nil)
            }
        }
        #expect(book.count == uses.count)
        #expect(Set(book.names) == Set(uses.keys))
        for name in (0..<300).map({ "instrument \($0)" }) {
            #expect((book.find(name) != nil) == (uses[name] != nil))
            #expect(book.find(Array(name.utf8)[...]) == book.find(name))
        }
        for (name, count) in uses { #expect(book.find(name).map(book.uses) == count) }
    }

    @Test func `everything is a topic among the instruments, whatever they are called`() {
        var names = UpstreamNames()
        let instruments = ["", "*", "everything"].map { UpstreamTopic.instrument($0) }
        #expect(names.find(.everything) == nil)
        let numbers = ([.everything] + instruments).map { names.take($0) }
        #expect(Set(numbers).count == 4)
        #expect(numbers.map { names[$0] } == [.everything] + instruments)
        #expect(names.take(.everything) == numbers[0])
        #expect(names.uses(of: numbers[0]) == 2)
        #expect(names.topics == [.everything] + instruments)
        for number in numbers { names.drop(number) }
        #expect(names.topics == [.everything])
        names.drop(numbers[0])
        #expect(names.count == 0)
    }
}

@Suite struct NumberSetTests {
    @Test(arguments: 0..<5) func `it is a set`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var (set, expected) = (NumberSet(), Set<UInt32>())
        for _ in 0..<2000 {
            let number = UInt32.random(in: 0..<200, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0...1: #expect(set.insert(number) == expected.insert(number).inserted)
            case 2...3: #expect(set.remove(number) == (expected.remove(number) != nil))
            default: #expect(set.contains(number) == expected.contains(number))
            }
            #expect(set.count == expected.count)
            #expect(set.isEmpty == expected.isEmpty)
        }
        #expect(set.numbers == expected.sorted())
        set.removeAll()
        #expect(set.numbers == [])
        #expect(!set.contains(.max))
    }
}
