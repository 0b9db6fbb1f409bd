"""The two stages of the training's data: copying first, then what is used most.

A model that cannot copy any string, nor choose by the name of a tool it never saw, learns nothing else
well, and natural names show too few of the tokenizer's pieces. So the stage at constant learning rate has
names of fragments and made-up tools; the stage of its decay has natural shares and less noise in the wording.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Shares of one.

    Of the words how many are built of fragments; of the phrasings how many are paraphrased, misspelt or
    given a reason; of the conversations how many have OpenCode's tools, the swarm's own or known names. The
    rest of the conversations have tools with made-up names.
    """

    fragments: float
    paraphrased: float
    misspelt: float
    reasons: float
    opencode: float
    swarm: float
    known: float


STAGES = {
    "copy": Stage(
        fragments=0.41, paraphrased=0.55, misspelt=0.07, reasons=0.05, opencode=0.14, swarm=0.03, known=0.06
    ),
    "use": Stage(
        fragments=0.32, paraphrased=0.25, misspelt=0.03, reasons=0.02, opencode=0.27, swarm=0.05, known=0.16
    ),
}
