"""Shows what the push machine makes of a text on standard input, one event a line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from services.common.chat import ChatEvent, Tool
from services.inference_worker.chat.formats import FORMATS
from services.inference_worker.chat.machine import PushMachine


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Prints the events of a model's raw output, one JSON a line."
    )
    parser.add_argument("--format", choices=sorted(FORMATS), required=True)
    parser.add_argument("--tools", default="", help="names of the offered tools, separated by commas")
    parser.add_argument("--piece", type=int, default=0, help="characters fed at a time; 0: all at once")
    parser.add_argument("--prompt-tail", default="", help="the end of the prompt, such as <think>")
    parser.add_argument("--cut-off", action="store_true", help="the token limit ended the text")
    parser.add_argument("--no-parallel", action="store_true", help="one call at most")
    chosen = parser.parse_args()

    # A name that nobody offers is enough for the machine to look for calls.
    tools = [Tool(name) for name in chosen.tools.split(",") if name] or [Tool("-")]
    machine = PushMachine(FORMATS[chosen.format], tools, 0, chosen.prompt_tail, not chosen.no_parallel)
    text = sys.stdin.read()
    size = chosen.piece or max(len(text), 1)
    for at in range(0, len(text), size):
        _show(machine.feed(text[at : at + size]))
    events, reason = machine.finish(chosen.cut_off)
    _show(events)
    print(json.dumps({"finish": reason}))


def _show(events: list[ChatEvent]) -> None:
    for event in events:
        print(json.dumps({"event": type(event).__name__, **asdict(event)}, ensure_ascii=False))


if __name__ == "__main__":
    main()
