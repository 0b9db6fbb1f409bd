"""Random contents: sentences, lines of code, blocks of several lines, and shell commands."""

from __future__ import annotations

from deploy.built_in_model.generator.names import EXTENSIONS, Names

OPENERS = (
    "Hello|Hi|Dear|Note:|TODO:|Remember|Buy|Call|The|A|My|Welcome to|Thanks for|Meet|Send|Fix|Ask".split("|")
)
STOCK = (
    "hello world|Hello, world!|hello|Hello World|hi there|test|it works|ok|done|foo bar|this is a test|"
    "good morning|yes|1, 2, 3"
).split("|")
LINKS = "is|was|has|needs|likes|and the|in the|of the|for|with the|to the|on a|will be".split("|")


def sentence(n: Names) -> str:
    """One line of words, with the punctuation that people use."""
    x = n.rng.random()
    if x < 0.3:
        text = n.phrase(1, 7)
    elif x < 0.45:
        text = f"{n.pick(OPENERS)} {n.phrase(1, 6)}"
    elif x < 0.5 and not n.held_out:
        text = n.pick(STOCK)
    elif x < 0.68:
        text = (
            f"{n.pick(('the', 'this', 'a', 'my', 'our', 'that'))} {n.word()} {n.pick(LINKS)} {n.phrase(1, 4)}"
        )
    elif x < 0.74:
        text = (
            f"{n.key()}{n.pick((' = ', '=', ': '))}{n.pick((str(n.number(9999)), n.word(), 'true', 'false'))}"
        )
    elif x < 0.82:
        text = ", ".join(n.word() for _ in range(n.rng.randint(2, 5)))
    elif x < 0.9:
        text = f"{n.phrase(1, 3)} {n.number(99999)} {n.phrase(1, 2)}"
    elif x < 0.94:
        text = (
            f"{n.word()}'s {n.phrase(1, 3)}"
            if n.chance(0.5)
            else f"{n.pick(('don', 'won', 'can'))}'t {n.phrase(2, 4)}"
        )
    else:
        text = (
            f"{n.phrase(1, 3)} ({n.phrase(1, 2)}) - {n.phrase(1, 2)}"
            if n.chance(0.5)
            else f"{n.phrase(1, 2)}; {n.phrase(1, 3)} & {n.word()}"
        )
    if n.chance(0.35):
        text = text[:1].upper() + text[1:]
    return text + n.pick((".", "!", ".", "?", "...")) if n.chance(0.2) else text


def code_line(n: Names) -> str:
    """One line of code or markup."""
    a, b, k = n.word(), n.word(), n.number()
    return n.pick(
        (
            f'print("{n.phrase(1, 4)}")',
            f"print('{n.phrase(1, 4)}')",
            f"{a} = {k}",
            f"import {a}",
            f'console.log("{n.phrase(1, 3)}");',
            f"echo {n.phrase(1, 4)}",
            f"def {a}(): return {k}",
            f'{a} = "{b}"',
            f"from {a} import {b}",
            f"# {n.phrase(1, 4)}",
            f"print({k} + {n.number()})",
            f"print({k} * {n.number()})",
            f"return {a} + {b}",
            f"const {a} = {k};",
            f"{a} = [{k}, {n.number()}]",
            f'{{"{a}": "{b}"}}',
            f'{{"{a}": {k}, "{b}": {n.number()}}}',
            f"<h1>{n.phrase(1, 3)}</h1>",
            f"{a}: {b}",
            f"{a.upper()}={k}",
            f"- [ ] {n.phrase(1, 3)}",
            f"{a},{b},{k}",
            f"for {a} in range({k}): print({a})",
            f"assert {a}({k}) == {n.number()}",
        )
    )


def line(n: Names) -> str:
    """A sentence or, one time in four, a line of code."""
    return code_line(n) if n.chance(0.25) else sentence(n)


def block(n: Names) -> str:
    """Two to five lines of code, data or prose."""
    a, b, c, k = n.word(), n.word(), n.word(), n.number()
    x = n.rng.random()
    if x < 0.15:
        return f"def {a}({b}, {c}):\n    return {b} {n.pick('+-*')} {c}\n\nprint({a}({k}, {n.number()}))"
    if x < 0.3:
        return f"def {a}({b}):\n    {c} = {b} * {k}\n    return {c}"
    if x < 0.4:
        return f"for {a} in range({k}):\n    print({a})"
    if x < 0.5:
        return f'{{\n  "{a}": "{b}",\n  "{c}": {k}\n}}'
    if x < 0.65:
        mark = n.pick(("- ", "* ", "", "1. "))
        return "\n".join(mark + n.phrase(1, 3) for _ in range(n.rng.randint(2, 5)))
    if x < 0.75:
        return f"# {n.phrase(1, 3)}\n\n{sentence(n)}"
    if x < 0.88:
        mark = n.pick((": ", "=", " = "))
        return "\n".join(n.key() + mark + n.value() for _ in range(n.rng.randint(2, 4)))
    return "\n".join(sentence(n) for _ in range(n.rng.randint(2, 4)))


