"""Real OpenCode does real work: it runs the tool that the model generated, and its answer names the result.

File names and texts are drawn at random, other ones with another SWARM_TEST_SEED, so nothing can have been
learned by heart.
"""

from __future__ import annotations

import os
import random
import string

import pytest

from tests.e2e.conftest import OpenCode, OpenCodeRun

SEED = int(os.environ.get("SWARM_TEST_SEED", "1"))
WORDS = ("amber", "birch", "cedar", "delta", "fjord", "grove", "heron", "indigo", "kelp", "maple", "onyx")


@pytest.fixture(autouse=True)
def the_same_names_everywhere() -> None:
    """A small model is wrong about three times in a hundred: the gate asks what it asked before."""
    random.seed(SEED)


def word() -> str:
    return random.choice(WORDS)


def file_name(ending: str) -> str:
    return f"{word()}_{random.randrange(10, 99)}.{ending}"


def completed(run: OpenCodeRun, tool: str) -> dict[str, object]:
    """The input of the call of `tool` that OpenCode ran to its end."""
    states = [part["state"] for part in run.tools if part["tool"] == tool]
    done = [state for state in states if state["status"] == "completed"]
    assert done, run.raw
    return dict(done[0]["input"])


def test_list_the_files(opencode: OpenCode) -> None:
    names = {file_name("txt"), file_name("py"), file_name("md")}
    for name in names:
        (opencode.folder / name).write_text("x\n")
    run = opencode.run("List the files in this folder")
    completed(run, "bash")
    assert all(name in run.text for name in names), run.raw


def test_read_a_file(opencode: OpenCode) -> None:
    name, said = file_name("md"), f"the {word()} {word()} has {random.randrange(2, 99)} doors"
    (opencode.folder / name).write_text(said + "\n")
    run = opencode.run(f"Read {name} and tell me what it says")
    assert str(completed(run, "read")["filePath"]).endswith(name)
    assert said in run.text, run.raw


@pytest.mark.parametrize("file", ["{name}", "a file named {name}"])
def test_create_a_file(opencode: OpenCode, file: str) -> None:
    name, text = file_name("txt"), f"hello {word()} {''.join(random.choices(string.ascii_lowercase, k=5))}"
    run = opencode.run(f"Create {file.format(name=name)} with the text {text}")
    completed(run, "write")
    assert (opencode.folder / name).read_text().rstrip("\n") == text, run.raw
    assert name in run.text, run.raw


def test_run_a_program(opencode: OpenCode) -> None:
    name, first, second = file_name("py"), random.randrange(100, 999), random.randrange(100, 999)
    (opencode.folder / name).write_text(f"print({first} * {second})\n")
    run = opencode.run(f"Run python3 {name}")
    assert completed(run, "bash")["command"] == f"python3 {name}"
    assert str(first * second) in run.text, run.raw
