"""Ids of tool calls, in the form that OpenAI's clients know."""

from __future__ import annotations

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def new_call_id() -> str:
    """`call_` and 24 random letters or digits: unique over all workers without asking anybody."""
    return "call_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))
