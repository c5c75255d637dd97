"""The door of the translator: a text in, a flow out."""

import re
from dataclasses import replace

from workflow_service.ai.generation.flow import Flow
from workflow_service.ai.generation.soundness import make_sound
from workflow_service.ai.translator.normalise import normalise
from workflow_service.ai.translator.outline import outline
from workflow_service.ai.translator.reader import MAX_STEPS, Reader, TooManySteps
from workflow_service.ai.translator.weaver import weave
from workflow_service.engine.errors import Problem, WorkflowError

_NAMED = re.compile(
    r"(?:create|build|design|make|set up|define|generate|want|need)\s+(?:me\s+|us\s+)?(?:an?"
    r"|the)\s+(?P<name>[\w /-]{3,60}?"
    r"\b(?:workflow|pipeline|process|automation|flow|procedure))\b",
    re.I,
)


class TextNotUnderstood(WorkflowError):
    """A text tells nothing to do that the rules recognise."""

    code = "TEXT_NOT_UNDERSTOOD"


def translate(text: str) -> Flow:
    """Return the steps that ``text`` tells and the ways between them; raises ``TextNotUnderstood``."""
    plain = normalise(text)
    reader = Reader()
    try:
        reader.read(outline(plain))
    except TooManySteps as error:
        raise TextNotUnderstood(
            str(error), [Problem("TEXT_NOT_UNDERSTOOD", str(error), suggestion="divide it")]
        ) from None
    flow = weave(reader.root, reader.on_failure)
    if not flow.steps:
        message = "the text tells no step: nothing in it is something to do"
        mend = "say what is to be done, one step a line, such as 'Validate the order'"
        raise TextNotUnderstood(message, [Problem("TEXT_NOT_UNDERSTOOD", message, suggestion=mend)])
    if len(flow.steps) > MAX_STEPS:
        message = f"the text tells {len(flow.steps)} steps; at most {MAX_STEPS} are read"
        raise TextNotUnderstood(message, [Problem("TEXT_NOT_UNDERSTOOD", message, suggestion="divide it")])
    sound = make_sound(flow.with_notes(reader.notes))
    return replace(sound, name=_name(plain, reader.title, flow))


def _name(text: str, title: str, flow: Flow) -> str:
    """Return a title: the text's own, the kind of workflow it asks for, else what its first step does."""
    match = _NAMED.search(text)
    found = title or (match["name"] if match else "") or flow.steps[0].title
    words = " ".join(found.split()).strip(" .:")
    return (words[:1].upper() + words[1:])[:100] or "Workflow"
