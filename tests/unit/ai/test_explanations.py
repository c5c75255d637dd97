"""The explanation of a workflow: plain English from a definition, every block and every way told."""

from typing import Any

import pytest

from workflow_service.ai.english.conditions import describe_condition
from workflow_service.ai.english.story import tell
from workflow_service.ai.english.verbs import base_of, gerund, past_participle, third_person
from workflow_service.engine.documents import load_definition
from workflow_service.engine.dsl import parse_dsl

UPLOAD = """
start->receive_file; receive_file->validate_format; validate_format->scan_virus:format_valid==True;
validate_format->report_error:format_valid==False; scan_virus->store_file:virus_free==True;
scan_virus->quarantine_file:virus_free==False; store_file->end; quarantine_file->end; report_error->end;
"""


def told(dsl: str, states: dict[str, Any] | None = None) -> str:
    return tell(parse_dsl(dsl, states))


def test_branches_are_told_with_their_conditions() -> None:
    assert told(UPLOAD) == (
        "This workflow has 6 steps. It receives the file and then validates the format. "
        "After validating the format, if the format is valid, it scans the virus; "
        "if the format is not valid, it reports the error and then ends. "
        "After scanning the virus, if the virus is free, it stores the file and then ends; "
        "if the virus is not free, it quarantines the file and then ends."
    )


def test_what_runs_in_parallel_is_told_as_such_and_what_waits_for_it() -> None:
    text = told(
        "start->fetch_orders;fetch_orders->[sum_up,draw_chart];sum_up->send_report;draw_chart->send_report;"
    )
    assert "does 2 things at the same time: it (1)" in text
    assert "Once all of that is done, it sends the report" in text


def test_a_join_of_a_list_is_told_with_its_conditions() -> None:
    text = told("start->[check_a,check_b];[check_a,check_b]->build_image:all_passed==True;"
                "[check_a,check_b]->alert_team:else;build_image->end;alert_team->end;")  # fmt: skip
    assert "Once “check a” and “check b” are done, if all pass, it builds the image" in text
    assert "otherwise, it alerts the team" in text


def test_loops_failures_and_approvals_are_told() -> None:
    text = told(
        "start->write_draft;write_draft->review_draft;review_draft->write_draft:approved==False;"
        "review_draft->publish_page:else;publish_page!->alert_team;publish_page->end;alert_team->end;",
        {"review_draft": {"toolType": "HUMAN", "humanInLoop": {"required": True, "approvalLevel": "EDITOR"}},
         "publish_page": {"toolType": "NOOP", "retryPolicy": {"maxRetries": 3}},
         "write_draft": {"toolType": "NOOP", "maxRounds": 5}},
    )  # fmt: skip
    assert "waits for approval by EDITOR" in text
    assert "if it is not approved, it goes back to “write draft”" in text
    assert "otherwise, it publishes the page (retried up to 3 times if it fails)" in text
    assert "If “publish page” fails, it alerts the team" in text
    assert "at most 5 rounds" in text


def test_a_step_for_each_item_a_wait_and_settings_are_told() -> None:
    definition = load_definition(
        {
            "blocks": [
                {"blockId": "pause", "toolType": "WAIT", "configuration": {"duration": 7_200_000}},
                {"blockId": "send_mail", "toolType": "NOOP", "dependencies": ["pause"],
                 "forEach": "${workflow.input.people}"},
            ],
            "globalSettings": {"timeout": 3_600_000, "defaultRetryPolicy": {"maxRetries": 1}},
        }
    )  # fmt: skip
    text = tell(definition)
    assert "It waits for 2 hours and then sends the mail for each item of workflow.input.people" in text
    assert text.endswith("A step that fails is tried again up to 1 time. The whole run may take 1 hour.")


