"""The verbs that workflows are told with, and their forms.

A form is found by the rules of spelling and a list of exceptions, and counts as a verb only if its base is on
the list: most English nouns would pass for verbs otherwise.
"""

import re
from functools import lru_cache

from workflow_service.ai.english.word_lists import words

# Work that people and programs do in workflows. Being, having and the auxiliaries are in ``words``.
VERBS = words(
    """
    troubleshoot rework
    say like skim beep phone skip deny
    abandon abort absorb accelerate accept accommodate accompany accumulate achieve acknowledge acquire activate
    adapt add address adjust administer admit adopt advance advertise advise affix age aggregate agree aim alert
    align allocate allow alter amend amplify anaesthetise analyse analyze anchor anneal annotate announce
    anonymize answer appeal append apply appoint appraise apprise approve archive arm arrange arrive ask assay
    assemble assert assess assign assist assure attach attempt attest attract auction audit authenticate
    authorise authorize await awaken award back backfill backup bag bake balance ban bandage bar barcode batch
    bathe begin benchmark bid bill bind biopsy blacklist blend block boil bolt bond book boot borrow bounce box
    brake brew bridge brief bring broadcast browse brush build bump bundle burn buy cache calculate calibrate
    call calm campaign cancel cap capture carry carve cast catalog catalogue categorise categorize celebrate
    centrifuge certify challenge change charge chart chase check chill chlorinate choose chop circle circulate
    cite claim clarify classify clean cleanse clear clip clock clone close cluster coach coat code collapse
    collate collect colour comb combine come comfort command commence comment commission commit communicate
    compact compare compensate compete compile complete compose composite compress compute concatenate conclude
    condense conduct confer configure confine confirm confront congratulate connect conserve consider
    consolidate construct consult consume contact contain continue contrast contribute control convene converge
    convert cook cool coordinate copy correct counsel count countercheck countersign cover craft crawl create
    credit crop cross cross-check cull cultivate culture curate cure customize cut deactivate debit debrief
    debug decant decide declare decline decode decommission decompress decorate decrease decrypt dedicate deduct
    dedupe deduplicate deem defend defer define delay delegate delete deliberate delist deliver demand
    demonstrate demote denoise deny deploy deposit depot deprecate depressurize deprovision deregister derive
    describe design designate destroy detach detain detect determine develop devise diagnose dial dictate diff
    digest digitise digitize dilute dim dip direct disable disarm disassemble disburse discard discharge
    disclose disconnect discount discuss disengage disinfect dismiss dispatch dispense disperse display dispose
    dissolve distil distill distinguish distribute divert dock document donate dose double double-check
    downgrade download draft drag drain draw drill drip drive drop dry dub dump dun duplicate dye e-mail ease
    eat edit elect elevate eliminate email embed emit emphasise emphasize employ empty enable encapsulate
    enclose encode encounter encourage encrypt end endorse energize enforce engage engrave enhance enlarge
    enlist enqueue enquire enrich enrol enroll ensure enter envelop equip erase erect escalate establish
    estimate etch evacuate evaluate evict examine excavate exchange exclude excuse execute exempt exercise
    exhibit exit expand expedite expel experiment expire explain explore export expose extend extinguish extract
    fabricate facilitate fact-check factor fail fall fasten fax feature feed ferment fertilise fertilize fetch
    file fill filter finalise finalize finance find fingerprint finish fire fit fix flag flash flatten flip
    float flood flush focus fold follow forbid force forecast forge format forward foster frame freeze freight
    freshen fry fuel fulfil fulfill fumigate fund furnish gain galvanise gate gather gauge generate get give
    glue go grab grade graduate graft grant greet grind groom group grow guarantee guard halt hand
    hand-over handle hang harden harmonise harmonize harvest hash heat help hide highlight hire hoist hold
    homogenize hook host house hydrate hydrolyse identify ignore illustrate immunise implement import impose
    impound impregnate improve impute inaugurate include incorporate increase increment incubate index induct
    infer inflate influence inform ingest inhibit initialise initialize initiate inject injure innovate
    inoculate inquire insert inspect install instruct instrument insulate insure integrate intercept
    interconnect interleave interpret interrogate interrupt interview introduce inventory invest investigate
    invigilate invite invoice involve iron irradiate irrigate isolate issue itemise itemize jail join judge
    juggle justify keep kick knead knit knock label ladle laminate land lapse launch lay layer lead learn lease
    leave lend lengthen let level liaise license lift light lime link lint liquidate list listen load loan
    localize locate lock log look loop lower lubricate machine magnify mail maintain make manage mandate
    manipulate manufacture map marinate mark market mask master match mature maximise maximize measure mediate
    medicate meet melt memorise mentor merge message migrate mill mine minimise minimize mint mirror mitigate
    mix mobilise mobilize mock model moderate modify mold monetise monitor mould mount move mow mulch multiply
    mute name navigate negotiate neutralise nominate normalise normalize notarise notarize note notify number
    nurse observe obtain offer offload offset omit onboard open operate oppose optimise optimize orchestrate
    order organise organize orient outline outsource oversee overwrite own oxygenate pack package page paint
    palletise park parse participate partition pass paste pasteurise patch patrol pause pay peel peer-review peg
    penalise perfect perform permit persist phone pick pickle pilot ping pinpoint pipe pipette pitch place plan
    plant plate play plead pledge plot plough plug polish poll pollinate pool populate post post-process
    postmark postpone pour practice practise pre-process predict preheat prepare preprocess prescribe present
    preserve preside press prevent preview prime print prioritise prioritize probe proceed process proclaim
    procure produce profile program prohibit project prolong promote prompt proofread propose prosecute protect
    prove provide provision prune publish pull pump puncture purchase purge purify pursue push put qualify
    quantify quarantine quell quench query question queue quit quiz quote raise rake randomise randomize rank
    rate ration re-check re-evaluate re-open re-run re-send re-submit re-test re-train reach reactivate read
    realign reallocate reap reason reassign reassure rebalance rebase reboot rebuild recalculate recall receive
    recheck recite reclaim recognise recognize recommend recompile reconcile reconfirm reconnect reconsider
    reconstruct record recount recover recruit rectify recycle redact redeem redeploy redirect redo reduce reel
    refactor refer reference refill refine reflect reflow reformat refresh refrigerate refuel refund regain
    regenerate register regulate rehabilitate rehearse reimburse reindex reinforce reinstall reinstate reject
    rejoin relabel relaunch relax relay release relist reload relocate rely remark remediate remedy remind remit
    remodel remount remove rename render renew rent renumber reopen reorder repackage repair repay repeat
    rephrase replace replay replenish replicate reply report repossess repost represent reprint reprocess
    reproduce reprovision republish request require rerun rescan reschedule rescue research resell resend
    reserve reset reshelve resit resize resolve resource respond respray restart restock restore restrict
    resubmit resume retain retest retire retrain retrieve retry return retype reunite reuse revalidate reverse
    revert review revise revoke reward rewire rework rewrite ring rinse ripen rise roast roll rollback rotate
    route rub run sack salt salvage sample sanction sand sandbox sanitise sanitize save saw scale scan schedule
    score scrape screen screen-share scrub seal search seat secure seed seek segment seize select sell send
    separate sequence serve set settle sew shadow shake shape share sharpen shelve shield shift shine ship shoot
    shorten shortlist shout shovel show shred shuffle shut sieve sift sign simmer simplify simulate sit sketch
    skip slice slot slow sluice smelt smoke smooth snapshot soak soften solder solicit solve sort sound source
    sow spawn specify spend spike spin splice split sponsor spot spot-check spray spread sprint squash stack
    staff stage stain stamp standardise standardize staple start starve state steam steer sterilise sterilize
    stick stir stitch stock stop store strain stream strengthen stress stretch strike strip structure study
    subdivide submit subscribe subtitle subtract sue suggest sum summarise summarize supersede supervise supply
    support suppress surface surrender survey suspend suture swab swap sweep switch symbolise sync synchronise
    synchronize tabulate tackle tag tailor take tally tan tap target taste tax teach tear teleport tell tempt
    tend terminate test text thank thaw theme thicken thin thresh throttle throw tick tidy tie tighten till tilt
    tint titrate toast tokenize top total touch tow trace track train transact transcode transcribe transfer
    transform transition translate transmit transport transpose trap travel tread treat triage trigger trim trip
    trust try tune turf turn tweak tweet twist type typeset unarchive unblock undergo understand undertake undo
    unenroll unfreeze unify uninstall unlink unload unlock unmount unpack unpublish unseal unsubscribe unwind
    unwrap unzip update upgrade uphold upload upsert urge use utilise utilize vacate vaccinate vacuum validate
    value vaporise varnish vent ventilate verify version vet veto video view visit visualise visualize vocalise
    voice void vote wait wait-list waitlist waive wake walk wander ward warehouse warm warn warrant wash watch
    watermark wean wear weave weed weigh welcome weld wet whip whisk whitelist widen win wind wipe wire wish
    withdraw withhold work wrangle wrap write x-ray yield zero zip zoom
    """
)

