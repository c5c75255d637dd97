"""A paragraph as units: what is to be done, and under which condition, in the order it is told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from workflow_service.ai.english.verbs import base_of, is_base, is_participle
from workflow_service.ai.translator.grammar import (
    AUXILIARIES,
    CONNECTIVES,
    DETERMINERS,
    IN_ANY_CASE,
    MEANWHILE,
    MODALS,
    NOUNS_TOO,
    OTHERWISE,
    PARALLEL,
    PARTICLES,
    PREPOSITIONS,
    PRONOUNS,
)

UnitKind = Literal["do", "if", "else", "each", "ask", "while", "options"]

MAX_SENTENCE = 1_000
_ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|etc|vs|approx|no|nr|dr|mr|mrs|ms|inc|ltd|max|min)\.", re.I)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(0-9<>])|(?<=[.!?])\s*$|;\s*|\n+")
_LEAD_IN = re.compile(
    r"(?:(?:ok|okay|so|well|right|now|alright)\b,?\s+)*(?:(?:please )?(?:i|we)(?: would| will)? (?:want|need|like"
    r"|wish)(?: to (?:have|build|create|set up))? (?:an? |the )?[\w -]*?"
    r"(?:workflow|pipeline|process|automation|flow|procedure)\s*(?:that|which|to|where|for|in which|:)\s*"
    r"|(?:please )?(?:create|build|design|make|set up|define|generate|write|implement|draft)(?: me| us)? (?:an? "
    r"|the |our )?[\w /-]*?"
    r"(?:workflow|pipeline|process|automation|flow|procedure)\b(?: \w+){0,3}?\s*(?:that|which|to|where|for"
    r"|in which|:)\s*"
    r"|as an? [\w -]+?,? (?:i|we) (?:want|need|would like|wish)\b[^:.]*[:.]\s*"
    r"|(?:please )?(?:follow|use|observe) (?:this|these|the (?:new|following|below|next)) (?:process|steps?"
    r"|procedure|workflow)s?\b[^.:]*[.:]\s*"
    r"|(?:here is|this is|these are|below is|the following)\b[^.:]*[.:]\s*)",
    re.I,
)
_EACH = re.compile(
    r"(?:then )?(?:for (?:each|every|all|any)(?: (?:of )?the| of (?:these|those|them))?|once (?:for each|per)|per) "
    r"(?P<items>[^,:]+?)(?:,|:| do\b| we\b| then\b|$)\s*(?P<body>.*)",
    re.I | re.S,
)
_EACH_WITHIN = re.compile(r"(?:,\s*(?:and |then )*|\s(?:and|then) )(?P<each>for (?:each|every|all)\b)", re.I)
_STATE = re.compile(
    r"(?:all |any |the )?(?P<state>(?:not )?(?:approved|accepted|rejected|declined|denied|refused|valid|invalid"
    r"|passing|failing|failed|successful|unsuccessful"
    r"|complete|incomplete|eligible|ineligible|qualified|unqualified|damaged|defective|faulty|duplicate"
    r"|suspicious|positive|negative|healthy"
    r"|high[- ]risk|low[- ]risk|medium[- ]risk|urgent|non-?urgent|critical|simple|complex))\s+(?P<noun>(?:ones?"
    r"|[a-z]+)(?: [a-z]+)?)"
    r"\s+(?P<body>(?:is|are|go|goes|get|gets|must|should|shall|will|need|needs|has|have)\b.+)",
    re.I | re.S,
)
_NAME = re.compile(r"(?P<name>[A-Za-z][\w-]*(?: [\w-]+)?)(?::| -| =>)\s+(?P<body>[^:]+)", re.S)
_SPAN = (
    r"(?:\d+|an?|one|two|three|four|five|six|ten|twelve|another)[ -](?:second|minute|hour|day|week|month)s?"
)
_AFTER_TIME = re.compile(
    rf"after (?:about |another )?(?P<span>{_SPAN}),?\s+(?P<body>(?!of\b|without\b).+)", re.I | re.S
)
_LATER = re.compile(rf"\b(?P<span>{_SPAN}) (?:later|afterwards)\b", re.I)
_COMPARED = (
    r"(?:over|above|below|under|more than|less than|fewer than|at least|at most|exceeding"
    r"|older than|larger than|smaller than|greater than|up to|between \d+ and)"
)
_SUCH = re.compile(
    rf"(?P<head>(?!if\b|when\b|for\b)[\w' -]{{2,40}}?)\s+(?P<condition>(?:with|whose|that|which|who|having"
    rf"|of)?\b[\w' -]*?\b{_COMPARED}\s+[$€£]?\d[\w.,%]*(?: (?:dollars|euros|percent|days|hours|units|points|usd"
    rf"|eur))?)"
    r"\s+(?P<body>(?:is|are|go|goes|get|gets|must|should|shall|will|need|needs|has|have)\b.+)",
    re.I | re.S,
)
# "Blurry? Ask for a new one." is an "if"; "Did it help?" before a yes and a no is a question.
_ASKED = re.compile(
    r"(?P<lead>^|[.;!] +)(?!(?:is|are|was|were|do|does|did|has|have|can|will|should|what|who|how|why|where|when"
    r"|if)\b)"
    r"(?P<what>[A-Za-z][^.?!;]{1,60})\?\s+(?!(?:yes|no|if)\b)(?=\w)",
    re.I,
)
_ARROW_CASE = re.compile(r"(?P<condition>[^,;:]{2,40}?)\s*(?:->|=>)\s*(?P<body>.+)", re.S)
_IN_WHICH_CASE = re.compile(
    r"(?P<deed>.+?),?\s+unless\s+(?P<condition>[^,]+),\s+in (?:which|that) case\s+(?P<body>.+)", re.I | re.S
)
_A_QUALITY = re.compile(
    r"\w+(?:ed|ous|ive|al|able|ible|ful|less|ic|ant|ent)|good|bad|new|old|late|safe|unsafe|correct|incorrect"
    r"|complete|broken|big|small|high|low|heavy|light",
    re.I,
)
_KIND_OF = re.compile(
    r"(?P<state>(?!the\b|an?\b|all\b|each\b|every\b|any\b|this\b|these\b|our\b|their\b|its\b"
    r"|both\b)[A-Za-z-]{3,20})\s+(?P<noun>[a-z]+)\s+"
    r"(?P<rest>(?:is|are|go|goes|get|gets|must|should|shall|will)\b.+)",
    re.I | re.S,
)
_DEPENDING = re.compile(
    r"(?:depending on|based on|according to|by) (?:the |its |their )?(?P<about>[\w ]{2,40}?)(?:,|:|$)\s*(?P<body>.*)",
    re.I | re.S,
)
_WHILE = re.compile(r"(?:while|as long as)\s+(?P<rest>.+)", re.I | re.S)
_WHILE_WITHIN = re.compile(r",?\s+while\s+(?=(?:the |a |an |\w+ )?\w+(?: \w+)? \w+s\b|\w+ing\b)", re.I)
_INDIRECT = re.compile(
    r"\b(?:check|checks|see|sees|look|looks|verify|verifies|determine|determines|decide|decides|ask|asks|test"
    r"|tests|know|find out|finds out|tell|confirm|confirms|wonder)\s*$",
    re.I,
)
_ON_EVENT = re.compile(
    r"(?:on|upon) (?P<what>(?:an? |the |any |every |each )?[\w' -]{3,50}?)[,:]\s*(?P<body>.*)", re.I | re.S
)
_SUCH_OR_REST = re.compile(
    r"(?P<head>(?!if\b|when\b|for\b)[\w' -]{2,30}?)\s+(?:that|which|who|whose|with)\s+(?P<condition>[^,;]{3,60}?)\s+"
    r"(?P<body>(?:is|are|must be|will be|shall be|go|goes|get|gets)\b.+)",
    re.I | re.S,
)
_QUESTION = re.compile(
    r"(?:is|are|was|were|do|does|did|has|have|can|will|should)\s+(?P<what>[^?]+)\?+", re.I | re.S
)
_LABEL = re.compile(
    r"(?P<condition>(?:not |if not )?(?:approved|rejected|accepted|declined|denied|refused|agreed|yes|no"
    r"|pass(?:ed)?|fail(?:ed|ure)?|success(?:ful)?"
    r"|valid|invalid|ok|high|medium|low|normal|urgent|critical)"
    r"|[\w -]{2,30}? (?:above|below|over|under|between|of at least|at least|at most|from) \$?\d[^:]{0,30}?"
    r"|[<>]=?\s*\$?\d[\d.,]*\s?%?|\d[\d.,]*\s?-\s?\d[\d.,]*"
    r"|an? [\w -]{2,40}? of [^:]{1,40}|between [^:]{1,40}|(?:more|less|fewer|lower|higher|greater) than [^:]{1,40}"
    r"|(?:above|below|over|under|at least|at most|up to) [^:]{1,40}|\d[^:]{0,30}(?:or|and) (?:more|less|above"
    r"|below|higher|lower)[^:]{0,20})"
    r"\s*(?::|->|=>|-)\s+(?P<body>.+)",
    re.I | re.S,
)
_IF = re.compile(
    r"(?P<word>else,? if|elif|elsif|or if|and if|but if|only if|even if|if(?! not,)|whenever|when|unless"
    r"|in case(?: that| of)?|provided(?: that)?|should"
    r"|as soon as|once|after|assuming|in the event (?:that|of)|where)\s+(?P<rest>.+)",
    re.I | re.S,
)
_ON = re.compile(
    r"(?P<word>on|upon|with|without|after|in case of)\s+(?P<rest>(?:an? |the |any |every )?(?:[\w-]+ )??"
    r"(?:approval|rejection|refusal|failure|success|error|errors|timeout|upload|arrival|receipt|submission"
    r"|request|sign-?up|denial|consent|push|commit|merge|creation))"
    r"\b,?\s*(?P<body>.*)",
    re.I | re.S,
)
_MIDDLE = re.compile(
    r"(?:,\s*|\s+)(?:and |but |or |then )?(?P<word>if|when|unless|in case|provided(?: that)?|elif|else if"
    r"|should(?= (?:any|it|this|that|the|one|some|something|a|an)\b))\s*,?\s+(?P<rest>.+)",
    re.I | re.S,
)
_MIDDLE_ELSE = re.compile(
    r"(?:,\s*(?:and |or |but )?|\s+(?:and |or )?)(?:otherwise|or else|else(?! if)|if not"
    r"|(?:all |any |the )?(?:others|rest)(?= \w)|(?:everything|everyone|anything) else(?= \w))\b[,:]?\s+(?P<rest>.+)",
    re.I | re.S,
)
_DONE = re.compile(
    r"(?:all|both|everything|these|those|they|that|this|it|the \w+|each|every\w*|any|one)?(?: of (?:that|this"
    r"|these|them|those|the \w+))?"
    r"(?: (?:three|two|four|five|steps?|tasks?|parts?|checks?|of them))*\s*(?:(?:is|are|has been|have been|was"
    r"|were|has|have)\s+)?"
    r"(?:all )?(?:done|complete|completed|finished|back|ready|over|in|through|available|settled)?"
    r"|(?:they|it|these|those) (?:is|are|has|have)(?: been)? (?!(?:approved|accepted|rejected|signed|confirmed"
    r"|agreed|declined)\b)\w+ed"
    r"|(?:all|every|each|both|everything|everyone)(?: the| of the)?(?: \w+){0,2} (?:is|are|has been|have been|was"
    r"|were|has|have) (?:\w+ed|done|sent|paid|through|in|back)",
    re.I,
)
_POSTPOSED = re.compile(
    r"(?P<body>.+?)[,]?\s+(?P<word>only if|if|unless|when|once|in case)\s+(?P<condition>[^,]+)$", re.I | re.S
)


@dataclass(slots=True)
class Unit:
    """``body`` is what is done; ``condition`` the words of an "if" (``negated``: an "unless"), or items.

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
    plain = _ASKED.sub(lambda match: f"{match['lead'] or ''}If {match['what'].strip()}, ", plain)
    plain = re.sub(r"\(([^()]*)\)", lambda match: match.group().replace(";", ","), plain)
    for part in re.split(r"(?<=;)", plain):
        for index, sentence in enumerate(split_sentences(part)):
            found = _units(sentence)
            if found and index == 0:
                found[0].joined = bool(units)
            units += found
    return _contrasted(units)


