"""From the outline to the tree: which deeds follow each other, and which choice each "if" belongs to."""

import re
from collections.abc import Iterator
from dataclasses import replace

from workflow_service.ai.english.verbs import base_of
from workflow_service.ai.english.word_lists import words
from workflow_service.ai.translator.clauses import Clause, Told, deadline_of, distributed, read_body
from workflow_service.ai.translator.conditions import Condition, read_condition, stem_of
from workflow_service.ai.translator.deeds import Deed, Memory, is_arrival, read_deed, tokens_of, verb_of_thing
from workflow_service.ai.translator.grammar import GO_ON, PARALLEL, PEOPLE, STOP, number_of
from workflow_service.ai.translator.outline import Item
from workflow_service.ai.translator.sentences import Unit, units_of
from workflow_service.ai.translator.tree import (
    Act,
    Case,
    Choice,
    Goto,
    Node,
    Parallel,
    Seq,
    Stop,
    acts_in,
    find_seq,
    tails_of,
)

_CHECKING = words(
    "check verify validate review test measure evaluate inspect assess examine compare ask monitor watch score"
)
_ASKING = words("ask review decide submit send request assess evaluate examine check inspect consult")
_CLASSIFYING = words(
    "classify categorise categorize triage score rate check decide ask determine identify assess grade rank "
    "evaluate sort label"
)
_BACK = re.compile(
    r"(?:then )?(?:go(?:es)?|return|jump|loop|move|come|start|begin|back|send (?:it|them) back|going|continue"
    r"|proceed|restart|resume)\s*(?:back |over |again )*"
    r"(?:to|at|from|with)?\s*(?:the )?(?:step\s*)?(?:no\.?|number|#)?\s*(?P<label>(?:\d+(?:\.\d+)*|[a-z]-\d+"
    r"|[a-z](?=\W*$)))\b.*",
    re.I,
)
_BACK_TO = re.compile(
    r"(?:then )?(?:we )?(?:go(?:es)?|return|jump|loop|move|send (?:it|them))\s+(?:back|again)\s*(?:to|into"
    r"|for)\s+(?P<what>.+)"
    r"|(?:then )?return to (?P<where>.+)|start (?:over|again|from (?:the )?(?:beginning|start|scratch))"
    r"|begin again|repeat (?:the (?:whole )?(?:process|workflow))",
    re.I,
)
_REPEAT = re.compile(
    r"repeat(?:ing)?\s+(?:from\s+)?(?:steps?\s*)?(?P<labels>\d+(?:\.\d+)*(?:\s*(?:,|and|to|through"
    r"|-)\s*\d+(?:\.\d+)*)*)",
    re.I,
)
_REPEAT_THIS = re.compile(
    r"(?:the (?:whole |entire )?(?:process|procedure|cycle|loop|steps?)|this|it|these(?: steps)?|that) (?:is"
    r"|are) (?:then )?repeated\W*"
    r"|(?:keep )?(?:repeat(?:ing)?|do|try(?:ing)?|redo|continue|iterate|loop)(?: (?:this|that|it|these(?: steps)?"
    r"|the (?:above|last step|steps above|(?:whole )?(?:process|procedure|cycle))|again|all of this|over))*\W*",
    re.I,
)
_ANY_FAILURE = re.compile(
    r"(?:(?:any|one|some|either|a|an)(?: ?(?:thing|one|body))?(?: of (?:the|these|those"
    r"|them)(?: \w+)?)?(?: (?:steps?|tasks?|parts?|stages?|jobs?|actions?|blocks?|of these|of them|of the above))?"
    r"(?: above| along the way)? (?:should )?(?:fails?|goes wrong|breaks?|errors?(?: out)?)(?: at any (?:point"
    r"|time|stage))?"
    r"|something (?:fails|goes wrong|breaks)|(?:there is )?(?:an?|any) (?:error|failure|exception"
    r"|problem)(?: (?:occurs|happens|arises|anywhere|at any \w+|in any \w+))*"
    r"|(?:any )?(?:failure|failures|errors?)(?: (?:in|of|at|during) any (?:step|stage|point|time))?"
    r"|things? go(?:es)? wrong)",
    re.I,
)
_ITS_FAILURE = re.compile(
    r"(?:it|this|that|this step|that step|the step)(?: \w+)? (?:fails|crashes|errors(?: out)?|breaks|does not work)",
    re.I,
)
_ENDING = words("reject decline deny refuse abort cancel discard quarantine escalate close")
_AGAIN = re.compile(
    r"(?P<verb>\w+)(?: (?P<what>(?:it|them|the \w+(?: \w+)?)))?(?: once)? again|(?P<verb2>repeat"
    r"|redo) the (?P<what2>\w+)",
    re.I,
)
_TRY_AGAIN = re.compile(
    r"(?:,\s*(?:and\s+)?|\s+and\s+)(?:then\s+)?(?:try (?:it )?(?:again|once more)|retry|check (?:it |them )?again"
    r"|repeat(?: the (?:check|step|test))?)$",
    re.I,
)
_BACK_AT_END = re.compile(
    r"(?:,\s*(?:and\s+)?|\s+and\s+)(?:then\s+)?(?P<back>(?:go(?:es)? back to|return to step|continue (?:with"
    r"|at) step|start (?:over|again)|repeat (?:from )?step)\b.*)$",
    re.I,
)
_TROUBLES = words(
    "missing infected damaged malicious suspicious fraud fraudulent defective expired broken faulty overdue duplicate"
)
_TEMPORAL = frozenset({"when", "once", "after", "as soon as", "on"})
# What is done about trouble and does not mend it: the end of that way.
_TELLING = words(
    "notify inform tell alert email mail message send report page warn apologise apologize reply return refund"
)
_REPEATING = words("repeat do continue try keep redo iterate loop")
MAX_STEPS = 500
_TITLE = re.compile(r"[^.:;]{2,80}")


