"""Admin pages of the library: cards of the ready templates, and one of them with its graph, to be installed.

They hang below the templates' own pages. Looking wants the right to read templates in some workspace; installing,
a POST, the right to create them in the one that is chosen.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from templates_app.errors import LibraryTemplateNotFound
from templates_app.graph import graph_of
from templates_app.graph_svg import render_graph
from templates_app.library.catalog import (
    LibraryTemplate,
    get_library_template,
    library_categories,
    search_library,
)
from templates_app.services.library import install_template, installed_by_slug
from workflow_service.accounts.models import User
from workflow_service.accounts.policies import Action
from workflow_service.admin_pages import PageAdmin
from workflow_service.engine.dsl import render_dsl
from workflow_service.engine.errors import WorkflowError


class LibraryPages(PageAdmin):
    """The pages of the library, for the admin of templates."""

    change_list_template = "admin/template_list.html"

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "templates_app_library"
        return [
            path("library/", view(self.library_view), name=name),
            path("library/<slug:slug>/", view(self.library_template_view), name=f"{name}_template"),
            path("library/<slug:slug>/install/", view(self.install_view), name=f"{name}_install"),
            *super().get_urls(),
        ]

    def library_view(self, request: HttpRequest) -> HttpResponse:
        """Show the ready templates as cards, narrowed by words and category."""
        words, category = request.GET.get("q", "")[:200], request.GET.get("category", "")
        found = search_library(words, category=category or None)
        there = installed_by_slug(self.workspaces(request, Action.TEMPLATE_READ))
        context = {
            "title": "Library",
            "cards": [(one, there.get(one.slug)) for one in found],
            "categories": library_categories(),
            "words": words,
            "category": category,
        }
        return self._render(request, "admin/library.html", context)

    def library_template_view(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Show one ready template: its graph, what its branches mean, inputs that it runs with."""
        one = _found(slug)
        context = {
            "title": one.name,
            "one": one,
            "graph": _picture(one),
            "dsl": render_dsl(one.definition),
            "files": [one.workspace_name(file) for file in one.files],
            "there": installed_by_slug(self.workspaces(request, Action.TEMPLATE_READ)).get(slug),
            "workspaces": self.workspaces(request, Action.TEMPLATE_CREATE).order_by("name"),
        }
        return self._render(request, "admin/library_template.html", context)

    def install_view(self, request: HttpRequest, slug: str) -> HttpResponse:
        """Install a ready template, or a copy of it, and go to the template it became; POST only."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        one, user = _found(slug), request.user
        open_to_user = {row.public_id: row for row in self.workspaces(request, Action.TEMPLATE_CREATE)}
        workspace = open_to_user.get(request.POST.get("workspace", ""))
        if workspace is None or not isinstance(user, User):
            raise PermissionDenied
        try:
            done = install_template(
                workspace=workspace, actor=user, found=one, copy=request.POST.get("copy") == "yes"
            )
        except WorkflowError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(reverse("admin:templates_app_library_template", args=[slug]))
        said = "is installed" if done.created else "was installed already"
        messages.success(request, f"“{done.template.name}” {said} in {workspace.name}.")
        return HttpResponseRedirect(reverse("admin:templates_app_template_change", args=[done.template.pk]))

    def _render(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, {**frame, **context})


def _found(slug: str) -> LibraryTemplate:
    try:
        return get_library_template(slug)
    except LibraryTemplateNotFound:
        raise Http404 from None


def _picture(one: LibraryTemplate) -> SafeString:
    return render_graph(graph_of(one.definition), title=f"Blocks of {one.name}")
