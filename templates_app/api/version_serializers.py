"""The shapes of versions, and of what differs between two."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers

from templates_app.api.serializers import definition_document
from templates_app.models import TemplateVersion
from templates_app.version_diff import VersionDiff
from templates_app.version_labels import Bump
from workflow_service.api_serializers import (
    CamelSerializer,
    JsonField,
    JsonObjectField,
    QuerySerializer,
    list_of,
    reference_to,
)
from workflow_service.engine.definition_diff import ChangeKind, FieldChange, PartChange

KINDS = [kind.value for kind in ChangeKind]


class VersionEntry(CamelSerializer):
    version = serializers.CharField(source="label")
    ordinal = serializers.IntegerField()
    change_note = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by.public_id")


class VersionList(CamelSerializer):
    template_id = serializers.CharField()
    versions = VersionEntry(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


class VersionShape(CamelSerializer):
    """One version: it never changes. The template's name, tags and status belong to no version."""

    template_id = serializers.CharField()
    version = serializers.CharField()
    ordinal = serializers.IntegerField()
    change_note = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    definition_sha256 = serializers.CharField()
    pinned = JsonObjectField(
        help_text="SHA-256 of the files it runs with, by kind (`scripts`, `schemas`) and name."
    )
    blocks = JsonField(schema=list_of("Block"))
    gates = JsonField(schema=list_of("Gate"))
    end_dependencies = serializers.ListField(child=serializers.CharField())
    input_schema = JsonObjectField(allow_null=True)
    global_settings = JsonField(schema=reference_to("GlobalSettings"))


class RollbackBody(CamelSerializer):
    version = serializers.CharField(max_length=32, help_text="A label (1.2.0) or a number (3).")
    change_note = serializers.CharField(required=False, allow_blank=True, max_length=500)
    bump = serializers.ChoiceField(
        choices=[part.value for part in Bump], required=False, help_text="Not given: minor."
    )


class DiffQuery(QuerySerializer):
    """``from`` and ``to``; Python keeps the first word for itself."""

    from_ = serializers.CharField(
        required=False, max_length=32, help_text="Label or number; not given: the version before `to`."
    )
    to = serializers.CharField(
        required=False, max_length=32, help_text="Label or number; not given: the current version."
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {name.removesuffix("_"): field for name, field in super().get_fields().items()}


class FieldChangeShape(CamelSerializer):
    kind = serializers.ChoiceField(choices=KINDS)
    pointer = serializers.CharField(
        help_text="JSON pointer into the newer version; if removed, into the older."
    )
    old = JsonField(required=False, help_text="Not there where it was added.")
    new = JsonField(required=False, help_text="Not there where it was removed.")


class BlockShown(CamelSerializer):
    block_id = serializers.CharField()
    pointer = serializers.CharField()
    block = JsonField(schema=reference_to("Block"))


class BlockChanged(CamelSerializer):
    block_id = serializers.CharField()
    pointer = serializers.CharField()
    changes = FieldChangeShape(many=True)


class BlockDiff(CamelSerializer):
    added = BlockShown(many=True)
    removed = BlockShown(many=True)
    changed = BlockChanged(many=True)


class GateShown(CamelSerializer):
    sources = serializers.CharField(help_text="As the DSL writes them: [a,b].")
    pointer = serializers.CharField()
    gate = JsonField(schema=reference_to("Gate"))


class GateChanged(CamelSerializer):
    sources = serializers.CharField()
    pointer = serializers.CharField()
    changes = FieldChangeShape(many=True)


class GateDiff(CamelSerializer):
    added = GateShown(many=True)
    removed = GateShown(many=True)
    changed = GateChanged(many=True)


class DiffShape(CamelSerializer):
    """What changed from one version to another. The template's name, tags and status belong to no version."""

    template_id = serializers.CharField()
    from_version = VersionEntry()
    to_version = VersionEntry()
    identical = serializers.BooleanField()
    blocks = BlockDiff()
    gates = GateDiff()
    end_dependencies = FieldChangeShape(many=True)
    input_schema = FieldChangeShape(many=True)
    global_settings = FieldChangeShape(many=True)
    files = FieldChangeShape(many=True, help_text="Of the contents of scripts and schemas pinned with them.")
    reordered = serializers.BooleanField(
        help_text="The blocks that both have come in another order, which changes nothing when they run."
    )


def version_document(version: TemplateVersion) -> dict[str, Any]:
    """Return one version, whole."""
    return {
        "template_id": version.template.public_id,
        "version": version.label,
        "ordinal": version.ordinal,
        "change_note": version.change_note,
        "created_at": version.created_at,
        "created_by": version.created_by.public_id,
        "definition_sha256": version.definition_sha256,
        "pinned": version.pinned,
    } | definition_document(version)


def diff_document(found: VersionDiff) -> dict[str, Any]:
    """Return the differences of two versions."""
    definition = found.definition
    return {
        "identical": found.is_empty,
        "blocks": _parts(definition.blocks, "block_id", "block"),
        "gates": _parts(definition.gates, "sources", "gate"),
        "end_dependencies": _fields(definition.end_dependencies),
        "input_schema": _fields(definition.input_schema),
        "global_settings": _fields(definition.global_settings),
        "files": _fields(found.files),
        "reordered": definition.reordered,
    }


def _parts(parts: Iterable[PartChange], name: str, value: str) -> dict[str, Any]:
    shown: dict[str, Any] = {kind: [] for kind in KINDS}
    for part in parts:
        entry: dict[str, Any] = {name: part.name, "pointer": part.pointer}
        is_whole = part.kind is not ChangeKind.CHANGED
        shown[part.kind].append(
            entry | ({value: part.value} if is_whole else {"changes": _fields(part.fields)})
        )
    return shown


def _fields(fields: Iterable[FieldChange]) -> list[dict[str, Any]]:
    return [
        {"kind": field.kind, "pointer": field.pointer}
        | ({} if field.kind is ChangeKind.ADDED else {"old": field.old})
        | ({} if field.kind is ChangeKind.REMOVED else {"new": field.new})
        for field in fields
    ]