_IRREGULAR = {
    "ground": "grind", "sown": "sow", "thrown": "throw", "threw": "throw", "grown": "grow", "grew": "grow",
    "worn": "wear",
    "hung": "hang", "bound": "bind", "wound": "wind", "fed": "feed", "lit": "light", "spent": "spend", "lent": "lend",
    "swept": "sweep", "overridden": "override", "hidden": "hide", "driven": "drive", "risen": "rise", "broken": "break",
    "torn": "tear", "eaten": "eat", "flown": "fly", "blown": "blow", "sewn": "sew", "met": "meet", "dealt": "deal",
    "sought": "seek", "brought": "bring", "caught": "catch", "undertaken": "undertake", "foreseen": "foresee",
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


# What makes a verb of a verb ("revalue", "unfreeze", "pre-process"), and endings that only verbs have ("anonymise").
_PREFIX = re.compile(
    r"(?:re|un|de|dis|over|under|pre|post|out|mis|co|auto|cross|back|inter|trans|sub|up)-?(?=[a-z]{4})"
)
_VERB_ENDING = re.compile(r"[a-z]{3,}(?:[aeiou]?[^aeiou](?:ise|ize)|ify|yse|yze)")
_NO_VERBS = words(
    """
    promise enterprise expertise otherwise likewise precise concise noise size prize exercise franchise
    premise merchandise paradise raise praise bruise cruise disguise surprise wise rise treatise seize unit
    repair reports refund present percent receipt recent result rest under intern
    """
)


@lru_cache(maxsize=8_192)
def base_of(word: str) -> str | None:
    """Return the base of a verb's form ("sends", "sent", "sending"), or None where the word is no known verb."""
    candidates = _candidates(word.lower())
    known = next((base for base in candidates if base in VERBS), None)
    return known or next((base for base in candidates if _is_made_verb(base)), None)


def is_base(word: str) -> bool:
    """Say whether the word, in small letters, is a known verb in its base form."""
    return word in VERBS or base_of(word) == word


def _is_made_verb(word: str) -> bool:
    if word in _NO_VERBS:
        return False
    prefix = _PREFIX.match(word)
    return bool((prefix and word[prefix.end() :] in VERBS and len(word) > 5) or _VERB_ENDING.fullmatch(word))


def is_gerund(word: str) -> bool:
    """Say whether the word is a known verb's form in -ing."""
    return word.lower().endswith("ing") and not is_base(word.lower()) and base_of(word) is not None


def is_participle(word: str) -> bool:
    """Say whether the word is a known verb's past participle ("approved", "found")."""
    base, lowered = base_of(word), word.lower()
    # "labelled" and "labeled" are both written.
    return base is not None and (
        lowered == past_participle(base) or (lowered.endswith("ed") and lowered != base)
    )


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
