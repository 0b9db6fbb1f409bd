"""One candidate's sampler: a llama.cpp chain, or plain argmax where nothing is drawn."""

from __future__ import annotations

from typing import Protocol

import llama_cpp.llama_cpp as llama
import numpy as np
import numpy.typing as npt

from services.inference_worker.backends.base import BackendFailure, Row, Sampled, SamplerSpec

Logits = npt.NDArray[np.float32]


class LogitRows(Protocol):
    """The last decode's logits, and for each row log(sum(exp(logits))), computed once."""

    def logits(self, row: Row) -> Logits: ...

    def log_sum_exp(self, row: Row) -> float: ...


class GreedySampler:
    """The likeliest token; without penalties nothing of the past matters."""

    def __init__(self, rows: LogitRows) -> None:
        self._rows = rows

    def sample(self, row: Row) -> Sampled:
        logits = self._rows.logits(row)
        token = int(logits.argmax())
        return Sampled(token, float(logits[token]) - self._rows.log_sum_exp(row))

    def close(self) -> None:
        """Nothing to free."""


class ChainSampler:
    """penalties, top_k, top_p, min_p, temperature, draw: the order that llama.cpp's users know."""

    def __init__(
        self, spec: SamplerSpec, rows: LogitRows, context: llama.llama_context_p, vocabulary: int, window: int
    ) -> None:
        """`vocabulary`: its size. `window`: tokens that the penalties look back."""
        self._rows = rows
        self._context = context
        self._chain: llama.llama_sampler_p | None = llama.llama_sampler_chain_init(
            llama.llama_sampler_chain_default_params()
        )
        if spec.frequency_penalty or spec.presence_penalty:
            self._add(
                llama.llama_sampler_init_penalties(
                    vocabulary, window, 1.0, spec.frequency_penalty, spec.presence_penalty
                )
            )
        if spec.temperature > 0:
            if spec.top_k > 0:
                self._add(llama.llama_sampler_init_top_k(spec.top_k))
            if spec.top_p < 1:
                self._add(llama.llama_sampler_init_top_p(spec.top_p, 1))
            if spec.min_p > 0:
                self._add(llama.llama_sampler_init_min_p(spec.min_p, 1))
            self._add(llama.llama_sampler_init_temp(spec.temperature))
            self._add(llama.llama_sampler_init_dist(spec.seed))
        else:
            self._add(llama.llama_sampler_init_greedy())

    def sample(self, row: Row) -> Sampled:
        assert self._chain is not None
        token = llama.llama_sampler_sample(self._chain, self._context, row)
        logits = self._rows.logits(row)
        if not 0 <= token < logits.size:
            raise BackendFailure(f"the sampler returned token {token}")
        return Sampled(token, float(logits[token]) - self._rows.log_sum_exp(row))

    def close(self) -> None:
        if self._chain is not None:
            llama.llama_sampler_free(self._chain)
            self._chain = None

    def _add(self, sampler: llama.llama_sampler_p) -> None:
        if not sampler:
            raise BackendFailure("a sampler could not be made")
        llama.llama_sampler_chain_add(self._chain, sampler)