def _contrasted(units: list[Unit]) -> list[Unit]:
    """Read "contaminated blood is destroyed; otherwise …" and "good parts are packed. Bad parts …" as cases."""
    for index, unit in enumerate(units):
        after = units[index + 1] if index + 1 < len(units) else None
        if unit.kind == "if" and unit.word == "state" and after is not None and after.kind == "do":
            noun, other = unit.body.split()[0].lower(), _KIND_OF.fullmatch(after.body)
            if other is not None and other["noun"].lower() == noun:
                after.kind, after.body = "else", f"{other['noun']} {other['rest']}"
            continue
        match = _KIND_OF.fullmatch(unit.body) if unit.kind == "do" else None
        if match is None or not _A_QUALITY.fullmatch(match["state"]):
            continue
        following = units[index + 1] if index + 1 < len(units) else None
        other = (
            _KIND_OF.fullmatch(following.body) if following is not None and following.kind == "do" else None
        )
        paired = (
            other is not None
            and other["noun"].lower() == match["noun"].lower()
            and other["state"].lower() != match["state"].lower()
        )
        if following is None or not (paired or following.kind == "else"):
            continue
        unit.kind, unit.condition, unit.word = "if", match["state"], "state"
        unit.body = f"{match['noun']} {match['rest']}"
        if paired and other is not None:
            following.kind = "else"
            following.body = f"{other['noun']} {other['rest']}"
    return units


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, parted by full stops, semicolons and line breaks."""
    kept = _ABBREVIATIONS.sub(lambda match: match.group()[:-1], text)
    kept = re.sub(
        r"\(([^()]*)\)", lambda match: " (" + match[1].replace(";", ",").replace(". ", ", ") + ") ", kept
    )
    kept = re.sub(
        r"(?im)^\s*(?:pre-?conditions?|post-?conditions?|actors?|trigger|goal|scope|purpose|assumptions?)\s*:[^\n]*$",
        "",
        kept,
    )
    parts = [part.strip(" .!") for part in _SENTENCE.split(kept) if part and part.strip(" .!?;,")]
    parts = [piece for part in parts for piece in _bounded(part)]
    return [part for part in parts if not part.endswith("?") or _QUESTION.fullmatch(part)]


def _bounded(sentence: str) -> Iterator[str]:
    """Yield a sentence in pieces that are no longer than people write them."""
    while len(sentence) > MAX_SENTENCE:
        cut = (
            max(sentence.rfind(", ", 0, MAX_SENTENCE), sentence.rfind(" ", 0, MAX_SENTENCE)) + 1
            or MAX_SENTENCE
        )
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    yield sentence


def postposed(clause: str) -> tuple[str, str, str]:
    """Return a clause's deed, and the word and text of a condition behind it ("send it if valid"), or empty texts."""
    match = _POSTPOSED.fullmatch(clause.strip())
    if match is None or _INDIRECT.search(match["body"]):
        return clause, "", ""
    if match["word"].lower() in ("once", "when") and _DONE.fullmatch(match["condition"].strip()):
        return match["body"], "", ""
    return match["body"], match["word"].lower(), match["condition"]


