"""Shows what the push machine makes of a text on standard input: one event a line, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.common.chat import ChatEvent, Tool
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="swarm parse", description=__doc__)
    parser.add_argument("--format", choices=sorted(FORMATS), required=True)
    parser.add_argument("--tools", type=_tools, metavar="FILE", help="the offered tools, as in a request")
    parser.add_argument("--piece", type=int, default=0, help="characters fed at a time; 0: all at once")
    parser.add_argument("--prompt-tail", default="", help="the end of the prompt, such as <think>")
    parser.add_argument("--cut-off", action="store_true", help="the token limit ended the text")
    parser.add_argument("--no-parallel", action="store_true", help="one call at most")
    chosen = parser.parse_args(arguments)

    # A name that nobody offers is enough for the machine to look for calls.
    tools = [Tool("-")] if chosen.tools is None else chosen.tools
    machine = PushMachine(FORMATS[chosen.format], tools, 0, chosen.prompt_tail, not chosen.no_parallel)
    # Bytes: a text layer would turn \r\n into \n.
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    size = max(chosen.piece, 0) or max(len(text), 1)
    for at in range(0, len(text), size):
        _show(machine.feed(text[at : at + size]))
    events, reason = machine.finish(chosen.cut_off)
    _show(events)
    print(json.dumps({"finish": reason}))


def _tools(path: str) -> list[Tool]:
    """The tools of a JSON file: a list as in a request's `tools`, or a whole request."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        listed = found["tools"] if isinstance(found, dict) else found
        return [_tool(each["function"]) for each in listed]
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise argparse.ArgumentTypeError(
            f'{path} holds no tools; expected [{{"type": "function", "function": {{"name": …}}}}, …]'
        ) from error


def _tool(function: dict[str, Any]) -> Tool:
    name, parameters = function["name"], function.get("parameters")
    if not isinstance(name, str) or not isinstance(parameters, dict | None):
        raise TypeError("a name is text, parameters are an object")
    return Tool(name, function.get("description") or "", "" if parameters is None else json.dumps(parameters))


def _show(events: list[ChatEvent]) -> None:
    for event in events:
        print(json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False))


if __name__ == "__main__":
    main()
