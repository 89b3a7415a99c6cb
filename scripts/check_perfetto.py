"""Holds a trace of `ioriot export --to perfetto` against the descriptors of the wheel perfetto: python3 scripts/check_perfetto.py TRACE

Every field must be known, every event on a track that was described before, every slice inside the one below it. Prints what is in
the trace as JSON. Exit code 77: the packages perfetto and protobuf are not there.
"""

import collections
import json
import sys

try:
    from google.protobuf import unknown_fields
    from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as trace
except ImportError as error:
    print(f"lacks a package: {error}")
    sys.exit(77)


def known(message):
    """Fails on a field that the descriptors do not have."""
    assert not len(unknown_fields.UnknownFieldSet(message)), message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in [value] if hasattr(value, "ListFields") else value:
            known(one)


def main(path):
    all_packets = trace.Trace()
    with open(path, "rb") as file:
        all_packets.ParseFromString(file.read())
    known(all_packets)
    tracks, stacks, counters, last = {}, collections.defaultdict(list), {}, {}
    names, classes, slices, deepest, longest, paths = collections.Counter(), collections.Counter(), 0, 0, 0, set()
    for packet in all_packets.packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid and track.uuid not in tracks
            assert not track.HasField("parent_uuid") or track.parent_uuid in tracks
            tracks[track.uuid] = track
            continue
        event, now = packet.track_event, packet.timestamp
        track = tracks[event.track_uuid]
        assert now >= last.get(event.track_uuid, 0), "time goes back on a track"
        last[event.track_uuid] = now
        if event.type == trace.TrackEvent.TYPE_COUNTER:
            assert track.HasField("counter") and event.counter_value >= 0
            counters[track.name] = event.counter_value
        elif event.type == trace.TrackEvent.TYPE_SLICE_BEGIN:
            assert not track.HasField("counter")
            stacks[event.track_uuid].append(now)
            deepest = max(deepest, len(stacks[event.track_uuid]))
            slices += 1
            names[event.name] += 1
            classes[event.categories[0]] += 1
            paths.update(note.string_value for note in event.debug_annotations if note.name == "path")
        else:
            assert event.type == trace.TrackEvent.TYPE_SLICE_END
            longest = max(longest, now - stacks[event.track_uuid].pop())
    assert not any(stacks.values()), "a slice has no end"
    assert not any(counters.values()), counters
    processes = {track.process.pid for track in tracks.values() if track.HasField("process")}
    threads = {(track.thread.pid, track.thread.tid) for track in tracks.values() if track.HasField("thread")}
    assert all(pid in processes for pid, _ in threads)
    print(json.dumps({
        "slices": slices, "names": names, "classes": classes, "deepest": deepest, "longest": longest, "paths": sorted(paths),
        "processes": sorted(processes), "threads": len(threads), "counters": sorted(counters),
        "commands": sorted(track.process.process_name for track in tracks.values() if track.process.process_name),
    }))


main(sys.argv[1])
