"""Support: a ticket is classified, answered from the knowledge base or assigned, and measured."""

import re

from pydantic import BaseModel, ConfigDict

from examples.appendix_c.outbox import Message, post_message
from examples.appendix_c.store import Connection, Result, once
from examples.connection import fetch_one
from workflow_service.agents.use_cases import RunContext, use_case

MIN_SHARED_WORDS = 2
URGENCY_WORDS = {
    "high": ("outage", "down", "data loss", "breach", "urgent", "production"),
    "low": ("suggestion", "feature request", "would be nice", "thank you"),
}
CATEGORY_WORDS = {
    "billing": ("invoice", "billing", "charge", "refund", "payment"),
    "account": ("password", "login", "account", "profile"),
}


class Values(BaseModel):
    """Snake case, as the workflow's conditions read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Ticket(Values):
    ticket_id: str
    customer_email: str
    subject: str
    body: str

    @property
    def text(self) -> str:
        return f"{self.subject} {self.body}".lower()


class Classified(Values):
    urgency: str
    category: str


class TicketId(Values):
    ticket_id: str


class Assigned(Values):
    assigned_to: str


class Solution(Values):
    """``article_id`` and what follows are empty where no solution was found."""

    solution_found: bool
    article_id: str
    article_title: str
    article_body: str


class Answer(Values):
    ticket_id: str
    recipient: str
    subject: str
    body: str


class TeamRequest(Values):
    ticket_id: str
    category: str


class TicketStatus(Values):
    ticket_status: str


class Handling(Values):
    ticket_id: str
    customer_satisfied: bool | None = None


class Tracked(Values):
    response_seconds: float


@use_case("support.classify")
def classify(ticket: Ticket, run: RunContext) -> Classified:
    """Tell urgency and category by the words of the ticket, and open it."""
    found = {
        "urgency": match_words(ticket.text, URGENCY_WORDS, "normal"),
        "category": match_words(ticket.text, CATEGORY_WORDS, "technical"),
    }

    def work(connection: Connection) -> Result:
        opened = connection.execute(
            "INSERT INTO tickets (ticket_id, execution_id, urgency, category) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (ticket_id) DO UPDATE SET status = 'open'"
            " WHERE tickets.execution_id = excluded.execution_id",
            [ticket.ticket_id, run.execution_id, *found.values()],
        )
        if opened.rowcount == 0:
            raise ValueError(f"ticket {ticket.ticket_id} is being handled by another run")
        return dict(found)

    return Classified(**once(run, work))


def match_words(text: str, words_of: dict[str, tuple[str, ...]], otherwise: str) -> str:
    """Return the first label of which the text holds a word, as a whole word."""
    for label, words in words_of.items():
        if any(re.search(rf"\b{re.escape(word)}\b", text) for word in words):
            return label
    return otherwise


@use_case("support.assign_senior")
def assign_senior(ticket: TicketId, run: RunContext) -> Assigned:
    """Give the ticket to the senior engineer with the fewest open ones."""

    def work(connection: Connection) -> Result:
        # Two tickets at once: the second counts after the first was given away.
        connection.execute("SELECT 1 FROM engineers WHERE senior ORDER BY engineer FOR UPDATE")
        (engineer,) = fetch_one(
            connection.execute(
                "SELECT engineer FROM engineers LEFT JOIN tickets"
                " ON assigned_to = engineer AND status = 'assigned' AND ticket_id <> %s"
                " WHERE senior GROUP BY engineer ORDER BY count(ticket_id), engineer LIMIT 1",
                [ticket.ticket_id],
            )
        )
        return assign(connection, ticket.ticket_id, engineer)

    return Assigned(**once(run, work))


@use_case("support.assign_to_team")
def assign_to_team(ticket: TeamRequest, run: RunContext) -> Assigned:
    """Give the ticket to the team for its category."""

    def work(connection: Connection) -> Result:
        (team,) = fetch_one(
            connection.execute("SELECT team FROM teams WHERE category = %s", [ticket.category])
        )
        return assign(connection, ticket.ticket_id, team)

    return Assigned(**once(run, work))


def assign(connection: Connection, ticket_id: str, assignee: str) -> Result:
    connection.execute(
        "UPDATE tickets SET status = 'assigned', assigned_to = %s,"
        " answered_at = coalesce(answered_at, clock_timestamp()) WHERE ticket_id = %s",
        [assignee, ticket_id],
    )
    return {"assigned_to": assignee}


@use_case("support.search_articles")
def search_articles(ticket: Ticket, run: RunContext) -> Solution:
    """Find the article that shares most words with the ticket, as Postgres' English text search has words."""

    def work(connection: Connection) -> Result:
        found = connection.execute(
            "SELECT article_id, title, body, (SELECT count(*)"
            " FROM unnest(to_tsvector('english', title || ' ' || body)) AS theirs"
            " JOIN unnest(to_tsvector('english', %s)) AS ours USING (lexeme)) AS shared"
            " FROM articles ORDER BY shared DESC, article_id LIMIT 1",
            [ticket.text],
        ).fetchone()
        article = found[:3] if found and found[3] >= MIN_SHARED_WORDS else ("", "", "")
        names = ("article_id", "article_title", "article_body")
        return {"solution_found": article[0] != "", **dict(zip(names, article, strict=True))}

    return Solution(**once(run, work))


@use_case("support.answer")
def answer(reply: Answer, run: RunContext) -> TicketStatus:
    """Send the customer an answer by the outbox, and note that it was sent."""

    def work(connection: Connection) -> Result:
        message = Message(channel="email", recipient=reply.recipient, subject=reply.subject, body=reply.body)
        post_message(connection, run, message)
        connection.execute(
            "UPDATE tickets SET status = 'answered', answered_at = clock_timestamp() WHERE ticket_id = %s",
            [reply.ticket_id],
        )
        return {"ticket_status": "answered"}

    return TicketStatus(**once(run, work))


@use_case("support.resolve")
def resolve(ticket: TicketId, run: RunContext) -> TicketStatus:
    """Close the ticket."""

    def work(connection: Connection) -> Result:
        connection.execute("UPDATE tickets SET status = 'resolved' WHERE ticket_id = %s", [ticket.ticket_id])
        return {"ticket_status": "resolved"}

    return TicketStatus(**once(run, work))


@use_case("support.track")
def track(handling: Handling, run: RunContext) -> Tracked:
    """Measure the seconds from the ticket to its first answer, and whether the customer was satisfied."""

    def work(connection: Connection) -> Result:
        (seconds,) = fetch_one(
            connection.execute(
                "INSERT INTO resolutions SELECT ticket_id, extract(epoch FROM answered_at - opened_at), %s"
                " FROM tickets WHERE ticket_id = %s ON CONFLICT (ticket_id) DO UPDATE"
                " SET response_seconds = excluded.response_seconds,"
                " customer_satisfied = excluded.customer_satisfied RETURNING response_seconds",
                [handling.customer_satisfied, handling.ticket_id],
            )
        )
        return {"response_seconds": seconds}

    return Tracked(**once(run, work))
