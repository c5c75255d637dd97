"""Finding templates: words and parts of them, filters, order, pages, categories and tags."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from templates_app.models import Template
from templates_app.search import search_templates
from templates_app.selectors import TemplateFilter, list_templates
from tests.caller import Caller, problem_of
from tests.factories import noop
from tests.house import House, make_house
from workflow_service.accounts.models import Role
from workflow_service.api_serializers import page_of


@pytest.fixture
def house(db: None) -> House:
    return make_house()


def create(caller: Caller, name: str, **fields: Any) -> str:
    answer = caller.post("templates", {"name": name, "blocks": [noop("a")]} | fields)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["templateId"])


def names(caller: Caller, **query: Any) -> list[str]:
    answer = caller.get("templates", query)
    assert answer.status_code == 200, answer.content
    assert answer.json()["total"] == len(answer.json()["templates"])
    return [template["name"] for template in answer.json()["templates"]]


@pytest.fixture
def library(developer: Caller) -> Caller:
    create(developer, "Sales pipeline", tags=["etl", "quarterly"], metadata={"category": "data-processing"})
    create(developer, "Stock report", description="Counts SALES, and mails the wholesaler")
    create(developer, "Onboarding", nlDescription="When a customer signs up, validate their phone")
    create(developer, "Übung für Anfänger", description="order_processing in extract.csv")
    return developer


FOUND = [
    ("sales", ["Sales pipeline", "Stock report"]),
    ("SALES", ["Sales pipeline", "Stock report"]),
    ("pipelines", ["Sales pipeline"]),  # another form of the word
    ("sales report", ["Stock report"]),  # all the words
    ("pipe", ["Sales pipeline"]),  # the beginning of one
    ("ales", ["Stock report", "Sales pipeline"]),  # a part of one
    ("les pip", ["Sales pipeline"]),  # parts of two
    ("quarter", ["Sales pipeline"]),
    ("processing", ["Übung für Anfänger", "Sales pipeline"]),
    ("pipeline or report", ["Stock report", "Sales pipeline"]),
    ("sales -mails", ["Sales pipeline"]),
    ('"sales pipeline"', ["Sales pipeline"]),
    ('"pipeline sales"', []),
    ("phone", ["Onboarding"]),
    ("übung", ["Übung für Anfänger"]),
    ("nfäng", ["Übung für Anfänger"]),
    ("csv", ["Übung für Anfänger"]),
    ("nothing of that", []),
    ("%", []),
    ("' & ! | ( ) <-> :* \\", []),
    ("the", ["Stock report"]),  # no word of English, and a part of one that is there
]


def test_words_and_parts_of_words_find_templates(library: Caller) -> None:
    for text, found in FOUND:
        assert sorted(names(library, q=text)) == sorted(found), text
        assert names(library, search=text) == names(library, q=text)
    assert names(library, q="sales") == FOUND[0][1], "the name counts for more than the description"


def test_what_is_searched_for_follows_the_template(developer: Caller) -> None:
    template_id = create(developer, "Old words")
    developer.patch(f"templates/{template_id}", {"name": "New phrase", "tags": ["fresh"]})
    assert names(developer, q="old") == []
    assert names(developer, q="phrase") == names(developer, q="fre") == ["New phrase"]
    assert names(developer, q=template_id) == ["New phrase"]


def test_the_longest_template_is_found_by_what_stands_at_its_end(developer: Caller) -> None:
    letters = "".join(chr(0x20000 + number) for number in range(1_900))
    create(
        developer,
        letters[:255],
        tags=[letters[n : n + 100] for n in range(50)],
        description=letters + "數據庫",
    )
    assert names(developer, q="據庫") == names(developer, q=letters[900:1_000]) == [letters[:255]]
    assert names(developer, q="庫據") == []


def test_searching_goes_by_the_indexes(library: Caller) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
    plan = search_templates(Template.objects.order_by(), "ales").explain()
    for index in ("template_by_word", "template_by_part"):
        assert f"Bitmap Index Scan on {index}" in plan


def test_lists_are_narrowed_by_every_field(library: Caller, house: House) -> None:
    admin = house.caller(Role.ADMIN)
    create(admin, "Of the admin", metadata={"complexity": "high"})
    assert names(library, owner="me") == names(library, owner=house.developer.public_id)
    assert names(library, owner=house.members[Role.ADMIN].username) == ["Of the admin"]
    assert names(library, complexity="high") == ["Of the admin"]
    assert names(library, category="data-processing", tags="etl,quarterly", owner="me", q="pipe") == [
        "Sales pipeline"
    ]
    Template.objects.filter(name="Onboarding").update(
        created_at=datetime(2024, 1, 1, tzinfo=UTC), updated_at=datetime(2024, 6, 1, tzinfo=UTC)
    )
    old = {"createdFrom": "2024-01-01T00:00:00Z", "createdTo": "2024-01-02T00:00:00Z"}
    assert names(library, **old) == ["Onboarding"]
    assert names(library, createdTo="2024-01-01T00:00:00Z") == []
    assert names(library, updatedFrom="2024-06-01", updatedTo="2024-06-02T00:00:00Z") == ["Onboarding"]


def test_lists_are_sorted_as_asked(library: Caller) -> None:
    by_name = ["Onboarding", "Sales pipeline", "Stock report", "Übung für Anfänger"]
    assert names(library, ordering="name") == by_name
    assert names(library, ordering="-name") == by_name[::-1]
    assert names(library, ordering="createdAt") == names(library, ordering="-createdAt")[::-1]
    assert names(library, q="sales", ordering="-name") == ["Stock report", "Sales pipeline"]
    template = Template.objects.get(name="Onboarding")
    library.patch(f"templates/{template.public_id}", {"description": "now"})
    assert names(library, ordering="-updatedAt")[0] == "Onboarding"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"ordering": "status"}, "/ordering"),
        ({"createdFrom": "yesterday"}, "/createdFrom"),
        ({"shared": "perhaps"}, "/shared"),
        ({"q": "x" * 201}, "/q"),
        ({"q": "a\0b"}, "/q"),
    ],
)
def test_a_query_that_cannot_be_is_refused(developer: Caller, query: dict[str, str], pointer: str) -> None:
    errors = problem_of(developer.get("templates", query), 400, "INVALID_QUERY")["errors"]
    assert [error["pointer"] for error in errors] == [pointer]


def test_pages_are_cut_and_numbered(library: Caller, house: House) -> None:
    rows = list_templates(house.workspace, TemplateFilter(owner_id=house.developer.pk), ordering="name")
    cut = [page_of("found", rows, {"limit": 3, "offset": offset}) for offset in (0, 3, 6)]
    numbered = [page_of("found", rows, {"page": page, "page_size": 3}) for page in (1, 2, 3)]
    assert [page["found"] for page in cut] == [page["found"] for page in numbered]
    assert [(len(page["found"]), page["total"]) for page in cut] == [(3, 4), (1, 4), (0, 4)]
    assert (cut[1]["offset"], numbered[1]["page"], numbered[1]["page_size"]) == (3, 2, 3)
    assert page_of("found", range(5), {"limit": 2, "offset": 3}, sum) == {
        "found": 7, "total": 5, "limit": 2, "offset": 3,
    }  # fmt: skip


def test_categories_and_tags_are_counted(library: Caller, other_house: House) -> None:
    template_id = create(library, "One more", tags=["etl", "fresh"], category="data-processing")
    assert library.get("templates/categories").json() == {
        "categories": [{"category": "data-processing", "count": 2}]
    }
    assert library.get("templates/tags").json()["tags"] == [
        {"tag": "etl", "count": 2},
        {"tag": "fresh", "count": 1},
        {"tag": "quarterly", "count": 1},
    ]
    library.delete(f"templates/{template_id}")
    assert library.get("templates/categories").json()["categories"][0]["count"] == 1
    assert other_house.caller().get("templates/tags").json() == {"tags": []}


def test_a_list_costs_the_same_whatever_its_length_and_carries_no_definitions(library: Caller) -> None:
    def queries(**query: Any) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            library.get("templates", query)
        return [query["sql"] for query in captured]

    few = queries(q="sales")
    for _ in range(4):
        create(library, "Sales again")
    many = queries(q="sales")
    assert len(many) == len(few)
    assert not any('"definition"' in sql for sql in many)
