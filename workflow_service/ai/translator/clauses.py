"""What is to be done, as single deeds with what is said of them: how often, how long, for which items."""

import re
from dataclasses import dataclass, field

from workflow_service.ai.english.verbs import is_participle
from workflow_service.ai.translator.deeds import Deed, Memory, read_deed, starts_deed, style_of
from workflow_service.ai.translator.grammar import NOUNS_TOO, NUMBERS, UNIT_MS, number_of
from workflow_service.ai.translator.sentences import postposed

_COUNT = r"(?:\d{1,3}|once|twice|thrice|one|two|three|four|five|six|seven|eight|nine|ten)"
_RETRY = re.compile(
    rf"[,(]?\s*\b(?:and |then |with |which is |it is )?(?:retry(?:ing)?|retries|retried|re-?try(?:ing)?|tr(?:y"
    rf"|ying|ied) (?:it )?(?:again|once more)|repeat(?:ing)? it on failure)"
    rf"(?: (?:it|them|this|this step|the \w+))?(?:,? (?:for )?(?:up to|at most|a maximum of"
    rf"|no more than))?(?: (?P<count>{_COUNT}))?(?: (?:more |further )?(?:times|attempts|retries|tries))?"
    r"(?: (?:if|when|on|upon|in case of|after|should) [^,;)]*)?\)?|\b(?:with |up to |at most )(?P<with>\d{1,3}"
    r"|two|three|four|five)(?: \w+)? (?:retries|attempts|tries)\b",
    re.I,
)
_UNITS = "|".join(sorted(UNIT_MS, key=len, reverse=True))
_SPAN = rf"(?P<number>\d+(?:\.\d+)?|{'|'.join(NUMBERS)}|a|an)[ -]?(?P<unit>{_UNITS})s?"
_WAIT_FOR_TIME = re.compile(
    rf"\b(?:wait|pause|sleep|delay|hold)\b(?: for)?(?: (?:another|about|at least|up to))? {_SPAN}\b", re.I
)
_WAIT_AT_MOST = re.compile(
    rf"wait(?:s)? (?:for )?(?:up to|at most|no more than|a maximum of) {_SPAN} for (?P<what>.+)", re.I
)
_WITHIN = re.compile(
    rf"\(?\b(?:within|in at most|no later than|(?:must be )?done within"
    rf"|in less than)(?: the next)? {_SPAN}\b(?: [a-z]+ (?:notice|time))?\)?",
    re.I,
)
_EACH_BEHIND = re.compile(
    r"\s+(?:for|to|of|in|on) (?:each|every)(?: one)?(?: of (?:the|these|them|those))?\s+(?P<items>[\w -]+?)(?=$"
    r"|[,.;(]| with| in | to | using | by | and )",
    re.I,
)
_UNTIL = re.compile(
    r"\buntil\b\s+(?P<condition>.+?)(?:,?\s+(?:(?:but |and )?(?:at most|up to|no more than|for at most"
    r"|a maximum of|max(?:imum)?)(?: of)?)\s+(?P<most>\d+|\w+)\s+(?:times|rounds|tries|attempts|iterations))?$",
    re.I,
)
_MOST = re.compile(
    r",?\s*(?:but |and )?(?:at most|up to|no more than|a maximum of|max(?:imum)?(?: of)?) (?P<most>\d+"
    r"|\w+) (?:times|rounds|iterations)",
    re.I,
)
_PART = re.compile(
    r"(?:,\s*(?:(?:and|but|or)\s+)?(?:then\s+)?|\s+and then\s+|\s+then\s+|\s+and\s+(?:also\s+)?|,?\s+(?:which"
    r"|who)\s+(?:then\s+)?|\s+before\s+(?=\w+ing\b|(?:it|they|the \w+) (?:is|are)\b)|,?\s+where\s+(?=(?:they|it"
    r"|the \w+) (?:is|are)\b)|\s+but\s+)",
    re.I,
)


