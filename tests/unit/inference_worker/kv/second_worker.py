"""A worker's store in a process of its own: told what to do on stdin, answers on stdout.

FOLDER LIMIT, then lines "keep SEED LENGTH SIZE", "count SEED LENGTH SIZE", "end"; "forever SEED" keeps until
it is killed and says after each conversation which it was.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from services.inference_worker.kv.disk import DiskTier
from services.inference_worker.kv.eviction import Owner
from services.inference_worker.kv.store import KvStore
from tests.unit.inference_worker.kv.keeping import FINGERPRINT, check, keep, talk


def main() -> None:
    folder, limit = sys.argv[1:]
    store = KvStore(FINGERPRINT, 1 << 26, DiskTier(Path(folder), int(limit)))
    for line in sys.stdin:
        command, *values = line.split()
        numbers = [int(value) for value in values]
        if command == "end":
            break
        if command == "forever":
            forever(store, *numbers)
        seed, length, size = numbers
        if command == "keep":
            keep(store, talk(seed, length), Owner(str(seed)), size)
            print(store.flush(60), flush=True)
        else:
            print(check(store, talk(seed, length), size=size).length, flush=True)
    store.close(60)


def forever(store: KvStore, seed: int) -> None:
    for number in itertools.count(seed):
        keep(store, talk(number, 500), Owner(str(number)), 400_000)
        store.flush(60)
        print(number, flush=True)


if __name__ == "__main__":
    main()
