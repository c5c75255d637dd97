"""CI/CD after the checks: an image is built, pushed, deployed, tested, rolled back, and people are told.

An image is the formula, named by the digest of its content; what an environment runs is its latest deployment
that was not rolled back.
"""

import hashlib
import json
from typing import Literal

from examples.appendix_c.checks import Case, Pipeline, Source, Values, find_failures
from examples.appendix_c.outbox import Message, post_message
from examples.appendix_c.store import Connection, Result, once
from examples.connection import fetch_one
from workflow_service.agents.use_cases import RunContext, use_case


class Failure(Pipeline):
    """What is known of why a pipeline failed, step by step."""

    team: str
    quality_problems: list[str]
    unit_failures: list[str]
    integration_failures: list[str]
    security_findings: list[str]
    smoke_failures: list[str]

    def reasons(self) -> list[str]:
        """Return every reason, in the order of the steps."""
        tests = self.unit_failures + self.integration_failures + self.security_findings
        return self.quality_problems + tests + self.smoke_failures


class PipelineStatus(Values):
    pipeline_status: str


class Image(Values):
    image_digest: str


class Push(Values):
    repository: str
    tag: str
    digest: str


class Deploy(Pipeline):
    environment: Literal["staging", "production"]
    digest: str


class Environment(Values):
    repository: str
    environment: Literal["staging", "production"]


class Deployed(Values):
    deployed: str
    environment: str


class SmokeTests(Environment):
    cases: list[Case]


class SmokeResult(Values):
    smoke_pass: bool
    smoke_failures: list[str]


class RolledBack(Values):
    running_digest: str | None


@use_case("delivery.begin_tests")
def begin_tests(pipeline: Pipeline, run: RunContext) -> PipelineStatus:
    """Note that this revision is being tested."""

    def work(connection: Connection) -> Result:
        set_status(connection, run, pipeline, "testing")
        return {"pipeline_status": "testing"}

    return PipelineStatus(**once(run, work))


@use_case("delivery.build_image")
def build_image(source: Source, run: RunContext) -> Image:
    """Store the image of a revision under the digest of its content."""
    content = json.dumps({"formula": source.formula, "names": sorted(source.names)}, sort_keys=True)
    digest = f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"

    def work(connection: Connection) -> Result:
        connection.execute("INSERT INTO images VALUES (%s, %s) ON CONFLICT DO NOTHING", [digest, content])
        return {"image_digest": digest}

    return Image(**once(run, work))


@use_case("delivery.push_image")
def push_image(push: Push, run: RunContext) -> Image:
    """Let a tag of the registry name the image."""

    def work(connection: Connection) -> Result:
        connection.execute(
            "INSERT INTO registry VALUES (%s, %s, %s)"
            " ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest",
            [push.repository, push.tag, push.digest],
        )
        return {"image_digest": push.digest}

    return Image(**once(run, work))


@use_case("delivery.deploy")
def deploy(deployment: Deploy, run: RunContext) -> Deployed:
    """Let an environment run the image."""

    def work(connection: Connection) -> Result:
        connection.execute(
            "INSERT INTO deployments (execution_id, repository, environment, digest) VALUES (%s, %s, %s, %s)",
            [run.execution_id, deployment.repository, deployment.environment, deployment.digest],
        )
        status = "deployed" if deployment.environment == "production" else "staged"
        set_status(connection, run, deployment, status)
        return {"deployed": deployment.digest, "environment": deployment.environment}

    return Deployed(**once(run, work))


@use_case("delivery.smoke_test")
def smoke_test(tests: SmokeTests, run: RunContext) -> SmokeResult:
    """Run the cases on what the environment really runs."""

    def work(connection: Connection) -> Result:
        digest = running_digest(connection, tests)
        (content,) = fetch_one(connection.execute("SELECT content FROM images WHERE digest = %s", [digest]))
        formula = json.loads(content)["formula"]
        failures = find_failures(formula, ((case.values, case.expected) for case in tests.cases))
        return {"smoke_pass": not failures, "smoke_failures": failures}

    return SmokeResult(**once(run, work))


@use_case("delivery.roll_back")
def roll_back(environment: Environment, run: RunContext) -> RolledBack:
    """Take back what this run deployed to an environment; what ran before runs again."""

    def work(connection: Connection) -> Result:
        connection.execute(
            "UPDATE deployments SET rolled_back = true"
            " WHERE execution_id = %s AND repository = %s AND environment = %s",
            [run.execution_id, environment.repository, environment.environment],
        )
        return {"running_digest": running_digest(connection, environment)}

    return RolledBack(**once(run, work))


def running_digest(connection: Connection, environment: Environment) -> str | None:
    """Return the image that an environment runs; None if it runs nothing."""
    found = connection.execute(
        "SELECT digest FROM deployments WHERE repository = %s AND environment = %s AND NOT rolled_back"
        " ORDER BY deployment_id DESC LIMIT 1",
        [environment.repository, environment.environment],
    ).fetchone()
    return found[0] if found else None


@use_case("delivery.cancel")
def cancel(pipeline: Pipeline, run: RunContext) -> PipelineStatus:
    """Note that a person stopped the pipeline before production."""

    def work(connection: Connection) -> Result:
        set_status(connection, run, pipeline, "cancelled")
        return {"pipeline_status": "cancelled"}

    return PipelineStatus(**once(run, work))


@use_case("delivery.notify_failure")
def notify_failure(failure: Failure, run: RunContext) -> PipelineStatus:
    """Note that the pipeline failed, and tell the team every reason that is known."""
    body = "\n".join(failure.reasons())

    def work(connection: Connection) -> Result:
        set_status(connection, run, failure, "failed")
        subject = f"{failure.repository} {failure.revision} failed"
        message = Message(channel="chat", recipient=failure.team, subject=subject, body=body)
        post_message(connection, run, message)
        return {"pipeline_status": "failed"}

    return PipelineStatus(**once(run, work))


def set_status(connection: Connection, run: RunContext, pipeline: Pipeline, status: str) -> None:
    connection.execute(
        "INSERT INTO pipelines VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (execution_id) DO UPDATE SET status = excluded.status",
        [run.execution_id, pipeline.repository, pipeline.revision, status],
    )
