"""One spelling for what people write in many: quotes, dashes, bullets, slips of the fingers."""

import re
from difflib import get_close_matches

from workflow_service.ai.english.verbs import VERBS, base_of
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.translator.grammar import (
    ADVERBS,
    AUXILIARIES,
    DETERMINERS,
    MODALS,
    NOUNS_TOO,
    NUMBERS,
    PEOPLE,
    PREPOSITIONS,
    PRONOUNS,
)

MAX_CHARACTERS = 20_000
_MARKS = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e", '"'),
        **dict.fromkeys("\u2018\u2019", "'"),
        **dict.fromkeys("\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u2022\u25aa\u25e6\u2023\u25cf\u00b7", "-"),
        "\u00a0": " ",
        "\u2026": ".",
    }
)
# Words that decide what a sentence means; a slip in one of them costs more than in any other.
_KEYWORDS = words(
    """
    the then when until unless otherwise else after before finally parallel simultaneously same time repeat approval
    approved rejected against wait each every with from into their notify receive and for not all are but have this that
    does did done due over very much many other only same just here where while since both such own out off per via more
    less most least them they wrong right customer contact department document failed error errors manager
    employee application
    """
)
_KNOWN = (
    _KEYWORDS
    | NOUNS_TOO
    | PEOPLE
    | DETERMINERS
    | PREPOSITIONS
    | PRONOUNS
    | ADVERBS
    | AUXILIARIES
    | MODALS
    | frozenset(NUMBERS)
)
# What an "if" asks for most: a slip here turns yes into no.
_QUALITIES = words(
    """
    malicious suspicious available unavailable successful unsuccessful sufficient insufficient complete
    incomplete correct
    incorrect approved rejected declined critical urgent normal missing infected damaged overdue duplicate eligible
    """
)
_SHORT_FORMS = (
    (re.compile(r"\bwon't\b", re.I), "will not"),
    (re.compile(r"\bcan't\b|\bcannot\b", re.I), "can not"),
    (re.compile(r"n't\b", re.I), " not"),
    (re.compile(r"\b(it|that|what|there|here|he|she)'s\b", re.I), r"\1 is"),
    (re.compile(r"'re\b", re.I), " are"),
    (re.compile(r"'ll\b", re.I), " will"),
    (re.compile(r"'d\b", re.I), " would"),
    (re.compile(r"'ve\b", re.I), " have"),
)
_INLINE_NUMBER = re.compile(r"(?:(?<=\s)|^)\(?(\d{1,2})[.)](?=\s)")
_INLINE_TAG = re.compile(r"(?:(?<=\s)|^)([A-Z]{1,6}-?\d{1,4}(?:\.\d{1,3})*)[:.)](?=\s)")
_ARROW = re.compile(r"\s*(?:->|=>|→|⇒|>>)\s*")
_FILLERS = re.compile(
    r"\b(?:um+|uh+|er+m?|basically|you know|i mean|i guess|kind of|sort of|like,|actually|obviously|of course"
    r"|please)\b,?\s*"
    r"|\b(?:you|we|i|they)(?: (?:then|just|first|also))? (?:want to|need to|have to|got to|would like to"
    r"|should probably|are going to|will have to)\s+",
    re.I,
)
_WORD = re.compile(r"[A-Za-z]{3,}")


def normalise(text: str) -> str:
    """Return the text in one spelling; line breaks and indents stay."""
    plain = text[:MAX_CHARACTERS].translate(_MARKS).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    # Blank lines beyond the first say nothing, and cost time.
    plain = re.sub(r"\n\s*\n", "\n\n", plain)
    # "When … / Then …" on lines of their own are one sentence.
    plain = re.sub(r"(?im)^([ \-*]*(?:and |but )?(?:when|if)\b[^,\n]*)\n\s*then\b", r"\1, then", plain)
    plain = re.sub(r"(?im)^\s*given\b[^\n,]*$", "", plain)
    plain = re.sub(r",\s*(?:right|ok|okay|yes|no|correct)\?", ".", plain, flags=re.I)
    # Indents say what belongs to what; other blanks say nothing, and cost time.
    plain = re.sub(r"(?m)^ {40,}", " " * 40, re.sub(r"(?<=\S) {2,}|[ ]+$", " ", plain, flags=re.M))
    plain = _lines_of_inline_lists(re.sub(r"```\w*", "", plain))
    plain = re.sub(
        r"\*\*(.+?)\*\*|__(.+?)__|`([^`\n]+)`", lambda match: next(filter(None, match.groups())), plain
    )
    for pattern, full in _SHORT_FORMS:
        plain = pattern.sub(full, plain)
    plain = re.sub(r"(?<=[\w)]) +[+&] +(?=\w)", " and ", plain)
    plain = re.sub(r"\bretry x ?(\d+)\b", r"retry \1 times", plain, flags=re.I)
    plain = re.sub(r"\bw/ ?", "with ", plain)
    plain = re.sub(r"\b(and|,) than (?=[a-z])", r"\1 then ", plain, flags=re.I)
    plain = _FILLERS.sub(
        lambda match: "we " if match.group().split()[-1] in ("to", "probably") else "", plain
    )
    return _WORD.sub(lambda match: _mended(match.group()), plain)


