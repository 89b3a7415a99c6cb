#!/usr/bin/python3
"""An application of predict.py: an LMDB database that is filled, read at random, or written in small transactions.

    scripts/predict_lmdb.py DIR fill|read|write|writemap TRANSACTIONS

Needs the Python module lmdb. Keys are numbers, values have 400 bytes; a transaction of fill has 1000 of them, of write and writemap 10,
and read gets one value for each.
"""

import random
import sys

import lmdb

place, what, transactions = sys.argv[1], sys.argv[2], int(sys.argv[3])
KEYS = 200_000
dice = random.Random(7)
with lmdb.open(place, map_size=1 << 30, writemap=what == "writemap", sync=what != "fill", readahead=False) as base:
    for number in range(transactions):
        if what == "read":
            with base.begin() as txn:
                assert txn.get(b"%08d" % dice.randrange(KEYS)) is not None
            continue
        with base.begin(write=True) as txn:
            keys = range(number * 1000, number * 1000 + 1000) if what == "fill" else dice.sample(range(KEYS), 10)
            for key in keys:
                txn.put(b"%08d" % key, dice.randbytes(400))
    base.sync(True)
