"""A workflow in plain words, by a language model where there is one, else by rules; both from the definition alone."""

from dataclasses import dataclass

from templates_app.services.designing import Method
from workflow_service.accounts.models import User, Workspace
from workflow_service.ai.client import LlmRequest, UsageContext, ask, is_configured
from workflow_service.ai.english.story import tell
from workflow_service.ai.errors import BudgetExceeded, LlmAnswerInvalid, LlmUnavailable, NotConfigured
from workflow_service.engine.definition import Definition
from workflow_service.engine.dsl import render_dsl

PROMPT = "explain_workflow"
MODEL_TIME_S = 15.0
# A model is handed no more than it reads well; longer workflows are told by rules, whole.
MAX_DSL_CHARACTERS = 30_000


@dataclass(frozen=True, slots=True)
class Explanation:
    """The text, who wrote it (RULES or LLM), and why it was not the other."""

    text: str
    method: Method
    notes: tuple[str, ...] = ()


def explain_definition(
    definition: Definition,
    *,
    workspace: Workspace,
    user: User,
    method: Method = Method.AUTO,
    template_id: str | None = None,
) -> Explanation:
    """Say what ``definition`` does.

    Where ``method`` insists on the model, raises ``NotConfigured``, ``LlmUnavailable``, ``LlmAnswerInvalid`` and
    ``BudgetExceeded``; else the rules explain what the model does not.
    """
    if method is Method.RULES or (method is Method.AUTO and not is_configured()):
        return Explanation(tell(definition), Method.RULES)
    dsl = render_dsl(definition)
    if len(dsl) > MAX_DSL_CHARACTERS and method is Method.AUTO:
        return Explanation(tell(definition), Method.RULES, ("It is too long for the language model.",))
    context = UsageContext(workspace_id=workspace.pk, user_id=user.pk, template_id=template_id)
    request = LlmRequest(PROMPT, {"workflow_dsl": dsl}, operation="explain", timeout_s=MODEL_TIME_S)
    try:
        return Explanation(ask(request, context).text.strip(), Method.LLM)
    except (BudgetExceeded, LlmAnswerInvalid, LlmUnavailable, NotConfigured) as error:
        if method is Method.LLM:
            raise
        note = f"The language model was not used: {error.message}. Rules explain the workflow instead."
        return Explanation(tell(definition), Method.RULES, (note,))
