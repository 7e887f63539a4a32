// The kernel's lists of processors.
import Basics
import Testing

struct CPUListTests {
    @Test(arguments: [
        ("0-3,8\n", [0, 1, 2, 3, 8]), ("", []), ("\n", []), ("(null)\n", []), ("5", [5]),
        ("2,0-1,1", [0, 1, 2]),
        ("0-8191", Array(0...8191)),
    ])
    func `a list is read`(text: String, numbers: [Int]) {
        #expect(CPUList(parsing: text)?.numbers == numbers)
    }

    @Test(arguments: [
        "a", "1-", "-1", "3-1", "1,,2", "1-2-3", "8192", "0-99999999999999999999", "1 2", "0x1",
    ])
    func `what is no list is none`(text: String) { #expect(CPUList(parsing: text) == nil) }

    @Test func `a list without end is refused`() {
        #expect(CPUList(parsing: Array(repeating: "0-8191", count: 1000).joined(separator: ",")) == nil)
    }

    @Test func `lists are joined and taken apart`() {
        let all = CPUList(0..<8)
        #expect("\(all.without(CPUList([2, 3, 9])))" == "0-1,4-7")
        #expect("\(CPUList([1]).union(CPUList([3])))" == "1,3")
        #expect("\(CPUList([]))" == "")
    }
}
