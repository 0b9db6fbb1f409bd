"""How a person words a request: politeness, small talk before it, capitals, final marks, misspellings, and
quotes around slots."""

from __future__ import annotations

import re

from deploy.built_in_model.generator.names import Names
from deploy.built_in_model.generator.phrasings import SLOT, fill

VERBS = set(
    "list show print display read open tell give get write create make put save store add touch edit "
    "change replace fix update turn set swap "
    "run execute launch start call use search find grep look locate fetch download load visit check "
    "view see describe explain summarize "
    "summarise delete remove erase drop rename correct modify substitute browse enumerate output cat "
    "dump pull bring take try invoke perform "
    "generate produce scan retrieve extract examine inspect reveal peek recap quote itemize provide "
    "return report name explore pick spit hand "
    "grab throw erase discard trash wipe kill prepare set insert let's remind catalog present review "
    "study analyze walk".split()
)
QUESTIONS = set(
    (
        "what which who whose where when why how is are was were does do did can could would will has "
        "have what's where's who's how's anything"
    ).split()
)
BEFORE = (
    "please |please |Please |please, |pls |can you |can you please |could you |could you please |"
    "Could you |Can you |would you |will you |"
    "I want you to |I need you to |I would like you to |I'd like you to |you should |go ahead and |"
    "just |now |now please |quickly |first |next, |"
    "let's |kindly |your task: |task: |todo: |time to |be so kind and |do me a favor and |help me: |i "
    "want you to |then |also |once more, "
).split("|")
GREETINGS = (
    "hi, |hey, |hello, |Hi! |Hello! |Hey, |ok, |okay, |ok so |alright, |so, |well, |great, |good, |"
    "thanks. |thanks! now |yo, |right, |sorry, |hm, |hey there, |good morning, |dear model, |assistant, |"
    "swarm, "
).split("|")
AFTER = (
    " please| please|, please| for me|, thanks| thanks|, thank you| now| pls| real quick| quickly| again| "
    "if you can| right away|, ok?| thx| when you can| if possible| then"
).split("|")
REASONS = (
    "I am working on the {w} project. |this is for {w}. |we are still fixing {w}. |I forgot about "
    "{w}. |for the {w} team: |about the {w} thing, |"
    "my {w} is broken. |I just came back from {w}. |before we go on, |it is about {w}, |quick "
    "question: |small job: |one more thing: |I have a question. |"
    "I need your help. |as discussed, |back to work. |next task. |for my {w}, |since you asked about {w}, "
).split("|")
CAUSES = (
    " so I can check the {w}| because I need it for {w}|, I need it for the {w}| before we start with {w}|"
    " as the {w} asked|, it is urgent| so that I can see it| for the {w} meeting"
).split("|")
MARKS = {'"': '"', "'": "'", "`": "`", "“": "”", "«": "»"}
_WORD = re.compile(r"[A-Za-z']{4,}")


def quoted(n: Names, value: str, marks: str = '"""\'`“') -> str | None:
    """The value between quotes that do not occur in it, or None if none of the marks can be used."""
    usable = [mark for mark in marks if mark not in value and MARKS[mark] not in value]
    if not usable:
        return None
    mark = n.pick(usable)
    return mark + value + MARKS[mark]


def misspell(n: Names, text: str) -> str:
    """One longer word outside the slots with two letters swapped, one lost or one doubled."""
    words = list(_WORD.finditer(SLOT.sub(lambda m: "#" * len(m.group(0)), text)))
    if not words:
        return text
    word = words[n.rng.randrange(len(words))]
    at = n.rng.randrange(word.start() + 1, word.end() - 1)
    x = n.rng.random()
    if x < 0.4:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + (text[at + 1 :] if x < 0.75 else text[at] + text[at:])


def ask(
    n: Names, template: str, values: dict[str, str], *, noise: bool = True, open_end: bool = False
) -> str:
    """The words of the user.

    `template` has its alternations decided; `values` are the slots as they shall stand, quotes included.
    `noise` allows misspellings, reasons and small talk. With `open_end` the last slot runs to the end, and
    nothing may follow it.
    """
    first = re.split(r"[\s,:]", template, maxsplit=1)[0].lower()
    verb, question = first in VERBS, first in QUESTIONS or template.lower().startswith(("i wonder", "any "))
    text = template
    if noise and n.chance(n.stage.misspelt):
        text = misspell(n, text)
    if noise and not question and n.chance(0.03):
        text = text.replace("the ", "", 1)
    end = ""
    if not open_end:
        if noise and n.chance(n.stage.reasons):
            end += n.pick(CAUSES).replace("{w}", n.word())
        if not text.endswith("?") and n.chance(0.14) and (verb or not question):
            end += n.pick(AFTER)
        if question and not text.endswith(("?", ".", "!")):
            end += "?" if n.chance(0.7) else ""
        elif not end.endswith("?") and not text.endswith(("?", ".", "!", ":")):
            end += n.pick((".", ".", ".", "!", "")) if n.chance(0.25) else ""
    before = ""
    if verb and n.chance(0.22):
        before = n.pick(BEFORE)
        if (
            before.lower().startswith(("can", "could", "would", "will"))
            and not open_end
            and not end.endswith("?")
            and n.chance(0.7)
        ):
            end = end.rstrip(".!") + "?"
    elif n.chance(0.08):
        before = n.pick(GREETINGS)
    elif noise and n.chance(n.stage.reasons):
        before = n.pick(REASONS).replace("{w}", n.word())
    if before and text[:1].isupper() and not text.startswith(("I ", "I'")):
        text = text[:1].lower() + text[1:]
    text = before + text
    if n.chance(0.4) and not text.startswith("{"):
        text = text[:1].upper() + text[1:]
    elif noise and n.chance(0.1):
        text = re.sub(r"(?<![\w{])I(?![\w}])", "i", text)
    return fill(text, values) + end
