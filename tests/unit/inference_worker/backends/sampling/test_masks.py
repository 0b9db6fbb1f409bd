"""Masks laid over logits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.inference_worker.backends.sampling.masks import Masker, allows
from tests.unit.inference_worker.backends.sampling.reference import mask_of


@given(st.integers(1, 130), st.data())
def test_what_is_allowed_stays_and_the_rest_is_gone(size: int, data: st.DataObject) -> None:
    allowed = data.draw(st.sets(st.integers(0, size - 1)))
    mask = mask_of(allowed, size)
    logits = np.arange(size, dtype=np.float32) - 5
    out = np.full(size, np.nan, np.float32)
    masker = Masker(size)
    # What a mask before it left behind does not matter.
    masker.apply(logits, mask_of(range(size), size), out)
    masker.apply(logits, mask, out)
    assert out.tolist() == [logit if token in allowed else -np.inf for token, logit in enumerate(logits)]
    assert [token for token in range(size) if allows(mask, token)] == sorted(allowed)


def test_a_longer_mask_is_cut_and_a_shorter_one_forbids_the_rest() -> None:
    masker, logits, out = Masker(70), np.ones(70, np.float32), np.empty(70, np.float32)
    masker.apply(logits, np.full(9, 0xFFFF_FFFF, np.uint32), out)
    assert (out == 1).all()
    masker.apply(logits, np.full(1, 0xFFFF_FFFF, np.uint32), out)
    assert np.flatnonzero(out == 1).tolist() == list(range(32))
    assert allows(np.full(1, 0xFFFF_FFFF, np.uint32), 31)
    assert not allows(np.full(1, 0xFFFF_FFFF, np.uint32), 32)
