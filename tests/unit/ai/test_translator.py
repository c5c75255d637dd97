"""What the rules make of English, way by way; none of these sentences is among those that measure the translator."""

import pytest

from tests.nl.corpus import CORPUS, HELD_OUT, load_descriptions
from tests.nl.matching import add_up, score_definition
from workflow_service.ai.generation.assembly import assemble
from workflow_service.ai.generation.facts import facts_by_step
from workflow_service.ai.generation.flow import Flow, StepKind, Way
from workflow_service.ai.generation.work import Offers, find_work
from workflow_service.ai.translator.translation import TextNotUnderstood, translate
from workflow_service.engine.definition import Definition
from workflow_service.engine.findings import errors_in
from workflow_service.engine.validation import validate


def way_text(way: Way) -> str:
    arrow = "!->" if way.on_error else "->"
    condition = f":{way.condition}" if way.condition else ":else" if way.is_default else ""
    return f"{'+'.join(way.sources)}{arrow}{way.target}{condition}"


def told(flow: Flow) -> set[str]:
    return {way_text(way) for way in flow.ways}


def define(text: str) -> Definition:
    flow = translate(text)
    facts = facts_by_step(flow)
    return assemble(flow, {step.id: find_work(step, facts[step.id], Offers()) for step in flow.steps})


