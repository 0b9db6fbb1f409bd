"""Calls whose values are written in a notation of their own: keyed, braced, Python, lines."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import Format

RECORDS: tuple[Format, ...] = ()
