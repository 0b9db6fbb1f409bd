"""Calls whose name stands before their arguments, which are one JSON object."""

from __future__ import annotations

from services.inference_worker.chat.formats.record import Format

RECORDS: tuple[Format, ...] = ()
