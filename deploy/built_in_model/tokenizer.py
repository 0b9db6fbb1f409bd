"""Builds tokenizer.json: a byte-level BPE in which a name is written with the same tokens wherever it
stands.

Merges never mix letters with blanks, digits or punctuation, so copying an argument is copying tokens. A
token has at most 31 bytes: llama-cpp-python turns tokens to text through a buffer of 32. GGUF pre-
tokenizer: `deepseek-coder`.

    python -m deploy.built_in_model.tokenizer [--count 12000]

"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from deploy.built_in_model.generator.conversations import generate
from deploy.built_in_model.generator.rendering import segments

FILE = Path(__file__).parent / "tokenizer.json"
VOCABULARY = 3072
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_DEFINED = [
    "<tool_call>",
    "}\n</tool_call>",
    "</tool_call>",
    '{"name": "',
    '", "arguments": {"',
    '", "arguments": {}',
    '":"',
    '","',
    '"}',
    "\\n",
    '\\"',
    "\\t",
    "<path>",
    "</path>",
    "<type>file</type>",
    "<content>",
    "</content>",
    "(End of file - total ",
]
GLUE = (
    "the a an in to of and is with for it on from that are was has no not be at by or what which me my "
    "this you I"
).split()
MERGES = [(" ", " "), ("  ", "  ")]
# what llama.cpp does for tokenizer.ggml.pre = deepseek-coder
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]


def _pre_tokenizer(patterns: list[str]) -> pre_tokenizers.PreTokenizer:
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def build(texts: list[str], size: int = VOCABULARY) -> Tokenizer:
    """The tokenizer trained on the texts, with `size` entries. Raises ValueError for too long a token."""
    long = [token for token in USER_DEFINED if len(token.encode()) > 31]
    if long:
        raise ValueError(f"tokens over 31 bytes: {long}")
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = _pre_tokenizer([r"\p{L}+", r"\P{L}"])
    room = size - len(CONTROL) - len(USER_DEFINED) - len(MERGES) - len(GLUE)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bare.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=room,
            initial_alphabet=alphabet,
            show_progress=False,
            min_frequency=2,
            max_token_length=14,
        ),
    )
    model = json.loads(bare.to_str())["model"]
    vocabulary: dict[str, int] = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    merges = [(a, b) for a, b in model["merges"]]
    for a, b in [*MERGES, *((" ", word) for word in GLUE if word in vocabulary)]:
        a, b = a.replace(" ", "Ġ"), b.replace(" ", "Ġ")
        merges.append((a, b))
        vocabulary.setdefault(a + b, len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = _pre_tokenizer(DEEPSEEK_CODER)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in USER_DEFINED])
    while tokenizer.get_vocab_size() < size:
        tokenizer.add_special_tokens(
            [AddedToken(f"<|unused{tokenizer.get_vocab_size()}|>", special=True, normalized=False)]
        )
    return tokenizer


def load() -> Tokenizer:
    """The committed tokenizer."""
    return Tokenizer.from_file(str(FILE))


def main() -> None:
    """Build the tokenizer from generated conversations and write it beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=12000, help="conversations to learn the merges from")
    count = parser.parse_args().count
    texts = []
    for seed in range(count):
        conversation = generate(10_000_000 + seed)
        texts.append("".join(text for text, _ in segments(conversation.messages, conversation.tools)))
    tokenizer = build(texts)
    tokenizer.save(str(FILE))
    sample = texts[:300]
    tokens = sum(len(tokenizer.encode(text).ids) for text in sample)
    if any(
        tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) != text for text in sample
    ):
        raise ValueError("the tokenizer does not give back a text that it encoded")
    print(
        f"{tokenizer.get_vocab_size()} entries, {sum(map(len, sample)) / tokens:.2f} characters a "
        f"token, {tokens / len(sample):.0f} tokens a conversation"
    )


if __name__ == "__main__":
    main()
