"""A text as paragraphs and nested list items, in the order they are read."""

import re
from dataclasses import dataclass, field

_MARKER = re.compile(
    r"""(?P<indent>[ ]*)(?:
        (?:step\s+)?(?P<number>\d{1,3}(?:\.\d{1,3})*[a-z]?)\s*[.):]?(?=\s)(?<![\d]\s) |
        step\s+(?P<step>\d{1,3})\s*[:.)-] |
        (?P<tag>[A-Z]{2,8}-\d{1,4}(?:\.\d{1,3})*)\s*[:.)]? | (?P<short>[A-Z]{1,4}\d{1,4}(?:\.\d{1,3})*)\s*[:.)] |
        \(?(?P<letter>[a-z]|[ivx]{1,4})[.)] |
        (?P<bullet>[-*+])
    )[ ]+(?P<text>\S.*)""",
    re.X | re.I,
)
_GREETING = re.compile(r"(?:hi|hello|dear|hey|good (?:morning|day|afternoon))\b[^.:]{0,40}[,!]?$", re.I)
_CLOSING = re.compile(
    r"(?:thanks|thank you|many thanks|cheers|regards|best|best regards|kind regards|yours|sincerely"
    r"|greetings)\b[^.:]{0,40}$",
    re.I,
)
_BRACKETS = re.compile(r"(?:begin|end|end ?(?:if|for|while|repeat)|fi|done|esac|start|\{|\})\W*", re.I)
MAX_DEPTH = 12


@dataclass(slots=True)
class Item:
    """A paragraph, or an item of a list with what is nested in it. ``label`` is its number or letter, if it has one."""

    text: str
    label: str = ""
    marked: bool = False
    indent: int = 0
    children: list["Item"] = field(default_factory=list)


def outline(text: str) -> list[Item]:
    """Return the items of a text; greetings and signatures of letters are left out."""
    items = _items(_as_list(text))
    return _nested([item for item in items if not _BRACKETS.fullmatch(item.text)])


def _as_list(text: str) -> str:
    """Mark each line where a text is a program in words: short lines without full stops, some of them indented."""
    lines = [line for line in text.split("\n") if line.strip()]
    short = [line for line in lines if len(line.strip()) < 60 and line.strip()[-1] not in ".!,;"]
    if len(lines) < 4 or len(short) < len(lines) or any(_marked(line) for line in lines):
        return text
    first = 1 if _is_heading(lines[0]) and not lines[1].startswith("  ") else 0
    marked = [re.sub(r"^( *)(.*)$", r"\1- \2", line) for line in lines[first:]]
    return "\n".join([*lines[:first], *marked])


def _is_heading(line: str) -> bool:
    return line.strip().endswith(":") and not re.match(r"\s*(?:if|when|else|for|while|repeat)\b", line, re.I)


def _items(text: str) -> list[Item]:
    items: list[Item] = []
    after_blank, closing = True, False
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped or set(stripped) <= {"-", "=", "*", "_", "~"}:
            after_blank = True
            continue
        found = _marked(line)
        if found is not None:
            items.append(found)
        elif closing or _is_letter_line(stripped):
            closing = closing or bool(_CLOSING.match(stripped))
        elif _continues(items, line, after_blank):
            items[-1].text += " " + stripped
        else:
            items.append(Item(re.sub(r"^#+\s*", "", stripped), indent=_indent(line)))
        after_blank = False
    return items


def _marked(line: str) -> Item | None:
    match = _MARKER.fullmatch(line.rstrip())
    if match is None:
        return None
    number = match["number"]
    # A sentence may begin with a number; a list's number is followed by a mark, or stands before a capital.
    if (
        number
        and not re.match(rf"\s*(?:step\s+)?{re.escape(number)}\s*[.):]", line, re.I)
        and "." not in number
    ):
        return None
    label = number or match["step"] or match["tag"] or match["short"] or match["letter"] or ""
    text = re.sub(r"^\[[ xX]?\]\s*", "", match["text"].strip())
    inner = re.match(r"([A-Z]{1,8}-?\d{1,4}(?:\.\d{1,3})*)\s*[:.)]\s+", text)
    if inner and not label:
        label, text = inner[1], text[inner.end() :]
    return Item(text, label.lower(), True, len(match["indent"]))


def _is_letter_line(line: str) -> bool:
    return len(line) < 60 and bool(_GREETING.match(line) or _CLOSING.match(line))


def _continues(items: list[Item], line: str, after_blank: bool) -> bool:
    if not items or after_blank:
        return False
    last = items[-1]
    if last.marked:
        return _indent(line) > last.indent
    # A short line without an end is a title.
    return not (len(last.text) < 50 and last.text[-1:] not in ".,;" and line.strip()[:1].isupper())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _nested(items: list[Item]) -> list[Item]:
    """Put items below those they belong to: by indent, by dotted number, and below a line that ends in a colon."""
    roots: list[Item] = []
    above: list[tuple[float, Item]] = []
    for item in items:
        depth = _depth(item, above)
        while above and above[-1][0] >= depth:
            above.pop()
        (above[-1][1].children if above else roots).append(item)
        # A title has nothing below it: its list is the text itself.
        if (item.marked or item.text.endswith(":")) and len(above) < MAX_DEPTH:
            above.append((depth, item))
    return roots


def _depth(item: Item, above: list[tuple[float, Item]]) -> float:
    """Return how deep an item lies: its indent, and a little for what its mark says beside that."""
    if not item.marked:
        return float(item.indent)
    parent = item.label.rpartition(".")[0]
    for depth, other in reversed(above):
        if parent and other.label == parent:
            return depth + 0.01
        numbered = other.marked and other.label[:1].isdigit() and other.indent == item.indent
        if numbered and (item.label.isalpha() or (not item.label and other.text.endswith(":"))):
            return depth + 0.1
    return item.indent + 0.3
