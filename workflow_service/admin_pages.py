"""Admin pages that show a row as it is: looked at, not edited. GET changes nothing, and nothing else is
taken.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse

from workflow_service.accounts.admin_policies import PolicyAdmin

admin.site.site_header = admin.site.site_title = "Workflow Service"
admin.site.index_title = "What runs, what could run, and who must say yes"
admin.site.site_url = None


class WordsFilter(admin.ChoicesFieldListFilter):
    """A filter by a status or type that shows it in words."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": str(choice["display"]).replace("_", " ").capitalize()}


class ValuesFilter(admin.AllValuesFieldListFilter):
    """A filter by the values that there are, with a word for the empty one."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or "(none)"}


class PageAdmin(PolicyAdmin):
    """An admin whose rows have a page of their own, found by key or public id."""

    page_template: ClassVar[str]

    class Media:
        css = {"all": ("workflow_service/admin.css",)}

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the page of ``row`` shows."""
        raise NotImplementedError

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the list under its own name; raises ``Http404`` for a query that Postgres cannot take."""
        if any("\x00" in value for value in request.GET.values()):
            raise Http404
        return super().changelist_view(request, extra_context)  # type: ignore[return-value]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the row of that key or public id if the user may see it."""
        if object_id.isascii() and object_id.isdigit():
            return super().get_object(request, object_id, from_field)
        return self.get_queryset(request).filter(public_id=object_id[:40].replace("\x00", "")).first()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the page of one row."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        # Not unquoted: Django would read "_22" in a public id as a quotation mark.
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        return self.render_page(request, row, self.page_context(request, row))

    def render_page(
        self, request: HttpRequest, row: Model, context: dict[str, Any], *, status: int = 200
    ) -> TemplateResponse:
        """Render the page of a row inside the admin's frame; raises ``PermissionDenied``."""
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        frame = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": str(row),
            "media": self.media,
        }
        return TemplateResponse(request, self.page_template, {**frame, **context}, status=status)


def sentence(text: str) -> str:
    """Return a message as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}."
