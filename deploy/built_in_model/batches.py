"""Training data as batches: shards are made in the background, read once each, and never repeated."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

log = logging.getLogger(__name__)

ROUND_TO = 16  # batch widths are multiples of this
SHARD_SECONDS = 600.0  # a shard takes seconds; longer than this means that the generator hangs


@dataclass(frozen=True)
class Batch:
    """``ids [b, t]``; at the flat ``positions [p]`` of them the ``targets [p]`` are to be predicted.

    ``spans [p]`` numbers the consecutive stretches of targets (one assistant turn each).
    """

    ids: Tensor
    positions: Tensor
    targets: Tensor
    spans: Tensor


class Shard:
    """One file of tokenised conversations: ``tokens`` (concatenated), ``mask`` (1 = predict), ``lengths``."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.tokens = arrays["tokens"].astype(np.int64)
            self.mask = arrays["mask"].astype(bool)
            self.lengths = arrays["lengths"].astype(np.int64)
        self.ends = np.cumsum(self.lengths)

    def batch(self, rows: list[int]) -> Batch:
        """The conversations ``rows``, padded on the right (causal attention needs no mask for that)."""
        width = -(-(int(self.lengths[rows].max()) - 1) // ROUND_TO) * ROUND_TO
        ids = np.zeros((len(rows), width), np.int64)
        positions, targets, spans, span = [], [], [], 0
        for row, index in enumerate(rows):
            start, end = self.ends[index] - self.lengths[index], self.ends[index]
            ids[row, : end - start - 1] = self.tokens[start : end - 1]
            wanted = np.nonzero(self.mask[start + 1 : end])[0]
            positions.append(row * width + wanted)
            targets.append(self.tokens[start + 1 + wanted])
            number = span + np.cumsum(np.diff(wanted, prepend=-2) > 1)
            spans.append(number - 1)
            span = int(number[-1]) if len(number) else span
        flat = (np.concatenate(part) for part in (positions, targets, spans))
        return Batch(torch.from_numpy(ids), *(torch.from_numpy(part) for part in flat))

    def batches(self, tokens: int, rng: np.random.Generator) -> Iterator[Batch]:
        """All conversations once, like lengths together, about ``tokens`` per batch, in random order."""
        order = np.argsort(self.lengths + rng.random(len(self.lengths)) * ROUND_TO)
        groups: list[list[int]] = [[]]
        for index in order.tolist():
            if groups[-1] and (len(groups[-1]) + 1) * self.lengths[index] > tokens:
                groups.append([])
            groups[-1].append(index)
        for group in rng.permutation(len(groups)).tolist():
            yield self.batch(groups[group])


class ShardStream:
    """Shards ``first, first + 1, …`` from ``folder``; those that are not there are made, ``ahead`` at a time.

    Shard ``n`` is generated from the seed ``n`` in a process of low priority, so a change of the generator is
    picked up by the next shard. A shard is deleted once it has been handed out. ``stage`` is the generator's
    mix for the shards to come; it may be changed at any time.
    """

    def __init__(
        self, folder: Path, first: int, conversations: int, ahead: int = 2, patience: int = 5
    ) -> None:
        self.folder, self.next, self.conversations = folder, first, conversations
        self.ahead, self.patience = ahead, patience
        self.stage = "copy"
        self.making: tuple[int, subprocess.Popen[bytes]] | None = None
        self.failures = 0
        self.failed: set[int] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, number: int) -> Path:
        """Where shard ``number`` lies."""
        return self.folder / f"shard-{number:06d}.npz"

    def keep_busy(self) -> None:
        """Starts making the next missing shard unless one is being made; cheap, call it at every step."""
        if self.making is not None:
            if self.making[1].poll() is None:
                return
            self._finished()
        wanted = (n for n in range(self.next, self.next + self.ahead) if n not in self.failed)
        number = next((n for n in wanted if not self.path(n).exists()), None)
        if number is None:
            return
        command = [sys.executable, "-m", "deploy.built_in_model.generator.build"]
        command += [
            "--seed",
            str(number),
            "--count",
            str(self.conversations),
            "--out",
            str(self._draft(number)),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env=environment, preexec_fn=lambda: os.nice(3)
        )
        self.making = (number, process)

    def _draft(self, number: int) -> Path:
        return self.folder / f"draft-{number:06d}.npz"

    def _finished(self) -> None:
        assert self.making is not None
        number, process = self.making
        self.making = None
        if process.wait(SHARD_SECONDS) == 0:
            self._draft(number).replace(self.path(number))
            self.failures = 0
            return
        self.failures += 1
        self.failed.add(number)
        log.error("shard %d failed with status %d", number, process.returncode)
        if self.failures >= self.patience:
            raise RuntimeError(f"the generator failed {self.failures} times in a row; see its messages above")

    def take(self) -> Shard:
        """The next shard; waits for it when training is faster than the generator."""
        while True:
            while self.next in self.failed:
                self.next += 1
            if self.path(self.next).exists():
                break
            self.keep_busy()
            if self.making is not None:
                self.making[1].wait(SHARD_SECONDS)
                self._finished()
        shard = Shard(self.path(self.next))
        self.path(self.next).unlink()
        self.next += 1
        self.keep_busy()
        return shard

    def close(self) -> None:
        """Ends the process that makes a shard."""
        if self.making is not None:
            self.making[1].terminate()
            self.making[1].wait(SHARD_SECONDS)
            self._draft(self.making[0]).unlink(missing_ok=True)
            self.making = None
