"""Dry runs over HTTP: where a template would lead, without doing any of its work."""

import difflib
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.requests import readable_template
from templates_app.api.serializers import Issue, VersionQuery, issue_document
from templates_app.bodies import read_template
from templates_app.selectors import get_version
from templates_app.services.known_work import known_outputs
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.agents.catalog import list_agents
from workflow_service.api_serializers import (
    MAX_PROBLEMS,
    CamelSerializer,
    JsonField,
    JsonObjectField,
    QuerySerializer,
    read_body,
    read_query,
)
from workflow_service.engine.definition import Definition
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dry_run import (
    DryRun,
    DryRunInvalid,
    Step,
    coverage,
    dry_run,
    dry_run_branches,
    edge_name,
)
from workflow_service.engine.errors import Problem
from workflow_service.engine.json_values import json_pointer
from workflow_service.engine.plan import Plan, compile_plan

TAGS = ["templates"]
EXAMPLES = [
    OpenApiExample(
        "One way, with given outputs",
        value={
            "input": {"orderId": 17},
            "outputs": {"check": {"is_valid": True}, "charge": [{"$error": "TIMEOUT_ERROR"}, {"paid": True}]},
            "answers": {"approve_refund": "reject"},
        },
        request_only=True,
    ),
    OpenApiExample("Every branch", value={"allBranches": True}, request_only=True),
]


class DryRunBody(CamelSerializer):
    """What blocks and people do in a dry run; what is left out is assumed."""

    input = JsonObjectField(
        required=False, help_text="The input of the run. Not given: assumed as it is read."
    )
    outputs = JsonObjectField(
        required=False,
        help_text="By block id: an output, or a list of outputs for successive tries, rounds or items of a map. "
        '`{"$error": "TIMEOUT_ERROR"}` is a try that fails.',
    )
    answers = JsonObjectField(
        required=False,
        help_text="By block id: `approve`, `reject`, or an object with `approved` and the `response`. By question: "
        "true or false. A list gives successive answers.",
    )
    all_branches = serializers.BooleanField(
        required=False, default=False, help_text="Also drive every branch that can be reached."
    )


class UnsavedDryRunBody(DryRunBody):
    template = JsonObjectField(help_text="A template as it would be posted.")


class DryRunCondition(CamelSerializer):
    condition = serializers.CharField()
    result = serializers.BooleanField()


class DryRunStep(CamelSerializer):
    """One node decided."""

    block_id = serializers.CharField(help_text="A block, a join as `[a,b]`, or a question as `block?`.")
    kind = serializers.ChoiceField(choices=["block", "gate", "decide"])
    verdict = serializers.ChoiceField(choices=["COMPLETED", "FAILED", "REJECTED", "SKIPPED", "CANCELLED"])
    worked = serializers.BooleanField(help_text="Whether its work was done, well or not.")
    took = serializers.ListField(child=serializers.CharField(), help_text="Where it leads on to.")
    rounds = serializers.ListField(
        child=serializers.IntegerField(), help_text="Rounds of the loops around it, outer first, from 0."
    )
    tries = serializers.IntegerField()
    conditions = DryRunCondition(many=True)
    output = JsonField(allow_null=True)
    error = JsonObjectField(allow_null=True)
    answer = serializers.BooleanField(allow_null=True)
    items = serializers.IntegerField(allow_null=True)


class DryRunShape(CamelSerializer):
    """One way through the workflow."""

    status = serializers.ChoiceField(choices=["COMPLETED", "FAILED", "STUCK"])
    path = serializers.ListField(child=serializers.CharField(), help_text="The blocks that worked, in order.")
    edges_taken = serializers.ListField(child=serializers.CharField())
    steps = DryRunStep(many=True)
    problems = Issue(many=True)
    error = JsonObjectField(allow_null=True)
    assumed = JsonObjectField(help_text="What nobody had given: `input`, and `outputs` by block.")
    context = JsonObjectField(help_text="The run's context at its end.")  # type: ignore[assignment]
    undone = serializers.ListField(child=serializers.CharField())


