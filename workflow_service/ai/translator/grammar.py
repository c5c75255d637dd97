"""Words by what they do in a sentence: who does, who is asked, what leads in, what only connects."""

import re

from workflow_service.ai.english.word_lists import words

DETERMINERS = words(
    """
    a an the this that these those its their our your his her my each every all any some both no another such whose
    three two
    """
)
PRONOUNS = words("it them they he she him her us we you i this that these those everything all both")
# Who does the work where nobody in particular does it.
SYSTEM_SUBJECTS = words(
    """
    we you i it they system workflow service application app program process pipeline one bot platform software
    automation engine
    """
)
PEOPLE = words(
    """
    accountant admin administrator agent analyst approver architect assistant auditor author board boss buyer ceo cfo
    chair clerk client coach colleague commander committee coordinator council counsel counterparty cto curator
    customer dean
    department designer desk developer director dispatcher doctor driver editor employee engineer examiner executive
    expert facilities finance foreman guardian head hr inspector instructor journalist judge lawyer lead leader legal
    librarian maintainer management manager marketing member mentor moderator nurse officer operator operations owner
    panel parent payroll person pharmacist physician planner principal procurement professor programmer
    publisher recruiter
    referee registrar reporter representative requester researcher reviewer sales scientist secretary security senior
    sender seller someone somebody specialist staff stakeholder stakeholders steward student supervisor supplier support
    surgeon teacher team technician tenant tester translator treasurer tutor underwriter user vendor veterinarian vet
    volunteer witness writer nobody guest visitor passenger patient citizen caller donor buyer examiner mechanic plumber
    electrician chef waiter captain pilot courier housekeeping kitchen warehouse clinic laboratory bank insurer
    """
)
PREPOSITIONS = words(
    """
    about above according across after against along among around as at based before behind below beside between beyond
    by during for from in inside into like near of off on onto out over past per regarding since through throughout to
    towards under until upon using via with within without
    """
)
ADVERBS = words(
    """
    accordingly afterwards again also always automatically anyway carefully directly eventually finally first
    firstly fully
    here immediately initially instantly just lastly later manually next now once only periodically please promptly
    properly quickly second secondly similarly simply simultaneously soon still straight subsequently then there
    therefore third thirdly thus together too typically usually well yet however in-turn additionally furthermore
    concurrently otherwise instead simultaneously right away so
    """
)
MODALS = words("shall should must will would can could may might needs need has have had to is are be ought")
AUXILIARIES = words("is are was were be been being gets get got has have had")
PARTICLES = words("up down out back off over away in")
# Verbs that take a particle, which is then part of what they mean.
_WITH_PARTICLES = """
    back up; break down; call back; carry out; cast off; check in out; clean up; close out down; come in back;
    fall back; fill in out; find out; follow up; give back; go out; hand over in out; kick off; lay off out;
    let in; lift off; lock down out; log in out off; look up; open up; pack up; pass on; pay out back off;
    pick up out; print out; put back; roll out back up; rule out; scale up down out; send out back off; set
    up; ship out; shut down off; sign off up out in; slow down; sort out; speed up; spin up down; start up;
    sum up; switch on off over; take down over off; team up; tear down; turn down off on; warm up; wind down;
    work out; wrap up; write up off down
"""
PARTICLE_VERBS = {entry.split()[0]: " ".join(entry.split()[1:]) for entry in _WITH_PARTICLES.split(";")}
# Nouns as much as verbs: after "and" they are verbs only where an object with its article follows.
NOUNS_TOO = words(
    """
    like say
    access address age aim answer appeal approach archive assist attempt audit award bag balance ban bandage
    bank bar batch benchmark bid bill bind biopsy block boil bolt bond book boot brake branch brew bridge brief
    brush bug build bump bundle burn cache call calm campaign cap cast catalog catalogue cause certificate
    challenge change charge chart chase check chill circle claim class clip clock clone coach coat code collapse
    colour comb comfort command comment commission commit compact contact contract contrast control cook cool
    copy cost counsel count cover craft credit crop cross-check culture cure cut date debit decrease delay
    deposit design dial diff digest dip discharge discount display dock document dose double download draft drag
    drain draw drill drive drop dump dye e-mail ease email end escort estimate exchange exercise exhibit exit
    experiment export factor fail fax feature feed file filter finance fine fingerprint fire fit fix flag flash
    flip flood focus fold follow force forge form format frame freight fuel fund gain gate gauge glue grade
    graft grant groom ground group guarantee guard guide hand hash heat help highlight hire hold hook host house
    impact import increase index influence insert instrument interview inventory invoice iron issue join judge
    key kick knock label land lapse launch lay layer lead lease leave level license lift light limit link lint
    list load loan lock log look loop machine mail mandate map mark market mask master match measure mentor
    merge message mill mine mint mirror mix model mold monitor mould mount move mow name need note notice number
    nurse offer offset order outline own pack package page paint parcel park part pass paste patch patrol pause
    pay peel peg perfect permit phone picture pilot pin pipe pitch place plan plant plate play pledge plot
    plough plug polish poll pool post postmark practice present press preview price prime print probe process
    produce product profile program project promise prompt pump puncture purpose pursuit push query question
    queue quiz quote raise rake range rank rate ration reach read reason reboot recall record reel reference
    refund register release remark remedy remind render rent repair reply report request rescue research reserve
    reset resource rest restart result retry return review reward ring rinse rise roast roll rollback root route
    run sack salt salvage sample sanction sand sandbox saw scale scan schedule score scrape screen script seal
    search seat seed sequence service set setup shadow shake shape share shelter shield shift shine ship shoot
    shovel show shred sign signal sketch slot snapshot soak solder sort sound source sow spike spin splice split
    sponsor spot spray spread sprint squash stack staff stage staging stain stamp staple start state steam steer
    stick stir stitch stock stop store strain stream stress stretch strike strip structure study subject supply
    support surrender survey swab swap sweep switch tackle tag talk tally tan tap tape target task taste tax
    tear test text thank theme tick ticket tie tilt time tint title toast top total touch tow track trade train
    transfer transition transport trap travel treat trigger trim trip trust try turn tweak twist type update
    upgrade upload urge use value vent version veto video view visit voice void vote wait wake walk ward warrant
    watch water watermark wear weed weight welcome weld whip wind wire wish work wrap write-up yield zero zip
    zoom
    """
)
STOP = re.compile(
    r"(?:and |then )*(?:(?:we |it |just |the \w+ )*(?:stops?|are done|is done|done|ends?|finish(?:es)?|exits?"
    r"|quits?|terminates?)"
    r"(?: (?:there|here|now|immediately|everything|the (?:\w+ )?(?:workflow|process|run|flow|pipeline|procedure"
    r"|job)|processing|it))*"
    r"|that (?:is|was) (?:it|all|that)|nothing (?:else|more|further)? ?(?:is|needs|happens|has|to).*)\W*",
    re.I,
)
GO_ON = re.compile(
    r"nothing\W*|.*\b(?:go(?:es)? (?:straight|right|directly) (?:through|on|ahead)|go(?:es)? (?:on|ahead)"
    r"|carr(?:y|ies) on|proceeds?|continues?"
    r"|move(?:s)? on|do(?:es)? nothing|leaves? (?:it|them) alone|(?:is|are) left alone|skips? (?:this|it|that"
    r"|the next|ahead))\b.*",
    re.I,
)
PARALLEL = re.compile(
    r"\b(?:(?:all |both |these |everything )?(?:of (?:these|them) )?(?:are |is )?(?:then )?(?:done |run "
    r"|executed |performed )?"
    r"(?:in parallel|at the same time|at once|simultaneously|concurrently|side by side|in tandem|parallelly))\b",
    re.I,
)
MEANWHILE = re.compile(
    r"(?:in the )?meanwhile\b,?|in the meantime\b,?|while (?:this|that|it) is (?:running|happening)\b,?"
    r"|alongside\b,?",
    re.I,
)
# What begins a part that is done whatever was chosen before.
IN_ANY_CASE = re.compile(
    r"\b(?:in (?:all|any|every|either|both) (?:of these |the |these )?cases?|either way|in any event"
    r"|regardless(?: of [\w ]+)?"
    r"|no matter (?:what|which|how)[\w ]*|whatever (?:happens|the (?:outcome|result|decision)(?: is)?))\b,?",
    re.I,
)
OTHERWISE = re.compile(
    r"(?:or )?(?:otherwise|else(?! if)|if not(?!\s+\w+(?:ed|able|ible)\b|\s+(?:ok|okay|valid|found|enough|paid"
    r"|sent)\b)|in (?:all |the |every |any )?(?:other|remaining)(?: other)? cases?|in (?:every|any"
    r"|all) other cases?"
    r"|in the (?:remaining|other) cases?|(?:for )?(?:anything|everything|everyone|all|any) (?:else|lower|higher"
    r"|less|more|other|others)"
    r"|the (?:rest|others)|default)\b(?P<colon>\s*[,:]?)",
    re.I,
)
CONNECTIVES = re.compile(
    r"(?:(?:and|but|so|ok|okay|well|now)\b,?\s+|(?:then|next|after that|after this|after which|afterwards|finally"
    r"|lastly|last|first of all|"
    r"first|firstly|second|secondly|third|thirdly|subsequently|additionally|also|furthermore|moreover|in addition"
    r"|at the end|"
    r"in the end|at last|to (?:start|begin|finish|end)(?: with)?|as (?:a|the) (?:first|next|last|final) step"
    r"|later|from there|"
    r"once (?:this|that) is done|when (?:this|that) is done|as soon as (?:this|that) is done)\b,?\s*)+",
    re.I,
)
_COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {
    **{"once": 1, "twice": 2, "thrice": 3, "a": 1, "an": 1, "another": 1},
    **{word: number for number, word in enumerate(_COUNTED, 1)},
}
UNIT_MS = {
    **dict.fromkeys(("second", "sec"), 1_000),
    **dict.fromkeys(("minute", "min"), 60_000),
    **dict.fromkeys(("day", "business day", "working day"), 86_400_000),
    "hour": 3_600_000,
    "week": 604_800_000,
    "month": 2_592_000_000,
}


def number_of(text: str) -> float | None:
    """Return the number that a word or figure means, None where it is none: "three", "1,000", "0.9"."""
    word = text.lower().strip()
    if word in NUMBERS:
        return float(NUMBERS[word])
    try:
        return float(word.replace(",", "").lstrip("$€£"))
    except ValueError:
        return None
