"""One spelling for what people write in many: quotes, dashes, bullets, slips of the fingers."""

import re
from difflib import get_close_matches

from workflow_service.ai.english.verbs import VERBS, base_of
from workflow_service.ai.english.word_lists import words

MAX_CHARACTERS = 20_000
_MARKS = str.maketrans({"“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "–": "-", "—": "-", "−": "-", "\u00a0": " ",
                        "…": ".", "•": "-", "▪": "-", "◦": "-", "‣": "-", "●": "-", "·": "-"})  # fmt: skip
# Words that decide what a sentence means; a slip in one of them costs more than in any other.
_KEYWORDS = words(
    """
    the then when until unless otherwise else after before finally parallel simultaneously same time repeat approval
    approved rejected against wait each every with from into their notify receive
    """
)
# What an "if" asks for most: a slip here turns yes into no.
_QUALITIES = words(
    """
    malicious suspicious available unavailable successful unsuccessful sufficient insufficient complete incomplete correct
    incorrect approved rejected declined critical urgent normal missing infected damaged overdue duplicate eligible
    """
)
_SHORT_FORMS = (
    (re.compile(r"\bwon't\b", re.I), "will not"),
    (re.compile(r"\bcan't\b|\bcannot\b", re.I), "can not"),
    (re.compile(r"n't\b", re.I), " not"),
    (re.compile(r"\b(it|that|what|there|he|she)'s\b", re.I), r"\1 is"),
    (re.compile(r"'re\b", re.I), " are"),
    (re.compile(r"'ll\b", re.I), " will"),
    (re.compile(r"'d\b", re.I), " would"),
    (re.compile(r"'ve\b", re.I), " have"),
)
_WORD = re.compile(r"[A-Za-z]{3,}")


def normalise(text: str) -> str:
    """Return the text in one spelling; line breaks and indents stay."""
    plain = text[:MAX_CHARACTERS].translate(_MARKS).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    plain = re.sub(r"```\w*", "", plain)
    plain = re.sub(
        r"\*\*(.+?)\*\*|__(.+?)__|`([^`\n]+)`", lambda match: next(filter(None, match.groups())), plain
    )
    for pattern, full in _SHORT_FORMS:
        plain = pattern.sub(full, plain)
    return _WORD.sub(lambda match: _mended(match.group()), plain)


def _mended(word: str) -> str:
    """Return a word without two swapped letters or a letter doubled wrongly, where that gives a word that matters."""
    lowered = word.lower()
    if lowered in _KEYWORDS or base_of(lowered) or not word.islower():
        return word
    swapped = (
        lowered[:index] + lowered[index + 1] + lowered[index] + lowered[index + 2 :]
        for index in range(len(lowered) - 1)
        if lowered[index] != lowered[index + 1]
    )
    for candidate in swapped:
        if candidate in _KEYWORDS or (len(candidate) > 4 and candidate in VERBS):
            return candidate
    if len(lowered) <= 4:
        return word
    known = _UNDOUBLED.get(_undoubled(lowered))
    near = (
        get_close_matches(lowered, _QUALITIES, n=1, cutoff=0.92)
        if not known and lowered not in _QUALITIES
        else []
    )
    return known or (near[0] if near and near[0][0] == lowered[0] else word)


def _undoubled(word: str) -> str:
    return re.sub(r"(.)\1", r"\1", word)


_UNDOUBLED = {_undoubled(word): word for word in sorted(_KEYWORDS) if len(word) > 4}
