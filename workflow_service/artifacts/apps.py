"""Artifacts, as an app."""

from django.apps import AppConfig


class ArtifactsConfig(AppConfig):
    name = "workflow_service.artifacts"
    label = "artifacts"
