"""One clause as a deed: its verb, its object, who does it; and the name that follows from them.

"The invoice is posted to the ledger", "We post the invoice" and "Posts the invoice" are one deed, ``post_invoice``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache

from workflow_service.ai.english.verbs import VERBS, base_of, is_base, is_gerund, is_participle
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.translator.grammar import (
    ADVERBS,
    AUXILIARIES,
    DETERMINERS,
    MODALS,
    NOUNS_TOO,
    PARTICLE_VERBS,
    PARTICLES,
    PEOPLE,
    PREPOSITIONS,
    PRONOUNS,
    SYSTEM_SUBJECTS,
)

_TOKEN = re.compile(r"[A-Za-z][\w'/&.-]*[\w]|[A-Za-z]|\$?\d[\d.,]*%?|[,:;()]")
_NAMED_WORDS = 3
MARKS = frozenset(",:;()")
# A clause is known by its beginning; hostile ones have no end.
LOOKED_AT = 240
_NO_OBJECT = PREPOSITIONS | AUXILIARIES | words("and or , ; : then ( )")
_QUALIFIERS = words(
    "new existing own relevant corresponding respective given following same necessary needed required actual"
)
_APPROVAL_WORDS = words(
    "approval sign-off signoff authorization authorisation consent permission clearance go-ahead"
)
_APPROVING = words("approve authorize authorise endorse")
_CAUSING = words("have ask let get tell request require instruct invite remind")
_SEEKING = words(
    "wait ask get obtain request seek await require need send submit route collect solicit receive"
)
_THINGS_OF_VERBS = (
    ("ification", ("ify",)), ("ications", ("y",)),
    ("ication", ("y", "icate")), ("ation", ("ate", "e", "")), ("ission", ("it",)),
    ("ision", ("ide", "ise")), ("ction", ("ct", "ce")),
    ("ption", ("pt", "be")), ("ution", ("ute",)), ("ition", ("ite", "it")),
    ("sion", ("d", "de", "se", "s")), ("tion", ("t", "te", "e")),
    ("ion", ("", "e")), ("ment", ("", "e")), ("val", ("ve",)),
    ("ssal", ("ss",)), ("al", ("e", "")), ("ance", ("", "e")), ("very", ("ver",)), ("ery", ("er",)), ("ure", ("e", "")),
)  # fmt: skip
_AFTER_VERBS = words("to for with in into on onto from at if when unless as")
_QUALITY = re.compile(
    r"\w{2,}(?:al|ous|ive|ful|less|ary|able|ible)|new|old|major|minor|high|low|big|small|open|valid|invalid"
    r"|urgent|normal"
)
_QUALITIES_IN_ED = words(
    "exceed proceed needed required advanced limited related interested concerned indeed hundred sacred naked"
)
_OBLIGED = words("has have had needs need ought is are got")
# Where these begin, a thing is told more exactly, and its name is over.
_MORE_EXACTLY = words(
    """
    older newer larger smaller greater less more fewer higher lower longer shorter than that which who whose
    whom due based
    containing using including regarding matching according exceeding concerning named called such so if when
    """
)
_ARRIVING = words(
    "show call arrive come place submit upload join happen fire occur sign hand receive create push open report request"
)


@dataclass(frozen=True, slots=True)
class Deed:
    """``verb`` in its base form with its particle, ``object`` the words of what it is done to, ``who`` a role.

    ``place`` are the words after a preposition ("to the ledger"), with it. ``passive`` and ``subject`` say how.
    """

    verb: str
    object: tuple[str, ...] = ()
    place: tuple[str, ...] = ()
    who: str = ""
    approval: bool = False
    text: str = ""
    subject: tuple[str, ...] = ()
    passive: bool = False
    pronoun: bool = False

    @property
    def name(self) -> str:
        """The name of the step, as document B writes names: verb_object."""
        return name_of(self)


@dataclass(slots=True)
class Memory:
    """What "it" and "them" mean: the object that was last told."""

    one: tuple[str, ...] = ()
    many: tuple[str, ...] = ()

    def keep(self, named: Sequence[str]) -> None:
        """Take in what was told."""
        if named:
            plural = named[-1].endswith("s") and not named[-1].endswith(("ss", "us", "is"))
            if plural:
                self.many = tuple(named)
            else:
                self.one = tuple(named)
            self._last = tuple(named)

    _last: tuple[str, ...] = ()

    def meant_by(self, pronoun: str) -> tuple[str, ...]:
        """Return what a pronoun stands for: the last thing told that is one, or many, as it is."""
        if pronoun in ("them", "they", "these", "those", "both"):
            return self.many or self._last
        return self.one or self._last if pronoun == "it" else self._last


def tokens_of(text: str) -> list[str]:
    """Return the words and marks of a text."""
    return _TOKEN.findall(text)


def read_deed(text: str, memory: Memory) -> Deed | None:
    """Return the deed that a clause tells, or None where it tells none that is known."""
    tokens = [token for token in tokens_of(text[: 2 * LOOKED_AT]) if token not in MARKS]
    if _is_past(tokens) or _is_permission(tokens):
        return None
    tokens = _without_leading(tokens)
    if not tokens:
        return None
    deed = _read(tokens, memory)
    if deed is None or deed.verb == tokens[0].lower() != base_of(tokens[0]):
        # A first word that is no word at all may be a verb misspelt.
        mended = _mended_verb(tokens[0])
        deed = _read([mended, *tokens[1:]], memory) if mended else deed
    if deed is None:
        return None
    deed = replace(deed, text=text.strip())
    if deed.object and not deed.pronoun:
        memory.keep(deed.object[-2:])
    return deed


def name_of(deed: Deed) -> str:
    """Return the name of a deed: its verb, the last words of its object, and the place where there is no object."""
    if deed.approval:
        parts = (
            ["approve", *deed.object[-_NAMED_WORDS:]]
            if deed.object
            else ["wait", *_slug(deed.who), "approval"]
        )
    else:
        named = list(deed.object[-_NAMED_WORDS:])
        if not named or deed.pronoun:
            named += list(deed.place[: _NAMED_WORDS + 1])
        parts = [*deed.verb.split(), *named]
    name = "_".join(re.sub(r"\W+", "_", part.lower().replace("'s", "")).strip("_") for part in parts)
    name = re.sub(r"_+", "_", name).strip("_")[:60].rstrip("_")
    return name if name[:1].isalpha() else f"step_{name}"


def starts_deed(text: str, style: str, *, bare: bool = False, listed: bool = False) -> bool:
    """Say whether the words after a comma or an "and" begin another deed, told in the ``style`` of the one before.

    ``bare``: the one before has no object, as in "build and test". ``listed``: a comma stands between them.
    """
    tokens = _without_leading(tokens_of(text[:LOOKED_AT]), keep_pronoun=True)
    if not tokens:
        return False
    first = tokens[0].lower()
    following = tokens[1].lower() if len(tokens) > 1 else ""
    if first in ("have", "get", "let", "make") and following in DETERMINERS | PRONOUNS:
        return True
    if is_gerund(first) and style != "gerund":
        return False
    if first in ("that", "whether", "which", "who", "if", "how"):
        return False
    if first in SYSTEM_SUBJECTS and first not in PEOPLE and len(tokens) > 1:
        return base_of(following) is not None or following in MODALS
    if _has_own_verb(tokens):
        return True
    if style == "passive":
        return is_participle(first) and not (is_base(first) and following in DETERMINERS)
    if style == "gerund":
        return is_gerund(first)
    base = base_of(_verb_word(first))
    if base is None and style == "base" and following in DETERMINERS - {"of"} and _may_be_verb(first):
        return True
    if base is None or is_gerund(first):
        return False
    if is_participle(first) and not is_base(first):
        return False
    with_object = following in DETERMINERS or following in PRONOUNS
    if is_base(first):
        particle = following in PARTICLE_VERBS.get(first, "").split()
        if style == "third":
            return with_object and first not in NOUNS_TOO
        if first in NOUNS_TOO:
            return (
                with_object
                or particle
                or following in _AFTER_VERBS
                or (bare and not following)
                or _is_verb_like(tokens, listed=listed)
            )
        return True
    if style == "third" and base in NOUNS_TOO and following and following not in _NO_OBJECT:
        return True
    if style == "third" or with_object:
        return base not in NOUNS_TOO or with_object or following in ("to", "for", "with", "whether", "that")
    return False


def style_of(text: str) -> str:
    """Return how a clause is told: passive, gerund, third ("validates"), or base ("validate")."""
    tokens = _without_leading([token for token in tokens_of(text[:LOOKED_AT]) if token not in MARKS])
    if _passive_at(tokens) is not None and not (tokens and is_base(tokens[0].lower())):
        return "passive"
    if tokens and is_gerund(tokens[0]):
        return "gerund"
    at = _verb_at(tokens)
    if at is not None and not is_base(tokens[at].lower()):
        return "third"
    return "base"


def is_arrival(deed: Deed) -> bool:
    """Say whether a deed tells what sets a workflow off rather than work: something arrives, somebody asks."""
    return deed.verb.split()[0] in _ARRIVING


def _read(tokens: list[str], memory: Memory) -> Deed | None:
    lowered = [token.lower() for token in tokens]
    auxiliary = next(
        (index for index, word in enumerate(lowered[:4]) if word in ("is", "are", "was", "were")), None
    )
    told_of = auxiliary is not None and not set(lowered[1:auxiliary]) & (
        DETERMINERS | PREPOSITIONS | PRONOUNS
    )
    imperative = is_base(lowered[0]) and len(lowered) > 1 and lowered[1] in DETERMINERS | PRONOUNS
    if (not imperative and (not is_base(lowered[0]) or lowered[0] in NOUNS_TOO)) or (
        told_of and auxiliary and auxiliary > 1
    ):
        passive = _passive_at(tokens)
        if passive is not None and passive > 0:
            return _passive(tokens, passive, memory)
    if (
        is_participle(lowered[0])
        and not is_base(lowered[0])
        and (len(lowered) == 1 or lowered[1] in PREPOSITIONS | ADVERBS)
    ):
        # "… and then analysed": a passive that shares its subject with the one before.
        verb, rest = _with_particle(base_of(lowered[0]) or lowered[0], tokens[1:])
        return Deed(
            verb,
            memory.meant_by("that"),
            tuple(_split_object(rest)[1]),
            _after(rest, "by"),
            passive=True,
            pronoun=True,
        )
    if lowered[-1] in ("follows", "happens") and len(tokens) > 1 and base_of(lowered[-2]):
        return Deed(base_of(lowered[-2]) or lowered[-2], tuple(_noun_words(tokens[:-2])))
    at = _verb_at(tokens)
    if at is None and len(tokens) > 1 and is_participle(lowered[-1]) and lowered[0] in DETERMINERS:
        # "… and the borrower informed": a passive that shares its "is" with the one before.
        return Deed(base_of(lowered[-1]) or lowered[-1], tuple(_noun_words(tokens[:-1])), passive=True)
    if at is None and len(tokens) > 1 and lowered[1] in DETERMINERS and _may_be_verb(tokens[0]):
        # Whatever stands before an article at the beginning is what is to be done.
        at = 0
    if at is None:
        return _nominal(tokens) or _deed_as_thing(tokens)
    subject = _noun_words(tokens[:at])
    who = " ".join(subject) if _is_person(subject) else ""
    return _active(tokens[at:], who, tuple(subject), memory)


def _verb_at(tokens: list[str]) -> int | None:
    """Return where the main verb of an active clause stands."""
    if not tokens:
        return None
    lowered = [token.lower() for token in tokens]
    first = _verb_word(lowered[0])
    if is_base(first) and not _is_subject(lowered):
        return 0
    if (
        base_of(first) is not None
        and (is_gerund(lowered[0]) or lowered[0].endswith("s"))
        and not _is_subject(lowered)
    ):
        return 0
    for index in range(1, min(len(lowered), 9)):
        word, before = lowered[index], lowered[index - 1]
        if word in PREPOSITIONS and word != "to":
            if index > 1 and word not in ("of", "in", "at", "from", "for"):
                return None
            continue
        if word in DETERMINERS | ADVERBS | MODALS:
            continue
        base = base_of(word)
        if base is None or is_gerund(word):
            continue
        if is_base(word) and (before in MODALS or (before == "to" and lowered[index - 2] in _OBLIGED)):
            return index
        if is_participle(word) and not is_base(word):
            continue
        following = lowered[index + 1] if index + 1 < len(lowered) else ""
        finite = not is_base(word) and word.endswith("s")
        plain = is_base(word) and (before.endswith("s") or before in PEOPLE or before in PRONOUNS)
        if not finite and not plain:
            continue
        sure = (
            following in DETERMINERS | PRONOUNS | ADVERBS | {"to", "for", "up"} or before in PEOPLE | PRONOUNS
        )
        if base in NOUNS_TOO and not sure:
            continue
        return index
    return None


def _is_subject(lowered: list[str]) -> bool:
    """Say whether a first word that could be a verb is the subject of another: "Payroll sets up", "Order is placed"."""
    if lowered[0] in PEOPLE and not is_base(lowered[0]):
        return True
    if lowered[0] in PEOPLE and len(lowered) > 1:
        following = lowered[1]
        return following in MODALS or (following.endswith("s") and base_of(following) is not None)
    if lowered[0] not in NOUNS_TOO:
        return False
    for index in range(1, min(4, len(lowered))):
        word = lowered[index]
        if word in DETERMINERS or word in PREPOSITIONS or word in PRONOUNS:
            return False
        if word in ("is", "are", "must", "shall", "should", "will", "was", "were"):
            return True
    return False


def _passive_at(tokens: list[str]) -> int | None:
    """Return where the participle of a passive stands: "is sent", "must be approved", "has been received"."""
    lowered = [token.lower() for token in tokens]
    for index, word in enumerate(lowered[:14]):
        if word not in AUXILIARIES:
            continue
        ahead = index + 1
        while ahead < len(lowered) and (lowered[ahead] in AUXILIARIES | ADVERBS | {"not"}):
            ahead += 1
        if ahead < len(lowered) and ahead > index and _may_be_participle(lowered[ahead]):
            if word in ("has", "have", "had") and lowered[ahead - 1] not in ("been", "be"):
                continue
            return ahead
    return None


def _passive(tokens: list[str], at: int, memory: Memory) -> Deed | None:
    lowered = [token.lower() for token in tokens]
    start = next(index for index, word in enumerate(lowered) if word in AUXILIARIES | MODALS)
    base = base_of(lowered[at]) or _guessed_base(lowered[at])
    rest = tokens[at + 1 :]
    verb, rest = _with_particle(base, rest)
    subject, pronoun = _object(tokens[:start], memory) if start else (list(memory.meant_by("that")), True)
    who = _after(rest, "by")
    _, place, _ = _split_object(rest)
    planned = _noun_words(_after_words(rest, ("for",))) if base == "schedule" else []
    return Deed(
        verb,
        tuple(planned or subject),
        tuple(place),
        who,
        base in _APPROVING,
        subject=tuple(subject),
        passive=True,
        pronoun=pronoun and not planned,
    )


def _active(tokens: list[str], who: str, subject: tuple[str, ...], memory: Memory) -> Deed | None:
    word = tokens[0].lower()
    base = word if is_base(word) else base_of(_verb_word(word)) or word
    prefix = word.rpartition("-")[0] if "-" in word and not is_base(word) else ""
    rest = tokens[1:]
    while rest and rest[0].lower() in ADVERBS and rest[0].lower() not in ("once",):
        rest = rest[1:]
    caused = _caused(base, rest, memory)
    if caused is not None:
        return caused
    sought = _sought_approval(base, rest, who, memory)
    if sought is not None:
        return sought
    verb, rest = _with_particle(base, rest)
    if prefix:
        verb = f"{prefix.replace('-', ' ')} {verb}"
    words_, place, pronoun = _split_object(rest)
    named, was_pronoun = _object(words_, memory) if words_ else ([], False)
    if pronoun or was_pronoun:
        named, was_pronoun = list(memory.meant_by(rest[0].lower() if rest else "")), True
    # Only a person's approval is one to wait for: "approve the loan automatically" is work.
    approval = base in _APPROVING and "automatically" not in {token.lower() for token in tokens} and bool(who)
    if base == "sign" and verb == "sign off":
        approval, verb = True, "approve"
    return Deed(verb, tuple(named), tuple(place), who, approval, subject=subject, pronoun=was_pronoun)


def _caused(base: str, rest: list[str], memory: Memory) -> Deed | None:
    """Read "have the director sign the contract", "ask the lead to approve", "let the employee know"."""
    if base in ("get", "have") and rest:
        said = [token.lower() for token in rest]
        at = next(
            (
                index
                for index, word in enumerate(said[:8])
                if word in ("approved", "signed", "authorised", "authorized")
            ),
            None,
        )
        if at and said[at - 1] not in DETERMINERS:
            named, _ = _object(rest[:at], memory)
            return Deed("approve", tuple(named), who=_after(rest[at + 1 :], "by"), approval=True)
    if base not in _CAUSING or not rest:
        return None
    lowered = [token.lower() for token in rest]
    if base == "let" and "know" in lowered:
        person = _noun_words(rest[: lowered.index("know")])
        return Deed("notify", tuple(person))
    end = (
        next((index for index, word in enumerate(lowered) if index and word == "to"), None)
        if base != "have"
        else None
    )
    if end is None and base in ("have", "let"):
        end = next(
            (
                index - 1
                for index, word in enumerate(lowered)
                if index and is_base(word) and lowered[index - 1] in PEOPLE
            ),
            None,
        )
    if end is None or end + 1 >= len(rest) or not is_base(lowered[end + 1]):
        return None
    person = _noun_words(rest[: end + 1] if base in ("have", "let") else rest[:end])
    if not _is_person(person) and base != "have":
        return None
    inner = _active(rest[end + 1 :], " ".join(person), tuple(person), memory)
    return inner


def _sought_approval(base: str, rest: list[str], who: str, memory: Memory) -> Deed | None:
    """Read "wait for approval", "ask the steward for approval", "send the orders to the manager for approval"."""
    lowered = [token.lower() for token in rest]
    at = next((index for index, word in enumerate(lowered[:14]) if word in _APPROVAL_WORDS), None)
    if at is None or base not in _SEEKING:
        return None
    asked = (
        who or _after(rest[at + 1 :], "by") or _after(rest[at + 1 :], "from") or _after(rest[at + 1 :], "of")
    )
    before, _, _ = _split_object(
        [token for token in rest[:at] if token.lower() not in ("for", "a", "an", "the")] or []
    )
    named = _noun_words(before)
    target = _after(rest[:at], "to")
    if _is_person(named) and not target:
        asked, named = asked or " ".join(named), []
    elif target:
        asked = asked or target
    if base in ("wait", "get", "obtain", "request", "seek", "await", "require", "need", "receive") and named:
        # "get manager approval": the words before it say whose.
        asked, named = asked or " ".join(named), []
    concerning = _noun_words(_after_words(rest[at + 1 :], ("for", "to", "before")))
    named = named or (concerning if concerning and base_of(concerning[0]) is None else [])
    return Deed("approve", tuple(named), (), asked, True)


def _nominal(tokens: list[str]) -> Deed | None:
    """Read a deed told as a thing: "manager approval", "approval by the board"."""
    lowered = [token.lower() for token in tokens]
    at = next((index for index, word in enumerate(lowered[:5]) if word in _APPROVAL_WORDS), None)
    if at is None or len(tokens) > at + 6:
        return None
    person = _noun_words(tokens[:at])
    return Deed("approve", (), (), " ".join(person) or _after(tokens[at + 1 :], "by"), True)


def _deed_as_thing(tokens: list[str]) -> Deed | None:
    """Read "submission of the manuscript", "data validation", "peer review by two referees"."""
    lowered = [token.lower() for token in tokens]
    end = next((index for index, word in enumerate(lowered) if word in PREPOSITIONS), len(tokens))
    for index in reversed(range(end)):
        verb = verb_of_thing(lowered[index])
        if verb is not None and 2 <= len(tokens) <= 8:
            named = _noun_words(tokens[:index]) or _noun_words(
                _after_words(tokens[index + 1 :], ("of", "for"))
            )
            return Deed(verb, tuple(named), who=_after(tokens[index + 1 :], "by"))
    return None


@lru_cache(maxsize=4_096)
def verb_of_thing(word: str) -> str | None:
    if word in NOUNS_TOO:
        return word
    if word.endswith("ing"):
        return base_of(word)
    for ending, instead in _THINGS_OF_VERBS:
        if word.endswith(ending) and len(word) > len(ending) + 2:
            for base in (word[: -len(ending)] + one for one in instead):
                if is_base(base):
                    return base
    return None


def _with_particle(base: str, rest: list[str]) -> tuple[str, list[str]]:
    """Join a verb and its particle, wherever it stands: "roll the hotfix out" is "roll out"."""
    known = PARTICLE_VERBS.get(base, "").split()
    for index, token in enumerate(rest[:6]):
        word = token.lower()
        if word in known and word in PARTICLES | {"on"}:
            if index and word in ("in", "on", "over") and index + 1 < len(rest):
                continue
            return f"{base} {word}", rest[:index] + rest[index + 1 :]
        if word in PREPOSITIONS and word not in PARTICLES:
            break
    return base, rest


def _split_object(rest: list[str]) -> tuple[list[str], list[str], bool]:
    """Return the words of the object, those of the first place after it, and whether the object is a pronoun."""
    lowered = [token.lower() for token in rest]
    end = next(
        (index for index, word in enumerate(lowered) if word in PREPOSITIONS and index >= 0), len(rest)
    )
    first = lowered[0] if lowered else ""
    if first in PRONOUNS - DETERMINERS or (first in PRONOUNS and end == 1):
        return [], _place(rest[end:] if end else rest), True
    if first in ("that", "whether", "if", "how", "which", "what", "who", "where"):
        content = [
            token
            for token in rest[1:]
            if token.lower()
            not in DETERMINERS - {"no"} | AUXILIARIES | PRONOUNS | PREPOSITIONS | {"many", "much", "not"}
        ]
        return content[:3], [], False
    return rest[:end], _place(rest[end:]), False


def _place(rest: list[str]) -> list[str]:
    if not rest:
        return []
    lowered = [token.lower() for token in rest]
    end = next((index for index in range(1, len(rest)) if lowered[index] in PREPOSITIONS), len(rest))
    named = _noun_words(rest[1:end])
    if not named:
        return []
    preposition = [lowered[0]] if lowered[0] in ("to", "into", "in", "on", "from", "onto") else []
    return [*preposition, *named]


def _object(tokens: list[str], memory: Memory) -> tuple[list[str], bool]:
    lowered = [token.lower() for token in tokens]
    if lowered and all(word in PRONOUNS | DETERMINERS for word in lowered):
        return list(memory.meant_by(lowered[-1])), True
    return _noun_words(tokens), False


def _is_permission(tokens: list[str]) -> bool:
    """Say whether a clause tells what people may do rather than what is done: "users can borrow books"."""
    lowered = [token.lower() for token in tokens[:6]]
    at = next((index for index, word in enumerate(lowered) if word in ("can", "may", "could")), None)
    return (
        at is not None
        and 0 < at < 4
        and "be" not in lowered[at:]
        and lowered[0] not in SYSTEM_SUBJECTS - {"they"}
    )


def _is_past(tokens: list[str]) -> bool:
    """Say whether a clause tells what has been, which is no step: "we agreed on this", "I talked to them"."""
    lowered = [token.lower() for token in tokens[:2]]
    return (
        len(lowered) == 2
        and lowered[0] in ("we", "i", "they", "you")
        and lowered[1].endswith("ed")
        and is_participle(lowered[1])
    )


def _noun_words(tokens: list[str]) -> list[str]:
    """Return the words of the first thing named: no articles, nothing after "and" or a preposition."""
    found: list[str] = []
    for token in tokens:
        word = token.lower()
        if word == "and" and len(found) == 1 and _QUALITY.fullmatch(found[0]):
            # "critical and major incidents": the first is no thing.
            found = []
            continue
        if found and (word in PREPOSITIONS | _MORE_EXACTLY or word in ("and", "or", "whether")):
            break
        if word in DETERMINERS | ADVERBS | PRONOUNS | AUXILIARIES | PREPOSITIONS or word in _QUALIFIERS:
            continue
        if word in MODALS or (found and token[0].isdigit()):
            continue
        found.append(re.sub(r"'s?$", "", word))
    return found


def _after(tokens: list[str], preposition: str) -> str:
    """Return who stands after a preposition, if it is a person."""
    named = _noun_words(_after_words(tokens, (preposition,)))
    return " ".join(named) if _is_person(named) else ""


def _after_words(tokens: list[str], prepositions: tuple[str, ...]) -> list[str]:
    lowered = [token.lower() for token in tokens]
    at = next((index for index, word in enumerate(lowered) if word in prepositions), None)
    return tokens[at + 1 :] if at is not None else []


def _is_person(named: list[str] | tuple[str, ...]) -> bool:
    return bool(named) and any(word in PEOPLE or word.rstrip("s") in PEOPLE for word in named)


def _may_be_participle(word: str) -> bool:
    if is_participle(word):
        return True
    return len(word) > 5 and word.endswith("ed") and word not in _QUALITIES_IN_ED and base_of(word) is None


def _guessed_base(word: str) -> str:
    """Return a likely base of an unknown participle: "chlorinated" is of "chlorinate"."""
    stem = word[:-2]
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    return stem + "e" if stem[-1] in "cgsuvz" or stem.endswith(("at", "iz", "ir", "ur", "in")) else stem


@lru_cache(maxsize=4_096)
def _mended_verb(word: str) -> str | None:
    """Return the verb that a word is but for one slip: "downlaod", "valdate"."""
    lowered = word.lower()
    known = DETERMINERS | PREPOSITIONS | PRONOUNS | MODALS | ADVERBS | PEOPLE | NOUNS_TOO
    if (
        len(lowered) < 5
        or not lowered.isalpha()
        or lowered in known
        or base_of(lowered)
        or lowered.rstrip("s") in PEOPLE
    ):
        return None
    near = get_close_matches(lowered, _LONG_VERBS, n=1, cutoff=0.83)
    return near[0] if near and near[0][0] == lowered[0] and not lowered.startswith(near[0]) else None


_LONG_VERBS = sorted(verb for verb in VERBS if len(verb) > 4 and verb not in NOUNS_TOO)


def _may_be_verb(word: str) -> bool:
    lowered = word.lower()
    known = DETERMINERS | PREPOSITIONS | PRONOUNS | AUXILIARIES | MODALS | ADVERBS | PEOPLE | _MORE_EXACTLY
    return (
        word.isalpha()
        and lowered not in known
        and not lowered.endswith(("tion", "ment", "ness", "ity", "ly", "ing"))
    )


def _verb_word(word: str) -> str:
    """Return what of a hyphened word is the verb: "fact-check" is told by "check"."""
    return word if is_base(word) or "-" not in word else word.rpartition("-")[2]


def _has_own_verb(tokens: list[str]) -> bool:
    """Say whether words begin with a subject that has a finite verb of its own: "an adjustment is recorded"."""
    lowered = [token.lower() for token in tokens]
    if is_base(lowered[0]) and lowered[0] not in NOUNS_TOO:
        return False
    for index, word in enumerate(lowered[:8]):
        if word in ",:;" or (word in PREPOSITIONS and word not in ("of",)):
            return False
        if index and word in ("is", "are", "must", "shall", "should", "will", "has", "have"):
            return True
        led = lowered[0] in DETERMINERS | PEOPLE or any(one in PEOPLE for one in lowered[1:index])
        if index and led and not is_base(word) and word.endswith("s") and base_of(word):
            following = lowered[index + 1] if index + 1 < len(lowered) else ""
            if following in DETERMINERS | PRONOUNS or base_of(word) not in NOUNS_TOO:
                return True
    return False


def _is_verb_like(tokens: list[str], *, listed: bool) -> bool:
    """Say whether a noun-like verb is followed by a plain object and nothing else: "order stock", "log error"."""
    lowered = [token.lower() for token in tokens]
    ends = PREPOSITIONS | {",", "and", "or", "then", ";", ":", "("}
    end = next((index for index, word in enumerate(lowered) if word in ends), len(lowered))
    lowered = lowered[:end]
    if not lowered:
        return False
    if listed and len(lowered) == 2 and lowered[1] not in PREPOSITIONS:
        return True
    compound = lowered[-1].endswith("s") and base_of(lowered[-1]) in NOUNS_TOO and len(lowered) > 2
    return (
        2 <= len(lowered) <= 3
        and base_of(lowered[1]) is None
        and lowered[1] not in PREPOSITIONS
        and not compound
    )


def _without_leading(tokens: list[str], *, keep_pronoun: bool = False) -> list[str]:
    """Drop what stands before a deed without being part of it: "then", "please", "we", "the system shall"."""
    while tokens:
        lowered = [token.lower() for token in tokens[:4]]
        if (lowered[0] in ADVERBS | {"and", "or", "but", "also", ","} and len(tokens) > 1) or (
            not keep_pronoun and lowered[0] in SYSTEM_SUBJECTS and len(tokens) > 1 and _drops(lowered[1:])
        ):
            tokens = tokens[1:]
        elif (
            not keep_pronoun
            and lowered[0] in DETERMINERS
            and len(lowered) > 2
            and lowered[1] in SYSTEM_SUBJECTS
            and _drops(lowered[2:])
        ):
            tokens = tokens[2:]
        elif (
            not keep_pronoun
            and lowered[0] in MODALS - AUXILIARIES | {"to", "has"}
            and len(tokens) > 1
            and _drops(lowered[1:])
        ):
            tokens = tokens[1:]
        else:
            break
    return tokens


def _drops(following: list[str]) -> bool:
    return (
        bool(following)
        and (
            following[0] in MODALS | ADVERBS
            or base_of(_verb_word(following[0])) is not None
            or following[0] == "not"
        )
        and not (following[0] in AUXILIARIES and following[0] != "has")
    )


def _slug(text: str) -> list[str]:
    return [word for word in re.split(r"\W+", text.lower()) if word and word not in DETERMINERS]
