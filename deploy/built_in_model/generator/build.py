"""Writes shards of tokenised conversations: tokens uint16 and mask uint8 (1 = to be learnt), concatenated,
and int32 lengths.

python -m deploy.built_in_model.generator.build --seed 1 --count 50000 --out shard.npz

"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from deploy.built_in_model.generator.conversations import generate
from deploy.built_in_model.generator.drawing import Split
from deploy.built_in_model.generator.rendering import segments
from deploy.built_in_model.generator.stages import STAGES
from deploy.built_in_model.tokenizer import load

BATCH = 500


def encode(tokenizer: Tokenizer, seeds: range, split: Split, stage: str) -> list[tuple[list[int], list[int]]]:
    """(tokens, mask) of the conversation of each seed."""
    pieces: list[str] = []
    owners: list[tuple[int, bool]] = []
    for index, seed in enumerate(seeds):
        conversation = generate(seed, split, stage)
        for text, target in segments(conversation.messages, conversation.tools):
            pieces.append(text)
            owners.append((index, target))
    out: list[tuple[list[int], list[int]]] = [([], []) for _ in seeds]
    for encoding, (index, target) in zip(tokenizer.encode_batch(pieces), owners, strict=True):
        tokens, mask = out[index]
        tokens.extend(encoding.ids)
        mask.extend([int(target)] * len(encoding.ids))
    return out


def build(
    seed: int, count: int, out: str, split: Split = "train", stage: str = "use", max_tokens: int = 704
) -> tuple[int, int]:
    """Write `count` conversations of at most `max_tokens` tokens; returns (tokens, tokens to be learnt).

    Conversation i of shard `seed` has the seed `seed * 10_000_000 + i`; one that is too long is left out.
    """
    tokenizer = load()
    rows: list[tuple[list[int], list[int]]] = []
    start = seed * 10_000_000
    while len(rows) < count:
        rows += [
            row
            for row in encode(tokenizer, range(start, start + BATCH), split, stage)
            if len(row[0]) <= max_tokens
        ]
        start += BATCH
    rows = rows[:count]
    tokens = np.concatenate([np.array(row[0], np.uint16) for row in rows])
    mask = np.concatenate([np.array(row[1], np.uint8) for row in rows])
    lengths = np.array([len(row[0]) for row in rows], np.int32)
    partial = f"{out}.partial.npz"
    np.savez(partial, tokens=tokens, mask=mask, lengths=lengths)
    Path(partial).replace(out)
    return len(tokens), int(mask.sum())


def main() -> None:
    """Parse the command line and write one shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--split", default="train", choices=("train", "known", "phrasings", "tools"))
    parser.add_argument("--stage", default="use", choices=sorted(STAGES), help="default: use")
    parser.add_argument("--max-tokens", type=int, default=704)
    args = parser.parse_args()
    begun = time.monotonic()
    tokens, learnt = build(args.seed, args.count, args.out, args.split, args.stage, args.max_tokens)
    seconds = time.monotonic() - begun
    print(
        f"{args.out}: {args.count} conversations, {tokens / 1e6:.2f} M tokens, {learnt / tokens:.3f} "
        f"to be learnt, {tokens / seconds / 1e3:.0f} k tokens/s"
    )


if __name__ == "__main__":
    main()
