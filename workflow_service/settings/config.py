"""The one typed settings object, read from the environment.

Names and defaults follow document A's configuration section; the unit is in the name. Secrets are ``SecretStr``
and print as stars. Nothing else in the service reads the environment, but for the crash points of tests.
"""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from django.core.exceptions import ImproperlyConfigured
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from workflow_service.settings.llm import LlmProvider

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
# Settings must load where no server runs: `up` starts the servers, and help and checks need none. Whoever connects
# all the same reads what to do in the name that cannot be resolved (RFC 2606 reserves .invalid).
NOT_RUNNING_HOST = "start-the-stack-with-make-up-or-set-the-url.invalid"
CommaList = Annotated[tuple[str, ...], NoDecode]


class Config(BaseSettings):
    """Every setting of the service. ``docs/configuration.md`` is checked against these fields."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    data_dir: Path = Field(
        PROJECT_ROOT / ".data", description="Where files and the embedded servers' data live."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs sessions and tokens. Made once under DATA_DIR in development; required in production.",
    )
    secrets_keys: SecretStr | None = Field(
        None,
        description="Keys that secrets are encrypted with, id:key and commas between; a key is 32 random bytes as "
        "base64. The first one encrypts, all decrypt. Not set: SECRETS_KEYS_FILE.",
    )
    secrets_keys_file: Path | None = Field(
        None,
        description="File of such keys, one on a line, read again when it changes. Not set: DATA_DIR/secrets.keys, "
        "made on first use but in production.",
    )
    audit_keys: SecretStr | None = Field(
        None,
        description="Keys that the audit trail is authenticated with, as SECRETS_KEYS are written. The first one "
        "signs, all verify. Not set: AUDIT_KEYS_FILE. One of both is required in production.",
    )
    audit_keys_file: Path | None = Field(
        None,
        description="File of such keys, read again when it changes. Not set: DATA_DIR/audit.keys, made on first use "
        "but in production.",
    )
    audit_anchor_file: Path | None = Field(
        None,
        description="Where the end of the sealed audit trail is noted, outside the database. Not set: "
        "DATA_DIR/audit.anchor.",
    )
    allowed_hosts: CommaList = Field(
        ("localhost", "127.0.0.1", "[::1]"), description="Host names the web process answers to."
    )
    csrf_trusted_origins: CommaList = Field(
        (), description="Origins whose pages may post, such as https://wf.example."
    )
    log_level: str = Field("INFO", description="Least severe level that is logged.")
    log_format: Literal["plain", "json"] = Field(
        "plain", description="One line of text for each log line of a process, or one JSON object."
    )

    access_token_lifetime_s: int = Field(1_800, ge=60, description="How long an access token is good for.")
    refresh_token_lifetime_s: int = Field(86_400, ge=60, description="How long a refresh token is good for.")
    trusted_proxies: int = Field(
        0, ge=0, description="Proxies in front that append to X-Forwarded-For. 0: the peer's address counts."
    )
    rate_limit_logins_per_15_min: int = Field(
        100, ge=1, description="Tries to sign in, per address and 15 minutes."
    )
    rate_limit_executions_per_h: int = Field(
        100, ge=1, description="Starts of executions, per user or API key and hour."
    )
    rate_limit_creations_per_h: int = Field(
        10, ge=1, description="New templates, per user or API key and hour."
    )
    rate_limit_llm_calls_per_day: int = Field(
        1_000, ge=1, description="Requests that ask a language model, per user or API key and day."
    )
    rate_limit_callbacks_per_min: int = Field(
        6_000, ge=1, description="Callbacks of agents, per address and minute."
    )
    rate_limit_elevated_roles: CommaList = Field(
        ("workflow_admin", "workflow_developer"),
        description="Roles whose bearers have the hourly limits many times over.",
    )
    rate_limit_elevated_factor: int = Field(100, ge=1, description="How many times over.")

    server_host: str = Field("127.0.0.1", description="Address the web process listens on.")
    server_port: int = Field(8080, ge=0, le=65535, description="Port of the web process.")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Address at which others reach the web process, https://wf.example. Not set: SERVER_HOST and "
        "SERVER_PORT.",
    )
    flower_port: int = Field(5555, ge=0, le=65535, description="Port of Flower, always on loopback.")
    flower_user: str = Field("operator", description="User name for Flower.")
    flower_password: SecretStr | None = Field(
        None, description="Password for Flower. Made by `up` where it is not set."
    )

    database_url: SecretStr | None = Field(
        None, description="Postgres, postgresql://user:password@host:port/name. Not set: the embedded server."
    )
    database_pool: bool = Field(
        False, description="Pool connections; set in web processes, never where a process forks."
    )
    database_max_pool_size: int = Field(10, ge=1, description="Connections a web process keeps at most.")
    database_connect_timeout_ms: int = Field(5_000, ge=1, description="How long a connection may take.")

    redis_url: SecretStr | None = Field(
        None, description="Redis, redis://:password@host:port/0. Not set: the embedded server."
    )
    cache_ttl_s: int = Field(3_600, ge=1, description="How long cached values live.")

    llm_service_url: str | None = Field(
        None, description="Base URL of one OpenAI-compatible endpoint, such as http://127.0.0.1:11434/v1."
    )
    llm_api_key: SecretStr | None = Field(None, description="Key for LLM_SERVICE_URL, if it wants one.")
    llm_model: str = Field("default", min_length=1, description="Model that LLM_SERVICE_URL is asked for.")
    llm_input_usd_per_mtok: Decimal = Field(
        Decimal(0), ge=0, description="What a million tokens of its prompts cost, in USD."
    )
    llm_output_usd_per_mtok: Decimal = Field(
        Decimal(0), ge=0, description="What a million tokens of its answers cost, in USD."
    )
    llm_providers: tuple[LlmProvider, ...] = Field(
        (),
        repr=False,
        description="Several endpoints in the order they are asked, as JSON; before LLM_SERVICE_URL. See docs/ai.md.",
    )
    llm_service_timeout_ms: int = Field(
        30_000, ge=1, description="How long a call to a language model may take."
    )
    llm_retry_attempts: int = Field(
        2, ge=0, le=10, description="Retries of a call at one provider, before the next one is asked."
    )
    llm_overrun_factor: Decimal = Field(
        Decimal(2),
        ge=1,
        le=100,
        description="How far above its estimate a call may be billed: so much is reserved.",
    )
    llm_budget_wait_ms: int = Field(
        30_000, ge=0, description="How long a call waits for what others have reserved and may give back."
    )
    agent_service_url: str | None = Field(
        None,
        description="Remote Agent Service. Not set: agents run in the workers or at addresses of their own.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
    )
    agent_service_timeout_ms: int = Field(60_000, ge=1, description="How long a call to it may take.")
    agent_service_token: SecretStr | None = Field(None, description="Bearer token for the Agent Service.")
    agent_discovery_interval_ms: int = Field(
        30_000, ge=1_000, description="How often the Agent Service is asked for its agents."
    )
    agent_health_interval_ms: int = Field(
        30_000, ge=1_000, description="How often each agent's health is checked."
    )
    agent_health_timeout_ms: int = Field(5_000, ge=1, description="How long such a check may take.")
    agent_breaker_failures: int = Field(
        5, ge=1, description="Failures in a row after which an agent is left alone."
    )
    agent_breaker_open_ms: int = Field(
        60_000, ge=1, description="For how long, before a call is let through as a trial."
    )
    agent_breaker_successes: int = Field(
        3, ge=1, description="Trials that must succeed before it is called as usual again."
    )
    state_service_url: str | None = Field(
        None, description="State Management Service that mirrors every state change."
    )
    state_service_token: SecretStr | None = Field(
        None, description="Bearer token for the State Management Service."
    )
    state_service_timeout_ms: int = Field(10_000, ge=1, description="How long a call to it may take.")

    workflow_max_map_items: int = Field(
        default=10_000, ge=1, description="items that one map may have; more fail its block"
    )
    workflow_max_parallel_blocks: int = Field(
        10, ge=1, description="Blocks of one run at work at once, unless its template says."
    )
    workflow_default_timeout_ms: int = Field(
        300_000, ge=1, description="How long one block may take, unless it says."
    )
    workflow_retry_attempts: int = Field(
        3, ge=0, le=100, description="Retries after the first try, unless a block says."
    )
    workflow_recovery_point_interval_ms: int = Field(
        60_000, ge=1, description="Least time between two recovery points."
    )

    human_in_loop_approval_timeout_ms: int = Field(
        86_400_000, ge=1_000, description="When an unanswered approval is overdue."
    )
    human_in_loop_notification_channels: CommaList = Field(
        ("email", "webhook", "websocket"),
        description="How people and webhooks are told of approvals: email, webhook, and websocket for what stands in "
        "the service itself.",
    )
    notification_threads: int = Field(
        4,
        ge=0,
        le=64,
        description="Webhook endpoints that a process sends to at once, beside the sweeper. 0: it sends nothing.",
    )

    use_case_modules: CommaList | None = Field(
        None,
        description="Modules whose import registers use cases. Not set: in development the examples.",
    )
    analytics_database_url: SecretStr | None = Field(
        None, description="Where the examples load their tables. Not set: DATABASE_URL."
    )
    scripts_dir: Path | None = Field(None, description="Scripts by workspace. Not set: DATA_DIR/scripts.")
    script_network: Literal["deny", "allow"] = Field(
        "deny", description="Whether scripts may use the network."
    )
    script_isolation: Literal["required", "best_effort"] = Field(
        "required",
        description="Whether scripts are refused where the kernel has no Landlock or no seccomp; best_effort runs them "
        "behind what there is.",
    )
    script_readable: CommaList = Field(
        (),
        description="Further files and directories that scripts may read, beside the interpreter and its libraries.",
    )
    mcp_servers_file: Path | None = Field(
        None, description="JSON file that lists the MCP servers whose tools blocks may call."
    )
    egress_allow: CommaList = Field(
        (), description="Hosts, host:port or networks that API blocks may reach although not global."
    )
    sql_connections: dict[str, SecretStr] = Field(
        {},
        description="Databases that sql.query may use by name, as JSON: "
        '{"warehouse": "postgresql://reader:…@host/db"}.',
    )
    email_url: SecretStr | None = Field(
        None,
        description="Mail server: smtp://user:password@host:587?tls=starttls (or ssl, none). Not set: messages are "
        "written as files to DATA_DIR/mail.",
    )
    email_from: str = Field("workflow@localhost", description="Who e-mail comes from.")
    artifact_store_url: SecretStr | None = Field(
        None,
        description="Where artifacts lie: s3://key:secret@host:port/bucket?region=…&tls=true. Not set: "
        "DATA_DIR/artifacts.",
    )
    artifact_max_bytes: int = Field(100 * 1024 * 1024, ge=1_024, description="Largest artifact.")
    artifact_retention_days: int | None = Field(
        None, ge=1, description="How long what runs make is kept. Not set: until somebody deletes it."
    )
    max_output_bytes: int = Field(8 * 1024 * 1024, ge=1_024, description="Largest output of a block.")
    max_input_bytes: int = Field(1024 * 1024, ge=1_024, description="Largest request body.")
    dsl_max_bytes: int = Field(1_000_000, ge=100, description="Largest DSL text.")
    worker_concurrency: int = Field(2, ge=1, description="Processes that run blocks, per worker.")

    @field_validator(
        "allowed_hosts",
        "csrf_trusted_origins",
        "human_in_loop_notification_channels",
        "use_case_modules",
        "egress_allow",
        "script_readable",
        "rate_limit_elevated_roles",
        mode="before",
    )
    @classmethod
    def split_commas(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("llm_providers", mode="after")
    @classmethod
    def one_of_each_name(cls, providers: tuple[LlmProvider, ...]) -> tuple[LlmProvider, ...]:
        names = [provider.name for provider in providers]
        if len(set(names)) != len(names):
            raise ValueError("two providers have one name")
        return providers

    @field_validator(
        "data_dir",
        "scripts_dir",
        "secrets_keys_file",
        "audit_keys_file",
        "audit_anchor_file",
        "mcp_servers_file",
        mode="after",
    )
    @classmethod
    def absolute(cls, value: Path | None) -> Path | None:
        return value if value is None or value.is_absolute() else PROJECT_ROOT / value

    def own_url(self) -> str:
        """Return the address at which others reach this service, without a slash at its end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"http://{self.server_host}:{self.server_port}"

    def postgres_url(self) -> str:
        """Return the database's URL: the setting, else the embedded server's."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return self._embedded("database_url") or f"postgresql://{NOT_RUNNING_HOST}/none"

    def broker_url(self) -> str:
        """Return Redis' URL: the setting, else the embedded server's."""
        if self.redis_url:
            return self.redis_url.get_secret_value()
        return self._embedded("redis_url") or f"redis://{NOT_RUNNING_HOST}/0"

    def _embedded(self, name: str) -> str | None:
        try:
            urls: dict[str, str] = json.loads((self.data_dir / "services.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return urls.get(name)


@cache
def get_config() -> Config:
    """Return the settings of this process, read once. Raises ``ImproperlyConfigured`` by name."""
    try:
        return Config()
    except ValidationError as error:
        # Without the values: a setting may be a secret.
        wrong = [f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        raise ImproperlyConfigured(
            "\n".join(["These settings of the environment do not fit:", *wrong])
        ) from None