def _units(sentence: str) -> list[Unit]:
    question = _QUESTION.fullmatch(sentence.strip())
    if question:
        return [Unit("ask", "", condition=question["what"])]
    together = _WHILE_WITHIN.search(sentence)
    if together and not _IF.match(sentence) and sentence[: together.start()].strip():
        # "A checks it while B drafts it": at the same time.
        sentence = f"{sentence[: together.start()]} and {sentence[together.end() :]} at the same time"
    opening = re.match(r"[^:]*:\s*(?=\S)", sentence)
    if opening and PARALLEL.search(opening.group()) and not _IF.match(sentence) and not _EACH.match(sentence):
        inner = _units(sentence[opening.end() :])
        for unit in inner:
            unit.parallel = True
        return inner
    apart = _apart(sentence)
    if len(apart) > 1:
        return [unit for part in apart for unit in _units(part)]
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


def _apart(sentence: str) -> list[str]:
    """Part a sentence so that "in parallel" stays with the deeds it is about."""
    match = PARALLEL.search(sentence)
    if match is None or _IF.match(sentence) or _EACH.match(sentence) or sentence.rstrip().endswith(":"):
        return [sentence]
    before, after = sentence[: match.end()], sentence[match.end() :].strip(" ,")
    if match.start() == 0:
        return [sentence]
    parts = [
        one.strip(" ,")
        for one in re.split(r",\s*(?:and )?then\s+|\s+(?:and )?then\s+|,\s*after which\s+", before)
    ]
    if after and len(parts) == 1 and ", " in before:
        head, _, scope = before.rpartition(", ")
        # "Run A, run B and run C": one list, for they begin alike.
        alike = head.split(maxsplit=1)[0].lower() == scope.split(maxsplit=1)[0].lower()
        apart = " and " in scope and not scope.startswith("and ") and not alike
        parts = [head, scope] if apart else parts
    if after and not re.match(r"(?:\(|if\b|for\b|with\b|on\b|in\b|to\b|at\b)", after):
        parts.append(re.sub(r"^(?:and |then )+", "", after))
    elif after:
        parts[-1] = f"{parts[-1]} {after}"
    return [part for part in parts if part]


