"""Approval levels and absences over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from approvals_app.errors import AbsenceInvalid
from approvals_app.models import ApprovalLevel, OutOfOffice
from approvals_app.services.delegation import find_member
from approvals_app.services.levels import delete_level, get_level, set_level
from approvals_app.services.out_of_office import (
    MAX_REASON,
    clear_out_of_office,
    list_absences,
    set_out_of_office,
)
from workflow_service.accounts.api.requests import current_user, workspace_of
from workflow_service.accounts.models import User, Workspace
from workflow_service.accounts.policies import Action, require
from workflow_service.api_serializers import (
    CamelSerializer,
    PageQuery,
    QuerySerializer,
    page_of,
    read_body,
    read_query,
)

MAX_GROUPS = 50


class LevelBody(CamelSerializer):
    groups = serializers.ListField(
        child=serializers.CharField(max_length=150),
        min_length=1,
        max_length=MAX_GROUPS,
        help_text="Names of groups that have a member in the workspace.",
    )
    workspace_id = serializers.CharField(required=False, max_length=64)


class LevelShape(CamelSerializer):
    name = serializers.CharField()
    groups = serializers.SerializerMethodField("get_groups")

    def get_groups(self, level: ApprovalLevel) -> list[str]:
        return sorted(group.name for group in level.groups.all())


class LevelsShape(CamelSerializer):
    approval_levels = LevelShape(many=True)


class AbsenceBody(CamelSerializer):
    delegate = serializers.CharField(max_length=155, help_text="User name or id of who answers meanwhile.")
    user = serializers.CharField(
        required=False, max_length=155, help_text="Who is away; you, unless you manage members."
    )
    starts_at = serializers.DateTimeField(required=False, help_text="Now, if left out.")
    ends_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Open, if left out.")
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_REASON)
    workspace_id = serializers.CharField(required=False, max_length=64)


class AbsenceShape(CamelSerializer):
    id = serializers.IntegerField()
    user = serializers.CharField(source="user.username")
    delegate = serializers.CharField(source="delegate.username")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()


class AbsencesShape(CamelSerializer):
    absences = AbsenceShape(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()
    has_more = serializers.BooleanField()


class LevelsView(APIView):
    """The workspace's approval levels."""

    @extend_schema(
        operation_id="approval_levels_list",
        summary="List approval levels",
        tags=["approvals"],
        parameters=[QuerySerializer],
        responses=LevelsShape,
    )
    def get(self, request: Request) -> Response:
        """List which groups each approval level stands for, by name."""
        read_query(QuerySerializer, request)
        levels = ApprovalLevel.objects.filter(workspace=_readable(request)).prefetch_related("groups")
        return Response(LevelsShape({"approval_levels": levels.order_by("name")}).data)


class LevelView(APIView):
    """One approval level."""

    @extend_schema(
        summary="Get an approval level",
        tags=["approvals"],
        parameters=[QuerySerializer],
        responses=LevelShape,
    )
    def get(self, request: Request, name: str) -> Response:
        """Return which groups the level stands for."""
        read_query(QuerySerializer, request)
        return Response(LevelShape(get_level(_readable(request), name)).data)

    @extend_schema(
        summary="Set an approval level", tags=["approvals"], request=LevelBody, responses=LevelShape
    )
    def put(self, request: Request, name: str) -> Response:
        """Have the level stand for these groups and no others; for who manages members."""
        body = read_body(LevelBody, request)
        workspace = workspace_of(request, body=body)
        set_level(workspace=workspace, actor=current_user(request), name=name, groups=body["groups"])
        return Response(LevelShape(get_level(workspace, name)).data)

    @extend_schema(
        summary="Delete an approval level",
        tags=["approvals"],
        parameters=[QuerySerializer],
        responses={204: None},
    )
    def delete(self, request: Request, name: str) -> Response:
        """Forget the level: from now on every approver is asked for it."""
        read_query(QuerySerializer, request)
        delete_level(workspace=workspace_of(request), actor=current_user(request), name=name)
        return Response(status=204)


class AbsencesView(APIView):
    """Who is out of office."""

    @extend_schema(
        summary="List absences", tags=["approvals"], parameters=[PageQuery], responses=AbsencesShape
    )
    def get(self, request: Request) -> Response:
        """List the absences that are yours or name you, newest first; all for who manages members."""
        query = read_query(PageQuery, request)
        found = list_absences(current_user(request), _readable(request)).order_by("-starts_at", "-id")
        page = page_of("absences", found, query)
        more = page["offset"] + len(page["absences"]) < page["total"]
        return Response(AbsencesShape(page | {"has_more": more}).data)

    @extend_schema(
        summary="Be out of office", tags=["approvals"], request=AbsenceBody, responses={201: AbsenceShape}
    )
    def post(self, request: Request) -> Response:
        """Have somebody answer what you are asked while you are away."""
        body = read_body(AbsenceBody, request)
        workspace = workspace_of(request, body=body)
        absence = set_out_of_office(
            workspace=workspace,
            actor=current_user(request),
            user=_away(workspace, body["user"]) if "user" in body else None,
            delegate=body["delegate"],
            starts_at=body.get("starts_at"),
            ends_at=body.get("ends_at"),
            reason=body["reason"],
        )
        return Response(AbsenceShape(absence).data, status=201)


class AbsenceView(APIView):
    """One absence."""

    @extend_schema(
        summary="Delete an absence", tags=["approvals"], parameters=[QuerySerializer], responses={204: None}
    )
    def delete(self, request: Request, absence_id: int) -> Response:
        """Be back: nobody answers for you any more."""
        read_query(QuerySerializer, request)
        holding = OutOfOffice.objects.filter(pk=absence_id)
        workspace = workspace_of(request, holding=holding)
        clear_out_of_office(workspace=workspace, actor=current_user(request), absence_id=absence_id)
        return Response(status=204)


def _readable(request: Request) -> Workspace:
    workspace = workspace_of(request)
    require(current_user(request), workspace, Action.APPROVAL_READ)
    return workspace


def _away(workspace: Workspace, name: str) -> User:
    user = find_member(workspace, name)
    if user is None:
        raise AbsenceInvalid(f"there is no member '{name[:150]}' of this workspace")
    return user
