"""What `holdfast-bench agent` measures of the agent alone: how soon it speaks, what it costs with many subjects, and how
often it cries wolf."""

import subprocess
import threading
import time

import bench_desk
import harness
import measure
import zmq

NICS, PROCESSES, PATHS = 200, 200, 50


# The start


def start(options):
    """From the start of the program to its first state, and to a state of everything that it will watch."""
    first, every = [], []
    with measure.Stage() as stage:
        desk = bench_desk.Desk(stage)
        subjects = set(desk.client.states())
        desk.agent.stop()
        for _ in range(options.runs(20)):
            daemon = harness.Daemon(stage, "holdfast-agent", harness.AGENT_BUS + desk.text, desk.near)
            times = listen(stage, daemon, subjects)
            first.append(min(times.values()))
            every.append(max(times.values()))
            daemon.stop()
    return [figure("first state after the start", first), figure("a state of each subject after the start", every)]


def listen(stage, daemon, subjects):
    """Starts a daemon; returns when the first state of each subject came, in ms. The subscriber waits for its socket."""
    context = zmq.Context()
    stage.addCleanup(context.destroy, 0)
    sub = context.socket(zmq.SUB)
    sub.reconnect_ivl = 1
    sub.connect(daemon.endpoint("agent.pub"))
    sub.subscribe(b"state/")
    times, began = {}, time.monotonic()
    daemon.start(ready=False)
    while subjects - set(times):
        if not sub.poll(harness.PATIENCE_S * 1000):
            daemon.fail(f"no state of {subjects - set(times)}")
        topic = sub.recv_multipart()[0].decode().split("/")
        times.setdefault(f"{topic[2]}/{topic[3].replace('%2F', '/')}", (time.monotonic() - began) * 1000)
    context.destroy(0)
    return times


def figure(name, times):
    times = sorted(times)
    return {"figure": name, "runs": len(times), "median_ms": round(times[len(times) // 2], 1),
            "max_ms": round(times[-1], 1)}


# Many subjects


def scale(options):
    """200 NICs, 200 processes that are searched for by their command lines, and 50 paths, followed with all that is
    published of them."""
    with measure.Stage() as stage:
        near, far = harness.Namespace(stage, "desk"), harness.Namespace(stage, "isp")
        text = '[nic]\ninclude = ["n*"]\n' + links(near, far)
        for number in range(PROCESSES):
            harness.spawn(stage, ["sleep", str(80_000 + number)])
            text += (f'[[process.watch]]\nname = "p{number}"\n'
                     f'match_command = ["sleep", "{80_000 + number}"]\n')
        daemon = harness.agent(stage, text, near)
        client = harness.health(stage, daemon, "state/")
        client.settle(f"path/isp{PATHS}", "ok")
        client.settle(f"process/p{PROCESSES - 1}", "ok")
        client.close()
        bench_desk.Follower(stage, daemon)
        measure.pause(options.seconds / 6)
        meter = bench_desk.Meter({f"holdfast-agent: {NICS} NICs, {PROCESSES} processes, {PATHS} paths": daemon.child})
        measure.pause(options.seconds)
        return list(meter.rows())


def links(near, far):
    """Veths to so many routers; a path leaves through the first of them."""
    batches, text = {near.name: "", far.name: ""}, ""
    for number in range(1, NICS + 1):
        network = f"10.83.{number}"
        harness.run("ip", "link", "add", f"n{number}", "index", str(1000 + number), "netns", near.name, "type", "veth",
                    "peer", "name", f"p{number}", "index", str(2000 + number), "netns", far.name)
        batches[near.name] += f"addr add {network}.1/24 dev n{number}\nlink set n{number} up\n"
        batches[far.name] += f"addr add {network}.2/24 dev p{number}\nlink set p{number} up\n"
        if number <= PATHS:
            text += f'[[path.isp]]\nname = "isp{number}"\ninterface = "n{number}"\ntargets = ["{network}.2"]\n'
    for name, batch in batches.items():
        subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch, text=True, check=True)
    return text


# False alarms


def alarms(options):
    """A desk where nothing happens for 30 minutes, and beside it one that loses 5 % of its packets for 10: every change
    for the worse, and what of it was said."""
    rows, threads = [], []
    for name, minutes, loss in (("nothing happens", 30, None), ("5 % random loss", 10, 5)):
        threads.append(threading.Thread(target=lambda *words: rows.append(watch(*words)),
                                        args=(name, options.minutes(minutes), loss), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return rows


def watch(name, minutes, loss):
    with measure.Stage() as stage:
        desk = bench_desk.Desk(stage)
        if loss:
            for device in ("isp-a", "isp-b"):
                desk.near.drop_ingress(device, f"numgen random mod 100 < {loss} drop")
        known = {subject: state["change"] for subject, state in desk.client.states().items()}
        changes = []
        for message in desk.client.messages(minutes * 60):
            subject = harness.subject_of(message)
            if message["change"] > known.get(subject, 0):
                known[subject] = message["change"]
                changes.append({"subject": subject, "at": message["at"], "status": message["status"],
                                "reason": message["reason"]})
        return {"run": name, "minutes": minutes, "critical": sum(row["status"] == "critical" for row in changes),
                "changes": changes}
