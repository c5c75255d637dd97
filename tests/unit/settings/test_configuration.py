"""The settings: what the documentation says of them, and that secrets are never shown."""

import io
import json
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from pydantic import ValidationError

from workflow_service.operations.configuration import (
    MASK,
    describe_settings,
    effective_settings,
    mask,
    render_table,
)
from workflow_service.settings.config import PROJECT_ROOT, Config, get_config

DOCUMENT = PROJECT_ROOT / "docs" / "configuration.md"
SECRETS = {
    "SECRET_KEY": "top-secret-key",
    "FLOWER_PASSWORD": "top-secret-flower",
    "DATABASE_URL": "postgresql://wf:top-secret-database@db/wf",
    "ANALYTICS_DATABASE_URL": "postgresql://wf:top-secret-analytics@db/wf",
    "REDIS_URL": "redis://:top-secret-redis@cache/0",
    "LLM_SERVICE_URL": "https://robot:top-secret@llm@llm.example/v1",
    "AGENT_SERVICE_URL": "https://robot:top-secret-agent@agents.example",
}


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> Config:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return Config()


def test_the_documentation_says_what_the_code_reads() -> None:
    text = DOCUMENT.read_text()
    table = text.split("<!-- settings -->\n")[1].split("<!-- /settings -->")[0]
    assert table == render_table(), "write it anew: python manage.py show_config --markdown"


def test_every_setting_is_described_with_its_unit() -> None:
    entries = {entry.name: entry for entry in describe_settings()}
    assert all(entry.description for entry in entries.values())
    assert (entries["LLM_SERVICE_TIMEOUT_MS"].default, entries["LLM_SERVICE_TIMEOUT_MS"].unit) == (
        "30000",
        "milliseconds",
    )
    assert entries["DATA_DIR"].default == ".data"
    assert entries["HUMAN_IN_LOOP_NOTIFICATION_CHANNELS"].default == "email,webhook,websocket"


def test_secrets_are_masked_however_they_are_printed(secretive: Config) -> None:
    shown = dict(effective_settings(secretive))
    for text in ("\n".join(shown.values()), repr(secretive), str(secretive)):
        for name in ("SECRET_KEY", "FLOWER_PASSWORD", "DATABASE_URL", "ANALYTICS_DATABASE_URL", "REDIS_URL"):
            assert SECRETS[name] not in text
    assert "top-secret" not in "\n".join(shown.values())
    assert shown["SECRET_KEY"] == shown["DATABASE_URL"] == MASK
    assert shown["LLM_SERVICE_URL"] == f"https://{MASK}@llm.example/v1"


def test_what_is_not_set_is_shown_as_empty() -> None:
    assert mask(None) == ""
    assert mask(Path("/srv/data")) == "/srv/data"
    assert mask(("a", "b")) == "a,b"


def test_the_command_prints_what_is_in_force() -> None:
    output = io.StringIO()
    call_command("show_config", stdout=output)
    lines = output.getvalue().splitlines()
    assert len(lines) == len(Config.model_fields)
    assert any(line.startswith("SERVER_PORT=") for line in lines)


@pytest.mark.parametrize(
    ("name", "value"), [("SERVER_PORT", "70000"), ("CACHE_TTL_S", "soon"), ("SCRIPT_NETWORK", "maybe")]
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=f"\n{name}: ") as refused:
        get_config.__wrapped__()
    assert value not in str(refused.value).split()


def test_keys_of_language_models_are_masked_where_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = {"name": "p", "url": "https://u:top-secret@llm.example/v1", "apiKey": "top-secret"}
    monkeypatch.setenv("LLM_PROVIDERS", json.dumps([{**provider, "models": [{"name": "m"}]}]))
    monkeypatch.setenv("LLM_API_KEY", "top-secret")
    config = Config()
    shown = dict(effective_settings(config))
    assert config.llm_providers[0].api_key is not None
    assert config.llm_providers[0].api_key.get_secret_value() == "top-secret"
    assert '"models":[{"name":"m"' in shown["LLM_PROVIDERS"]
    for text in ("\n".join(shown.values()), repr(config), str(config)):
        assert "top-secret" not in text


@pytest.mark.parametrize(
    "providers",
    [
        '[{"name": "p", "url": "https://a.example", "models": []}]',
        '[{"name": "p", "url": "ftp://a.example", "models": [{"name": "m"}]}]',
        '[{"name": "p", "url": "https://a.example", "models": [{"name": "m", "inputUsdPerMTok": -1}]}]',
        '[{"name": "p", "url": "https://a.example", "models": [{"name": "m"}, {"name": "m"}]}]',
        '[{"name": "p", "url": "https://a.example", "models": [{"name": "m", "tier": "royal"}]}]',
        '[{"name": "p", "url": "https://a.example", "models": [{"name": "m"}], "key": "x"}]',
    ],
    ids=["no models", "scheme", "price", "twice", "tier", "unknown"],
)
def test_providers_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch, providers: str) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", providers)
    with pytest.raises(ValidationError):
        Config()
