"""A paragraph as units: what is to be done, and under which condition, in the order it is told."""

import re
from dataclasses import dataclass, field
from typing import Literal

from workflow_service.ai.english.verbs import base_of, is_base
from workflow_service.ai.translator.grammar import (
    CONNECTIVES,
    IN_ANY_CASE,
    MEANWHILE,
    NOUNS_TOO,
    OTHERWISE,
    PARALLEL,
    PREPOSITIONS,
)

UnitKind = Literal["do", "if", "else", "each"]

_ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|etc|vs|approx|no|nr|dr|mr|mrs|ms|inc|ltd|max|min)\.", re.I)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(0-9])|(?<=[.!?])\s*$|;\s*|\n+")
_LEAD_IN = re.compile(
    r"(?:please )?(?:i|we)(?: would| will)? (?:want|need|like|wish)(?: to (?:have|build|create|set up))? (?:an? |the )?[\w -]*?"
    r"(?:workflow|pipeline|process|automation|flow|procedure)\s*(?:that|which|to|where|for|in which|:)\s*"
    r"|(?:please )?(?:create|build|design|make|set up|define|generate|write|implement|draft)(?: me| us)? (?:an? |the |our )?[\w /-]*?"
    r"(?:workflow|pipeline|process|automation|flow|procedure)\b(?: \w+){0,3}?\s*(?:that|which|to|where|for|in which|:)\s*"
    r"|(?:here is|this is|these are|below is|the following)\b[^.:]*[.:]\s*",
    re.I,
)
_EACH = re.compile(
    r"(?:then )?(?:for (?:each|every|all|any)(?: (?:of )?the| of (?:these|those|them))?|once (?:for each|per)|per) "
    r"(?P<items>[^,:]+?)(?:,|:| do\b| we\b| then\b|$)\s*(?P<body>.*)",
    re.I | re.S,
)
_EACH_WITHIN = re.compile(r"(?:,\s*(?:and |then )*|\s(?:and|then) )(?P<each>for (?:each|every|all)\b)", re.I)
_LABEL = re.compile(
    r"(?P<condition>(?:not |if not )?(?:approved|rejected|accepted|declined|denied|refused|agreed|yes|no|pass(?:ed)?|fail(?:ed|ure)?|success(?:ful)?"
    r"|valid|invalid|ok|high|medium|low|normal|urgent|critical)"
    r"|an? [\w -]{2,40}? of [^:]{1,40}|between [^:]{1,40}|(?:more|less|fewer|lower|higher|greater) than [^:]{1,40}"
    r"|(?:above|below|over|under|at least|at most|up to) [^:]{1,40}|\d[^:]{0,30}(?:or|and) (?:more|less|above|below|higher|lower)[^:]{0,20})"
    r"\s*(?::|->|=>|-)\s+(?P<body>.+)",
    re.I | re.S,
)
_IF = re.compile(
    r"(?P<word>else,? if|elif|elsif|or if|and if|but if|only if|even if|if(?! not,)|whenever|when|unless|in case(?: that| of)?|provided(?: that)?|should"
    r"|as soon as|once|after|assuming|in the event (?:that|of)|where)\s+(?P<rest>.+)",
    re.I | re.S,
)
_ON = re.compile(
    r"(?P<word>on|upon|with|without|after|in case of)\s+(?P<rest>(?:an? |the |any |every )?(?:[\w-]+ )??"
    r"(?:approval|rejection|refusal|failure|success|error|errors|timeout|upload|arrival|receipt|submission|request|sign-?up|denial|consent|push|commit|merge|creation))"
    r"\b,?\s*(?P<body>.*)",
    re.I | re.S,
)
_MIDDLE = re.compile(
    r"(?:,\s*|\s+)(?:and |but |or |then )?(?P<word>if|when|unless|in case|elif|else if)\s+(?P<rest>.+)",
    re.I | re.S,
)
_MIDDLE_ELSE = re.compile(
    r"(?:,\s*(?:and |or |but )?|\s+(?:and |or )?)(?:otherwise|or else|else(?! if)|if not)\b[,:]?\s+(?P<rest>.+)",
    re.I | re.S,
)
_DONE = re.compile(
    r"(?:all|both|everything|these|those|they|that|this|it|the \w+|each|every\w*|any|one)?(?: of (?:that|this|these|them|those|the \w+))?"
    r"(?: (?:three|two|four|five|steps?|tasks?|parts?|checks?|of them))*\s*(?:(?:is|are|has been|have been|was|were|has|have)\s+)?"
    r"(?:all )?(?:done|complete|completed|finished|back|ready|over|in|through|available|settled)?",
    re.I,
)
_POSTPOSED = re.compile(
    r"(?P<body>.+?)[,]?\s+(?P<word>only if|if|unless|when|once|in case)\s+(?P<condition>[^,]+)$", re.I | re.S
)