class TooManySteps(Exception):
    """The text tells more steps than are read."""


class Reader:
    """Reads one text. ``root`` is its tree, ``on_failure`` what is done where any step fails."""

    def __init__(self) -> None:
        self.root = Seq()
        self.on_failure: list[tuple[Seq, Act | None]] = []
        self.title = ""
        self.notes: list[str] = []
        self._memory = Memory()
        self._labels: dict[str, Act] = {}
        self._touched: Choice | None = None
        self._last_case: tuple[Choice, Case] | None = None
        self._last_condition: Condition | None = None
        self._begun = False
        self._count = 0
        self._retried = False
        self._known_labels: frozenset[str] = frozenset()
        self._ahead: list[Goto] = []

    def read(self, items: list[Item]) -> None:
        """Read the items of an outline into the tree."""
        if items and (len(items) > 1 or items[0].children) and _is_title(items[0]):
            self.title = items[0].text.strip(" :")
            self._memory.keep([token.lower() for token in tokens_of(self.title) if token.isalpha()][-1:])
            items = [*items[0].children, *items[1:]]
        self._known_labels = frozenset(_labels_of(items))
        self._items(items, self.root)
        for goto in self._ahead:
            goto.target = self._labels.get(goto.label)

    def _items(self, items: list[Item], seq: Seq) -> None:
        run: list[Node] = []
        for item in items:
            known = len(seq.nodes)
            parallel = self._item(item, seq)
            new = seq.nodes[known:]
            if parallel and len(new) == 1 and isinstance(new[0], Act):
                run.append(new[0])
                if len(run) > 1:
                    self._merge_parallel(seq, run)
            else:
                run = []

    def _merge_parallel(self, seq: Seq, run: list[Node]) -> None:
        """Make neighbours that are each told to run in parallel one parallel node."""
        new = seq.nodes.pop()
        last = seq.nodes[-1]
        if isinstance(last, Parallel):
            last.parts.append(Seq([new]))
        else:
            seq.nodes[-1] = Parallel([Seq([last]), Seq([new])])

    def _item(self, item: Item, seq: Seq) -> bool:
        """Read one item; return whether all of it is told to run in parallel with its neighbours."""
        extension = re.fullmatch(r"(\d+(?:\.\d+)*)[a-z]", item.label)
        if extension and extension[1] in self._labels and self._extension(item, self._labels[extension[1]]):
            return False
        units = units_of(item.text)
        before = set(map(id, acts_in(self.root)))
        parallel = False
        inner, split = seq, False
        case_body: Seq | None = None
        items = ""
        for index, unit in enumerate(units):
            last = index == len(units) - 1
            governed = unit.kind == "do" and unit.joined and case_body is not None
            if governed and case_body is not None:
                # "if it is late: warn the sender; log it; done" - all of it is the case's.
                inner = self._unit(unit, case_body, has_children=False)
                continue
            known = set(map(id, acts_in(self.root)))
            inner = self._unit(unit, seq, has_children=last and bool(item.children))
            if unit.kind == "each":
                items = unit.condition
            elif items and (unit.joined or (unit.same_sentence and unit.kind in ("if", "else"))):
                self._for_each(items, [act for act in acts_in(self.root) if id(act) not in known])
            case_body = inner if (unit.kind == "if" and unit.colon) else None
            parallel = unit.kind == "do" and unit.parallel
            split = unit.parallel
        if item.children:
            if split or PARALLEL.search(item.text):
                self._parallel_children(item.children, inner)
                parallel = False
            elif units and units[-1].kind == "each":
                known = set(map(id, acts_in(inner)))
                self._items(item.children, inner)
                self._for_each(units[-1].condition, [act for act in acts_in(inner) if id(act) not in known])
            else:
                self._items(item.children, inner)
        new = [act for act in acts_in(self.root) if id(act) not in before]
        if item.label and new:
            self._labels.setdefault(item.label, new[0])
        return parallel and len(units) == 1

    def _extension(self, item: Item, act: Act) -> bool:
        """Read "2a. The balance is too low: …": another way on from step 2, as use cases are written."""
        said, colon, body = item.text.partition(":")
        home = find_seq(self.root, act)
        if not colon or home is None:
            return False
        condition = read_condition(re.sub(r"^(?:if|when)\s+", "", said, flags=re.I), None, act.deed)
        choice = self._choice_after(act, home)
        choice.inserted = True
        case = Case(condition, Seq())
        choice.cases.append(case)
        self._remember(choice, case, condition)
        self._body(body, case.body, Unit("if", body))
        self._items(item.children, case.body)
        case.ends = True
        return True

    def _parallel_children(self, children: list[Item], seq: Seq) -> None:
        parts = []
        for child in children:
            part = Seq()
            self._items([child], part)
            if part.nodes:
                parts.append(part)
        if len(parts) > 1:
            seq.nodes.append(Parallel(parts))
        elif parts:
            seq.nodes += parts[0].nodes

    def _unit(self, unit: Unit, seq: Seq, *, has_children: bool) -> Seq:
        """Read one unit; return the sequence in which what is nested below it goes."""
        if unit.whatever:
            self._rejoin(seq)
        match unit.kind:
            case "each":
                known = set(map(id, acts_in(seq)))
                self._do(unit, seq)
                self._for_each(unit.condition, [act for act in acts_in(seq) if id(act) not in known])
                return seq
            case "if":
                return self._if(unit, seq, has_children=has_children)
            case "ask" if unit.word == "depending":
                name = re.sub(r"\W+", "_", unit.condition.lower()).strip("_")
                self._last_condition = Condition(unit.condition, "text", name, about_question=True)
                return seq
            case "options":
                self._options(unit, seq)
                return seq
            case "while":
                self._while(unit, seq)
                return seq
            case "ask":
                about = read_condition(unit.condition, None, None)
                self._last_condition = replace(about, value="True", about_question=True)
                return seq
            case "else":
                body = self._else_body(unit, seq)
                self._body(unit.body, body, unit)
                return body
        if not self._participle_subject(unit, seq):
            self._do(unit, seq)
        return seq

    # -- plain deeds

    def _do(self, unit: Unit, seq: Seq) -> None:
        known = len(seq.nodes)
        for body in distributed(unit.body) if unit.parallel else [unit.body]:
            self._body(body, seq, unit)
        new = seq.nodes[known:]
        if unit.parallel:
            self._make_parallel(unit, seq, known)
        elif unit.meanwhile and known and new:
            seq.nodes[known - 1 :] = [Parallel([Seq([seq.nodes[known - 1]]), Seq(new)])]

    def _make_parallel(self, unit: Unit, seq: Seq, known: int) -> None:
        new = seq.nodes[known:]
        if len(new) > 1 and all(isinstance(node, Act) for node in new):
            if any(isinstance(node, Act) and node.for_each for node in new):
                return
            seq.nodes[known:] = [Parallel([Seq([node]) for node in new])]
        elif not new:
            # "These three are done in parallel" is about what was just told.
            said = re.search(r"\b(two|three|four|five|six|\d)\b", unit.body.lower())
            count = int(number_of(said[1]) or 0) if said else 0
            acts = 0
            while (
                acts < len(seq.nodes)
                and isinstance(seq.nodes[-1 - acts], Act)
                and (not count or acts < count)
            ):
                acts += 1
            if acts > 1 and (unit.body.strip(" :") or count):
                seq.nodes[-acts:] = [Parallel([Seq([node]) for node in seq.nodes[-acts:]])]

    def _body(self, text: str, seq: Seq, unit: Unit) -> None:
        """Read what is to be done into ``seq``: deeds, ways back, ends."""
        for part in _with_ends(text):
            if part is Stop:
                self._stop(seq, unit)
                continue
            said = str(part)
            if self._way_back(said, seq):
                continue
            if GO_ON.fullmatch(said):
                continue
            retried = _TRY_AGAIN.search(said)
            if (
                retried
                and unit.kind in ("if", "else")
                and said[: retried.start()].strip()
                and self._touched is not None
            ):
                decider = self._decider(self._touched)
                self._body(said[: retried.start()], seq, unit)
                if decider is not None:
                    seq.nodes.append(Goto(decider))
                continue
            back = _BACK_AT_END.search(said)
            if back and said[: back.start()].strip():
                self._body(said[: back.start()], seq, unit)
                if self._way_back(back["back"], seq):
                    continue
            told = read_body(said, self._memory)
            if told.retries is not None:
                self._retry(told, seq)
            if not self._begun and unit.kind == "do" and self._is_trigger(told, unit):
                self._begun = True
                told.clauses = told.clauses[1:]
            for clause in told.clauses:
                self._add(clause, seq, in_case=unit.kind in ("if", "else"))
            if told.until is not None:
                self._repeat(told, seq, said)
            self._begun = self._begun or bool(told.clauses)

    def _retry(self, told: Told, seq: Seq) -> None:
        self._retried = True
        choice = self._touched
        decider = self._decider(choice) if choice is not None and not seq.nodes else None
        acts = acts_in(self.root)
        act = decider or (acts[-1] if acts else None)
        if act is not None:
            act.retries, act.delay_ms = told.retries, told.delay_ms

    def _stop(self, seq: Seq, unit: Unit) -> None:
        last = seq.nodes[-1] if seq.nodes else None
        if isinstance(last, Choice):
            # "Stop there" is said of the way told last.
            seq = last.otherwise if last.otherwise is not None else last.cases[-1].body
        if seq.nodes or unit.kind != "do":
            seq.nodes.append(Stop())

    def _done_before(self, clause: Clause) -> Act | None:
        """Return the act that "send it again" does again."""
        if not re.search(r"\bagain$", clause.text.strip(), re.I) or clause.deed.verb.split()[0] in _REPEATING:
            return None
        same = [act for act in acts_in(self.root) if act.deed.verb == clause.deed.verb]
        alike = [
            act for act in same if not clause.deed.object or set(clause.deed.object) & set(act.deed.object)
        ]
        return alike[-1] if alike else None

    def _add(self, clause: Clause, seq: Seq, *, in_case: bool = False) -> None:
        self._count += 1
        if self._count > MAX_STEPS:
            raise TooManySteps(f"the text tells more than {MAX_STEPS} steps")
        act = _act_of(clause, first=not acts_in(self.root))
        again = self._done_before(clause) if in_case else None
        if again is not None:
            seq.nodes.append(Goto(again))
            return
        if clause.condition:
            self._add_conditional(act, clause, seq)
        else:
            seq.nodes.append(act)

    def _add_conditional(self, act: Act, clause: Clause, seq: Seq) -> None:
        """Add a deed with a condition behind it: "send it if valid", "dispense it unless the pharmacist rejects it"."""
        condition = self._condition(clause.condition, seq)
        if clause.word == "unless":
            condition = condition.opposite()
        new = self._asked_person(condition, act, seq)
        if new is not None and not condition.negative:
            # "Deploy it when the owner approves": the owner is asked first.
            seq.nodes += [new, act]
            return
        asked = self._approval_for(condition, seq)
        home = find_seq(self.root, asked) if asked is not None else None
        if home is not None and home[0] is not seq:
            # The answer is given in a branch that comes back here.
            choice = self._choice_after(asked, home) if asked else Choice()
            choice.cases.append(Case(condition, Seq()))
            choice.otherwise = Seq([Stop()])
            choice.inserted = True
            self._touched = choice
            seq.nodes.append(act)
            return
        choice = self._choice_for(condition, seq, Unit("if", "", nested=False))
        case = Case(condition, Seq([act]))
        choice.cases.append(case)
        self._remember(choice, case, condition)

    def _is_trigger(self, told: Told, unit: Unit) -> bool:
        """Say whether the first clause only tells what sets the workflow off: "an invoice comes in"."""
        if not told.clauses:
            return False
        first = told.clauses[0].deed
        outsider = (
            bool(first.subject)
            and not first.passive
            and first.subject[-1]
            in (
                "customer",
                "user",
                "somebody",
                "someone",
                "employee",
                "client",
                "visitor",
                "requester",
                "person",
                "applicant",
            )
        )
        more = len(told.clauses) > 1 or not acts_in(self.root)
        arrives = (
            is_arrival(first)
            and bool(first.subject)
            and (first.verb in ("arrive", "come", "come in") or (outsider and more))
        )
        return arrives or (outsider and is_arrival(first))

    # -- ways back

    def _way_back(self, text: str, seq: Seq) -> bool:
        plain = text.strip(" .,")
        match = _REPEAT.match(plain)
        if match and "until" not in plain:
            target = self._labels.get(re.split(r"\D*\s", match["labels"])[0])
            if target is not None:
                seq.nodes.append(Goto(target))
                return True
        match = _BACK.fullmatch(plain)
        if match and match["label"].lower() in self._labels:
            seq.nodes.append(Goto(self._labels[match["label"].lower()]))
            return True
        if match and match["label"].lower() in self._known_labels:
            ahead = Goto(None, match["label"].lower())
            self._ahead.append(ahead)
            seq.nodes.append(ahead)
            return True
        match = _AGAIN.fullmatch(plain)
        if match:
            word = match["verb"] or match["verb2"]
            verb = base_of(word) or word.lower()
            named = [
                verb_of_thing(token.lower()) for token in tokens_of(match["what"] or match["what2"] or "")
            ]
            same = [act for act in acts_in(self.root) if act.deed.verb.split()[0] == verb]
            if verb in ("repeat", "redo"):
                same = [act for act in acts_in(self.root) if act.deed.verb.split()[0] in named]
            if same and (verb not in ("try", "retry")):
                seq.nodes.append(Goto(same[-1]))
                return True
        match = _BACK_TO.fullmatch(plain)
        if match:
            acts = acts_in(self.root)
            wanted = set(map(stem_of, tokens_of(match["what"] or match["where"] or "")))
            target = self._best(acts, wanted) if wanted else acts[0] if acts else None
            if target is not None:
                seq.nodes.append(Goto(target))
                return True
        return False

    def _repeat(self, told: Told, seq: Seq, said: str) -> None:
        """Close a "repeat … until": back to where it begins as long as the condition does not hold."""
        assert told.until is not None  # noqa: S101 - the caller looked
        acts = acts_in(seq)
        if not acts:
            return
        count = len(told.clauses)
        match = _REPEAT.search(said)
        labelled = self._labels.get(re.split(r"\D+", match["labels"])[0]) if match else None
        words_before = said[: said.lower().index("until")].strip(" ,")
        again = labelled is not None or bool(_REPEAT_THIS.fullmatch(words_before))
        last = told.clauses[-1].deed if count else None
        # "Repeat" itself is no deed.
        repeating = last is not None and last.verb.split()[0] in _REPEATING and (again or not last.object)
        if repeating:
            seq.nodes = [node for node in seq.nodes if node is not acts[-1]]
            acts, count = acts[:-1], count - 1
        if not acts:
            return
        if labelled is not None:
            target = labelled
        elif count:
            # "fetch, parse, repeat until …": all of that.
            target, again = acts[-count], again or repeating
        else:
            target, again = self._beginning(acts), True
        before = acts[-count - 1] if 0 < count < len(acts) else None
        if not again and before is not None and before.deed.verb.split()[0] in _CHECKING:
            body = seq.nodes[-count:]
            del seq.nodes[-count:]
            condition = self._condition(told.until.condition, seq).opposite()
            before.max_rounds = told.until.most
            case = Case(condition, Seq([*body, Goto(before)]))
        else:
            condition = self._condition(told.until.condition, seq).opposite()
            target.max_rounds = told.until.most
            case = Case(condition, Seq([Goto(target)]))
        choice = Choice([case])
        seq.nodes.append(choice)
        self._remember(choice, case, condition)

    @staticmethod
    def _beginning(acts: list[Act]) -> Act:
        """Return where "this is repeated" goes back to: the work before a check, or the check before the work."""
        if len(acts) > 1 and acts[-1].deed.verb.split()[0] in _CHECKING:
            return acts[-2]
        checks = [act for act in acts if act.deed.verb.split()[0] in _CHECKING]
        return checks[-1] if checks else acts[-1]

    # -- choices

    def _if(self, unit: Unit, seq: Seq, *, has_children: bool) -> Seq:
        failed = _ANY_FAILURE.match(unit.condition.strip(" ,"))
        if failed and "them" in unit.condition.split() and self._decides(seq, classifying=False):
            # "run the tests and, should any of them fail, …": of the tests, not of all steps.
            last = acts_in(self.root)[-1].deed
            failed = None if last.object and last.object[-1].endswith("s") else failed
            unit = replace(unit, condition="it fails") if failed is None else unit
        if failed and unit.word != "unless":
            where = unit.condition.strip(" ,")[failed.end() :]
            if not where or re.match(r"\s*(?:while|when|during|in|of|at|with)\b", where, re.I):
                return self._failure(unit, where)
        if self._is_event(unit, seq):
            self._do(replace(unit, kind="do", condition=""), seq)
            return seq
        if unit.word == "event":
            if acts_in(self.root):
                self._do(replace(unit, kind="do", condition=""), seq)
                return seq
            unit = replace(unit, word="on")
        if unit.word == "state" and not self._decides(seq):
            self._do(replace(unit, kind="do", body=f"{unit.condition} {unit.body}", condition=""), seq)
            return seq
        asked = self._last_condition is not None and self._last_condition.about_question
        asked = asked or (self._last_condition is not None and self._last_condition.kind == "text")
        if unit.word == "name" and not asked and not self._decides(seq, classifying=True):
            self._do(replace(unit, kind="do", condition=""), seq)
            return seq
        if self._sets_off(unit, seq):
            self._begun = True
            self._remember_subject(unit.condition)
            self._do(replace(unit, kind="do", condition=""), seq)
            return seq
        if unit.word in ("after", "once", "as soon as") and not self._is_decision(unit, seq):
            self._do(replace(unit, kind="do", condition=""), seq)
            return seq
        condition = self._condition(unit.condition, seq)
        if unit.negated:
            condition = condition.opposite()
        new = self._asked_person(condition, None, seq)
        if new is not None:
            target = self._last_case[1].body if unit.nested and self._last_case else seq
            target.nodes.append(new)
            if unit.word in ("when", "once", "as soon as", "after") and not condition.negative:
                self._do(replace(unit, kind="do", condition=""), target)
                return target
        open_choice = self._open_choice(seq)
        if (
            open_choice is not None
            and open_choice is not seq.nodes[-1]
            and condition.completes(open_choice.cases[0].condition)
        ):
            choice = self._gathered(open_choice, seq) or open_choice
        else:
            choice = self._choice_for(condition, seq, unit)
        case = Case(condition, Seq(), temporal=unit.word in _TEMPORAL)
        choice.cases.append(case)
        self._remember(choice, case, condition)
        self._remember_topic(condition)
        self._retried = False
        self._body(unit.body, case.body, unit)
        if unit.parallel:
            self._make_parallel(unit, case.body, 0)
        if not case.body.nodes and not has_children and condition.about_failure and self._retried:
            # All that is done about this failure is to try again.
            choice.cases.remove(case)
            if not choice.cases and (home := find_seq(self.root, choice)) is not None:
                home[0].nodes.remove(choice)
            return seq
        case.ends = self._ends(choice, case)
        limit = deadline_of(unit.condition)
        if limit is not None and acts_in(self.root):
            decider = self._decider(choice)
            if decider is not None and decider.deadline_ms is None:
                decider.deadline_ms = limit
        return case.body

    def _decides(self, seq: Seq, *, classifying: bool = False) -> bool:
        """Say whether something stands before that can have found what a case is for."""
        acts = acts_in(self.root)
        if not acts:
            return False
        last = seq.nodes[-1] if seq.nodes else None
        decider = self._decider(last) if isinstance(last, Choice) else acts[-1]
        return not classifying or (decider is not None and decider.deed.verb.split()[0] in _CLASSIFYING)

    def _failure(self, unit: Unit, where: str) -> Seq:
        """Read what is done where any step fails, or the one that ``where`` names."""
        wanted = frozenset(map(stem_of, tokens_of(where)))
        failing = self._best(acts_in(self.root), wanted) if wanted else None
        body = Seq()
        self.on_failure.append((body, failing))
        self._body(unit.body, body, unit)
        return body

    def _is_event(self, unit: Unit, seq: Seq) -> bool:
        """Say whether a "when …" in the middle only tells what is waited for: "when the answers arrive, …"."""
        if unit.word not in ("when", "once", "as soon as", "whenever") or not acts_in(self.root):
            return False
        said = unit.condition.lower()
        deed = read_deed(unit.condition, Memory())
        if (
            deed is not None
            and not deed.approval
            and any(
                act.deed.verb == deed.verb and set(act.deed.object) & set(deed.object)
                for act in acts_in(self.root)[-3:]
            )
        ):
            # "Sign the contract. When the contract is signed, …": just done.
            return True
        if re.search(
            r"\b(?:is|are) (?:\w+ )?(?:done|completed?|finished|ready|over|in place|prepared|available|back"
            r"|through)\b",
            said,
        ):
            return "not" not in said.split()
        if read_condition(said).kind in ("approval", "number") or re.search(r"\b(?:no|not|never)\b", said):
            return False
        return bool(
            re.search(
                r"\b(?:has|have) (?:been )?\w+ed\b|\b(?:arrives?|comes? (?:in|back)|is received|are received"
                r"|returns?)\b",
                said,
            )
        )

    def _sets_off(self, unit: Unit, seq: Seq) -> bool:
        """Say whether a condition is the event that starts the workflow: the first thing told, and no question."""
        if acts_in(self.root) or unit.word not in (
            "when",
            "whenever",
            "once",
            "as soon as",
            "after",
            "on",
            "if",
        ):
            return False
        return unit.word != "if"

    def _is_decision(self, unit: Unit, seq: Seq) -> bool:
        """Say whether "once …" asks something rather than tells what has just been done."""
        deed = read_deed(unit.condition, Memory())
        condition = read_condition(unit.condition)
        if condition.kind == "approval":
            return True
        return deed is None and unit.word != "after"

    def _remember_subject(self, text: str) -> None:
        deed = read_deed(text, self._memory)
        if deed is None or not deed.object:
            named = [
                token.lower()
                for token in tokens_of(text)
                if token.isalpha() and token.lower() not in ("a", "an", "the", "is", "are")
            ]
            if named and deed is None:
                self._memory.keep(named[:1])

    def _remember_topic(self, condition: Condition) -> None:
        """What a condition is about is what "these" means after it: "if documents are missing, these are requested"."""
        named = [
            word
            for word in tokens_of(condition.text)
            if word.isalpha() and stem_of(word) in condition.subject
        ]
        if (
            not condition.bare
            and len(named) > 1
            and condition.kind == "boolean"
            and not condition.about_failure
        ):
            self._memory.keep([named[0].lower()])

    def _asked_person(self, condition: Condition, act: Act | None, seq: Seq) -> Act | None:
        """Return a new act that asks a person where a condition is about an answer nobody was asked for yet."""
        if condition.kind != "approval" or any(one.deed.approval for one in acts_in(self.root)):
            return None
        person = [
            token.lower()
            for token in tokens_of(condition.text)
            if token.lower() in PEOPLE or token.lower().rstrip("s") in PEOPLE
        ]
        acts = acts_in(self.root)
        last = acts[-1].deed if acts else None
        if not person or last is None or last.who or last.verb.split()[0] in _ASKING:
            return None
        about = act.deed.object if act is not None and act.deed.object else last.object
        said = re.sub(r"^(?:the|a|an)\s+", "", condition.text.strip(), flags=re.I)
        who = (
            " ".join(said.lower().split()[: said.lower().split().index(person[0]) + 1])
            if person[0] in said.lower().split()
            else person[0]
        )
        return Act(
            Deed("approve", tuple(about), who=who, approval=True, text=f"approval by {who}"), condition.text
        )

    def _condition(self, text: str, seq: Seq) -> Condition:
        acts = acts_in(self.root)
        decider = acts[-1].deed if acts else None
        last = seq.nodes[-1] if seq.nodes else None
        if isinstance(last, Choice):
            found = self._decider(last)
            decider = found.deed if found is not None else decider
        return read_condition(text, self._last_condition, decider)

    def _choice_for(self, condition: Condition, seq: Seq, unit: Unit) -> Choice:
        """Return the choice that a condition belongs to, made where there is none yet."""
        asked = self._approval_for(condition, seq)
        if asked is not None:
            home = find_seq(self.root, asked)
            if home is not None:
                return self._choice_after(asked, home)
        if unit.nested and self._last_case is not None:
            choice, case = self._last_case
            if not _siblings(condition, case.condition):
                return self._appended(case.body)
            return choice
        last = seq.nodes[-1] if seq.nodes else None
        if isinstance(last, Choice):
            inner = self._told_in_tails(condition, last)
            if inner is not None:
                home = find_seq(self.root, inner)
                if home is not None:
                    return self._choice_after(inner, home)
            if last.otherwise is None:
                return self._sibling_or_new(condition, last, seq)
            return self._appended(seq)
        earlier = self._told_earlier(condition, seq)
        if earlier is not None:
            home = find_seq(self.root, earlier)
            if home is not None:
                return self._choice_after(earlier, home)
        return self._appended(seq)

    def _sibling_or_new(self, condition: Condition, last: Choice, seq: Seq) -> Choice:
        known = {case.condition.expression for case in last.cases}
        if condition.expression in known and not condition.bare:
            return self._appended(seq)
        return last

    def _told_in_tails(self, condition: Condition, choice: Choice) -> Act | None:
        """Return the act at the end of a case that a condition is about, if it is about one."""
        if condition.bare or not condition.subject:
            return None
        decider = self._decider(choice)
        known = _words_of(decider.deed) if decider is not None else set()
        if condition.subject & known and not condition.about_failure:
            return None
        tails = [act for case in choice.cases for act in tails_of(case.body)]
        tails += tails_of(choice.otherwise) if choice.otherwise else []
        inside = [act for case in choice.cases for act in acts_in(case.body)]
        return self._best(tails, condition.subject) or (
            self._best(inside, condition.subject) if condition.about_failure else None
        )

    def _told_earlier(self, condition: Condition, seq: Seq) -> Act | None:
        """Return an earlier act that a condition is about by its words, where the last one is not."""
        acts = acts_in(self.root)
        if condition.bare or not acts or not condition.subject:
            return None
        nearest = tails_of(seq) or acts[-1:]
        if any(condition.subject & _words_of(act.deed) for act in nearest):
            return None
        if not condition.about_failure:
            return None
        return self._best(acts, condition.subject)

    @staticmethod
    def _best(acts: list[Act], wanted: frozenset[str] | set[str]) -> Act | None:
        scored = [
            (len(wanted & _words_of(act.deed)) + (act.deed.verb.split()[0] in wanted), index, act)
            for index, act in enumerate(acts)
        ]
        best = max(scored, key=lambda row: row[:2], default=None)
        return best[2] if best is not None and best[0] else None

    def _approval_for(self, condition: Condition, seq: Seq) -> Act | None:
        """Return the act whose answer a condition asks for: the last one that waits for a person's yes or no."""
        if condition.kind != "approval":
            return None
        acts = acts_in(self.root)
        wanted = [act for act in acts if act.deed.approval]
        if wanted:
            named = [act for act in wanted if set(map(stem_of, act.deed.who.split())) & condition.subject]
            return (named or wanted)[-1]
        return None

    def _choice_after(self, act: Act, home: tuple[Seq, int]) -> Choice:
        seq, index = home
        following = seq.nodes[index + 1] if index + 1 < len(seq.nodes) else None
        if isinstance(following, Choice):
            return following
        choice = Choice(inserted=following is not None)
        seq.nodes.insert(index + 1, choice)
        return choice

    @staticmethod
    def _appended(seq: Seq) -> Choice:
        choice = Choice()
        seq.nodes.append(choice)
        return choice

    def _decider(self, choice: Choice) -> Act | None:
        home = find_seq(self.root, choice)
        if home is None:
            return None
        seq, index = home
        before = tails_of(Seq(seq.nodes[:index]))
        return before[-1] if before else None

    def _remember(self, choice: Choice, case: Case, condition: Condition) -> None:
        self._touched, self._last_case, self._last_condition = choice, (choice, case), condition

    def _else_body(self, unit: Unit, seq: Seq) -> Seq:
        last = seq.nodes[-1] if seq.nodes else None
        choice = self._touched if unit.same_sentence and self._touched is not None else None
        if choice is None and not isinstance(last, Choice):
            choice = self._gathered(self._open_choice(seq), seq)
        if choice is None:
            choice = last if isinstance(last, Choice) else self._touched
        if choice is None or (
            choice.otherwise is not None and choice.otherwise.nodes and not isinstance(last, Choice)
        ):
            choice = self._implied_choice(seq)
        if choice is None:
            return seq
        if choice.otherwise is not None and choice.otherwise.nodes and not choice.cases[-1].body.nodes:
            # "if not, decline it; otherwise check it": the second is for what the first leaves open.
            return choice.cases[-1].body
        if choice.otherwise is None or choice.otherwise.nodes:
            choice.otherwise = Seq()
        return choice.otherwise

    @staticmethod
    def _open_choice(seq: Seq) -> Choice | None:
        """Return the last choice of a sequence that has one case and no other way yet."""
        choices = [node for node in seq.nodes if isinstance(node, Choice)]
        last = choices[-1] if choices else None
        return (
            last
            if last is not None and len(last.cases) == 1 and last.otherwise is None and not last.inserted
            else None
        )

    @staticmethod
    def _gathered(choice: Choice | None, seq: Seq) -> Choice | None:
        """Put what was told since a choice into its case: "if it is valid, assign it. Inspect it. Otherwise …"."""
        if choice is not None and choice in seq.nodes:
            index = seq.nodes.index(choice)
            choice.cases[-1].body.nodes += seq.nodes[index + 1 :]
            del seq.nodes[index + 1 :]
        return choice

    def _implied_choice(self, seq: Seq) -> Choice | None:
        """Return a choice on the last check, whose good outcome nobody told: "checks whether …; if not, …"."""
        last = seq.nodes[-1] if seq.nodes else None
        if not isinstance(last, Act) or last.deed.verb.split()[0] not in _CHECKING:
            return None
        about = "_".join(last.deed.object[-2:]) or last.deed.verb.split()[0]
        condition = Condition(last.text, name=f"{re.sub(r'[^a-z0-9_]+', '_', about)}_ok")
        choice = self._appended(seq)
        case = Case(condition, Seq())
        choice.cases.append(case)
        self._remember(choice, case, condition)
        return choice

    def _ends(self, choice: Choice, case: Case) -> bool:
        """Say whether a case told alone, for what went wrong, is the end: "if it is refused, reject the order"."""
        tails = tails_of(case.body)
        if choice.inserted or (case.condition.kind == "approval" and case.condition.negative):
            return True
        bad = bool(set(case.condition.name.split("_")) & _TROUBLES)
        gone_wrong = case.condition.about_failure or case.condition.negative != bad
        acts = acts_in(case.body)
        ending = bool(tails) and all(act.deed.verb.split()[0] in _ENDING for act in tails)
        telling = bool(acts) and all(act.deed.verb.split()[0] in _TELLING | _ENDING for act in acts)
        return gone_wrong and (ending or telling)

    def _rejoin(self, seq: Seq) -> None:
        for node in seq.nodes[-1:]:
            if isinstance(node, Choice):
                node.rejoins = True
                for body in [case.body for case in node.cases] + ([node.otherwise] if node.otherwise else []):
                    self._rejoin(body)

    def _while(self, unit: Unit, seq: Seq) -> None:
        """Read "while the queue is not empty, take …": again as long as the condition holds."""
        known = set(map(id, acts_in(seq)))
        self._body(unit.body, seq, unit)
        new = [act for act in acts_in(seq) if id(act) not in known]
        if new:
            case = Case(read_condition(unit.condition), Seq([Goto(new[0])]))
            choice = Choice([case])
            seq.nodes.append(choice)
            self._remember(choice, case, case.condition)

    def _options(self, unit: Unit, seq: Seq) -> None:
        """Read "depending on the method, charge the card, start a transfer or send an invoice": a case for each."""
        told = read_body(re.sub(r"^either\s+", "", unit.body, flags=re.I), self._memory)
        about = self._last_condition or Condition(unit.condition, "text", "option")
        choice = self._appended(seq)
        for clause in told.clauses:
            value = (clause.deed.object or clause.deed.place or (clause.deed.verb,))[-1]
            condition = replace(about, value=f"'{value}'", about_question=False)
            choice.cases.append(Case(condition, Seq([_act_of(clause, first=False)])))
        if not choice.cases:
            seq.nodes.remove(choice)
        else:
            self._remember(choice, choice.cases[-1], choice.cases[-1].condition)

    def _participle_subject(self, unit: Unit, seq: Seq) -> bool:
        """Read "posted invoices are scheduled", "critical incidents are mitigated": only for the cases so called."""
        last = seq.nodes[-1] if seq.nodes else None
        if not isinstance(last, Choice) or not last.otherwise:
            return False
        first = tokens_of(unit.body)[:1]
        if not first or base_of(first[0]) is None or not first[0].lower().endswith("ed"):
            return False
        verb = base_of(first[0])
        bodies = [case.body for case in last.cases] + [last.otherwise]
        doing = [body for body in bodies if any(act.deed.verb == verb for act in acts_in(body))]
        if not doing or len(doing) == len(bodies):
            return False
        for body in bodies:
            if body not in doing:
                body.nodes.append(Stop())
        self._do(replace(unit, body=" ".join(tokens_of(unit.body)[1:])), seq)
        return True

    @staticmethod
    def _for_each(items: str, acts: list[Act]) -> None:
        for act in acts:
            act.for_each = act.for_each or items