def _read(text: str) -> list[Unit]:
    match = _ARROW_CASE.fullmatch(text)
    if match:
        first, *more = re.split(r",\s+(?=[^,]{2,40}?(?:->|=>))", match["body"])
        body, inner = _part_middle(first)
        rest = [*inner, *(unit for piece in more for unit in _read(piece))]
        if OTHERWISE.fullmatch(match["condition"].strip()):
            return [Unit("else", body), *rest]
        condition = re.sub(r"^(?:if|when)\s+", "", match["condition"], flags=re.I).strip(" ?")
        return [Unit("if", body, condition, "arrow"), *rest]
    match = _IN_WHICH_CASE.fullmatch(text)
    if match:
        body, then, after = match["body"].partition(", then ")
        return [
            Unit("if", body, match["condition"], "if"),
            Unit("else", match["deed"], same_sentence=True),
            *(_read(after) if then else []),
        ]
    match = _DEPENDING.match(text)
    if match:
        body = match["body"].strip(" :")
        return [
            Unit("ask", body, condition=match["about"], word="depending"),
            *([Unit("options", body, match["about"])] if body else []),
        ]
    match = _WHILE.match(text)
    if match:
        condition, body = split_condition(match["rest"])
        if body.strip(" :"):
            return [Unit("while", body, condition)]
    match = _SUCH_OR_REST.fullmatch(text)
    if match:
        body, rest = _part_middle(match["body"])
        if rest:
            return [Unit("if", f"{match['head']} {body}", match["condition"], "such"), *rest]
    match = _AFTER_TIME.match(text)
    if match:
        return [Unit("do", f"wait {match['span']}"), *_read(match["body"])]
    match = _LATER.search(text)
    if match and text[: match.start()].strip():
        return [
            Unit("do", f"wait {match['span']}"),
            *_read(f"{text[: match.start()]} {text[match.end() :]}".strip()),
        ]
    match = _SUCH.fullmatch(text)
    if match:
        body, rest = _part_middle(match["body"])
        return [Unit("if", f"{match['head']} {body}", f"{match['head']} {match['condition']}", "such"), *rest]
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
        within = re.match(
            r"(?:while|when|during|of|in|from|by|at|with)\b([^,]*),\s*(.+)", match["body"], re.I | re.S
        )
        if within:
            body, rest = _part_middle(within[2])
            return [
                Unit(
                    "if",
                    body,
                    f"{match['rest']} {match['body'][: within.start(2)]}".strip(" ,"),
                    "on",
                    negated,
                ),
                *rest,
            ]
        after = re.sub(r"^or (?:if|when|on|in case)\b[^,]*,\s*", "", match["body"], flags=re.I)
        skipped = match["body"][: len(match["body"]) - len(after)]
        body, rest = _part_middle(after or ":")
        return [Unit("if", body, f"{match['rest']} {skipped}".strip(" ,"), "on", negated), *rest]
    match = _IF.match(text)
    if match:
        return _conditional(match["word"].lower(), match["rest"])
    match = _ON_EVENT.match(text)
    if match:
        return [Unit("if", match["body"] or ":", match["what"], "event")]
    match = _LABEL.match(text)
    if match:
        body, rest = _part_middle(match["body"])
        return [Unit("if", body, match["condition"], "label"), *rest]
    match = _STATE.fullmatch(text)
    if match:
        return [Unit("if", f"{match['noun']} {match['body']}", match["state"], "state")]
    match = _NAME.fullmatch(text)
    if match and not _EACH.match(text) and not _IF.match(text):
        body, rest = _part_middle(match["body"])
        return [Unit("if", body, match["name"], "name"), *rest]
    each = _EACH_WITHIN.search(text)
    if each and text[: each.start()].strip(" ,") and _EACH.match(text[each.start("each") :]):
        inner = _read(text[each.start("each") :])
        if inner[0].kind == "each" and inner[0].body != ":":
            first, then, after = inner[0].body.partition(", then ")
            inner[0].body = first
            return [
                *_read(text[: each.start()].strip(" ,")),
                inner[0],
                *(_read(after) if then else []),
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
    conditional = next(
        (
            match
            for match in _MIDDLE.finditer(text)
            if not _INDIRECT.search(text[: match.start("word")]) and _has_own_body(match["rest"])
        ),
        None,
    )
    if conditional is not None and (found is None or conditional.start() < found.start()):
        units = _conditional(conditional["word"].lower(), conditional["rest"])
        # "…, and if …" goes on within the case; "…, if …" is another case.
        units[0].nested = bool(
            re.search(r"\b(?:and|but|then)\b", text[conditional.start() : conditional.start("word")], re.I)
        )
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
    for index in range(1, len(found)):
        word, before = found[index].group().lower(), found[index - 1].group().lower()
        after = [one.group().lower() for one in found[index + 1 : index + 6]]
        finite = base_of(before) is not None and before.endswith(("s", "ed"))
        if index == 1 and not (
            is_base(word) and word not in NOUNS_TOO and (is_participle(before) or before.endswith("id"))
        ):
            continue
        if (
            word in ("it", "they")
            and (is_participle(before) or base_of(before) is None)
            and after[:1]
            and (
                after[0] in ("is", "are", "will", "must")
                and before not in PREPOSITIONS | DETERMINERS | AUXILIARIES | {"that", "if"}
            )
        ):
            return found[index].start()
        if word in ("we", "i", "you") and before not in PREPOSITIONS - PARTICLES:
            return found[index].start()
        if (
            word == "the"
            and index + 2 < len(found)
            and found[index + 2].group().lower() in ("has", "must", "should", "shall")
        ):
            return found[index].start()
        named = before not in PREPOSITIONS | DETERMINERS | AUXILIARIES | MODALS and before != "not"
        if (
            is_base(word)
            and after[:1]
            and after[0] in DETERMINERS | PRONOUNS
            and named
            and index > 1
            and base_of(before) is None
        ):
            return found[index].start()
        if (
            word in ("the", "a", "an")
            and finite
            and before not in PREPOSITIONS
            and set(after[1:5]) & {"is", "are", "must", "shall"}
        ):
            return found[index].start()
        if is_base(word) and word not in NOUNS_TOO and finite and before not in PREPOSITIONS:
            return found[index].start()
    return None