@dataclass(slots=True)
class Clause:
    """A deed and what is said of it. ``condition`` and ``word`` are those of an "if" behind it; durations are ms."""

    deed: Deed
    text: str
    condition: str = ""
    word: str = ""
    retries: int | None = None
    for_each: str = ""
    duration_ms: int | None = None
    deadline_ms: int | None = None
    optional: bool = False
    try_again: bool = False


@dataclass(slots=True)
class Until:
    """The end of a repetition: its condition's words, and the most rounds."""

    condition: str
    most: int | None


@dataclass(slots=True)
class Told:
    """What a body tells: its clauses in order, the repetition they are in, words that told nothing."""

    clauses: list[Clause] = field(default_factory=list)
    retries: int | None = None
    delay_ms: int | None = None
    until: Until | None = None
    unread: list[str] = field(default_factory=list)


def read_body(text: str, memory: Memory) -> Told:
    """Return the deeds of a body without conditions before it."""
    told = Told()
    body = text.strip(" ,.:")
    match = _UNTIL.search(body)
    if match and not re.match(r"wait\b", body, re.I):
        most = _MOST.search(match["condition"])
        told.until = Until(
            _MOST.sub("", match["condition"]), _number(match["most"] or (most["most"] if most else None))
        )
        body = body[: match.start()].strip(" ,")
    behind: list[Clause] = []
    for part in _parts(body):
        if not behind and told.retries is None and not _taken(part)[0].strip(" ,"):
            # "if it fails, retry 3 times": about the deed that the condition is about.
            told.retries = _taken(part)[1]
            continue
        clause = _clause(part, memory, behind[-1] if behind else None)
        if clause is None:
            things = (
                [_clause(piece, memory, None) for piece in re.split(r",\s*(?:and\s+)?", part)]
                if "," in part
                else []
            )
            behind += [one for one in things if one is not None]
            if not things:
                told.unread.append(part)
            continue
        behind.append(clause)
    first = behind[0] if behind else None
    if first is not None and first.duration_ms is not None and first.retries is not None:
        # "wait 10 minutes and try again": how the deed before is retried.
        told.retries, told.delay_ms = first.retries, first.duration_ms
        behind = behind[1:]
    told.clauses = behind
    return told


def distributed(body: str) -> list[str]:
    """Return a body that is one deed done to several things as a deed for each: "run the tests and the linter"."""
    things = [one for one in re.split(r",\s*(?:and\s+)?|\s+and\s+", body.strip(" ,.:")) if one.strip()]
    verb, _, rest = things[0].partition(" ") if things else ("", "", "")
    if len(things) < 2 or not rest:
        return [body]
    if all(thing.lower().startswith(f"{verb} ".lower()) for thing in things):
        return things
    if len(read_body(body, Memory()).clauses) != 1:
        return [body]
    if read_deed(things[0], Memory()) is None:
        return [body]
    return [things[0], *(f"{verb} {thing}" for thing in things[1:])]


def _clause(part: str, memory: Memory, last: Clause | None) -> Clause | None:
    part, retries = _taken(part)
    text, word, condition = postposed(part)
    if re.fullmatch(
        r"(?:necessary|needed|required|possible|applicable|appropriate)", condition.strip(), re.I
    ):
        condition, word = "", ""
    plain = text.strip(" ,")
    if not plain:
        # "… retry 3 times" on its own is about the deed before.
        if last is not None and retries is not None:
            last.retries = retries
        return None
    optional = bool(re.search(r"\b(?:optionally|if possible|best[- ]effort)\b", plain, re.I))
    deadline, duration = _within(plain), _time(plain)
    at_most = _WAIT_AT_MOST.match(plain)
    if at_most:
        # "wait up to 14 days for the answers": for something, not for the time.
        deadline, duration, plain = _span_ms(at_most), None, f"wait for {at_most['what']}"
    plain = re.sub(r"\([^()]*\)", " ", _WITHIN.sub("", plain)).strip(" ,")
    each = _EACH_BEHIND.search(plain)
    if each:
        plain = (plain[: each.start()] + plain[each.end() :]).strip(" ,")
    if duration is not None:
        span = _WAIT_FOR_TIME.search(plain)
        named = f"{span['number']} {span['unit']}s".split() if span else []
        if span and span["number"].lower() in ("1", "one", "a", "an"):
            named = [span["unit"]]
        deed: Deed | None = Deed("wait", tuple(named), text=plain)
    else:
        deed = read_deed(plain, memory)
    if deed is None:
        return None
    if (
        last is not None
        and deed.verb == last.deed.verb
        and not deed.object
        and not deed.place
        and deed.verb == "retry"
    ):
        return None
    return Clause(
        deed, plain, condition, word, retries, each["items"] if each else "", duration, deadline, optional
    )