def _labels_of(items: list[Item]) -> Iterator[str]:
    for item in items:
        if item.label:
            yield item.label
        yield from _labels_of(item.children)


def _act_of(clause: Clause, *, first: bool) -> Act:
    deed = clause.deed
    verb = deed.verb.split()[0]
    waits = verb in ("wait", "await") and not deed.approval and clause.duration_ms is None
    receives = verb == "receive" and not deed.approval
    signal = "_".join(deed.object or deed.place) if waits or receives else ""
    return Act(
        deed,
        clause.text,
        clause.retries,
        clause.for_each,
        clause.duration_ms,
        clause.deadline_ms,
        optional=clause.optional,
        signal=signal,
        trigger=first and receives,
    )


def _siblings(one: Condition, other: Condition) -> bool:
    return one.name == other.name or one.completes(other)


def _words_of(deed: Deed) -> set[str]:
    said = (*deed.verb.split(), *deed.object, *deed.place, *deed.who.split())
    return {stem_of(word) for word in said}


def _with_ends(text: str) -> list[object]:
    """Part a body from "and stop", "done", "that's it" at its end."""
    plain = text.strip(" .,:")
    if not plain:
        return []
    if STOP.fullmatch(plain):
        return [Stop]
    parts = re.split(r"(?:,\s*(?:and\s+)?|\s+and\s+(?:then\s+)?)", plain)
    if len(parts) > 1 and STOP.fullmatch(parts[-1]):
        end = plain.rfind(parts[-1])
        return [re.sub(r"(?:,\s*(?:and)?|\s+and(?:\s+then)?)\s*$", "", plain[:end]), Stop]
    match = re.search(r"\s+and\s+that (?:is|was) (?:it|all|that)$", plain, re.I)
    return [plain[: match.start()], Stop] if match else [plain]


def _is_title(item: Item) -> bool:
    """Say whether the first item is a heading rather than a deed."""
    if item.marked or len(item.text) > 90 or item.text.endswith("."):
        return False
    if re.match(
        r"(?:when|whenever|if|once|after|on|as soon as|for each|for every|in parallel)\b", item.text, re.I
    ):
        return False
    return item.text.endswith(":") or (bool(_TITLE.fullmatch(item.text)) and len(item.text.split()) <= 8)
