"""XML read without what makes it dangerous: no document type, hence no entities of its own and nothing loaded."""

from xml.parsers import expat

from pydantic import Field, model_validator

from workflow_service.agents.library.shapes import Output, Params, Record
from workflow_service.agents.library.sources import read_bytes
from workflow_service.agents.use_cases import RunContext, use_case
from workflow_service.artifacts.references import FileSource

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 50
MAX_ELEMENTS = 500_000


class XmlReadInput(Params):
    """``records`` is the way to the elements that become records, below the root: ``book``, or ``shelf/book``."""

    file: FileSource | None = None
    text: str | None = Field(None, max_length=MAX_BYTES)
    records: str = Field("", max_length=500)
    limit: int = Field(100_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def one_source(self) -> "XmlReadInput":
        if (self.file is None) == (self.text is None):
            raise ValueError("give either 'file' or 'text'")
        return self


class XmlReadOutput(Output):
    """``document`` is the whole, left out (null) where ``records`` were asked for.

    An element becomes an object: its attributes as ``@name``, its children by their tags (a list where there are
    several), its text as ``#text``; one that has only text becomes that text.
    """

    root: str
    document: Record | str | None
    records: list[Record]
    count: int
    more: bool


class _Element:
    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[_Element] = []
        self.text: list[str] = []


@use_case("xml.read")
def read_xml(params: XmlReadInput, run: RunContext) -> XmlReadOutput:
    """Read an XML document as JSON, or the elements of one kind as records."""
    content = (
        params.text.encode() if params.text is not None else read_bytes(run, params.file or "", MAX_BYTES)
    )
    root = _parsed(content)
    if not params.records:
        return XmlReadOutput(root=root.tag, document=_json(root), records=[], count=0, more=False)
    found = [root]
    for tag in params.records.split("/"):
        found = [child for element in found for child in element.children if child.tag == tag]
    values = [_json(element) for element in found[: params.limit]]
    records: list[Record] = [value if isinstance(value, dict) else {"#text": value} for value in values]
    return XmlReadOutput(
        root=root.tag, document=None, records=records, count=len(records), more=len(found) > params.limit
    )


def _parsed(content: bytes) -> _Element:
    parser = expat.ParserCreate()
    top = _Element("", {})
    stack = [top]
    elements = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal elements
        elements += 1
        if elements > MAX_ELEMENTS or len(stack) > MAX_DEPTH:
            raise ValueError(
                f"the XML has more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} in one another"
            )
        element = _Element(tag, attributes)
        stack[-1].children.append(element)
        stack.append(element)

    def refuse(*_: object) -> None:
        raise ValueError("the XML declares a document type (<!DOCTYPE …>), which is not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda tag: stack.pop()
    parser.CharacterDataHandler = lambda text: stack[-1].text.append(text)
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"line {error.lineno}, column {error.offset + 1} is not XML: {error}") from None
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"the XML is in an unknown encoding: {error}") from None
    return top.children[0]


def _json(element: _Element) -> Record | str:
    text = "".join(element.text).strip()
    if not element.attributes and not element.children:
        return text
    answer: Record = {f"@{name}": value for name, value in element.attributes.items()}
    for child in element.children:
        value = _json(child)
        before = answer.get(child.tag)
        if child.tag not in answer:
            answer[child.tag] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            answer[child.tag] = [before, value]
    if text:
        answer["#text"] = text
    return answer
