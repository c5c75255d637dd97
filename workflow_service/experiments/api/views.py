"""Experiments over HTTP. Who may change a template may experiment with it; who may read it may read the results."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.models import Template
from templates_app.selectors import get_template, get_version
from templates_app.sharing import require_on
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import QuerySerializer, page_of, read_body, read_query
from workflow_service.experiments.api.serializers import (
    ExperimentChange,
    ExperimentList,
    ExperimentListQuery,
    ExperimentResults,
    ExperimentShape,
    NewExperiment,
    StopBody,
    experiment_documents,
)
from workflow_service.experiments.models import Experiment
from workflow_service.experiments.selectors import get_experiment, list_experiments
from workflow_service.experiments.services.evaluations import newest_reading
from workflow_service.experiments.services.experiments import (
    change_experiment,
    create_experiment,
    delete_experiment,
    promote_treatment,
    start_experiment,
    stop_experiment,
)

TAGS = ["experiments"]
NEW_EXAMPLE = OpenApiExample(
    "New",
    value={
        "templateId": "tpl_12345",
        "name": "Two readers side by side",
        "control": "1.0.0",
        "treatment": "1.1.0",
        "treatmentShare": 20,
        "stickyBy": "input",
        "stickyExpression": "workflow.input.customerId",
        "metric": "duration",
    },
    request_only=True,
)


class ExperimentsView(APIView):
    """The experiments of a workspace."""

    @extend_schema(
        summary="List experiments",
        operation_id="experiments_list",
        tags=TAGS,
        parameters=[ExperimentListQuery],
        responses=ExperimentList,
    )
    def get(self, request: Request) -> Response:
        """List the workspace's experiments, newest first."""
        query = read_query(ExperimentListQuery, request)
        workspace = workspace_of(request)
        require(current_user(request), workspace, Action.TEMPLATE_READ)
        rows = list_experiments(workspace, status=query.get("status"), template_id=query.get("template_id"))
        page = page_of("experiments", rows, query, experiment_documents)
        return Response(ExperimentList(page).data)

    @extend_schema(
        summary="Describe an experiment",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=NewExperiment,
        examples=[NEW_EXAMPLE],
        responses={201: ExperimentShape},
    )
    def post(self, request: Request) -> Response:
        """Describe an experiment with two versions of a template; it is a draft until it is started."""
        read_query(QuerySerializer, request)
        body = read_body(NewExperiment, request)
        holding = Template.objects.filter(public_id=body["template_id"])
        workspace = workspace_of(request, body=body, holding=holding)
        template = get_template(workspace, body["template_id"])
        require_on(template, current_user(request), Action.TEMPLATE_READ)
        experiment = create_experiment(
            template=template,
            actor=current_user(request),
            control=get_version(template, body.get("control")),
            treatment=get_version(template, body["treatment"]),
            fields=_fields(body),
        )
        headers = {"Location": f"/api/v1/experiments/{experiment.public_id}"}
        [document] = experiment_documents([experiment])
        return Response(ExperimentShape(document).data, status=201, headers=headers)


class ExperimentView(APIView):
    """One experiment."""

    @extend_schema(
        summary="Read an experiment", tags=TAGS, parameters=[QuerySerializer], responses=ExperimentShape
    )
    def get(self, request: Request, experiment_id: str) -> Response:
        """Say what is compared, how, and where it stands."""
        read_query(QuerySerializer, request)
        return _shown(_readable(request, experiment_id))

    @extend_schema(
        summary="Change an experiment",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=ExperimentChange,
        responses=ExperimentShape,
    )
    def patch(self, request: Request, experiment_id: str) -> Response:
        """Change a draft; what is left out stays. One that was started stays as it is, for its figures' sake."""
        read_query(QuerySerializer, request)
        experiment = _readable(request, experiment_id)
        body = read_body(ExperimentChange, request)
        named = {
            name: get_version(experiment.template, body[name])
            for name in ("control", "treatment")
            if name in body
        }
        return _shown(
            change_experiment(
                experiment=experiment, actor=current_user(request), fields=_fields(body), **named
            )
        )

    @extend_schema(
        summary="Delete an experiment", tags=TAGS, parameters=[QuerySerializer], responses={204: None}
    )
    def delete(self, request: Request, experiment_id: str) -> Response:
        """Delete a draft."""
        read_query(QuerySerializer, request)
        delete_experiment(experiment=_readable(request, experiment_id), actor=current_user(request))
        return Response(status=204)


class StartView(APIView):
    """An experiment's beginning."""

    @extend_schema(
        summary="Start an experiment",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=ExperimentShape,
    )
    def post(self, request: Request, experiment_id: str) -> Response:
        """Divide the starts that name no version from now on.

        If the template runs something else than the control, it is rolled back to it first.
        """
        read_query(QuerySerializer, request)
        experiment = _readable(request, experiment_id)
        return _shown(start_experiment(experiment=experiment, actor=current_user(request)))


class StopView(APIView):
    """An experiment's end by hand."""

    @extend_schema(
        summary="Stop an experiment",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=StopBody,
        responses=ExperimentShape,
    )
    def post(self, request: Request, experiment_id: str) -> Response:
        """Stop it without a winner: every start gets the control. Runs under way keep their version."""
        read_query(QuerySerializer, request)
        body, experiment = read_body(StopBody, request), _readable(request, experiment_id)
        reason = body.get("reason", "")
        return _shown(stop_experiment(experiment=experiment, actor=current_user(request), reason=reason))


class PromoteView(APIView):
    """A treatment's promotion."""

    @extend_schema(
        summary="Promote the treatment",
        tags=TAGS,
        parameters=[QuerySerializer],
        request=None,
        responses=ExperimentShape,
    )
    def post(self, request: Request, experiment_id: str) -> Response:
        """Make what the treatment says the template's current version; a running experiment is ended by it."""
        read_query(QuerySerializer, request)
        experiment = _readable(request, experiment_id)
        return _shown(promote_treatment(experiment=experiment, actor=current_user(request)))


class ResultsView(APIView):
    """What an experiment has found out."""

    @extend_schema(
        summary="Read an experiment's results",
        tags=TAGS,
        parameters=[QuerySerializer],
        responses=ExperimentResults,
    )
    def get(self, request: Request, experiment_id: str) -> Response:
        """Compare the arms as they are now, or as they were when it ended. Looking often changes nothing.

        The confidence sequence holds at every look, so an experiment may be ended by what it says.
        """
        read_query(QuerySerializer, request)
        experiment = _readable(request, experiment_id)
        found, read_at = newest_reading(experiment)
        shape = {
            "experiment_id": experiment.public_id,
            "status": experiment.status,
            "metric": experiment.metric,
            "evaluated_at": read_at,
            **found,
            "winner": experiment.winner or None,
        }
        return Response(ExperimentResults(shape).data)


def _readable(request: Request, experiment_id: str) -> Experiment:
    """Return the experiment a request is about, if its user may read the template."""
    workspace = workspace_of(request, holding=Experiment.objects.filter(public_id=experiment_id))
    experiment = get_experiment(workspace, experiment_id)
    require_on(experiment.template, current_user(request), Action.TEMPLATE_READ)
    return experiment


def _fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a body is a field of the model as it is."""
    others = ("template_id", "workspace_id", "control", "treatment")
    return {name: value for name, value in body.items() if name not in others}


def _shown(experiment: Experiment) -> Response:
    [document] = experiment_documents([experiment])
    return Response(ExperimentShape(document).data)
