"""The descriptions are well formed, and the rules that compare a workflow with what was expected are as written."""

import re
from collections import Counter
from itertools import permutations
from random import Random
from typing import Any

import pytest

from tests.nl.corpus import CORPUS, HELD_OUT, Description, load_descriptions
from tests.nl.drawing import (
    ELSE,
    ERROR,
    LOOP,
    NO,
    PLAIN,
    YES,
    Drawing,
    back_edges,
    condition_polarity,
    draw,
    marks_of,
    turns,
)
from tests.nl.matching import (
    Counts,
    add_up,
    best_assignment,
    expected_edges,
    match_blocks,
    score_definition,
    score_drawing,
    similarity,
    stem,
    tokens,
)
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import parse_dsl

ALL = [*load_descriptions(CORPUS), *load_descriptions(HELD_OUT)]
BY_ID = {one.id: one for one in ALL}


def drawn(text: str, states: dict[str, Any] | None = None) -> Drawing:
    return draw(parse_dsl(text, states or {}))


def edges_of(text: str, states: dict[str, Any] | None = None) -> dict[str, str]:
    return {
        f"{source}>{target}": "|".join(sorted(found))
        for (source, target), found in drawn(text, states).edges.items()
    }


def reached(start: str, edges: list[tuple[str, str]]) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        following = {target for source, target in edges if source == here} - seen
        seen |= following
        waiting.extend(following)
    return seen


class TestDescriptions:
    def test_there_are_sixty_of_many_kinds_and_all_different(self) -> None:
        assert len(load_descriptions(CORPUS)) == 40
        assert len(load_descriptions(HELD_OUT)) == 20
        assert len(BY_ID) == len({one.text for one in ALL}) == 60
        assert len({one.style for one in ALL}) >= 12
        assert len({one.domain for one in ALL}) >= 25

    def test_each_polarity_and_each_mark_occurs_in_both_folders(self) -> None:
        for folder in (CORPUS, HELD_OUT):
            found = Counter(
                polarity
                for one in load_descriptions(folder)
                for polarities in one.drawing.edges.values()
                for polarity in polarities
            )
            assert min(found[name] for name in (PLAIN, YES, NO, ELSE, ERROR, LOOP)) >= 4
            marks = Counter(
                mark.split("=")[0]
                for one in load_descriptions(folder)
                for marks in one.marks.values()
                for mark in marks
            )
            assert min(marks[name] for name in ("approval", "for_each", "wait", "retry", "deadline")) >= 2

    @pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
    def test_what_is_expected_is_a_whole_drawing(self, one: Description) -> None:
        blocks = set(one.drawing.blocks)
        edges = list(one.drawing.edges)
        assert all(
            re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
            for names in one.names.values()
            for name in names
        )
        assert {name for edge in edges for name in edge} == blocks | {"start", "end"}
        assert reached("start", edges) == blocks | {"start", "end"}
        assert reached("end", [(target, source) for source, target in edges]) == blocks | {"start", "end"}
        assert set(one.marks) <= blocks
        assert one.optional <= blocks

    @pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
    def test_ways_back_are_called_loops_and_no_plain_edge_stands_beside_a_condition(
        self, one: Description
    ) -> None:
        edges = one.drawing.edges
        assert {edge for edge, found in edges.items() if found == {LOOP}} == back_edges(list(edges))
        for block in one.drawing.blocks:
            ways = [found for edge, found in edges.items() if edge[0] == block]
            decides = any(found <= {YES, NO, ELSE} for found in ways)
            assert not (decides and frozenset({PLAIN}) in ways), f"{block} decides, and goes on anyway"

    @pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
    def test_names_do_not_hide_each_other(self, one: Description) -> None:
        # Were one block's name nearer to another block, a perfect drawing could not be matched.
        assert match_blocks(one.names, one.drawing.blocks) == {name: name for name in one.names}

    @pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
    def test_the_drawing_expected_is_perfect(self, one: Description) -> None:
        score = score_drawing(one, Drawing(one.drawing.blocks, expected_edges(one)))
        assert (score.nodes.f1, score.edges.f1) == (1.0, 1.0)
        without = [name for name in one.drawing.blocks if name not in one.optional]
        score = score_drawing(one, Drawing(tuple(without), expected_edges(one, one.optional)))
        assert (score.nodes.f1, score.edges.f1) == (1.0, 1.0)


class TestNames:
    @pytest.mark.parametrize(
        ("words", "root"),
        [
            ("validate validates validating validated", "validat"),
            ("notify notifies notified", "notify"),
            ("stop stops stopping stopped", "stop"),
            ("process processes processing processed", "process"),
            ("sell selling sells", "sell"),
            ("order orders ordering ordered", "order"),
            ("rate rates rated rating", "rat"),
            ("address addresses", "address"),
            ("status", "status"),
            ("box boxes", "box"),
        ],
    )
    def test_endings_of_verbs_and_plurals_are_cut(self, words: str, root: str) -> None:
        assert {stem(word) for word in words.split()} == {root}

    def test_stop_words_and_spelling_make_no_difference(self) -> None:
        assert tokens("SendEmail to_the-customer") == tokens("send_email_customer")
        assert tokens("all") == Counter(["all"])

    @pytest.mark.parametrize(
        ("one", "other", "score"),
        [
            ("send_email", "send_emails", 1.0),
            ("validate_input", "validate_input_format", 0.8),
            ("validate_input", "validate", 2 / 3),
            ("send_email", "send_invoice", 0.5),
            ("send_email", "pay_bill", 0.0),
        ],
    )
    def test_names_are_as_similar_as_the_words_they_share(self, one: str, other: str, score: float) -> None:
        assert similarity(one, other) == pytest.approx(score)
        assert similarity(other, one) == pytest.approx(score)


