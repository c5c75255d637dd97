"""What a block does, as a phrase: the verb its name begins with, in the form a sentence wants."""

from dataclasses import dataclass

from workflow_service.ai.english.verbs import VERBS, gerund, third_person
from workflow_service.ai.english.word_lists import words
from workflow_service.engine.definition import Block
from workflow_service.engine.states import HumanStepType, ToolType
from workflow_service.plurals import counted

# As the first word of a name these are things more often than deeds: order_error, code_quality_check, smoke_tests.
_THINGS = words(
    """
    batch book code cluster document form issue label level model order package page plan plot profile program
    query queue score smoke stage table test ticket
    """
)  # fmt: skip
_FOR = frozenset({"ask", "await", "listen", "look", "search", "wait"})
_APART = {
    "backup": ("back", "up"),
    "rollback": ("roll", "back"),
    "cleanup": ("clean", "up"),
    "signoff": ("sign", "off"),
}
_NO_ARTICLE_BEFORE = words(
    """
    a about after again against all an and another any as at away back before both by down each every everyone
    everything for from her him his if in into it its me my no nobody off on one or our out over people some
    somebody someone that the their them then these this those to under until up us via when whether with
    without you your
    """
)
_UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))


@dataclass(frozen=True, slots=True)
class Phrase:
    """``verb`` in its base form, and what follows it ("validate", "the order")."""

    verb: str
    rest: str

    @property
    def present(self) -> str:
        """The form after "it": "validates the order"."""
        return f"{third_person(self.verb)} {self.rest}".strip()

    @property
    def gerund(self) -> str:
        """The form after "by" and "after": "validating the order"."""
        return f"{gerund(self.verb)} {self.rest}".strip()


def phrase_of(block: Block) -> Phrase:
    """Return what the block does; a name that begins with no known verb is run under its name."""
    if block.tool_type is ToolType.WAIT:
        return Phrase("wait", _awaited(block))
    title = block.name or block.block_id
    words = title.replace("_", " ").split() or [block.block_id]
    if block.asks_people and not block.has_tool:
        return _asked(block, words)
    return _deed(words) or Phrase("run", f"“{' '.join(words)}”")


def _deed(words: list[str]) -> Phrase | None:
    """Return a name that tells a deed ("send_mail", "Send mail") as its phrase."""
    verb, rest = words[0].lower(), [_lowered(word) for word in words[1:]]
    if verb in _APART:
        verb, particle = _APART[verb]
        return Phrase(verb, " ".join([particle, *_with_article(rest)]))
    if verb not in VERBS or (verb in _THINGS and rest):
        return None
    if verb in _FOR and rest and rest[0] not in _NO_ARTICLE_BEFORE:
        return Phrase(verb, f"for {' '.join(_with_article(rest))}")
    return Phrase(verb, " ".join(_with_article(rest)))


def _with_article(words: list[str]) -> list[str]:
    return (
        ["the", *words]
        if words and words[0] not in _NO_ARTICLE_BEFORE and not words[0][:1].isdigit()
        else words
    )


def duration_words(milliseconds: int) -> str:
    """Return a duration in the largest unit that gives a whole number: 7200000 is "2 hours"."""
    for size, unit in _UNITS:
        if milliseconds >= size and milliseconds % size == 0:
            number = milliseconds // size
            return counted(number, unit)
    return f"{milliseconds} milliseconds"


def listed(parts: list[str], word: str = "and") -> str:
    """Join phrases as a sentence lists them: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def _asked(block: Block, words: list[str]) -> Phrase:
    step = block.human_in_loop
    who = step.approval_level or (listed(list(step.assignees)) if step.assignees else "")
    title = " ".join(_lowered(word) for word in words)
    if step.type in (HumanStepType.APPROVAL, HumanStepType.REVIEW):
        what = "approval" if step.type is HumanStepType.APPROVAL else "a review"
        return Phrase("wait", f"for {what}{f' by {who}' if who else ''} (“{title}”)")
    if words[0].lower() in VERBS:
        return Phrase("ask", f"{who or 'a person'} to {title}")
    return Phrase("ask", f"{who or 'a person'} about “{title}”")


def _awaited(block: Block) -> str:
    given = block.configuration
    if isinstance(given.get("duration"), int):
        return f"for {duration_words(int(str(given['duration'])))}"
    if given.get("until") is not None:
        return f"until {given['until']}"
    return f"for the signal “{given.get('signal', '')}”"


def _lowered(word: str) -> str:
    """Lower a title's capitals, and leave acronyms and names with figures as they are."""
    return word.lower() if word[1:].islower() or len(word) == 1 else word
