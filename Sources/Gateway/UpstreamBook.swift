// What the paths of a feed call the topics that they are subscribed to, shared by them.
package import Arbitration

package final class UpstreamBook {
    package var names = UpstreamNames()

    package init() {}
}
