"""Where e-mail goes, from one URL: a mail server, or files where there is none."""

from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from workflow_service.settings.config import Config

SMTP = "django.core.mail.backends.smtp.EmailBackend"
FILES = "django.core.mail.backends.filebased.EmailBackend"
PORTS = {"starttls": 587, "ssl": 465, "none": 25}


def mail_settings(config: Config) -> tuple[str, dict[str, str | int]]:
    """Return Django's mail backend and what it is told; raises ``ImproperlyConfigured``."""
    if config.email_url is None:
        return FILES, {}
    try:
        parts = urlsplit(config.email_url.get_secret_value())
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = None, None
    tls = parse_qs(parts.query).get("tls", ["starttls"])[0] if host else ""
    if not host or parts.scheme != "smtp" or tls not in PORTS:
        raise ImproperlyConfigured("EMAIL_URL: write it like smtp://user:password@host:587?tls=starttls")
    return SMTP, {
        "host": host,
        "port": port or PORTS[tls],
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "tls": tls,
    }