def _lines_of_inline_lists(text: str) -> str:
    """Put the items of a list that is written in one line on lines of their own: "1) a 2) b", "a -> b -> c"."""
    lines: list[str] = []
    for line in text.split("\n"):
        tags = _INLINE_TAG.findall(line)
        if len(tags) > 1 and len({re.sub(r"[\d.]+", "", tag) for tag in tags}) == 1:
            line_parts = _INLINE_TAG.split(line)
            lines += [line_parts[0].strip()] if line_parts[0].strip() else []
            lines += [
                f"{tag}: {item.strip()}" for tag, item in zip(line_parts[1::2], line_parts[2::2], strict=True)
            ]
            continue
        numbers = [int(found) for found in _INLINE_NUMBER.findall(line)]
        if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            head, *rest = _INLINE_NUMBER.split(line)
            lines += [head.strip(" -:,")] if head.strip(" -:,") else []
            lines += [
                f"{number}. {item.strip(' ,;')}" for number, item in zip(rest[::2], rest[1::2], strict=True)
            ]
        elif len(_ARROW.findall(line)) > 1 and not re.search(r"[;.](?=\s)|,", line):
            lines += [f"- {item}" for item in (part.strip(" -") for part in _ARROW.split(line)) if item]
        else:
            lines.append(line)
    return "\n".join(lines)


def _mended(word: str) -> str:
    """Return a word without two swapped letters or a letter doubled wrongly, where that gives a word that matters."""
    lowered = word.lower()
    near = (
        get_close_matches(lowered, _LONG_KEYWORDS, n=1, cutoff=0.9)
        if len(lowered) > 6 and lowered not in _KNOWN
        else []
    )
    if near and near[0][0] == lowered[0] and not lowered.startswith(near[0][:-1]) and lowered not in VERBS:
        return near[0] if word.islower() else near[0].capitalize()
    if lowered in _KNOWN or base_of(lowered) or not word[1:].islower():
        return word
    mended = _mended_lower(lowered)
    return mended if word.islower() else mended.capitalize()


def _mended_lower(lowered: str) -> str:
    if len(lowered) > 3:
        whole = [
            word
            for word in get_close_matches(lowered, _KEYWORDS, n=1, cutoff=0.88)
            if len(word) > len(lowered) > 3
        ]
        if whole and whole[0][0] == lowered[0] and not whole[0].startswith(lowered):
            return whole[0]
    swapped = (
        lowered[:index] + lowered[index + 1] + lowered[index] + lowered[index + 2 :]
        for index in range(len(lowered) - 1)
        if lowered[index] != lowered[index + 1]
    )
    for candidate in swapped:
        if candidate in _KEYWORDS or (len(candidate) > 3 and candidate in VERBS):
            return candidate
    if len(lowered) <= 4:
        return lowered
    known = _UNDOUBLED.get(_undoubled(lowered))
    near = (
        get_close_matches(lowered, _QUALITIES, n=1, cutoff=0.92)
        if not known and lowered not in _QUALITIES
        else []
    )
    slip = (
        near
        and near[0][0] == lowered[0]
        and not near[0].startswith(lowered)
        and not lowered.startswith(near[0])
    )
    near_keyword = (
        []
        if known or slip or len(lowered) < 6
        else get_close_matches(lowered, _LONG_KEYWORDS, n=1, cutoff=0.83)
    )
    misspelt = (
        near_keyword and near_keyword[0][0] == lowered[0] and not lowered.startswith(near_keyword[0][:-1])
    )
    return known or (near[0] if slip else near_keyword[0] if misspelt else lowered)


def _undoubled(word: str) -> str:
    return re.sub(r"(.)\1", r"\1", word)


_LONG_KEYWORDS = sorted(word for word in _KEYWORDS if len(word) > 5)
_UNDOUBLED = {
    _undoubled(word): word
    for word in sorted(VERBS | _KEYWORDS)
    if len(word) > 5 or (word in _KEYWORDS and len(word) > 4)
}
