"""How a template's runs went, for its page, which lies below this app and cannot ask it."""

from django import template

from executions_app.statistics import TemplateStatistics, template_statistics
from templates_app.models import Template

register = template.Library()


@register.simple_tag
def run_statistics(of: Template) -> TemplateStatistics:
    """Return the statistics of a template's runs."""
    return template_statistics([of.pk])[of.pk]
