#!/usr/bin/env python3
"""Is a replayed tree what the captured program left?

    scripts/same_tree.py LEFT FOUND [BEGAN]

LEFT is a copy of what the program left, FOUND the same directory in the tree of the replay. Kinds, sizes and targets of
links must be equal. FOUND may lack what the program never touched: what has not changed since the file BEGAN was. Prints every
difference; exit 1 when there is one.
"""

import os
import stat
import sys


def facts(path):
    """Kind, size and target; of directories only that they are."""
    meta = os.lstat(path)
    kind = stat.S_IFMT(meta.st_mode)
    target = os.readlink(path) if stat.S_ISLNK(meta.st_mode) else None
    return kind, meta.st_size if stat.S_ISREG(meta.st_mode) else None, target


def names(top):
    """Every path below a directory, relative to it."""
    found = set()
    for here, below, files in os.walk(top):
        found.update(os.path.relpath(os.path.join(here, name), top) for name in below + files)
    return found


def differences(left, found, began=None):
    """Number of entries that are the same, and what differs."""
    since = os.stat(began).st_mtime_ns if began else 0
    ours, theirs = names(found), names(left)
    same, wrong = 0, [f"{name}: only in the replay" for name in sorted(ours - theirs)]
    for name in sorted(theirs):
        path = os.path.join(left, name)
        if name in ours:
            a, b = facts(path), facts(os.path.join(found, name))
            if a == b:
                same += 1
            else:
                wrong.append(f"{name}: the program left {a}, the replay {b}")
        elif os.lstat(path).st_mtime_ns >= since:
            wrong.append(f"{name}: not in the replay")
    return same, wrong


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    same, wrong = differences(*sys.argv[1:])
    for line in wrong:
        print(line)
    print(f"{same} entries are the same, {len(wrong)} are not")
    sys.exit(bool(wrong))
