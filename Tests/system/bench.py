"""`holdfast-bench agent`: the agent beside what desks use today, on the same machine in the same run."""

import argparse
import json
import os
import sys


def parse(known):
    parser = argparse.ArgumentParser(
        prog="Tests/holdfast-bench agent", description="Measures the agent beside node_exporter, collectd, monit and "
        "keepalived, which are installed from Debian where they are missing (and which Debian then starts).",
        epilog="As root. Exit status: 0 measured, 2 usage, 69 something is missing.")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--only", metavar="PART", choices=known, action="append",
                        help="only this part, or these: " + ", ".join(known) + ". Without it all but alarms, which takes "
                        "half an hour")
    parser.add_argument("--quick", action="store_true",
                        help="10 s of cost, 5 faults of each kind and minutes of alarms, not 60, 50 and 30")
    options = parser.parse_args()
    options.count, options.seconds = (5, 10) if options.quick else (50, 60)
    options.runs = lambda usual: 5 if options.quick else max(usual, options.count)
    options.minutes = lambda usual: usual / 10 if options.quick else usual
    return options


NAMES = ["cost", "start", "scale", "links", "tap", "unit", "ups", "ups-tcp", "mount", "disk", "clock", "check", "line",
         "pressure", "alarms"]


def table(rows):
    for values in rows:
        changes = values.pop("changes", [])
        print("  ".join(f"{name} {value}" for name, value in values.items()))
        for change in changes:
            print("    " + "  ".join(f"{value}" for value in change.values()))
    print()


def measure_all(options):
    """Each part as it is measured: its name in the document, and its rows."""
    import bench_conditions
    import bench_desk
    import bench_faults
    import bench_load
    import harness
    bench_desk.install()
    harness.agent = bench_desk.heard(harness.agent)
    alone = {"cost": bench_desk.costs, "start": bench_load.start, "scale": bench_load.scale, "alarms": bench_load.alarms}
    for name in options.only or [name for name in NAMES if name != "alarms"]:
        work = alone.get(name) or (bench_faults.PARTS | bench_conditions.PARTS)[name]
        yield name if name in alone else "detection", work(options)


def main():
    options = parse(NAMES)
    import zmq
    import harness
    import measure
    import test_agent_bus as tests
    measure.zmq, measure.harness, measure.tests = zmq, harness, tests
    if not harness.can_use_namespaces():
        print("holdfast-bench: needs root, to make network namespaces", file=sys.stderr)
        return 69
    document = {"quick": options.quick, "kernel": os.uname().release, "cores": os.cpu_count()}
    for name, rows in measure_all(options):
        document.setdefault(name, []).extend(rows)
        if not options.json:
            table(rows)
    if options.json:
        print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
