"""What an "if" asks, as an expression: ``is_valid==True``, ``amount>500``; and its opposite."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from workflow_service.ai.english.verbs import base_of, is_participle
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.translator.deeds import Deed, tokens_of
from workflow_service.ai.translator.grammar import (
    ADVERBS,
    AUXILIARIES,
    DETERMINERS,
    MODALS,
    NOUNS_TOO,
    PREPOSITIONS,
    PRONOUNS,
    number_of,
)

Kind = Literal["boolean", "number", "text", "approval", "same", "opposite"]

_OPPOSITES = {
    "invalid": "valid", "unavailable": "available", "incomplete": "complete", "incorrect": "correct",
    "unsuccessful": "successful", "insufficient": "sufficient", "unapproved": "approved", "unverified": "verified",
    "disapproved": "approved", "unpaid": "paid", "unresolved": "resolved", "unsafe": "safe", "unhealthy": "healthy",
}  # fmt: skip
_NOT = words("not no never without neither nor none nobody nothing lacks lacking fails")
_ATTRIBUTES = words(
    """
    severity urgency priority status type kind category level risk class classification sentiment language country
    region tier plan rating grade color colour size department topic result decision outcome answer impact
    """
)
_CLASSIFYING = words(
    "classify categorise categorize assess determine identify find triage rate prioritise prioritize detect label"
)
_SPAN_WITHIN = re.compile(
    r"\b(?:within|in|after|for) (?:the (?:next|first) )?(?:\d+|an?|one|two|three) (?:second|minute|hour|day|week"
    r"|month)s?\b"
)
_FINE = re.compile(
    r"\b(?:go(?:es)? through|went through|pass(?:es|ed)?|succeed(?:s|ed)?|works?|worked|(?:is|are|was|were) (?:ok"
    r"|okay|fine|good|successful|green))\b"
)
_FAILED = re.compile(
    r"\b(?:fail(?:s|ed)?|breaks?|crash(?:es)?|errors? out|(?:is|are) (?:red|broken)|goes wrong|times? out)\b"
)
_YES = re.compile(
    r"\b(?:granted|approv\w*|accept(?:s|ed)?|agree[sd]?|consent\w*|say(?:s)? yes|sign(?:s|ed)?[ -]?off|permission"
    r"|ok(?:ay)?s?)\b"
)
_NO = re.compile(
    r"\b(?:reject\w*|refus\w*|declin\w*|den(?:y|ies|ied)|say(?:s)? no|disapprov\w*|veto(?:es|ed)?|turn(?:s"
    r"|ed)? (?:it )?down|objects?)\b"
)
_NUMBER = (
    r"(?P<currency>[$€£]\s?)?(?P<value>\d[\d,]*(?:\.\d+)?)(?P<percent>\s?%| percent| per cent)?(?P<k>k\b)?"
)
_BEFORE = (
    (">=", r"(?:at least|reach(?:es|ed)?|hits?|no less than|not less than|not below|a minimum of|from)"),
    (
        "<=",
        r"(?:at most|no more than|not more than|not above|not over|up to|a maximum of|at or below|within)",
    ),
    (
        ">",
        r"(?:(?:is |are |was |were )?(?:more|greater|higher|larger|bigger|longer|older|later|better|heavier"
        r"|warmer|hotter|faster|wider|richer|stronger) than|over|above|exceed(?:s|ing)?|beyond|past|>)",
    ),
    (
        "<",
        r"(?:(?:is |are |was |were )?(?:less|lower|smaller|fewer|shorter|younger|worse|lighter|colder|cooler"
        r"|slower|cheaper|weaker) than|under|below|<)",
    ),
    ("==", r"(?:equals?(?: to)?|exactly|=)"),
)
_AFTER = (
    (">=", r"(?:or|and) (?:more|higher|above|greater|over|older|better)"),
    ("<=", r"(?:or|and) (?:less|lower|below|under|fewer|younger)"),
)
_NEGATED = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}
# "If either check fails", "if both pass": about what was just done, whatever it is called.
_PARTS = words("check checks test tests either neither one two three step steps of")
_TROUBLE = words("error errors failure failures fault faults")
_SAME = re.compile(
    r"(?:so|yes|(?:they|it|he|she|that|this|we|one) (?:do|does|is|are|has|have|did|can)|(?:this|that"
    r"|it) is (?:the case|so|true)|not empty|any)\W*"
)
_OPPOSITE = re.compile(
    r"(?:not|no|(?:they|it|he|she|that|this|we|one) (?:do|does|is|are|has|have|did|can) not|(?:this|that"
    r"|it) is not (?:the case|so|true))\W*"
)
_TIMED_OUT = re.compile(
    r"\b(?:no (?:answer|reply|response)|(?:is|are) overdue|times? out|(?:does|do) not (?:answer|reply|respond))\b"
)
_EMPTY = (
    DETERMINERS
    | AUXILIARIES
    | PRONOUNS
    | ADVERBS
    | PREPOSITIONS
    | MODALS
    | words("and or but there do does did more than if when case then we system")
)


@dataclass(frozen=True, slots=True)
class Condition:
    """``name`` ``op`` ``value``; ``subject`` are the words by which the step it is about is known.

    ``kind`` same and opposite refer to the condition before. ``bare`` says that it names nothing but a quality.
    """

    text: str
    kind: Kind = "boolean"
    name: str = "condition_met"
    op: str = "=="
    value: str = "True"
    subject: frozenset[str] = frozenset()
    bare: bool = False
    about_failure: bool = False
    about_question: bool = False
    raw: str = ""

    @property
    def expression(self) -> str:
        if self.raw:
            return self.raw
        return f"{self.name}{self.op}{self.value}"

    @property
    def negative(self) -> bool:
        """Whether it asks for what is not so."""
        return self.value == "False"

    def opposite(self) -> "Condition":
        """Return the condition that holds where this one does not."""
        if self.raw:
            return _with(self, raw=f"not ({self.raw})")
        if self.value in ("True", "False"):
            return _with(self, value="False" if self.value == "True" else "True")
        return _with(self, op=_NEGATED[self.op])

    def completes(self, other: "Condition") -> bool:
        """Say whether this and ``other`` between them cover every case."""
        return self.opposite().expression == other.expression


def read_condition(text: str, before: Condition | None = None, decider: Deed | None = None) -> Condition:
    """Return what a condition in words asks. ``before`` is the one told last, ``decider`` the deed that it follows."""
    said = re.sub(
        r"^(?:that|the fact that|and|or|but|also|however|only|still|even|in case)\s+",
        "",
        text.lower().strip(" ,.:;"),
    )
    first = (
        re.split(
            r"\s(?:but|yet)\s|,?\s(?:or|and) (?:if|when|in case)\s|\s(?:and|or)\s(?=(?:the|no|it|they)\s)",
            said,
        )[0].strip(" ,")
        or said
    )
    subject = frozenset(_stems(first))
    both = re.split(r"\s+and\s+(?:also\s+)?", said)
    if (
        len(both) == 2
        and re.search(r"\d", both[1])
        and not re.search(r"between", said)
        and not re.search(r"\d", both[0])
    ):
        one, two = read_condition(both[0], before, decider), read_condition(both[1], None, decider)
        return _with(one, text=text, raw=f"{one.expression} and {two.expression}")
    if first in ("no", "not") and before is not None and before.kind == "boolean" and before.about_question:
        return _with(before, value="False", text=text)
    if before is None and _SAME.fullmatch(first) and decider is not None and decider.object:
        return Condition(text, name=_identifier(["is", *decider.object[-2:]]) or "is_so", subject=subject)
    if _OPPOSITE.fullmatch(first):
        return _with(before.opposite(), text=text) if before else Condition(text, "opposite", value="False")
    if _SAME.fullmatch(first) and before is not None and before.about_question:
        return _with(before, value="True", text=text)
    if _SAME.fullmatch(first):
        return (
            _with(before.opposite(), text=text)
            if before and before.negative
            else _with(before, text=text)
            if before
            else Condition(text, "same")
        )
    first = _SPAN_WITHIN.sub("", first).strip() or first
    numeric = _numeric(first, before, decider)
    if numeric is not None:
        return _with(numeric, text=text, subject=subject)
    answered = _answered(first)
    if answered is not None:
        return _with(answered, text=text, subject=subject)
    return _with(_boolean(first, before, decider), text=text, subject=subject)


def _numeric(said: str, before: Condition | None, decider: Deed | None) -> Condition | None:
    said = re.sub(r"(?<![\d-])(\d[\d,.]*) ?- ?(\d[\d,.]*)(?![\d-])", r"between \1 and \2", said)
    between = re.search(rf"between {_NUMBER} and (?P<top>\d[\d,]*(?:\.\d+)?)", said)
    if between:
        return Condition(
            said, "number", _measure(said[: between.start()], said, before, decider), ">=", _value(between)
        )
    for table, order in (
        (_AFTER, r"{number}\s*(?:\w+\s+){{0,2}}{words}"),
        (_BEFORE, r"{words}\s+(?:the |a |an |its |their )?{number}"),
    ):
        for op, pattern in table:
            match = re.search(order.format(number=_NUMBER, words=pattern), said)
            if match:
                rest = said[match.end() :]
                name = _measure(said[: match.start()], rest, before, decider)
                return Condition(said, "number", name, op, _value(match))
    if (
        before is not None
        and before.kind == "number"
        and re.fullmatch(
            r"(?:it is |they are )?(?:lighter|smaller|shorter|cheaper|younger|fewer|heavier|larger|longer|older"
            r"|bigger)",
            said,
        )
    ):
        return _with(before.opposite(), text=said)
    direction = re.fullmatch(r"(?:it is |they are )?(?:still )?(below|above|under|over|higher|lower)", said)
    if direction and before is not None and before.kind == "number":
        up = direction[1] in ("above", "over", "higher")
        return _with(before, op=">" if up else "<", text=said)
    return None


def _value(match: re.Match[str]) -> str:
    number = number_of(match["value"]) or 0
    if match["k"]:
        number *= 1_000
    return str(int(number)) if number == int(number) else str(number)


def _measure(left: str, right: str, before: Condition | None, decider: Deed | None) -> str:
    """Return the name of what is measured: said before the number, else after it, else known from before."""
    named = [word for word in _content(left) if word not in ("score of",)]
    if not named and before is not None and before.kind == "number":
        return before.name
    if not named and "of the" in right:
        named = _content(right.split("of the", 1)[1])
    if (
        not named
        and decider is not None
        and decider.object
        and not re.search(r"euro|dollar|usd|eur|\$|€|£", f"{left}{right}")
    ):
        named = list(decider.object[-2:])
    return _identifier(named[-3:]) or "amount"


def _answered(said: str) -> Condition | None:
    """Read what people answer: "approved", "the manager says no", "on rejection"."""
    yes, no = _YES.search(said), _NO.search(said)
    if not yes and not no:
        return None
    negations = sum(word in _NOT for word in said.split()) - (1 if no and "say" in no.group() else 0)
    held = (bool(no) + max(negations, 0)) % 2 == 0
    return Condition(said, "approval", "approved", "==", str(held))


def _boolean(said: str, before: Condition | None, decider: Deed | None) -> Condition:
    raw = re.findall(r"[a-z][\w'-]*", said)
    held = sum(word in _NOT - {"fails"} for word in raw) % 2 == 0
    if _TIMED_OUT.search(said) and "overdue" not in said:
        return Condition(said, name="timed_out")
    failed, fine = _FAILED.search(said), _FINE.search(said)
    if failed or fine:
        match = failed or fine
        named = [word for word in _content(said[: match.start()])[-3:] if word not in _PARTS] if match else []
        verb = "success" if failed or "succe" in said or not re.search(r"pass", said) else "passed"
        good = (not failed) == held
        if before is not None and before.about_failure and not named:
            return _with(before, value=str(good))
        return Condition(
            said, name=_identifier([*named, verb]), value=str(good), about_failure=True, bare=not named
        )
    attribute = re.match(
        rf"(?:the |its |their )?(?:[\w'-]+ )*?({'|'.join(sorted(_ATTRIBUTES))})s? (?:is|are|was"
        rf"|equals) (not )?(\w[\w-]*)$",
        said,
    )
    if attribute:
        op = "!=" if attribute[2] else "=="
        return Condition(said, "text", attribute[1], op, f"'{attribute[3]}'")
    named = _content(said)
    bare = len(named) == 1 and (
        len(raw) == 1 or raw[0] in PRONOUNS | {"not", "it"} or raw[:2] == ["they", "are"]
    )
    if bare and before is not None and before.kind == "text":
        return Condition(said, "text", before.name, "==" if held else "!=", f"'{named[0]}'", bare=True)
    if (
        bare
        and decider is not None
        and decider.verb.split()[0] in _CLASSIFYING
        and named[0] not in _OPPOSITES
    ):
        known = [word for word in decider.object if word in _ATTRIBUTES]
        return Condition(
            said,
            "text",
            known[0] if known else "category",
            "==" if held else "!=",
            f"'{named[0]}'",
            bare=True,
        )
    if named and named[-1] in _OPPOSITES:
        named, held = [*named[:-1], _OPPOSITES[named[-1]]], not held
    if bare and before is not None and before.name.endswith(f"_{named[0]}"):
        return _with(before, value=str(held))
    exists = re.match(
        r"(?:there (?:is|are|was|were)|we (?:have|find|get)) (?:an? |any |some |no )?", said
    ) or re.match(r"(?:no|any) [\w-]+(?: [\w-]+)?$", said)
    if exists and named and not is_participle(named[-1]):
        return Condition(said, name=_identifier([*named[:3], "found"]), value=str(held))
    named = [_finite(word, last=index + 1 == len(named)) for index, word in enumerate(named)]
    if len(named) > 1 and named[-1] not in _TROUBLE:
        # What is high about an error rate is the rate; "error_rate_high" would sound like trouble twice.
        named = [word for word in named if word not in _TROUBLE] or named
    name = _identifier(named[-4:] if len(named) > 4 else named)
    if bare or (len(named) == 1 and name):
        name = f"is_{name}"
    return Condition(said, name=name or "condition_met", value=str(held), bare=bare)


def _content(text: str) -> list[str]:
    found = [word.lower() for word in tokens_of(text) if word not in ",:;()"]
    return [
        re.sub(r"'s?$", "", word)
        for word in found
        if word not in _EMPTY | _NOT | {"fails"} and not word[0].isdigit()
    ]


def _finite(word: str, *, last: bool) -> str:
    """Return the base of a verb in the third person, so that "permits" and "does not permit" are one."""
    base = base_of(word)
    return (
        base
        if base is not None and word.endswith("s") and (base not in NOUNS_TOO or not last) and base != word
        else word
    )


def _identifier(named: list[str]) -> str:
    name = re.sub(r"\W+", "_", "_".join(named)).strip("_")[:60]
    return name if name[:1].isalpha() else ""


def _stems(text: str) -> list[str]:
    return [stem_of(word) for word in _content(text)]


def stem_of(word: str) -> str:
    """Return a word without what forms and plurals add, so that "payments" and "payment" are one."""
    lowered = word.lower()
    if lowered.endswith("s") and not lowered.endswith("ss") and len(lowered) > 3:
        lowered = lowered[:-1]
    return base_of(lowered) or lowered


def _with(condition: Condition, **changes: Any) -> Condition:
    return replace(condition, **changes)