class TestMatching:
    def test_the_sum_counts_rather_than_the_first_come(self) -> None:
        names = {"check_order": ("check_order",), "check_order_total": ("check_order_total", "check_order")}
        assert match_blocks(names, ["check_order", "check_the_order"]) == {
            "check_order": "check_order",
            "check_order_total": "check_the_order",
        }

    def test_alternatives_count_and_half_alike_does_not(self) -> None:
        names = {"approve_claim": ("approve_claim", "manager_approval"), "send_email": ("send_email",)}
        assert match_blocks(names, ["manager_approval", "send_invoice"]) == {
            "approve_claim": "manager_approval"
        }

    def test_of_equal_matchings_the_one_in_order_is_taken(self) -> None:
        names = {"notify_buyer": ("notify",), "notify_seller": ("notify",)}
        assert match_blocks(names, ["notify_1", "notify_2"]) == {
            "notify_buyer": "notify_1",
            "notify_seller": "notify_2",
        }

    def test_nothing_matches_nothing(self) -> None:
        assert match_blocks({}, ["a"]) == match_blocks({"a": ("a",)}, []) == {}
        assert best_assignment([]) == []

    def test_an_assignment_is_as_good_as_the_best_of_all_permutations(self) -> None:
        random = Random(7)
        for _ in range(200):
            height, width = random.randint(1, 5), random.randint(1, 5)
            weights = [[random.choice((0.0, random.random())) for _ in range(width)] for _ in range(height)]
            pairs = best_assignment(weights)
            assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
            square = max(height, width)
            filled = [
                [weights[row][column] if row < height and column < width else 0.0 for column in range(square)]
                for row in range(square)
            ]
            best = max(
                sum(filled[row][column] for row, column in enumerate(order))
                for order in permutations(range(square))
            )
            assert sum(weights[row][column] for row, column in pairs) == pytest.approx(best)


class TestPolarity:
    @pytest.mark.parametrize(
        ("condition", "polarity"),
        [
            ("is_valid == True", YES),
            ("is_valid", YES),
            ("is_valid == False", NO),
            ("is_valid != True", NO),
            ("not is_valid", NO),
            ("invalid == True", NO),
            ("invalid == False", YES),
            ("payment_failed", NO),
            ("virus_free == True", YES),
            ("virus_free == False", NO),
            ("amount > 500", YES),
            ("urgency == 'high'", YES),
            ("urgency != 'high'", NO),
            ("status == 'rejected'", NO),
            ("status != 'rejected'", YES),
            ("blocks.review.output.approved == False", NO),
            ("exists(order.error)", NO),
            ("default(approved, False)", YES),
            ("approved == True and total > 5", YES),
            ("1 < n <= 9", YES),
            ("answer['declined']", NO),
            ("'vip' not in tags", NO),
            ("this is not ) an expression", NO),
        ],
    )
    def test_a_condition_asks_for_what_is_so_or_for_what_is_not(self, condition: str, polarity: str) -> None:
        assert condition_polarity(condition) == polarity

    def test_two_negative_words_make_a_positive_one(self) -> None:
        assert turns("no")
        assert not turns("no_errors")
        assert not turns("found")

    def test_the_edges_of_a_decision(self) -> None:
        found = edges_of("start->a; a->b:ok == True; a->c:ok == False; b->end; c->end;")
        assert found == {"start>a": PLAIN, "a>b": YES, "a>c": NO, "b>end": PLAIN, "c>end": PLAIN}

    def test_an_edge_beside_conditions_is_the_other_way(self) -> None:
        assert edges_of("start->a; a->b:ok == True; a->c; b->end; c->end;")["a>c"] == NO
        assert edges_of("start->a; a->b:failed == True; a->c:else; b->end; c->end;")["a>c"] == YES

    def test_what_an_earlier_condition_says_turned_round_is_no(self) -> None:
        found = edges_of("start->a; a->b:n > 5; a->c:n <= 5; a->d:n > 9; b->end; c->end; d->end;")
        assert (found["a>b"], found["a>c"], found["a>d"]) == (YES, NO, YES)

    def test_a_question_is_a_condition(self) -> None:
        found = edges_of("start->a; a->b:'the customer is not happy'; a->c; b->end; c->end;")
        assert (found["a>b"], found["a>c"]) == (NO, YES)

    def test_joins_errors_and_ways_back(self) -> None:
        found = edges_of(
            "start->[a,b]; [a,b]->c:ok == True; [a,b]->d:else; a!->d; c->a:again == True; c->end; d->end;"
        )
        assert found["a>c"] == found["b>c"] == YES
        assert (found["a>d"], found["b>d"]) == (f"{ERROR}|{NO}", NO)
        assert (found["c>a"], found["c>end"]) == (LOOP, NO)
        assert found["start>a"] == found["start>b"] == PLAIN

    def test_a_way_that_skips_steps_of_a_loop_is_no_way_back(self) -> None:
        found = edges_of("start->a; a->b:x > 1; a->d; b->c; c->d; d->a:again == True; d->end;")
        assert [edge for edge, polarity in found.items() if polarity == LOOP] == ["d>a"]

    def test_of_a_loop_with_two_ways_in_both_ways_back_are_found(self) -> None:
        edges = {
            ("start", "a"),
            ("start", "b"),
            ("a", "c"),
            ("b", "c"),
            ("c", "d"),
            ("d", "a"),
            ("d", "b"),
            ("c", "end"),
        }
        assert back_edges(edges) == {("d", "a"), ("d", "b")}

    def test_a_document_without_start_and_end_has_them(self) -> None:
        blocks = [{"blockId": "a"}, {"blockId": "b", "dependencies": ["a"]}]
        assert set(draw(load_definition({"blocks": blocks})).edges) == {
            ("start", "a"),
            ("a", "b"),
            ("b", "end"),
        }

    def test_marks_say_what_a_block_is_besides_a_step(self) -> None:
        blocks: list[dict[str, Any]] = [
            {"blockId": "ask", "toolType": "HUMAN", "humanInLoop": {"required": True, "dueIn": 7_200_000}},
            {"blockId": "each", "forEach": "items", "toolType": "NOOP", "retryPolicy": {"maxRetries": 2}},
            {"blockId": "rest", "toolType": "WAIT", "configuration": {"signal": "go", "timeout": 5_000}},
            {"blockId": "plain", "toolType": "NOOP"},
        ]
        assert marks_of(load_definition({"blocks": blocks})) == {
            "ask": {"approval", "deadline=7200"},
            "each": {"for_each", "retry=2"},
            "rest": {"wait", "deadline=5"},
            "plain": frozenset(),
        }


