"""Full-text search in templates, by two columns that Postgres keeps itself (migration 0003).

``words`` are the words of name, tags, category, description and the text it was generated from, reduced to their
stems, with weights. ``endings`` are all endings of the words but those of that last text: a query for what begins
so finds parts of words by an index, without an extension.
"""

import re

from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVectorField
from django.db.models import Q, QuerySet
from django.db.models.expressions import RawSQL

from templates_app.models import Template

# Constant texts: what is searched for travels as a parameter.
_WORDS = RawSQL('"templates_app_template"."words"', [], output_field=SearchVectorField())
_ENDINGS = RawSQL('"templates_app_template"."endings"', [], output_field=SearchVectorField())
# A quoted phrase or an excluded word is meant exactly: parts of words would find what was excluded.
_EXACT = re.compile(r'"|(?<!\S)-\S')


class _PartsQuery(SearchQuery):
    """The query for texts that hold every word as a part of one of theirs."""

    SEARCH_TYPES = {"plain": "template_parts"}


def search_templates(rows: QuerySet[Template], text: str) -> QuerySet[Template]:
    """Return those of ``rows`` that ``text`` finds, annotated with their ``rank``, which is 0 for parts of words.

    ``text`` is what people type into search engines: words, "a phrase", ``or``, ``-without``. Each word may also be
    a part of one; a public id finds its template.
    """
    query = SearchQuery(text, config="english", search_type="websearch")
    found = Q(words=query) | Q(public_id=text)
    if not _EXACT.search(text):
        found |= Q(endings=_PartsQuery(text))
    rows = rows.alias(words=_WORDS, endings=_ENDINGS).filter(found)
    return rows.annotate(rank=SearchRank(_WORDS, query))
