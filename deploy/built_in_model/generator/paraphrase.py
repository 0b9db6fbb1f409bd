"""Variety that no list of phrasings has: synonyms, word order, and words left out or put in, outside the
slots."""

from __future__ import annotations

import random
import re

# Each line is a group of words that may stand for the one before the colon, in every request alike.
_GROUPS = """
show: display, print, present, reveal, bring up, pull up, output
display: show, print, present
print: show, display, output, print out
list: enumerate, itemize, list out, name, show
read: open, view, go through, read out, look into, check
open: read, view, open up, bring up
view: see, read, look at, inspect
see: view, check, look at, inspect, have a look at, know
look at: check out, examine, inspect, peek at, take a look at, study, review
check: inspect, examine, look at, verify
create: make, generate, produce, add, set up, prepare, build, start
make: create, produce, generate, craft, set up, establish
write: put, save, store, jot, place, write down, note
save: store, write, put, keep, record
put: write, place, store, insert, drop
store: save, keep, put, write
add: create, make, put in
change: alter, modify, turn, switch, convert, swap, update, edit
replace: swap, exchange, substitute, swap out, switch
update: change, modify, revise, edit
edit: change, modify, revise, touch up
fix: correct, repair, change
rename: change, turn
find: locate, look for, search for, seek, hunt for, discover, spot, track down, hunt down
search for: look for, find, hunt for, seek, scan for, check for, search
look for: find, search for, hunt for, seek, check for
search: look, hunt, scan, look around, dig
search through: look through, scan, go through, comb through, dig through
locate: find, spot, track down, pin down
run: execute, launch, start, invoke, fire up, kick off, call, perform, trigger
execute: run, launch, perform, carry out, start, process
start: run, launch, fire up, begin
launch: start, run, fire off
delete: remove, erase, drop, trash, wipe, get rid of, discard, nuke, purge, scrap, throw out, destroy, bin
remove: delete, erase, get rid of, take away, eliminate, wipe, scrap
get rid of: delete, remove, throw away, dispose of
erase: delete, wipe out, remove
fetch: get, download, retrieve, grab, pull, load, request, pull down, obtain
download: fetch, get, grab, pull, load
visit: open, go to, browse to, head to
get: fetch, grab, obtain, retrieve, pull
tell me: let me know, inform me, say, explain to me, report, please tell me
give me: hand me, get me, provide, send me, show me, I need, deliver, provide me with
show me: let me see, give me, I want to see, present me, let me have
let me see: show me, I want to see, may I see, can I see
i want to: I need to, I wanna, I'd like to, I have to, I must, I wish to, I am trying to
i need to: I want to, I have to, I must, I gotta, I'd like to
i want: I need, I'd like, I would like, I require, give me
i need: I want, I'd like, I require, we need, I could use
i'd like: I want, I would like, I'd love
what is: what's, whats, which is
what's: what is, whats
what does: what did, what would
what: which
which: what
where is: where's, where can I find, where do I find, in what place is
where are: where do I find, where can I find
folder: directory, dir
directory: folder, dir
file: document, text file, doc
files: documents, items, stuff
contents: content, text, insides, body
content: contents, text, body
text: words, string, line, content, phrase, message
page: site, website, web page, webpage, link
website: site, page, web page
named: called, titled, by the name of, with the name
called: named, titled, by the name
containing: that contains, holding, that holds, with, having, which contains
contains: holds, has, includes
contain: hold, have, include
says: reads, states, contains
say: state, read, contain
current: present, working
everything: all, the lot, whatever
all: every, all of, each
new: fresh, brand new
empty: blank, zero-byte, bare, void
in: inside, within
inside: in, within
into: to, inside, in
from: out of
instead of: in place of, rather than
should be: must be, has to be, ought to be, needs to be, shall be
becomes: turns into, is now
should: must, ought to, has to, needs to
command: cmd, shell command, instruction, command line
output: result, printout, response
value: setting, entry
setting: value, option, entry
occurrences: mentions, instances, uses, hits, matches, appearances
mention: contain, reference, use, name
mentioned: used, referenced, found, named
used: mentioned, referenced, found
ending in: ending with, that end in, with the ending, with extension
extension: ending, suffix, file extension
word: term, string, text
quickly: fast, soon
script: program, code
program: script, code
here: in here, around here, in this place
exist: are there, are present
me: us
my: our, the
"""
SYNONYMS: dict[str, tuple[str, ...]] = {}
for _line in _GROUPS.strip().splitlines():
    _word, _, _others = _line.partition(": ")
    SYNONYMS[_word] = tuple(_others.split(", "))
_PATTERN = re.compile(
    r"(?<![\w{'])(" + "|".join(sorted(map(re.escape, SYNONYMS), key=len, reverse=True)) + r")(?![\w}'])",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"^(?P<head>.+?) (?P<tail>(?:in|into|to|from|inside|under|at) (?:the (?:file|folder|directory) "
    r")?\{(?:path|dir)\})$"
)
_SMALL = re.compile(r" (the|a|an|me|my|of|is|are|all|file|please|it|this|for)(?= )", re.IGNORECASE)
_FILLER = (
    "really simply maybe actually perhaps somehow basically kindly exactly quickly directly honestly also "
    "still once briefly again finally"
).split()


def paraphrase(template: str, rng: random.Random) -> str:
    """Another way to say the same; slots stay as they are."""
    strength = 0.15 + 0.3 * rng.random()

    def other(match: re.Match[str]) -> str:
        word = match.group(1)
        if rng.random() > strength:
            return word
        options = SYNONYMS[word.lower()]
        new = options[int(rng.random() * len(options))]
        return new[:1].upper() + new[1:] if word[:1].isupper() and word != "I" else new

    text = _PATTERN.sub(other, template)
    x = rng.random()
    if x < 0.08 and "\n" not in text and (match := _TAIL.match(text)):
        comma = "," if rng.random() < 0.6 else ""
        text = f"{match['tail']}{comma} {match['head']}"
    elif x < 0.16:
        spots = [match.span() for match in _SMALL.finditer(text)]
        if spots:
            start, end = spots[int(rng.random() * len(spots))]
            text = text[:start] + text[end:]
    elif x < 0.22:
        gaps = [match.start() for match in re.finditer(r"(?<=[a-z]) (?=[a-z])", text)]
        if gaps:
            at = gaps[int(rng.random() * len(gaps))]
            text = f"{text[:at]} {_FILLER[int(rng.random() * len(_FILLER))]}{text[at:]}"
    return text
