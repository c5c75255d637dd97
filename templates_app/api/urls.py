from django.urls import path

from templates_app.api.dry_run_views import DryRunBodyView, DryRunView
from templates_app.api.exchange_views import ExportView, ImportView
from templates_app.api.generation_views import GenerateView
from templates_app.api.library_views import InstallView, LibraryTemplateView, LibraryView
from templates_app.api.sharing_views import OwnerView, SharesView, ShareView
from templates_app.api.status_views import DeprecateView, PublishView, RestoreView
from templates_app.api.version_views import DiffView, RollbackView, VersionsView, VersionView
from templates_app.api.views import (
    CategoriesView,
    CloneView,
    DslView,
    TagsView,
    TemplatesView,
    TemplateView,
    ValidateBodyView,
    ValidateView,
)

urlpatterns = [
    path("library", LibraryView.as_view(), name="library"),
    path("library/<slug:slug>", LibraryTemplateView.as_view(), name="library-template"),
    path("library/<slug:slug>/install", InstallView.as_view(), name="library-install"),
    path("templates", TemplatesView.as_view(), name="templates"),
    path("templates/generate", GenerateView.as_view(), name="templates-generate"),
    path("templates/validate", ValidateBodyView.as_view(), name="templates-validate"),
    path("templates/dry-run", DryRunBodyView.as_view(), name="templates-dry-run"),
    path("templates/import", ImportView.as_view(), name="templates-import"),
    path("templates/categories", CategoriesView.as_view(), name="templates-categories"),
    path("templates/tags", TagsView.as_view(), name="templates-tags"),
    path("templates/<slug:template_id>", TemplateView.as_view(), name="template"),
    path("templates/<slug:template_id>/publish", PublishView.as_view(), name="template-publish"),
    path("templates/<slug:template_id>/deprecate", DeprecateView.as_view(), name="template-deprecate"),
    path("templates/<slug:template_id>/restore", RestoreView.as_view(), name="template-restore"),
    path("templates/<slug:template_id>/clone", CloneView.as_view(), name="template-clone"),
    path("templates/<slug:template_id>/validate", ValidateView.as_view(), name="template-validate"),
    path("templates/<slug:template_id>/dry-run", DryRunView.as_view(), name="template-dry-run"),
    path("templates/<slug:template_id>/versions", VersionsView.as_view(), name="template-versions"),
    path(
        "templates/<slug:template_id>/versions/<str:version>", VersionView.as_view(), name="template-version"
    ),
    path("templates/<slug:template_id>/diff", DiffView.as_view(), name="template-diff"),
    path("templates/<slug:template_id>/rollback", RollbackView.as_view(), name="template-rollback"),
    path("templates/<slug:template_id>/shares", SharesView.as_view(), name="template-shares"),
    # A group's name may hold anything, slashes too.
    path("templates/<slug:template_id>/shares/<path:grantee>", ShareView.as_view(), name="template-share"),
    path("templates/<slug:template_id>/owner", OwnerView.as_view(), name="template-owner"),
    path("templates/<slug:template_id>/export", ExportView.as_view(), name="template-export"),
    path("templates/<slug:template_id>/dsl", DslView.as_view(), name="template-dsl"),
]
