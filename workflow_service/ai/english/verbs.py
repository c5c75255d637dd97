"""The verbs that workflows are told with, and their forms.

A form is found by the rules of spelling and a list of exceptions, and counts as a verb only if its base is on
the list: most English nouns would pass for verbs otherwise.
"""

import re
from functools import cache

from workflow_service.ai.english.word_lists import words

# Work that people and programs do in workflows. Being, having and the auxiliaries are in ``words``.
VERBS = words(
    """
    accept acknowledge activate add adjust aggregate alert allocate allow analyse analyze annotate anonymize
    announce answer append apply appraise approve archive arrange arrive ask assemble assess assign attach
    attempt audit authenticate authorize await back backfill backup ban batch begin benchmark bill block book
    broadcast browse build bundle buy cache calculate calibrate call cancel capture catalog catalogue categorise
    categorize certify change charge check choose clarify classify clean cleanse clear clone close cluster code
    collate collect combine come commit compare compensate compile complete compose compress compute condense
    conduct configure confirm connect consolidate consult contact contain continue contribute convene convert
    cool copy correct count crawl create credit crop cross curate customize cut deactivate debit debug deduct
    deduplicate decide declare decline decode decompress decrypt dedupe defer define delay delegate delete
    deliver demote deny deploy deprecate derive describe design detect determine diagnose diff digitise digitize
    direct disable discard disburse discharge disconnect discuss dismiss dispatch display dispose distribute
    divert document download downgrade draft drain draw drop duplicate edit elect email e-mail embed emit enable
    encode encrypt end engage enqueue enrich enroll enrol ensure enter escalate estimate evaluate examine
    exchange execute exit expand expire explain explore export extend extract fail fall fetch file fill filter
    finalise finalize find finish fire fix flag flatten flush fold follow forecast format forward freeze freshen
    fulfil fulfill fund gather generate get give go grade grant greet group halt hand handle harden harvest hash
    help hire hold hydrate identify ignore implement import improve include increase increment index inform
    ingest initialise initialize initiate inject insert inspect install instruct integrate interpret interview
    investigate invite invoice involve isolate issue join judge keep kick label launch layer lead lease leave
    let level link lint list listen load localize locate lock log look loop lower mail maintain make manage
    manufacture map mark mask match measure mediate merge message migrate mint mitigate moderate modify monitor
    mount move mute name negotiate normalise normalize note notify number obtain offer onboard open optimise
    optimize orchestrate order organise organize orient outline overwrite pack package page parse partition pass
    patch pause pay perform persist pick pilot ping place plan play plot poll populate post postpone predict
    prepare present preview print prioritise prioritize process procure produce profile program promote prompt
    propose protect prove provide provision prune publish pull purchase purge push put qualify quarantine query
    question queue quote raise randomize rank rate reach read reassign rebalance rebuild recalculate receive
    recheck recommend reconcile record recover recruit recycle redact redeploy redeem redirect redo reduce refer
    refine refill refresh refund regenerate register reindex reject relay release reload relocate remediate
    remind remove rename render renew rent reopen reorder repair repeat replace replicate reply report repost
    represent reprocess request require rerun rescan reschedule resend reserve reset resize resolve respond
    restart restock restore restrict resubmit resume retain retest retire retrain retrieve retry return
    revalidate reverse revert review revise revoke reward rework rewrite rollback roll rotate route run sample
    sanitise sanitize save scale scan schedule score scrape screen scrub seal search secure seed segment select
    sell send separate serve set settle share ship show shut sign simulate skip slice smoke snapshot solicit
    solve sort source specify split spot stage stamp standardise standardize start stop store stream strip study
    submit subscribe suggest summarise summarize supply support suppress survey suspend swap switch sync
    synchronise synchronize tag take tally teach tell terminate test thank throttle tokenize trace track train
    transcribe transfer transform translate transmit transport treat triage trigger trim try tune turn tweet
    unblock undo unify uninstall unlock unpack unsubscribe unzip update upgrade upload upsert use vaccinate
    validate verify version vet view visit visualise visualize void vote wait waive walk warm warn wash watch
    watermark weigh welcome whitelist wipe withdraw withhold work wrap write zip
    """
)

