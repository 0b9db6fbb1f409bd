from __future__ import annotations

from services.inference_worker.chat.formats import FORMATS
from tests.conformance.tool_call_matrix import MODELS, PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make tool-formats"


def test_every_format_has_its_models() -> None:
    assert set(MODELS) == set(FORMATS)
