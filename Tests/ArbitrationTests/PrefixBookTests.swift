// Names as numbers that come and go, beside a plain dictionary.
import Basics
import Testing

@testable import Arbitration

@Suite struct PrefixBookTests {
    @Test func `a name has its number until its last use is gone, and the number is given anew`() {
        var book = PrefixBook()
        let first = book.take("md/a/")
        #expect(book.take("md/a/") == first)
        let second = book.take("md/b/")
        #expect(second != first)
        book.drop(first)
        #expect(book.find("md/a/") == first)
        book.drop(first)
        #expect(book.find("md/a/") == nil)
        #expect(book.take("md/c/") == first)
        #expect(book[first] == "md/c/")
        #expect(book.find("md/b/") == second)
    }

    @Test(arguments: 0..<20) func `whatever comes and goes, each name is found by its number`(seed: UInt64) {
        var random = SeededGenerator(state: seed)
        var book = PrefixBook()
        var uses: [String: Int] = [:]
        for _ in 0..<5000 {
            let name = "md/quotes/\(Int.random(in: 0..<300, using: &random))/"
            if Bool.random(using: &random) {
                let number = book.take(name)
                #expect(book[number] == name)
                uses[name, default: 0] += 1
            } else if let number = book.find(name) {
                book.drop(number)
                uses[name] = uses[name] == 1 ? nil : uses[name]! - 1
            } else {
                #expect(uses[name] == nil)
            }
        }
        for name in (0..<300).map({ "md/quotes/\($0)/" }) {
            let found = book.find(name)
            #expect((found != nil) == (uses[name] != nil))
            if let found { #expect(book[found] == name) }
        }
        #expect(Set(uses.keys.compactMap(book.find)).count == uses.count)
    }
}