class TestScores:
    def test_a_perfect_answer_and_its_marks(self) -> None:
        text = (
            "start->check_receipts; check_receipts->approve_claim:amount > 500; check_receipts->pay_claim;"
            "approve_claim->pay_claim:approved == True; approve_claim->tell_employee:approved == False;"
            "tell_employee->end; pay_claim->archive_receipts; archive_receipts->end;"
        )
        definition = parse_dsl(text, {"approve_claim": {"toolType": "HUMAN"}})
        score = score_definition(BY_ID["expense-claim"], definition)
        assert (score.nodes, score.edges) == (Counts(5, 5, 5), Counts(8, 8, 8))
        assert score.marks == Counts(1, 1, 1)
        assert (score.missing_edges, score.extra_edges) == ((), ())

    def test_a_turned_polarity_does_not_count(self) -> None:
        text = "start->check; check->send_confirmation:is_valid == False; check->end:else; send_confirmation->end;"
        score = score_definition(BY_ID["email-confirmation"], parse_dsl(text, {}))
        assert score.nodes == Counts(1, 2, 2), "'check' is not 'validate_email'"
        text = text.replace("check", "validate_email")
        score = score_definition(BY_ID["email-confirmation"], parse_dsl(text, {}))
        assert score.edges == Counts(2, 4, 4)
        assert ("validate_email", "send_confirmation") in score.missing_edges

    def test_a_missing_and_a_strange_block_cost_their_edges(self) -> None:
        score = score_definition(
            BY_ID["csv-pipeline"],
            parse_dsl(
                "start->extract_csv; extract_csv->dance; dance->transform_data; transform_data->load; load->end;",
                {},
            ),
        )
        assert score.nodes == Counts(3, 4, 4)
        assert score.edges == Counts(3, 5, 5)
        assert score.edges.precision == score.edges.recall == pytest.approx(0.6)

    def test_an_optional_block_may_be_left_out_or_drawn(self) -> None:
        without = (
            "start->validate_file; validate_file->scan_virus; scan_virus->store_in_s3; store_in_s3->end;"
        )
        score = score_definition(BY_ID["file-upload"], parse_dsl(without, {}))
        assert score.nodes == Counts(3, 3, 3)
        assert score.edges.right == 4
        score = score_definition(
            BY_ID["file-upload"],
            parse_dsl(without.replace("start->", "start->receive_file; receive_file->"), {}),
        )
        assert score.nodes == Counts(4, 4, 4)
        assert score.edges.right == 5

    def test_counts_add_up_and_empty_ones_are_perfect(self) -> None:
        assert add_up([Counts(1, 2, 3), Counts(2, 2, 2)]) == Counts(3, 4, 5)
        assert Counts(3, 4, 5).f1 == pytest.approx(6 / 9)
        assert Counts().f1 == Counts().recall == Counts().precision == 1.0
        assert Counts(0, 3, 0).precision == 0.0