CASES = {
    "passive, and a subject that is shared": (
        "The samples are collected, labelled and frozen.",
        "start->collect_samples collect_samples->label_samples label_samples->freeze_samples freeze_samples->end",
    ),
    "otherwise": (
        "Scan the badge. If it is valid, open the door, otherwise call the guard.",
        "start->scan_badge scan_badge->open_door:is_valid==True scan_badge->call_guard:is_valid==False "
        "open_door->end "
        "call_guard->end",
    ),
    "unless, and what follows both": (
        "Book the hotel. Rent a car unless the hotel is full. Send the itinerary.",
        "start->book_hotel book_hotel->rent_car:hotel_full==False book_hotel->send_itinerary:hotel_full==True "
        "rent_car->send_itinerary send_itinerary->end",
    ),
    "numbers, and the rest": (
        "Run the credit check; score < 600 => decline the loan; score > 700 => grant the loan; "
        "otherwise review the loan.",
        "start->run_credit_check run_credit_check->decline_loan:score<600 run_credit_check->grant_loan:score>700 "
        "run_credit_check->review_loan:else decline_loan->end grant_loan->end review_loan->end",
    ),
    "kinds": (
        "Triage the patient. Red: call the surgeon. Green: print a number. File the report.",
        "start->triage_patient triage_patient->call_surgeon:category=='red' "
        "triage_patient->print_number:category=='green' "
        "call_surgeon->file_report print_number->file_report file_report->end",
    ),
    "in parallel, and a join with a condition": (
        "Lint the code and test the code in parallel. If all pass, merge the branch, else ping the author.",
        "start->lint_code start->test_code lint_code+test_code->merge_branch:passed==True "
        "lint_code+test_code->ping_author:passed==False merge_branch->end ping_author->end",
    ),
    "while another does something": (
        "Procurement checks the vendor while legal reviews the contract. Sign the contract.",
        "start->check_vendor start->review_contract check_vendor+review_contract->sign_contract sign_contract->end",
    ),
    "repeat until": (
        "1. Train the network\n2. Measure the loss\n3. Repeat steps 1 and 2 until the loss is below "
        "0.1\n4. Save the network",
        "start->train_network train_network->measure_loss measure_loss->train_network:loss>=0.1 "
        "measure_loss->save_network:else save_network->end",
    ),
    "back to a step, and on to one": (
        "1. Connect the device. Is the light green? If yes, continue with step 3.\n2. Replace the fuse "
        "and go back to step 1.\n"
        "3. Install the software.",
        "start->connect_device connect_device->install_software:light_green==True "
        "connect_device->replace_fuse:light_green==False replace_fuse->connect_device install_software->end",
    ),
    "an approval and its refusal": (
        "Draft the release. Get it approved by legal. If rejected, rework the release and stop. Publish "
        "the release.",
        "start->draft_release draft_release->approve_release approve_release->rework_release:approved==False "
        "approve_release->publish_release:approved==True rework_release->end publish_release->end",
    ),
    "any failure": (
        "Dump the database. Encrypt the dump. If any step fails, alert the operator.",
        "start->dump_database dump_database->encrypt_dump encrypt_dump->end dump_database!->alert_operator "
        "encrypt_dump!->alert_operator alert_operator->end",
    ),
    "a use case with an extension": (
        "1. Check the balance.\n2. Transfer the money.\n1a. The balance is too low: show an error and stop.",
        "start->check_balance check_balance->show_error:balance_low==True "
        "check_balance->transfer_money:balance_low==False "
        "show_error->end transfer_money->end",
    ),
    "slips of the fingers": (
        "1. Recieve the form\n2. Valdate teh form\n3. Archvie it, othewise",
        None,
    ),
    "a decision for each item is a loop": (
        "For each ballot: check the signature; if the signature is wrong, set the ballot aside; else "
        "count the vote. Print the tally.",
        "start->take_next_ballot take_next_ballot->check_signature:more_ballot==True "
        "take_next_ballot->print_tally:more_ballot==False "
        "check_signature->set_ballot_aside:signature_wrong==True "
        "check_signature->count_vote:signature_wrong==False "
        "set_ballot_aside->take_next_ballot count_vote->take_next_ballot print_tally->end",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_words_become_ways(name: str) -> None:
    text, expected = CASES[name]
    flow = translate(text)
    if expected is None:
        assert [step.id for step in flow.steps][:2] == ["receive_form", "validate_form"]
    else:
        assert told(flow) == set(expected.split())


def test_what_is_said_of_a_step_is_kept() -> None:
    flow = translate(
        "Upload the file (retry 4 times). For every row, send a letter. Wait 2 days. Wait for the payment. "
        "Wait for approval by the treasurer."
    )
    upload, send, wait, payment, approval = flow.steps
    assert (upload.retries, send.for_each, wait.kind, wait.duration_ms) == (
        4,
        "row",
        StepKind.PAUSE,
        172_800_000,
    )
    assert (payment.kind, payment.signal) == (StepKind.SIGNAL, "payment")
    assert (approval.kind, approval.who) == (StepKind.APPROVAL, "treasurer")


@pytest.mark.parametrize("text", ["", "   ", "purple", "!!!", "12345", "- \n- \n", "?" * 5_000])
def test_what_tells_nothing_to_do_is_refused(text: str) -> None:
    with pytest.raises(TextNotUnderstood):
        translate(text)


@pytest.mark.parametrize("folder", [CORPUS, HELD_OUT])
def test_descriptions_become_valid_workflows_of_the_blocks_people_drew(folder: str) -> None:
    scores = []
    for description in load_descriptions(folder):
        definition = define(description.text)
        if errors_in(validate(definition)):
            pytest.fail(f"an output of {folder} is not valid", pytrace=False)
        scores.append(score_definition(description, definition))
    nodes = add_up(score.nodes for score in scores).f1
    edges = add_up(score.edges for score in scores).f1
    # What was reached, less a little: a change that loses more is seen here, and in `make bench-nl` where.
    least = {CORPUS: (0.97, 0.93), HELD_OUT: (0.85, 0.62)}[folder]
    assert (nodes, edges) >= (least[0], 0)
    assert edges >= least[1]


@pytest.mark.parametrize(
    ("text", "together"),
    [
        ("Run unit tests and lint in parallel, then deploy.", {"run_unit_tests", "run_lint"}),
        ("Pack the books and the records at the same time, then ship them.", {"pack_books", "pack_records"}),
        (
            "Run lint, run tests and run the scan in parallel. Then deploy.",
            {"run_lint", "run_tests", "run_scan"},
        ),
    ],
)
def test_one_deed_done_to_several_things_at_the_same_time_is_several(text: str, together: set[str]) -> None:
    flow = translate(text)
    assert {way.target for way in flow.ways if way.sources == ("start",)} == together
    assert len(flow.steps) == len(together) + 1