class CoverageShape(CamelSerializer):
    complete = serializers.BooleanField()
    unreached_blocks = serializers.ListField(child=serializers.CharField())
    untaken_edges = serializers.ListField(child=serializers.CharField())


class DryRunAnswer(CamelSerializer):
    runs = DryRunShape(many=True)
    coverage = CoverageShape(help_text="What none of the runs came to.")


class DryRunView(APIView):
    """A stored template, tried without doing anything."""

    @extend_schema(
        summary="Dry-run a template",
        operation_id="templates_dry_run",
        tags=TAGS,
        parameters=[VersionQuery],
        request=DryRunBody,
        examples=EXAMPLES,
        responses=DryRunAnswer,
    )
    def post(self, request: Request, template_id: str) -> Response:
        """Say which way a run would take with these outputs and answers; no block does any work.

        With `allBranches` it is tried again until every branch was taken, or cannot be.
        """
        query, body = read_query(VersionQuery, request), read_body(DryRunBody, request)
        template = readable_template(request, template_id)
        definition = load_definition(get_version(template, query.get("version")).definition)
        return Response(DryRunAnswer(_try(definition, template.workspace, body)).data)


class DryRunBodyView(APIView):
    """A template nobody has saved, tried without doing anything."""

    @extend_schema(
        summary="Dry-run a body",
        operation_id="templates_dry_run_body",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=UnsavedDryRunBody,
        responses=DryRunAnswer,
    )
    def post(self, request: Request) -> Response:
        """Say which way a run of the template in this body would take; nothing is saved."""
        read_query(QuerySerializer, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_CREATE)
        body = read_body(UnsavedDryRunBody, request)
        definition = read_template(body["template"]).definition
        return Response(DryRunAnswer(_try(definition, workspace, body)).data)


def _try(definition: Definition, workspace: Workspace, body: dict[str, Any]) -> dict[str, Any]:
    _check_blocks(definition, body.get("outputs") or {})
    plan = compile_plan(definition)
    walk = dry_run_branches if body.get("all_branches") else _dry_run_once
    runs = walk(
        plan,
        input=body.get("input"),
        outputs=body.get("outputs"),
        answers=body.get("answers"),
        writes=known_outputs(definition, list_agents(workspace.pk)),
    )
    found = coverage(plan, runs)
    return {
        "runs": [_run_document(plan, run) for run in runs],
        "coverage": {
            "complete": found.is_complete,
            "unreached_blocks": found.unreached_blocks,
            "untaken_edges": [edge_name(plan, edge) for edge in found.untaken_edges],
        },
    }


def _check_blocks(definition: Definition, outputs: Mapping[str, object]) -> None:
    """Raise ``DryRunInvalid`` if outputs are given for blocks that are not there: they would be passed over."""
    known = [block.block_id for block in definition.blocks]
    problems = []
    for name in outputs:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean '{near[0]}'?" if near else "give outputs by the ids of the blocks"
            message = f"there is no block '{name[:100]}'"
            problems.append(Problem("UNKNOWN_BLOCK", message, json_pointer("outputs", name), mend))
    if problems:
        raise DryRunInvalid(f"outputs: {problems[0].message}", problems[:MAX_PROBLEMS])


def _dry_run_once(plan: Plan, **given: Any) -> tuple[DryRun, ...]:
    return (dry_run(plan, **given),)


def _run_document(plan: Plan, run: DryRun) -> dict[str, Any]:
    return {
        "status": run.status.value,
        "path": run.path,
        "edges_taken": [edge_name(plan, edge) for edge in sorted(run.taken)],
        "steps": [_step_document(step) for step in run.steps],
        "problems": [issue_document(one) for one in run.problems],
        "error": run.error,
        "assumed": run.assumed,
        "context": run.context,
        "undone": run.undone,
    }


def _step_document(step: Step) -> dict[str, Any]:
    names = ("block_id", "verdict", "worked", "took", "rounds", "tries", "output", "error", "answer", "items")
    conditions = [{"condition": source, "result": result} for source, result in step.conditions]
    return {name: getattr(step, name) for name in names} | {"kind": step.kind.value, "conditions": conditions}
