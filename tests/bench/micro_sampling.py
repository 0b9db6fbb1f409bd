"""What drawing one token costs at a large vocabulary, for every sampler, with and without a grammar's mask.

`python -m tests.bench.micro_sampling [--json FILE]`. Beside it llama.cpp's own chain in the same process:
filling its array of structures and applying the samplers, which is what a draw of it does. Ours tells the
token's log-probability too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import llama_cpp.llama_cpp as llama
import numpy as np
import numpy.typing as npt

from services.inference_worker.backends.base import Mask, SamplerSpec
from services.inference_worker.backends.sampling.rows import Logits, Rows
from services.inference_worker.backends.sampling.sampler import Samplers

VOCABULARY = 151_936
HISTORY = 8_192
# Milliseconds.
GOAL = 0.5
GOAL_MASKED = 0.6

GREEDY = SamplerSpec(temperature=0.0)
PLAIN = SamplerSpec(temperature=0.8)
USUAL = replace(PLAIN, top_k=40, top_p=0.95, min_p=0.05)
CHAINS: dict[str, SamplerSpec] = {
    "greedy": GREEDY,
    "greedy, 20 alternatives": replace(GREEDY, top_logprobs=20),
    "temperature": PLAIN,
    "top_k 40": replace(PLAIN, top_k=40),
    "top_p .95": replace(PLAIN, top_p=0.95),
    "min_p .05": replace(PLAIN, min_p=0.05),
    "typical .9": replace(PLAIN, typical_p=0.9),
    "xtc": replace(PLAIN, xtc_probability=1.0),
    "top_k, top_p, min_p": USUAL,
    "+ logit bias of 300": replace(USUAL, logit_bias=tuple((token * 7, -1.0) for token in range(300))),
    "+ penalties, last 64": replace(USUAL, repeat_penalty=1.1, frequency_penalty=0.2, presence_penalty=0.1),
    "+ penalties, all of 8k": replace(USUAL, repeat_penalty=1.1, frequency_penalty=0.2, repeat_last_n=-1),
    "+ DRY, all of 8k": replace(USUAL, dry_multiplier=0.8, dry_sequence_breakers=("\n", ":")),
    "greedy with penalties": replace(GREEDY, presence_penalty=0.5),
    "mirostat 1": replace(PLAIN, mirostat=1),
    "mirostat 2": replace(PLAIN, mirostat=2),
    "all filters, 20 alternatives": replace(
        USUAL, typical_p=0.95, xtc_probability=0.5, repeat_penalty=1.1, dry_multiplier=0.8, top_logprobs=20
    ),
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a token, medians; `theirs` None: llama.cpp was not measured for it."""

    logits: str
    chain: str
    plain: float
    plain_p90: float
    masked: float
    masked_p90: float
    theirs: float | None

    @property
    def met(self) -> bool:
        return self.plain <= GOAL and self.masked <= GOAL_MASKED


class Words:
    def piece(self, token: int) -> bytes:
        return b"\n" if token % 50 == 0 else b"word"

    def plain(self, text: bytes) -> list[int]:
        return [1]


class Native:
    """llama.cpp's chain for a spec."""

    def __init__(self, spec: SamplerSpec, history: Sequence[int]) -> None:
        dtype = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        self._data = np.zeros(VOCABULARY, dtype)
        self._ids = np.arange(VOCABULARY, dtype=np.int32)
        self._chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for sampler in self._samplers(spec):
            llama.llama_sampler_chain_add(self._chain, sampler)
        for token in history:
            llama.llama_sampler_accept(self._chain, token)

    def draw(self, logits: Logits) -> None:
        self._data["id"] = self._ids
        self._data["logit"] = logits
        pointer = self._data.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(pointer, VOCABULARY, -1, False)
        llama.llama_sampler_apply(self._chain, ctypes.byref(array))
        llama.llama_sampler_accept(self._chain, array.data[array.selected].id)

    def close(self) -> None:
        llama.llama_sampler_free(self._chain)

    def _samplers(self, spec: SamplerSpec) -> list[llama.llama_sampler_p]:
        chain = []
        if spec.logit_bias:
            biases = (llama.llama_logit_bias * len(spec.logit_bias))(
                *(llama.llama_logit_bias(token, bias) for token, bias in spec.logit_bias)
            )
            chain.append(llama.llama_sampler_init_logit_bias(VOCABULARY, len(biases), biases))
        if spec.mirostat:
            chain.append(llama.llama_sampler_init_temp(spec.temperature))
            one = llama.llama_sampler_init_mirostat(VOCABULARY, 1, spec.mirostat_tau, spec.mirostat_eta, 100)
            two = llama.llama_sampler_init_mirostat_v2(1, spec.mirostat_tau, spec.mirostat_eta)
            return [*chain, one if spec.mirostat == 1 else two]
        penalties = (spec.repeat_penalty, spec.frequency_penalty, spec.presence_penalty)
        if penalties != (1, 0, 0):
            window = spec.repeat_last_n if spec.repeat_last_n > 0 else HISTORY
            chain.append(llama.llama_sampler_init_penalties(VOCABULARY, window, *penalties))
        if spec.temperature <= 0:
            return [*chain, llama.llama_sampler_init_greedy()]
        if spec.top_k:
            chain.append(llama.llama_sampler_init_top_k(spec.top_k))
        return [
            *chain,
            llama.llama_sampler_init_typical(spec.typical_p, 1),
            llama.llama_sampler_init_top_p(spec.top_p, 1),
            llama.llama_sampler_init_min_p(spec.min_p, 1),
            llama.llama_sampler_init_xtc(spec.xtc_probability, spec.xtc_threshold, 1, 1),
            llama.llama_sampler_init_temp(spec.temperature),
            llama.llama_sampler_init_dist(1),
        ]


