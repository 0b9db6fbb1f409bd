"""By which texts a family's templates are known, and by which names its models."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.inference_worker.chat.formats import Tags


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """format: the record's name.
    printed: texts that are all in a call as its templates print it.
    source: texts that are all in the source of its templates; empty: the same as `printed`.
    absent: none of these is in either.
    """

    format: str
    printed: tuple[str, ...]
    source: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def in_print(self, text: str) -> bool:
        return _has(text, self.printed, self.absent)

    def in_source(self, text: str) -> bool:
        return _has(text, self.source or self.printed, self.absent)


def _has(text: str, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> bool:
    return all(each in text for each in wanted) and not any(each in text for each in unwanted)


# From the most telling to the least: the first that fits counts.
FINGERPRINTS: tuple[Fingerprint, ...] = (
    Fingerprint("deepseek_dsml", ("｜DSML｜",)),
    Fingerprint("deepseek_v3", ("<｜tool▁call▁begin｜>", "```json")),
    Fingerprint("deepseek_v31", ("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>")),
    Fingerprint("kimi_k2", ("<|tool_call_argument_begin|>",)),
    Fingerprint("kimi_k2", ("<|tool_call_argument_begin|>",), ("tool_declare<|im_middle|>",)),
    Fingerprint("harmony", ("to=functions.",), ("<|channel|>", "<|message|>", "commentary")),
    Fingerprint("minimax_m2", ("<minimax:tool_call>",)),
    Fingerprint("seed_oss", ("<seed:tool_call>",)),
    Fingerprint("glm4", ("<tool_call>", "<arg_key>")),
    Fingerprint("gemma4", ("<|tool_call>call:",), ("<|tool_call>",)),
    Fingerprint("functiongemma", ("<start_function_call>",)),
    Fingerprint("functiongemma", ("<start_function_call>",), ("<start_function_declaration>",)),
    Fingerprint("command_r7b", ("<|START_ACTION|>",)),
    Fingerprint("nemotron_json", ("<TOOLCALL>",)),
    Fingerprint("minimax_m1", ("<tool_calls>",)),
    Fingerprint("lfm2", ("<|tool_call_start|>",)),
    Fingerprint("lfm2", ("<|tool_call_start|>",), ("<|tool_list_start|>",)),
    Fingerprint("granite3", ("<|tool_call|>[",), ("<|tool_call|>", "<|start_of_role|>")),
    Fingerprint("phi4_mini", ("functools[",)),
    Fingerprint("phi4_mini", ("functools[",), ("<|tool|>", "<|/tool|>")),
    Fingerprint("functionary_v32", (">>>probe_tool\n",), (">>>all",)),
    Fingerprint("functionary_v32", (">>>probe_tool\n",), (">>>${recipient}",)),
    Fingerprint(
        "qwen3_coder_xml", ("<function=", "<parameter="), ("<tool_call>", "<function=", "<parameter=")
    ),
    Fingerprint("functionary_v31", ("<function=", "</function>"), absent=("<parameter=",)),
    Fingerprint("mistral_args", ("[TOOL_CALLS]", "[ARGS]")),
    Fingerprint("mistral_array", ("[TOOL_CALLS]",)),
    Fingerprint("hermes_json", ("<tool_call>", '"arguments"')),
    Fingerprint("command_r", ("Action:", "tool_name")),
    Fingerprint("llama3_json", ('"name"', '"parameters"'), ("<|python_tag|>",)),
    Fingerprint("llama3_json", ('"name"', '"parameters"'), ("<|start_header_id|>", '"parameters"')),
    Fingerprint("fenced_json", ("```json", '"arguments"')),
    Fingerprint("bare_json", ('"name"', '"arguments"')),
    Fingerprint("pythonic", ("[probe_tool(",)),
)

# Around reasoning, as templates show it; a record of a family that is not known for reasoning gains these.
REASONING: tuple[Tags, ...] = (
    Tags("<think>", "</think>"),
    Tags("[THINK]", "[/THINK]"),
    Tags("<seed:think>", "</seed:think>"),
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),
)

_BETWEEN = r"[-_ .]?"


def _name(*words: str) -> re.Pattern[str]:
    return re.compile(_BETWEEN.join(words), re.IGNORECASE)


# Models that do not speak as their template says.
STUBBORN: tuple[tuple[re.Pattern[str], str], ...] = ((_name("qwen2", "5", "coder"), "qwen25_coder"),)

# What models are known to speak whose template says nothing.
NAMES: tuple[tuple[re.Pattern[str], str], ...] = (
    (_name("deepseek", "coder", "v2"), "deepseek_v3"),
    (_name("deepseek", "coder"), "fenced_json"),
    (_name("codestral"), "fenced_json"),
    (_name("phi", "4", "mini"), "phi4_mini"),
    (_name(r"phi", r"4(?!\d)"), "fenced_json"),
    (_name("qwen3", "coder"), "qwen3_coder_xml"),
    (_name(r"qwen[23]"), "hermes_json"),
    (_name("gpt", "oss"), "harmony"),
    (_name("lfm2"), "lfm2"),
    (_name("smollm3"), "hermes_json"),
    (_name("hermes"), "hermes_json"),
)
