#!/usr/bin/env python3
"""A row of the table of live.sh, from the summaries that the verbs printed; without arguments its head.

    scripts/live_row.py NAME DIR SECONDS
"""

import json
import os
import sys

import same_tree

HEAD = "| program | events | lost | coverage | of bytes | match | uncompared | different | order violated | end state | as the program left it |"


def read(name):
    with open(name) as file:
        return json.load(file)


def bytes_of(run):
    """Coverage of bytes; where nobody knows how many there were, those that are known."""
    percent = run["byte_coverage_percent"]
    if percent is not None:
        return f"{percent:.3f} %"
    moved = sum(max(row["read"] + row["written"], 0) for row in run["bytes"])
    size = f"{moved / 2**20:,.1f} MiB" if moved >= 2**20 else f"{moved / 2**10:,.1f} KiB"
    return f"unknown; {size} seen" if moved else ""


def main(name, place, seconds):
    capture, made, run = (read(f"{place}/{part}.json") for part in ("capture", "generate", "replay"))
    state = run["state"]["verdicts"] if run.get("state") else {}
    order = run.get("order_violations") or {}
    found = f"{place}/root/tree{os.path.realpath(place)}/home"
    same, wrong = same_tree.differences(f"{place}/left", found, f"{place}/began")
    cells = [
        name,
        f"{capture['events']:,}",
        f"{capture['sum']['lost']:,}",
        f"{100 * made['file_ops'] / max(made['file_events'], 1):.3f} %",
        bytes_of(run),
        "" if run["match_percent"] is None else f"{run['match_percent']:.3f} %",
        f"{run['uncompared']:,}",
        f"{run['different']:,}",
        f"{order.get('violations', 0):,} of {order.get('edges', 0):,}",
        ", ".join(f"{count:,} {verdict}" for verdict, count in state.items()),
        f"{same:,} same, {len(wrong):,} not",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    say = lambda text: print(f"  {name}: {text}", file=sys.stderr)
    say(f"{seconds} s in all, captured {capture['seconds']:.1f} s, replayed {run['ops']:,} ops; drops {made['drops']}")
    for loss in capture["losses"]:
        say(f"loss: {loss}")
    for kind in run.get("differences", []):
        say(f"{kind['count']} {kind['kind']}: {kind['examples'][:3]}")
    for line in wrong[:10]:
        say(line)
    met = (run["match_percent"] or 0) >= 99.9 and not order.get("violations") and not wrong
    return not (met and capture["sum"]["lost"] == 0 and set(state) <= {"same"})


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(HEAD + "\n" + "|---" * HEAD.count(" | ") + "|---|", flush=True)
    elif len(sys.argv) == 4:
        sys.exit(main(*sys.argv[1:]))
    else:
        sys.exit(__doc__)
