"""Whose a template is, and what others may do with it, over HTTP."""

from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from templates_app.api.requests import IF_MATCH, if_match, readable_template, template_response
from templates_app.api.serializers import TemplateShape
from templates_app.models import TemplateShare
from templates_app.selectors import list_shares
from templates_app.services.sharing import share_template, transfer_template
from workflow_service.accounts.api.requests import current_user
from workflow_service.accounts.policies import ShareRight
from workflow_service.api_serializers import CamelSerializer, QuerySerializer, read_body, read_query

TAGS = ["templates"]
RIGHTS = [right.value for right in ShareRight]


class PermissionsBody(CamelSerializer):
    permissions = serializers.ListField(
        child=serializers.ChoiceField(choices=RIGHTS), max_length=50, help_text="All they have from now on."
    )


class ShareShape(CamelSerializer):
    grantee = serializers.CharField(help_text="`user:NAME` or `group:NAME`.")
    permissions = serializers.ListField(child=serializers.ChoiceField(choices=RIGHTS))


class ShareList(CamelSerializer):
    template_id = serializers.CharField()
    owner_id = serializers.CharField()
    shares = ShareShape(many=True)


class OwnerBody(CamelSerializer):
    owner = serializers.CharField(max_length=150, help_text="A member's id or name.")


class SharesView(APIView):
    """With whom a template is shared."""

    @extend_schema(summary="List shares", tags=TAGS, parameters=[QuerySerializer], responses=ShareList)
    def get(self, request: Request, template_id: str) -> Response:
        """List who may do what with the template beyond their roles."""
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        shape = {
            "template_id": template.public_id,
            "owner_id": template.owner.public_id,
            "shares": share_documents(list_shares(template)),
        }
        return Response(ShareList(shape).data)


class ShareView(APIView):
    """What one user or group may do with a template."""

    @extend_schema(
        summary="Share a template",
        tags=TAGS,
        parameters=[QuerySerializer, IF_MATCH],
        request=PermissionsBody,
        responses=ShareShape,
    )
    def put(self, request: Request, template_id: str, grantee: str) -> Response:
        """Let a member (`user:NAME`) or a group (`group:NAME`) do what `permissions` names, and nothing else."""
        read_query(QuerySerializer, request)
        body, template = read_body(PermissionsBody, request), readable_template(request, template_id)
        rights = share_template(
            template=template,
            actor=current_user(request),
            grantee=grantee,
            rights=[ShareRight(name) for name in body["permissions"]],
            if_match=if_match(request),
        )
        return Response(ShareShape({"grantee": grantee, "permissions": sorted(rights)}).data)

    @extend_schema(
        summary="Stop sharing a template",
        tags=TAGS,
        parameters=[QuerySerializer, IF_MATCH],
        responses={204: None},
    )
    def delete(self, request: Request, template_id: str, grantee: str) -> Response:
        """Take back what a user or a group was let do."""
        read_query(QuerySerializer, request)
        template = readable_template(request, template_id)
        share_template(
            template=template,
            actor=current_user(request),
            grantee=grantee,
            rights=(),
            if_match=if_match(request),
        )
        return Response(status=204)


class OwnerView(APIView):
    """Whose a template is."""

    @extend_schema(
        summary="Give a template away",
        tags=TAGS,
        parameters=[QuerySerializer, IF_MATCH],
        request=OwnerBody,
        responses=TemplateShape,
    )
    def put(self, request: Request, template_id: str) -> Response:
        """Give the template to another member; who made it stays on record."""
        read_query(QuerySerializer, request)
        body, template = read_body(OwnerBody, request), readable_template(request, template_id)
        return template_response(
            transfer_template(
                template=template,
                actor=current_user(request),
                owner=body["owner"],
                if_match=if_match(request),
            )
        )


def share_documents(shares: Iterable[TemplateShare]) -> list[dict[str, Any]]:
    """Return each grantee with what they were let do, in the order they come in."""
    rights: dict[str, list[str]] = {}
    for share in shares:
        rights.setdefault(share.grantee, []).append(share.right)
    return [{"grantee": name, "permissions": sorted(given)} for name, given in rights.items()]
