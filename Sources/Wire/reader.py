#!/usr/bin/env python3
"""Reads Holdfast's market-data frames with Python's standard library alone; README.md has the table.

As a module: topic, header, body = read(frame); told = control(header, body)
As a program: reader.py FILE, a file of frames, each after its length (u32, little-endian); prints JSON lines.
"""
import json, struct, sys
from urllib.parse import unquote

HEADER = struct.Struct("<BBHHHQQQBBHIqq")
FIELDS = ("version kind flags feed channel epoch sequence previous path state "
          "reserved_1 reserved_2 source_time receive_time").split()
KINDS = {1: "data", 2: "idle", 3: "heartbeat", 4: "gap", 5: "state", 6: "sync"}
STATES = {1: "live", 2: "recovering", 3: "stale", 4: "closed"}
FLAGS = ("recovering", "stale", "late", "epoch_inferred", "numbered_per_topic", "unresolved")
REASONS = {1: "not_recovered", 2: "failover", 3: "session_change", 4: "upstream"}


def read(frame):
    """One ZeroMQ frame -> (topic, header, body). ValueError if it is none, or of another version."""
    topic, nul, rest = bytes(frame).partition(b"\0")
    if not nul or not topic.endswith(b"/") or len(rest) < HEADER.size:
        raise ValueError("no topic, NUL and header of 56 bytes")
    header = dict(zip(FIELDS, HEADER.unpack_from(rest)))
    del header["reserved_1"], header["reserved_2"]
    if header["version"] != 1 or header["kind"] not in KINDS or header["state"] not in STATES:
        raise ValueError("version %(version)d, kind %(kind)d, state %(state)d" % header)
    header["kind"], header["state"] = KINDS[header["kind"]], STATES[header["state"]]
    header["flags"] = [name for bit, name in enumerate(FLAGS) if header["flags"] >> bit & 1]
    header["path"] = None if header["path"] == 255 else header["path"]
    header["source_time"] = header["source_time"] or None
    return topic.decode("ascii"), header, rest[HEADER.size:]


def names(topic):
    """The parts of a topic, decoded; the instrument of messages for no instrument is None."""
    return [None if part == "*" else unquote(part, errors="strict") for part in topic.split("/")[:-1]]


def control(header, body):
    """What the body of a heartbeat, gap or state says; None for other kinds."""
    def text(at):
        end = at + 1 + body[at]
        if end > len(body):
            raise ValueError("the body ends in the middle of a text")
        return body[at + 1:end].decode() or None, end
    try:
        if header["kind"] == "heartbeat":
            return dict(zip(("published", "gaps", "interval_ms"), struct.unpack("<QQI", body)))
        if header["kind"] == "gap":
            first, last, reason = struct.unpack_from("<QQB", body)
            return {"first": first, "last": last, "reason": REASONS[reason], "instrument": text(17)[0]}
        if header["kind"] == "state":
            path, end = text(0)
            return {"path": path, "reason": text(end)[0]}
    except (struct.error, KeyError, IndexError) as error:
        raise ValueError("the body is not that of a %s: %r" % (header["kind"], error)) from None
    return None


def main(path):
    with open(path, "rb") as file:
        while length := file.read(4):
            frame = file.read(struct.unpack("<I", length)[0])
            try:
                topic, header, body = read(frame)
                told = control(header, body)
                shown = {"topic": topic, "names": names(topic), **header}
                shown.update({"control": told} if told else {"body": body.hex()})
            except ValueError as error:
                shown = {"error": str(error)}
            print(json.dumps(shown, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main(sys.argv[1])
