"""Django's settings, derived from the typed ``Config``; the three modules beside this one say what differs."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONCE, SELF
from psycopg.conninfo import conninfo_to_dict

from workflow_service.settings.artifacts import artifact_storage
from workflow_service.settings.config import PROJECT_ROOT, get_config
from workflow_service.settings.mail import mail_settings
from workflow_service.settings.secrets import signing_key

CONFIG = get_config()
BASE_DIR = PROJECT_ROOT
SECRET_KEY = signing_key(CONFIG)
# Development and tests make keys for secrets and for the audit trail on first use.
MAKE_SECRETS_KEYS = True
DEBUG = False
ALLOWED_HOSTS = list(CONFIG.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(CONFIG.csrf_trusted_origins)
ROOT_URLCONF = "workflow_service.urls"
ASGI_APPLICATION = "workflow_service.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

INSTALLED_APPS = [
    # Before our own admin, which takes its pages away again.
    "django_celery_beat",
    "workflow_service",
    "workflow_service.audit",
    "workflow_service.accounts",
    "workflow_service.artifacts",
    "workflow_service.vault",
    "workflow_service.outbox",
    "workflow_service.agents",
    "workflow_service.notifications",
    "workflow_service.ai",
    "templates_app",
    "executions_app",
    "workflow_service.decisions",
    "workflow_service.analytics",
    "workflow_service.anomalies",
    "workflow_service.experiments",
    "workflow_service.advisor",
    "approvals_app",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "workflow_service.audit.middleware.AuditedRequests",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "workflow_service.idempotent_posts.IdempotentPosts",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
            ]
        },
    }
]


def database_settings(url: str) -> dict[str, Any]:
    """Return Django's settings for a Postgres URL.

    The engine's safety rests on these limits: a stopped process must not hold a lock for ever.
    """
    parts = conninfo_to_dict(url)
    options: dict[str, Any] = {
        "connect_timeout": max(1, CONFIG.database_connect_timeout_ms // 1_000),
        "application_name": "workflow_service",
        "prepare_threshold": 2,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "options": "-c idle_in_transaction_session_timeout=5s -c lock_timeout=5s -c statement_timeout=30s",
    }
    if "sslmode" in parts:
        options["sslmode"] = parts["sslmode"]
    if CONFIG.database_pool:
        options["pool"] = {"min_size": 1, "max_size": CONFIG.database_max_pool_size, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.get("dbname") or "postgres",
        "USER": parts.get("user", ""),
        "PASSWORD": parts.get("password", ""),
        "HOST": parts.get("host", ""),
        "PORT": str(parts.get("port", "")),
        "CONN_MAX_AGE": 0 if CONFIG.database_pool else None,
        "OPTIONS": options,
    }


DATABASES = {"default": database_settings(CONFIG.postgres_url())}

STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "artifacts": artifact_storage(CONFIG),
}

EMAIL_BACKEND, _mail_server = mail_settings(CONFIG)
EMAIL_HOST = str(_mail_server.get("host", "localhost"))
EMAIL_PORT = int(_mail_server.get("port", 25))
EMAIL_HOST_USER = str(_mail_server.get("user", ""))
EMAIL_HOST_PASSWORD = str(_mail_server.get("password", ""))
EMAIL_USE_TLS = _mail_server.get("tls") == "starttls"
EMAIL_USE_SSL = _mail_server.get("tls") == "ssl"
EMAIL_TIMEOUT = 10
EMAIL_FILE_PATH = CONFIG.data_dir / "mail"
DEFAULT_FROM_EMAIL = CONFIG.email_from

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CONFIG.broker_url(),
        "TIMEOUT": CONFIG.cache_ttl_s,
        "KEY_PREFIX": "cache",
    }
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # redis-py's own default of 5 s would close idle sockets.
        "CONFIG": {"hosts": [{"address": CONFIG.broker_url(), "socket_timeout": None}], "capacity": 1_000},
    }
}

CELERY_BROKER_URL = CONFIG.broker_url()
CELERY_RESULT_BACKEND = CONFIG.broker_url()
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# The visibility timeout is above every block's own timeout within one time slice; a late redelivery is harmless.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3_600,
    # A worker asks its queues in the order of -Q, and not in turn: what is urgent never waits behind what is not.
    "queue_order_strategy": "priority",
    "socket_timeout": 2,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "health_check_interval": 10,
    # A message is a hint: who sends it gives up at once, and the sweeper repeats it.
    "max_retries": 0,
}
CELERY_REDIS_SOCKET_TIMEOUT = 2
CELERY_REDIS_SOCKET_CONNECT_TIMEOUT = 1
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"retry_policy": {"max_retries": 0}}
CELERY_RESULT_EXPIRES = 3_600
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = True
# Flower asks for them while it runs; nobody else pays for three messages a block.
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_SEND_SENT_EVENT = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
# Without it Celery closes Django's connection around every task.
CELERY_DB_REUSE_MAX = 10**9
CELERY_TASK_ROUTES = {
    "executions_app.tasks.tick": {"queue": "control"},
    "workflow_service.artifacts.tasks.sweep": {"queue": "control"},
    "executions_app.tasks.settle": {"queue": "control"},
}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE = {
    "tick": {
        "task": "executions_app.tasks.tick",
        "schedule": timedelta(seconds=1),
        "options": {"queue": "control", "expires": 1, "ignore_result": True},
    },
    "sweep-artifacts": {
        "task": "workflow_service.artifacts.tasks.sweep",
        "schedule": timedelta(hours=1),
        "options": {"queue": "control", "expires": 600, "ignore_result": True},
    },
}

# Modules whose import registers use cases; development and test add the examples where none are named.
USE_CASE_MODULES: tuple[str, ...] = CONFIG.use_case_modules or ()
EXAMPLE_USE_CASES = ("examples.sales_etl.use_cases", "examples.appendix_c.use_cases")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "workflow_service.accounts.authentication.JwtAuthentication",
        "workflow_service.accounts.authentication.ApiKeyAuthentication",
        "workflow_service.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["workflow_service.api_parsers.BoundedJsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "workflow_service.api_errors.handle_exception",
    # REMOTE_ADDR alone where no proxy is trusted: the header is the client's to write.
    "NUM_PROXIES": CONFIG.trusted_proxies,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%S.%fZ",
}

SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=CONFIG.access_token_lifetime_s),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=CONFIG.refresh_token_lifetime_s),
    "ALGORITHM": "HS256",
    "ISSUER": "workflow-service",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Workflow Service",
    "DESCRIPTION": "Templates, executions and approvals. Sign in at `POST /api/v1/auth/token` and send the access "
    "token as `Authorization: Bearer …`, or make an API key and send it as `X-Api-Key`.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "workflow_service.api_schema.add_definition",
        "workflow_service.api_schema.add_problems",
        "workflow_service.api_schema.add_idempotency_keys",
    ],
    "ENUM_NAME_OVERRIDES": {
        "TemplateStatus": ["draft", "active", "deprecated", "archived"],
        "ExecutionStatus": "workflow_service.engine.states.ExecutionStatus",
        "WorkflowExecutionStatus": "executions_app.api.serializers.STATUSES_OF_B",
        "BlockStatus": "workflow_service.engine.states.BlockStatus",
        "ApprovalStatus": "workflow_service.engine.states.ApprovalStatus",
        "AgentStatus": "workflow_service.agents.selection.AgentStatus",
        "DesignMethod": ["rules", "llm"],
        "AdviceSource": ["rules", "model"],
        "WantedDesignMethod": ["auto", "rules", "llm"],
        "SaidAgentStatus": "workflow_service.agents.api.serializers.SAID",
        "AgentRuntime": "workflow_service.agents.models.Agent.Runtime",
        "ErrorType": "workflow_service.engine.states.ErrorType",
        "HumanStepType": "workflow_service.engine.states.HumanStepType",
        "NotificationTopic": [
            "approval_requested",
            "approval_reminded",
            "approval_escalated",
            "approval_delegated",
            "approval_responded",
            "approval_timeout",
            "execution_completed",
            "execution_failed",
            "anomaly_detected",
            "experiment_ended",
        ],
        "SuggestionStatus": ["suggested", "accepted", "implemented", "measured", "rejected", "outdated"],
        "SuggestionType": ["performance", "reliability", "cost", "ux"],
        "SuggestionKind": [
            "parallelise",
            "retry",
            "timeout",
            "cache",
            "cheaper_model",
            "reorder",
            "dead_branch",
            "split",
        ],
        "ExperimentStatus": ["draft", "running", "stopped", "rolled_back"],
        "ExperimentArm": ["control", "treatment"],
        "DeliveryStatus": ["pending", "delivered", "failed"],
    },
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "filter": True},
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
DATA_UPLOAD_MAX_MEMORY_SIZE = CONFIG.max_input_bytes

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]

STATIC_URL = "/static/"
STATIC_ROOT: Path | None = CONFIG.data_dir / "static"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "workflow_service.log_format.json_formatter"},
        "plain": {"()": "workflow_service.log_format.PlainFormatter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": CONFIG.log_format}},
    "root": {"handlers": ["console"], "level": CONFIG.log_level},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "mcp": {"level": "WARNING"},
        "amqp": {"level": "WARNING"},
        # Two lines for every message; runs and blocks have lines of their own.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}
