"""Random words, file names, paths, texts and commands.

Words come from words.txt and from synthetic syllables. A word belongs to training or to the evaluation sets
by its checksum alone, so no name that is evaluated has ever been trained on.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from deploy.built_in_model.generator.stages import STAGES, Stage

EXTENSIONS = (
    "py py py py txt txt txt md md md json json js ts yaml yml toml html css sh csv go rs c h cpp "
    "java rb log cfg ini sql xml php lua tex "
    "env conf lock tsx jsx bat r kt swift vue proto"
).split()
CODE_EXTENSIONS = "py py js ts go rs c cpp java rb sh md txt".split()
RUNNERS = {
    "py": "python3",
    "sh": "bash",
    "js": "node",
    "rb": "ruby",
    "pl": "perl",
    "php": "php",
    "lua": "lua",
}
FIXED_FILES = (
    "README.md README.md Makefile Dockerfile package.json pyproject.toml requirements.txt .gitignore "
    ".env setup.py LICENSE "
    "tsconfig.json go.mod Cargo.toml .bashrc .editorconfig docker-compose.yml index.html main.py "
    "app.py CHANGELOG.md"
).split()
FIXED_DIRS = (
    "src lib tests docs app scripts bin config data tools examples build dist public assets node_modules "
    "vendor tmp"
).split()
ROOTS = ("/tmp", "/var/log", "/etc", "/opt", "/usr/local", "/srv", "~", "..", "../..", "/mnt/data")
ONSETS = (
    "b c d f g h j k l m n p r s t v w z b c d f g h k l m n p r s t y x qu bl br ch cl cr dr fl fr "
    "gl gr pl pr sc sch sh sk sl sm sn sp spr st str sw th thr tr tw wh wr kn ph"
).split()
VOWELS = "a e i o u a e i o u ai au ay ea ee ei ie io oa oo ou ow oy ue y".split()
CODAS = (
    "n r l s t m x d k p b g ck ct ft ght ld ll lf lt mb mp nd ng nk nt pt rd rk rm rn rt sh sk ss st th w"
).split()
ENDINGS = (
    "er er ing ing ed ly ion tion sion ment ness ous ary ery tery tory dle tle ble able al ial ent ant ence "
    "ance ive ist ism ight tor ity ify ize ful less age ure ish ward sday mber gent sert pper ily "
    "scope spect sist xy"
).split()
ACCENTED = (
    "größe straße über für café naïve señor año façade élan jürgen björk łódź tōkyō привет мир 日本 über "
    "garçon"
).split()


def is_held_out(word: str) -> bool:
    """True if the word belongs to the evaluation sets alone."""
    return zlib.crc32(word.lower().encode()) % 6 == 0


@cache
def _words(held_out: bool) -> tuple[str, ...]:
    lines = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
    return tuple(word for word in dict.fromkeys(lines) if is_held_out(word) == held_out)


@cache
def _pieces(capital: bool) -> tuple[str, ...]:
    """Fragments of words as a tokenizer makes them; fixed, so that a new tokenizer changes no data."""
    found = (Path(__file__).parent / "pieces.txt").read_text(encoding="utf-8").split()
    return tuple(piece for piece in found if piece[0].isupper() == capital)


class Names:
    """Random material from one `random.Random`; `held_out` selects the evaluation's words."""

    def __init__(self, rng: random.Random, held_out: bool = False, stage: Stage = STAGES["use"]) -> None:
        self.rng = rng
        self.stage = stage
        self.held_out = held_out
        self.words = _words(held_out)
        self.used: set[str] = set()

    def pick(self, options: Sequence[str]) -> str:
        """One of the options."""
        return options[int(self.rng.random() * len(options))]

    def chance(self, probability: float) -> bool:
        """True with that probability."""
        return self.rng.random() < probability

    def number(self, high: int = 999, low: int = 0) -> int:
        """A whole number, small ones more often."""
        return self.rng.randint(low, max(low, self.pick_int((9, 99, high, high)) if high > 99 else high))

    def pick_int(self, options: Sequence[int]) -> int:
        """One of the numbers."""
        return options[int(self.rng.random() * len(options))]

    def syllables(self) -> str:
        """An invented word of one to three syllables, sometimes with a common ending."""
        while True:
            if self.chance(0.6):
                word = "".join(
                    self.pick("bcdfghjklmnprstvwzxq" if self.chance(0.15) else "bcdfghjklmnprstvw")
                    + self.pick("aeiou")
                    + (self.pick("nrlsxtmk") if self.chance(0.35) else "")
                    for _ in range(self.rng.randint(2, 3))
                )
                if is_held_out(word) == self.held_out:
                    return word
                continue
            count = self.pick_int((1, 2, 2, 2, 3))
            word = "".join(
                self.pick(ONSETS) + self.pick(VOWELS) + (self.pick(CODAS) if self.chance(0.4) else "")
                for _ in range(count)
            )
            if count == 1 or self.chance(0.2):
                word += self.pick(ENDINGS)
            if 3 < len(word) < 14 and is_held_out(word) == self.held_out:
                return word

    def splice(self) -> str:
        """The beginning of one word and the end of another: the pieces of words in new company."""
        while True:
            first, second = self.pick(self.words), self.pick(self.words)
            word = (
                first[: self.rng.randint(2, max(2, len(first) - 1))]
                + second[self.rng.randint(1, max(1, len(second) - 2)) :]
            )
            if 3 < len(word) < 13 and word.isalpha() and is_held_out(word) == self.held_out:
                return word

    def patchwork(self, capital: bool = False) -> str:
        """Two or three fragments of words: every piece of the tokenizer occurs, in any company."""
        while True:
            count = self.pick_int((1, 2, 2, 2, 3))
            first = self.pick(_pieces(capital))
            word = first + "".join(self.pick(_pieces(False)) for _ in range(count - (not capital)))
            if 3 < len(word) < 14 and is_held_out(word) == self.held_out:
                return word

    def word(self) -> str:
        """A word in small letters."""
        if self.chance(self.stage.fragments):
            word = self.patchwork()
        else:
            x = self.rng.random()
            word = self.pick(self.words) if x < 0.55 else self.splice() if x < 0.74 else self.syllables()
        self.used.add(word)
        return word

    def capital(self) -> str:
        """A word with a capital."""
        if self.chance(0.5):
            return self.word().capitalize()
        word = self.patchwork(capital=True)
        self.used.add(word.lower())
        return word

    def stem(self) -> str:
        """The name of a file without its ending, of any usual shape."""
        x = self.rng.random()
        word = self.word
        if x < 0.42:
            name = word()
        elif x < 0.58:
            name = f"{word()}_{word()}"
        elif x < 0.68:
            name = f"{word()}-{word()}"
        elif x < 0.74:
            name = word() + word().capitalize()
        elif x < 0.79:
            name = self.capital() + self.capital()
        elif x < 0.86:
            name = f"{word()}{self.number()}"
        elif x < 0.92:
            name = f"{word()}_{self.number()}"
        elif x < 0.94:
            name = f"{word()}-20{self.rng.randint(10, 39)}-0{self.rng.randint(1, 9)}"
        elif x < 0.97:
            name = self.capital()
        elif x < 0.985:
            name = f"{word()}_{word()}_{word()}"
        else:
            name = f"{word()}.{word()}"
        return name.upper() if self.chance(0.03) else name

    def file(self, extension: str | None = None) -> str:
        """A file name."""
        if extension is None and self.chance(0.05):
            return self.pick(FIXED_FILES)
        if extension is None and self.chance(0.02):
            return "." + self.word() + self.pick(("rc", "ignore", ""))
        name = self.stem()
        if extension == "py" and self.chance(0.1):
            name = "test_" + name
        return f"{name}.{extension or self.pick(EXTENSIONS)}"

    def folder(self) -> str:
        """The name or path of a folder; no dot in it, so that it cannot be taken for a file."""
        x = self.rng.random()
        if x < 0.2:
            name = self.pick(FIXED_DIRS)
        elif x < 0.7:
            name = self.stem().replace(".", "_")
        elif x < 0.9:
            parent = self.pick(FIXED_DIRS) if self.chance(0.4) else self.word()
            name = f"{parent}/{self.stem().replace('.', '_')}"
        else:
            name = f"{self.word()}/{self.word()}/{self.word()}"
        y = self.rng.random()
        if y < 0.06:
            name = "./" + name
        elif y < 0.16:
            name = f"{self.pick(ROOTS)}/{name}"
        elif y < 0.19:
            name = f"/home/{self.word()}/{name}"
        return name + "/" if self.chance(0.08) else name

    def path(self, extension: str | None = None) -> str:
        """A file, with a folder before it in four of ten cases; rarely with a blank in it."""
        if self.chance(0.62):
            file = self.file(extension)
            if self.chance(0.012):
                return f"{self.word()} {file}"
            return "./" + file if self.chance(0.02) else file
        return f"{self.folder().rstrip('/')}/{self.file(extension)}"

    def phrase(self, low: int = 1, high: int = 6) -> str:
        """Some words with blanks between."""
        words = [self.word() for _ in range(self.rng.randint(low, high))]
        if self.chance(0.02) and not self.held_out:
            words[-1] = self.pick(ACCENTED)
        return " ".join(words)

    def key(self) -> str:
        """The name of a setting."""
        x = self.rng.random()
        if x < 0.4:
            return self.word()
        if x < 0.65:
            return f"{self.word()}_{self.word()}"
        if x < 0.8:
            return self.word().upper()
        if x < 0.9:
            return f"{self.word()}_{self.word()}".upper()
        return self.word() + self.word().capitalize()

    def value(self) -> str:
        """The value of a setting."""
        x = self.rng.random()
        if x < 0.3:
            return self.word()
        if x < 0.6:
            return str(self.number(65535))
        if x < 0.7:
            return f"{self.number(9)}.{self.number(30)}.{self.number(20)}"
        if x < 0.8:
            return self.phrase(2, 3)
        if x < 0.86:
            return self.url()
        if x < 0.94:
            return self.path()
        return self.pick(("true", "false"))

    def url(self) -> str:
        """A web address."""
        x = self.rng.random()
        if x < 0.5:
            host = f"{self.word()}.{self.pick(('com', 'org', 'io', 'dev', 'net', 'example', 'co.uk', 'de'))}"
        elif x < 0.75:
            kind, country = (
                self.pick(("www", "docs", "api", "blog", "wiki")),
                self.pick(("com", "org", "io", "net")),
            )
            host = f"{kind}.{self.word()}.{country}"
        elif x < 0.9:
            host = self.pick(("localhost", "127.0.0.1", f"192.168.{self.number(9)}.{self.number(99)}"))
            host += f":{self.rng.randint(1000, 9999)}"
        else:
            host = f"{self.word()}-{self.word()}.{self.pick(('com', 'org'))}"
        parts = "".join(f"/{self.stem()}" for _ in range(self.rng.randint(0, 3)))
        end = (
            self.pick((".html", ".json", "", "", "/", f"?{self.word()}={self.number()}"))
            if parts
            else self.pick(("", "", "/"))
        )
        return self.pick(("https://", "https://", "https://", "http://")) + host + parts + end
