from __future__ import annotations

import pytest

from services.common.chat import Tool
from services.inference_worker.chat.toolbox import Toolbox
from tests.unit.inference_worker.chat.reading import STRING, tool


@pytest.mark.parametrize(
    ("offered", "said", "meant"),
    [
        (["bash"], "bash", "bash"),
        (["bash"], "BASH", "bash"),
        (["Bash"], "bash", "Bash"),
        (["bash"], "functions.bash", "bash"),
        (["bash"], "Functions.Bash", "bash"),
        (["functions.bash"], "functions.bash", "functions.bash"),
        (["functions.bash", "bash"], "functions.bash", "functions.bash"),
        (["Read", "read"], "read", "read"),
        (["Read", "rEAD"], "read", "read"),
        (["bash"], "bash2", "bash2"),
        (["bash"], "namespace.bash", "namespace.bash"),
        (["bash"], "functions.", "functions."),
        ([], "bash", "bash"),
    ],
)
def test_near_misses_are_mended_and_nothing_else(offered: list[str], said: str, meant: str) -> None:
    assert Toolbox([Tool(name) for name in offered]).mend(said) == meant


def test_types_of_parameters() -> None:
    box = Toolbox(
        [tool("act", path=STRING, count={"$ref": "#/$defs/n"}), Tool("bare"), Tool("bad", "", "{nope")]
    )
    assert set(box.parameter_types("act")["path"]) == {"string"}
    assert box.parameter_types("bare") == {}
    assert box.parameter_types("bad") == {}
    assert box.parameter_types("nobody") == {}


def test_an_empty_box_is_false() -> None:
    assert not Toolbox([])
    assert Toolbox([Tool("a")])
