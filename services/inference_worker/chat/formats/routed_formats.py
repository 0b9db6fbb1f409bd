"""Answers whose every part begins with a header that says what it is."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import Format

RECORDS: tuple[Format, ...] = ()