@dataclass(slots=True)
class Unit:
    """``body`` is what is done; ``condition`` the words of an "if" (``negated``: an "unless"), or the items of an "each".

    ``nested``: told in the same breath as the case before, and so a part of it. ``whatever``: done whatever was chosen.
    """

    kind: UnitKind
    body: str
    condition: str = ""
    word: str = ""
    negated: bool = False
    nested: bool = False
    same_sentence: bool = False
    parallel: bool = False
    meanwhile: bool = False
    whatever: bool = False
    joined: bool = False
    colon: bool = False
    notes: list[str] = field(default_factory=list)


def units_of(text: str) -> list[Unit]:
    """Return the units of a text, in order."""
    units: list[Unit] = []
    lead_in = _LEAD_IN.match(text.strip())
    plain = (text.strip()[lead_in.end() :] if lead_in else text) or ":"
    plain = re.sub(r"\(([^()]*)\)", lambda match: match.group().replace(";", ","), plain)
    for part in re.split(r"(?<=;)", plain):
        for index, sentence in enumerate(split_sentences(part)):
            found = _units(sentence)
            if found and index == 0:
                found[0].joined = bool(units)
            units += found
    return units


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, parted by full stops, semicolons and line breaks."""
    kept = _ABBREVIATIONS.sub(lambda match: match.group()[:-1], text)
    kept = re.sub(
        r"\(([^()]*)\)", lambda match: " (" + match[1].replace(";", ",").replace(". ", ", ") + ") ", kept
    )
    return [part.strip(" .!?") for part in _SENTENCE.split(kept) if part and part.strip(" .!?;,")]


def postposed(clause: str) -> tuple[str, str, str]:
    """Return a clause's deed, and the word and text of a condition behind it ("send it if valid"), or empty texts."""
    match = _POSTPOSED.fullmatch(clause.strip())
    if match is None:
        return clause, "", ""
    if match["word"].lower() in ("once", "when") and _DONE.fullmatch(match["condition"].strip()):
        return match["body"], "", ""
    return match["body"], match["word"].lower(), match["condition"]


def _units(sentence: str) -> list[Unit]:
    text, whatever, meanwhile, parallel = sentence, False, False, False
    if IN_ANY_CASE.search(text):
        whatever, text = True, IN_ANY_CASE.sub("", text, count=1).strip(" ,")
    while True:
        stripped = text
        match = CONNECTIVES.match(text)
        if match and match.end() < len(text) and not re.match(r"once\b", text, re.I):
            text = text[match.end() :].strip(" ,")
        match = MEANWHILE.match(text)
        if match:
            meanwhile, text = True, text[match.end() :].strip(" ,")
        if text == stripped:
            break
    if PARALLEL.search(text):
        parallel, text = True, re.sub(r"\s+([,:])", r"\1", PARALLEL.sub("", text)).strip(" ,")
        if text.strip(" :") == "":
            text = ":"
    units = _read(text)
    for index, unit in enumerate(units):
        unit.parallel = parallel
        unit.same_sentence = index > 0
        if index == 0:
            unit.whatever, unit.meanwhile = whatever, meanwhile
    return units


def _read(text: str) -> list[Unit]:
    match = OTHERWISE.match(text)
    if match and (match.end() == len(text) or match["colon"] or " " in text[match.end() :]):
        body, rest = _part_middle(text[match.end() :].strip(" ,:") or ":")
        return [Unit("else", body), *rest]
    match = _EACH.match(text)
    if match:
        items, body = match["items"].strip(), match["body"]
        inside = _boundary(items)
        if inside is not None:
            # "for each file that is new copy it and …": no comma tells where the deed begins.
            items, body = items[:inside].strip(), f"{items[inside:]}, {body}".strip(" ,")
        return [
            Unit(
                "each",
                body or ":",
                condition=re.split(r"\s+(?:that|which|who|whose|with|in|below|above|of)\b", items)[0],
            )
        ]
    match = _ON.match(text)
    if match:
        negated = match["word"].lower() == "without"
        after = re.sub(r"^or (?:if|when|on|in case)\b[^,]*,\s*", "", match["body"], flags=re.I)
        skipped = match["body"][: len(match["body"]) - len(after)]
        body, rest = _part_middle(after or ":")
        return [Unit("if", body, f"{match['rest']} {skipped}".strip(" ,"), "on", negated), *rest]
    match = _LABEL.match(text)
    if match:
        body, rest = _part_middle(match["body"])
        return [Unit("if", body, match["condition"], "label"), *rest]
    match = _IF.match(text)
    if match:
        return _conditional(match["word"].lower(), match["rest"])
    each = _EACH_WITHIN.search(text)
    if each and text[: each.start()].strip(" ,") and _EACH.match(text[each.start("each") :]):
        inner = _read(text[each.start("each") :])
        if inner[0].kind == "each" and inner[0].body != ":":
            first, then, rest = inner[0].body.partition(", then ")
            inner[0].body = first
            return [
                *_read(text[: each.start()].strip(" ,")),
                inner[0],
                *(_read(rest) if then else []),
                *inner[1:],
            ]
    body, rest = _part_middle(text)
    return [Unit("do", body), *rest]


