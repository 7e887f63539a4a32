// holdfast-gateway: fans market data out over redundant paths. Its life is the module Daemon's, what it does the
// module Gateway's.
import Daemon
import Glibc

exit(DaemonLife<GatewayBody>.main(Array(CommandLine.arguments.dropFirst())))
