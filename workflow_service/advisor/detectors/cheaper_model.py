"""Language models that are dearer than their answers need: short ones, always among the same few.

What a cheaper model would cost is the ratio of the prices for as many tokens in and out; whether it answers as well
nobody can know before, so it is the effort of a comparison that is proposed with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from workflow_service.advisor.editing import with_fields
from workflow_service.advisor.ideas import Case, Idea, ModelPrice
from workflow_service.advisor.recordings import RecordedBlock, quantile
from workflow_service.advisor.vocabulary import Effort, Kind, Measure, Type
from workflow_service.engine.definition import Block
from workflow_service.engine.states import ToolType

LEAST_ASKED = 20
SHORT_CHARACTERS = 200
FEW_ANSWERS = 10
CHEAPER = 0.5


def cheaper_model(
    case: Case, characters: int = SHORT_CHARACTERS, different: int = FEW_ANSWERS
) -> Iterator[Idea]:
    """Yield an idea for each block that asks a dear model for little: so short, and so few different answers."""
    for block in case.definition.blocks:
        if block.tool_type is not ToolType.LLM:
            continue
        asked = [each for each in case.recordings.worked(block.block_id) if each.cost_usd and not each.failed]
        if len(asked) < LEAST_ASKED:
            continue
        answers = {each.made for each in asked}
        longest = quantile([each.made_characters for each in asked], 0.95)
        dear = {model.name: model for model in case.models}.get(asked[-1].model)
        if len(answers) > different or longest > characters or dear is None:
            continue
        ratios = _ratios(case.models, dear, asked)
        cheap = [model for model in case.models if ratios[model] <= CHEAPER]
        if cheap:
            best = max(cheap, key=lambda model: (ratios[model], model.name))
            yield _idea(case, block, dear, best, ratios[best], len(asked), len(answers))


def _ratios(
    models: Sequence[ModelPrice], dear: ModelPrice, asked: Sequence[RecordedBlock]
) -> dict[ModelPrice, float]:
    """Return what each model costs, as a share of the dear one, for as much in and out as was asked of that."""
    mine = [each.tokens for each in asked if each.model == dear.name]
    tokens = sum(prompt for prompt, _ in mine), sum(completion for _, completion in mine)
    usd = dear.of(tokens)
    return {model: model.of(tokens) / usd if usd else 1.0 for model in models}


def _idea(
    case: Case, block: Block, dear: ModelPrice, cheap: ModelPrice, ratio: float, asked: int, answers: int
) -> Idea:
    name = block.block_id
    usd = sum(each.cost_usd for each in case.recordings.worked(name))

    def priced(one: RecordedBlock) -> RecordedBlock:
        return replace(one, cost_usd=one.cost_usd * ratio, model=cheap.name)

    return Idea(
        Kind.CHEAPER_MODEL,
        Type.COST,
        Measure.COST,
        (name,),
        f"Ask a cheaper model in '{name}'",
        f"'{name}' asked {dear.name} {asked} times for {usd:.2f} USD, and it gave {answers} different answers, "
        f"none of them long. {cheap.name} costs {ratio:.0%} of it. Compare their answers before you rely on it.",
        lambda: with_fields(
            case.definition, name, configuration={**block.configuration, "model": cheap.name}
        ),
        Effort.MEDIUM,
        {"model": {"block": name, "from": dear.name, "to": cheap.name}},
        {
            "asked": asked,
            "differentAnswers": answers,
            "costUsd": round(usd, 6),
            "priceRatio": round(ratio, 4),
        },
        rewrite=lambda recordings: recordings.with_block(name, priced),
    )