def _parts(body: str) -> list[str]:
    """Part a body at commas and "and"s where another deed begins, and nowhere else."""
    parts: list[str] = []
    begin, style = 0, style_of(_PART.split(body, maxsplit=1)[0] if body else "")
    depth_safe = re.sub(r"\([^()]*\)", lambda match: "(" + "_" * (len(match.group()) - 2) + ")", body)
    for match in _PART.finditer(depth_safe):
        after = body[match.end() :]
        before = body[begin : match.start()].strip(" ,")
        if not before or not after.strip() or read_deed(before, Memory()) is None:
            continue
        sequel = re.search(r"then|before", match.group(), re.I) is not None
        if (
            match.group().strip().lower().startswith("before")
            and re.match(r"\w+ing\b", after)
            and (len(after.split()) < 2 or re.search(r"\bapprov|\bsign", before, re.I))
        ):
            continue
        if _RETRY.match(match.group().lstrip(", ") + after) or _RETRY.match(after):
            continue
        relative = re.search(r"which|who", match.group(), re.I) is not None
        if relative and not (starts_deed(after, "third") or style_of(after) == "third"):
            continue
        noun = re.match(r"[\w-]+", after)
        if sequel and noun and noun.group().lower() in NOUNS_TOO and not starts_deed(after, style):
            # "Deploy service A, then service B": the verb of the first counts for the second.
            verb = re.match(r"[\w-]+", before)
            parts.append(before)
            body = f"{body[: match.end()]}{verb.group() if verb else ''} {after}"
            return [*parts, *_parts(body[match.end() :])]
        if (
            relative
            or starts_deed(after, style, bare=" " not in before, listed="," in match.group())
            or (sequel and read_deed(after, Memory()) is not None)
        ):
            parts.append(before)
            begin = match.end()
            following = style_of(_PART.split(after, maxsplit=1)[0])
            # "… are collected, labelled and frozen": the "are" counts for all.
            style = style if style == "passive" and is_participle(after.split()[0]) else following
    parts.append(body[begin:].strip(" ,"))
    return [part for part in parts if part]


def _taken(text: str) -> tuple[str, int | None]:
    """Take what is said about retries out of a clause."""
    match = _RETRY.search(text)
    if match is None:
        return text, None
    said = match["count"] or match["with"]
    if (
        said is None
        and match.start() == 0
        and not re.search(r"\bon (?:failure|error)|if it fails", match.group(), re.I)
    ):
        return text, None
    return (text[: match.start()] + " " + text[match.end() :]).strip(" ,"), _number(said) if said else 3


def _within(text: str) -> int | None:
    match = _WITHIN.search(text)
    return _span_ms(match) if match else None


def _time(text: str) -> int | None:
    match = _WAIT_FOR_TIME.search(text)
    return _span_ms(match) if match else None


def _span_ms(match: re.Match[str]) -> int:
    return int((number_of(match["number"]) or 1) * UNIT_MS[match["unit"].lower()])


def deadline_of(text: str) -> int | None:
    """Return the milliseconds of a "within 48 hours" in a text, if there is one."""
    return _within(text)


def _number(text: str | None) -> int | None:
    found = number_of(text) if text else None
    return None if found is None else int(found)