def test_a_draft_with_names_that_lead_nowhere_and_a_cycle_is_told_too() -> None:
    text = tell(
        load_definition(
            {
                "blocks": [
                    {"blockId": "a", "dependencies": ["b"]},
                    {"blockId": "b", "dependencies": ["a"]},
                    {"blockId": "c", "dependencies": ["nowhere"], "onError": ["gone"]},
                ]
            }
        )
    )
    assert all(f"“{name}”" in text for name in ("a", "b", "c", "gone"))


def test_every_block_of_a_long_workflow_is_told() -> None:
    names = [f"step_{number}" for number in range(200)]
    pairs = zip(["start", *names], names, strict=False)
    text = told("".join(f"{source}->{target};" for source, target in pairs))
    assert all(f"“step {number}”" in text for number in range(200))


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("is_valid==True", "it is valid"),
        ("order_valid==False", "the order is not valid"),
        ("all_available == True", "all are available"),
        ("payment_success==False", "the payment does not succeed"),
        ("amount > 1000 and urgency == 'high'", "the amount is more than 1000 and the urgency is high"),
        ("not approved", "it is not approved"),
        ("has_errors==True", "it has errors"),
        ("status in ['new', 'open']", "the status is one of new, open"),
        ("len(items) >= 3", "the number of items is at least 3"),
        ("workflow.input.amount <= -1", "the amount is at most -1"),
        ("lower(name) == 'x'", "“lower(name) == 'x'” holds"),
        ("a +", "“a +” holds"),
    ],
)
def test_a_condition_has_words(condition: str, words: str) -> None:
    assert describe_condition(condition) == words


@pytest.mark.parametrize(
    ("base", "third", "ing", "participle"),
    [
        ("send", "sends", "sending", "sent"),
        ("notify", "notifies", "notifying", "notified"),
        ("validate", "validates", "validating", "validated"),
        ("ship", "ships", "shipping", "shipped"),
        ("order", "orders", "ordering", "ordered"),
        ("submit", "submits", "submitting", "submitted"),
        ("process", "processes", "processing", "processed"),
        ("run", "runs", "running", "run"),
        ("pay", "pays", "paying", "paid"),
        ("go", "goes", "going", "gone"),
    ],
)
def test_forms_of_verbs_lead_back_to_their_base(base: str, third: str, ing: str, participle: str) -> None:
    assert (third_person(base), gerund(base), past_participle(base)) == (third, ing, participle)
    assert {base_of(form) for form in (third, ing, participle)} == {base}


def test_what_is_too_much_to_tell_is_not_left_out_in_silence() -> None:
    blocks: list[dict[str, Any]] = []
    for number in range(150):
        before = [f"join_{number - 1}"] if number else []
        blocks += [
            {"blockId": f"check_{number}", "toolType": "NOOP", "dependencies": before},
            {"blockId": f"draw_{number}", "toolType": "NOOP", "dependencies": before},
            {
                "blockId": f"join_{number}",
                "toolType": "NOOP",
                "dependencies": [f"check_{number}", f"draw_{number}"],
            },
        ]
    text = tell(load_definition({"blocks": blocks}))
    assert text.startswith("This workflow has 450 steps.")
    assert text.endswith(" more are left out here.")
    assert " left out " not in tell(load_definition({"blocks": blocks[:390]}))


def test_who_answers_a_question_is_told() -> None:
    dsl = 'start->triage;triage->refund:"they want money";triage->answer:else;refund->end;answer->end;'
    text = told(dsl)
    assert "if the language model finds that “they want money”" in text
    assert (
        "If the model is less than 70 % sure, a person decides; if no model answers, the first that can of"
        in text
    )
    policy = {"minConfidence": 90, "whenUnsure": "answer", "fallback": ["default"], "confirm": ["refund"]}
    text = told(dsl, {"triage": {"decision": policy}})
    assert "If the model is less than 90 % sure, it goes on to “answer”" in text
    assert "if no model answers, the default decides." in text
    assert "Nothing but a person's yes leads to “refund”." in text