def command(n: Names) -> str:
    """A shell command, plain or with options, quotes, pipes and redirections."""
    k, flag = n.number(99, 1), n.pick("abvnfqrxe")
    kind = n.rng.randrange(12)
    if kind == 0:
        return n.pick(
            (
                "ls",
                "ls -la",
                "ls -l",
                f"ls {n.folder()}",
                f"ls -l {n.folder()}",
                "pwd",
                "whoami",
                "date",
                "uname -a",
                "df -h",
                "env",
                "ps aux",
                f"du -sh {n.folder()}",
            )
        )
    if kind == 1:
        return n.pick(
            (
                f"echo {n.phrase(1, 4)}",
                f'echo "{n.phrase(1, 4)}"',
                f"echo '{n.phrase(1, 4)}'",
                f"echo {n.word()} > {n.path()}",
                f"printf '{n.word()}'",
                f"echo ${n.word().upper()}",
            )
        )
    if kind == 2:
        return "git " + n.pick(
            (
                "status",
                "log",
                "diff",
                "branch",
                "pull",
                "push",
                "stash",
                "log --oneline",
                "status --short",
                f"log -n {k}",
                f"checkout {n.stem()}",
                f"add {n.path()}",
                f'commit -m "{n.phrase(1, 4)}"',
                f"clone {n.url()}",
                f"diff {n.path()}",
                f"show {n.word()}",
                f"tag {n.stem()}",
            )
        )
    if kind in (3, 4):
        return n.pick(
            (
                f"python3 {n.path('py')}",
                f"python3 {n.path('py')}",
                f"python {n.path('py')}",
                f"python3 {n.path('py')} --{n.word()} {n.value()}",
                f"python3 -m {n.word()}.{n.word()}",
                f'python3 -c "print({k}*{n.number()})"',
                f"python3 -c 'import {n.word()}; print({n.word()})'",
                f"python3 {n.path('py')} {n.phrase(1, 2)}",
                "python3 --version",
            )
        )
    if kind == 5:
        return n.pick(
            (
                "pytest",
                "pytest -q",
                f"pytest {n.path('py')}",
                f"pytest -x {n.path('py')}",
                f"pytest {n.path('py')} -k {n.stem()}",
                "make",
                f"make {n.word()}",
                "npm test",
                "npm install",
                f"npm run {n.word()}",
            )
        )
    if kind == 6:
        return n.pick(
            (
                "cargo build",
                "cargo test",
                "go test ./...",
                f"go run {n.path('go')}",
                f"node {n.path('js')}",
                f"bash {n.path('sh')}",
                f"./{n.stem().replace('.', '_')}",
                f"sh {n.path('sh')} {n.word()}",
                f"docker run {n.stem()}",
                "docker ps",
            )
        )
    if kind == 7:
        return n.pick(
            (
                f"mkdir -p {n.folder()}",
                f"rm {n.path()}",
                f"rm -rf {n.folder()}",
                f"mv {n.path()} {n.path()}",
                f"cp {n.path()} {n.path()}",
                f"touch {n.path()}",
                f"chmod +x {n.path('sh')}",
                f"ln -s {n.path()} {n.word()}",
            )
        )
    if kind == 8:
        return n.pick(
            (
                f"cat {n.path()}",
                f"cat {n.path()} | head -n {k}",
                f"head -n {k} {n.path()}",
                f"tail -n {k} {n.path()}",
                f"wc -l {n.path()}",
                f"sort {n.path()} | uniq -c",
                f"cat {n.path()} | grep {n.word()}",
                f"stat {n.path()}",
            )
        )
    if kind == 9:
        return n.pick(
            (
                f"grep -rn {n.word()} {n.folder()}",
                f'grep "{n.phrase(1, 2)}" {n.path()}',
                f'find . -name "*.{n.pick(EXTENSIONS)}"',
                f"find {n.folder()} -type f",
                f"curl -s {n.url()}",
                f"curl {n.url()} | jq .{n.word()}",
                f"sed -i 's/{n.word()}/{n.word()}/g' {n.path()}",
            )
        )
    if kind == 10:
        return n.pick(
            (
                f"pip install {n.stem()}",
                "pip list",
                f"cd {n.folder()} && ls",
                f"cd {n.folder()} && make {n.word()}",
                f"sleep {k}",
                f"kill {n.number(9999)}",
                f"tar -czf {n.stem()}.tar.gz {n.folder()}",
                f"unzip {n.stem()}.zip",
                f"which {n.word()}",
            )
        )
    return n.pick(
        (
            f"{n.word()} --{n.word()} {n.value()}",
            f"{n.word()} {n.word()} -{flag} {n.path()}",
            f"{n.word()} -{flag}",
            f"./{n.stem()} {n.number()}",
            f"{n.word()} {n.path()} > {n.path()}",
            f"{n.word()} | {n.word()} -{flag}",
            f"{n.word()} {n.word()}",
            n.stem(),
        )
    )