def text_like(random: np.random.Generator) -> Logits:
    """A few likely tokens before a long tail, as trained models have it: about 1 % in the tail."""
    logits = (random.standard_normal(VOCABULARY) * 2).astype(np.float32)
    likely = random.permutation(VOCABULARY)[:2000]
    logits[likely] = 18 - 1.6 * np.log(np.arange(1, 2001))
    return logits


def flat(random: np.random.Generator) -> Logits:
    """No token stands out: the worst for every filter that looks for the likely ones first."""
    return (random.standard_normal(VOCABULARY) * 2).astype(np.float32)


def measure(draw: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 90th percentile in milliseconds."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        draw()
        times.append(1000 * (perf_counter() - start))
    return median(times), quantiles(times, n=10)[-1]


def measure_all(rounds: int = 200) -> list[Timing]:
    random = np.random.default_rng(1)
    history = random.zipf(1.3, HISTORY) % VOCABULARY
    mask: npt.NDArray[np.uint32] = random.integers(0, 2**32, (VOCABULARY + 31) // 32, dtype=np.uint32)
    found = []
    for name, row in (("text-like", text_like(random)), ("flat", flat(random))):
        rows = Rows(VOCABULARY, lambda index, row=row: row)  # type: ignore[misc]
        samplers = Samplers(rows, Words())
        for chain, spec in CHAINS.items():
            timings = [_ours(samplers, rows, spec, history.tolist(), each, rounds) for each in (None, mask)]
            theirs = None
            # DRY of llama.cpp needs a model's vocabulary.
            if not spec.dry_multiplier:
                native = Native(spec, history.tolist())
                theirs, _ = measure(lambda native=native, row=row: native.draw(row), rounds // 4)  # type: ignore[misc]
                native.close()
            found.append(Timing(name, chain, *timings[0], *timings[1], theirs))
    return found


def _ours(
    samplers: Samplers, rows: Rows, spec: SamplerSpec, history: Sequence[int], mask: Mask | None, rounds: int
) -> tuple[float, float]:
    sampler = samplers.make(spec)
    sampler.observe(history)

    def draw() -> None:
        # As after a decode: nothing is known of the row.
        rows.clear()
        sampler.sample(0, mask)

    measure(draw, 5)
    return measure(draw, rounds)


def table(timings: Sequence[Timing]) -> str:
    head = f"{'logits':10} {'chain':30} {'ms':>6} {'p90':>6} {'masked':>7} {'p90':>6}"
    lines = [f"{head} {'llama.cpp':>10} {'ratio':>6}"]
    for each in timings:
        theirs = (
            f"{each.theirs:10.3f} {each.plain / each.theirs:6.2f}" if each.theirs else f"{'-':>10} {'-':>6}"
        )
        lines.append(
            f"{each.logits:10} {each.chain:30} {each.plain:6.3f} {each.plain_p90:6.3f} {each.masked:7.3f} "
            f"{each.masked_p90:6.3f} {theirs}{'' if each.met else '  over the goal'}"
        )
    missed = sum(not each.met for each in timings)
    lines.append(
        f"{VOCABULARY} tokens; goals {GOAL} ms, with a mask {GOAL_MASKED} ms: "
        + (f"{missed} of {len(timings)} missed" if missed else "all met")
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What drawing one token costs.")
    parser.add_argument("--rounds", type=int, default=200, help="draws for each number")
    parser.add_argument("--json", type=Path, help="a file for the numbers")
    asked = parser.parse_args(arguments)
    timings = measure_all(asked.rounds)
    print(table(timings))
    if asked.json is not None:
        about = {"vocabulary": VOCABULARY, "machine": platform.machine(), "numpy": np.__version__}
        asked.json.write_text(json.dumps({**about, "timings": [asdict(each) for each in timings]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