_IRREGULAR = {
    "began": "begin", "begun": "begin", "bought": "buy", "built": "build", "came": "come", "chose": "choose",
    "chosen": "choose", "cut": "cut", "done": "do", "drawn": "draw", "drew": "draw", "fell": "fall", "fallen": "fall",
    "found": "find", "froze": "freeze", "frozen": "freeze", "gave": "give", "given": "give", "gone": "go",
    "got": "get", "gotten": "get", "held": "hold", "kept": "keep", "led": "lead", "left": "leave", "let": "let",
    "made": "make", "paid": "pay", "put": "put", "ran": "run", "read": "read", "rebuilt": "rebuild", "redid": "redo",
    "redone": "redo", "rerun": "rerun", "reran": "rerun", "resent": "resend", "reset": "reset", "rewritten": "rewrite",
    "rewrote": "rewrite", "sent": "send", "set": "set", "showed": "show", "shown": "show", "shut": "shut",
    "sold": "sell", "split": "split", "taken": "take", "taught": "teach", "told": "tell", "took": "take",
    "undid": "undo", "undone": "undo", "went": "go", "withdrawn": "withdraw", "withdrew": "withdraw",
    "withheld": "withhold", "written": "write", "wrote": "write",
}  # fmt: skip
_PARTICIPLES = {
    base: form
    for form, base in _IRREGULAR.items()
    if form not in {"began", "came", "chose", "drew", "fell", "froze", "gave", "ran", "redid", "reran", "rewrote",
                    "took", "undid", "went", "withdrew", "wrote", "gotten", "showed"}
}  # fmt: skip
_DOUBLED = re.compile(r"(?:^|[^aeiou])[aeiou]([bdgmnprt])$")
# Stressed on the first syllable, so the last letter is not doubled: offered, edited, ordered.
_NEVER_DOUBLED = re.compile(r"(?:er|en|it|el|or|on|et|ort)$")
_DOUBLED_ALL_THE_SAME = words(
    "commit submit admit emit transmit get set reset let refer defer transfer infer prefer vet quit split hit fit sit "
    "remit permit"
)


@cache
def base_of(word: str) -> str | None:
    """Return the base of a verb's form ("sends", "sent", "sending"), or None where the word is no known verb."""
    lowered = word.lower()
    return next((base for base in _candidates(lowered) if base in VERBS), None)


def is_gerund(word: str) -> bool:
    """Say whether the word is a known verb's form in -ing."""
    return word.lower().endswith("ing") and word.lower() not in VERBS and base_of(word) is not None


def is_participle(word: str) -> bool:
    """Say whether the word is a known verb's past participle ("approved", "found")."""
    base = base_of(word)
    return base is not None and word.lower() == past_participle(base)


def third_person(base: str) -> str:
    """Return the form that follows "it": "send" gives "sends"."""
    if base.endswith(("s", "x", "z", "ch", "sh", "o")):
        return base + "es"
    if base.endswith("y") and base[-2:-1] not in "aeiou":
        return base[:-1] + "ies"
    return base + "s"


def gerund(base: str) -> str:
    """Return the form in -ing: "run" gives "running"."""
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")) and base not in {"be"}:
        return base[:-1] + "ing"
    return _with_last_doubled(base) + "ing"


def past_participle(base: str) -> str:
    """Return the past participle: "validate" gives "validated", "send" gives "sent"."""
    if base in _PARTICIPLES:
        return _PARTICIPLES[base]
    if base == "run" or base == "come":
        return base
    if base.endswith("e"):
        return base + "d"
    if base.endswith("y") and base[-2:-1] not in "aeiou":
        return base[:-1] + "ied"
    return _with_last_doubled(base) + "ed"


def _with_last_doubled(base: str) -> str:
    doubles = _DOUBLED.search(base) and (base in _DOUBLED_ALL_THE_SAME or not _NEVER_DOUBLED.search(base))
    return base + base[-1] if doubles else base


def _candidates(word: str) -> list[str]:
    found = [word]
    if word in _IRREGULAR:
        found.append(_IRREGULAR[word])
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            stem = word[: -len(ending)]
            found += [stem, stem + "e"]
            if len(stem) > 2 and stem[-1] == stem[-2]:
                found.append(stem[:-1])
            if ending == "ed" and stem.endswith("i"):
                found.append(stem[:-1] + "y")
    if word.endswith("ies") and len(word) > 4:
        found.append(word[:-3] + "y")
    if word.endswith("es") and len(word) > 3:
        found.append(word[:-2])
    if word.endswith("s") and not word.endswith("ss"):
        found.append(word[:-1])
    return found
