from django.urls import path

from templates_app.api.dry_run_views import DryRunBodyView, DryRunView
from templates_app.api.views import (
    DslView,
    PublishView,
    TemplatesView,
    TemplateView,
    ValidateBodyView,
    ValidateView,
    VersionsView,
)

urlpatterns = [
    path("templates", TemplatesView.as_view(), name="templates"),
    path("templates/validate", ValidateBodyView.as_view(), name="templates-validate"),
    path("templates/dry-run", DryRunBodyView.as_view(), name="templates-dry-run"),
    path("templates/<slug:template_id>", TemplateView.as_view(), name="template"),
    path("templates/<slug:template_id>/publish", PublishView.as_view(), name="template-publish"),
    path("templates/<slug:template_id>/validate", ValidateView.as_view(), name="template-validate"),
    path("templates/<slug:template_id>/dry-run", DryRunView.as_view(), name="template-dry-run"),
    path("templates/<slug:template_id>/versions", VersionsView.as_view(), name="template-versions"),
    path("templates/<slug:template_id>/dsl", DslView.as_view(), name="template-dsl"),
]