def _conditional(word: str, rest: str) -> list[Unit]:
    condition, body = split_condition(rest)
    if word in ("once", "when", "after", "as soon as") and _DONE.fullmatch(condition.strip()):
        return _read(body) if body.strip(" :") else [Unit("do", ":")]
    colon = ":" in rest[len(condition) : len(condition) + 2]
    body, more = _part_middle(body or ":")
    return [Unit("if", body, condition, word, negated=word == "unless", colon=colon), *more]


def _part_middle(text: str) -> tuple[str, list[Unit]]:
    """Part a body from what follows in the same sentence: ", otherwise …", ", and if …, …"."""
    found = _MIDDLE_ELSE.search(text)
    conditional = next((match for match in _MIDDLE.finditer(text) if _has_own_body(match["rest"])), None)
    if conditional is not None and (found is None or conditional.start() < found.start()):
        units = _conditional(conditional["word"].lower(), conditional["rest"])
        units[0].nested = True
        return text[: conditional.start()].strip(" ,") or ":", units
    if found is not None and text[: found.start()].strip(" ,"):
        body, rest = _part_middle(found["rest"])
        return text[: found.start()].strip(" ,"), [Unit("else", body), *rest]
    return text, []


def _has_own_body(rest: str) -> bool:
    """Say whether a condition in the middle governs what comes after it rather than what stood before."""
    condition, body = split_condition(rest, only_sure=True)
    if re.match(r"(?:else|otherwise|or else)\b", body, re.I):
        return False
    return (
        bool(body.strip(" :"))
        and not re.match(r"(?:and|or)?\s*\w+\s+(?:if|when|unless)\b", body)
        and _opens_deed(body)
        and bool(condition)
    )


def _opens_deed(body: str) -> bool:
    first = re.match(r"(?:then |we |just |please |the \w+ |also )*([\w-]+)", body.strip(), re.I)
    # "order if low, notify if unavailable": the next deed has a condition of its own.
    later = re.search(r"\b(?:if|when|unless)\b", body)
    return first is not None and not (later and len(body[: later.start()].split()) <= 2)


def split_condition(rest: str, *, only_sure: bool = False) -> tuple[str, str]:
    """Part the words after an "if" into the condition and what it governs."""
    for match in re.finditer(r":\s*|,\s+|\s+then\s+", rest):
        after = rest[match.end() :]
        if (
            re.match(r"(?:or|and) (?:if|when|in case|no|it|the|there)\b", after, re.I)
            and ("," in after)
            and "," in match.group()
        ):
            continue
        if (
            match.group().startswith(",")
            and re.match(r"(?:or|and)\s+\w+(?:,|\s+(?:is|are)\b)", after)
            and "," in after
        ):
            continue
        inside = _boundary(rest[: match.start()])
        if inside is not None:
            return rest[:inside].strip(), rest[inside:].strip()
        return rest[: match.start()], after
    if rest.rstrip().endswith(":"):
        return rest.rstrip(" :"), ""
    boundary = _boundary(rest)
    if boundary is None:
        return rest, ""
    return rest[:boundary].strip(), rest[boundary:].strip()


def _boundary(rest: str) -> int | None:
    """Return where the main clause begins in a condition without a comma: "fails delete the files", "no we tell"."""
    found = list(re.finditer(r"[\w'%-]+", rest))
    for index in range(2, len(found)):
        word, before = found[index].group().lower(), found[index - 1].group().lower()
        if word in ("we", "i", "you") and before not in PREPOSITIONS:
            return found[index].start()
        if (
            word == "the"
            and index + 2 < len(found)
            and found[index + 2].group().lower() in ("has", "must", "should", "shall")
        ):
            return found[index].start()
        finite = base_of(before) is not None and (before.endswith(("s", "ed")))
        if is_base(word) and word not in NOUNS_TOO and finite and before not in PREPOSITIONS:
            return found[index].start()
    return None
