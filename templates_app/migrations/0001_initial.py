import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import templates_app.models
import workflow_service.engine.states

# The words of templates are kept by Postgres itself in generated columns (templates_app/search.py reads them), which are
# no fields of the model: nobody who reads a template carries them along.
# SQL-standard bodies are bound when the function is made: no search path changes what they mean.
FUNCTIONS = """
CREATE FUNCTION template_words(name text, category text, tags text[], description text, nl_description text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN setweight(to_tsvector('english', name), 'A')
    || setweight(to_tsvector('english', array_to_string(tags, ' ') || ' ' || category), 'B')
    || setweight(to_tsvector('english', description), 'C')
    || setweight(to_tsvector('english', nl_description), 'D');

-- Every ending of every word: the beginning of an ending is any part of a word, and an index finds beginnings.
-- Of each 32 characters are kept, so that the longest template stays below the 1 MB that a tsvector may have.
CREATE FUNCTION template_endings(name text, category text, tags text[], description text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(array_to_tsvector(array_agg(DISTINCT substr(word, start, 32))), ''::tsvector)
    FROM regexp_split_to_table(
        lower(name || ' ' || category || ' ' || array_to_string(tags, ' ') || ' ' || description),
        '[^[:alnum:]]+'
    ) AS word, generate_series(1, length(word)) AS start
);

-- What finds all the words of a text, each as any part of a word. A word is letters and digits: nothing to quote.
CREATE FUNCTION template_parts(wanted text)
RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg('''' || left(part, 32) || ''':*', ' & '), '')::tsquery
    FROM regexp_split_to_table(lower(wanted), '[^[:alnum:]]+') AS part
    WHERE part <> ''
);
"""

NO_FUNCTIONS = """
DROP FUNCTION template_parts;
DROP FUNCTION template_endings;
DROP FUNCTION template_words;
"""

COLUMNS = """
ALTER TABLE templates_app_template
    ADD COLUMN words tsvector
        GENERATED ALWAYS AS (template_words(name, category, tags, description, nl_description)) STORED,
    ADD COLUMN endings tsvector
        GENERATED ALWAYS AS (template_endings(name, category, tags, description)) STORED;
CREATE INDEX template_by_word ON templates_app_template USING gin (words);
CREATE INDEX template_by_part ON templates_app_template USING gin (endings);
"""

NO_COLUMNS = "ALTER TABLE templates_app_template DROP COLUMN words, DROP COLUMN endings;"


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="Template",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "public_id",
                    models.CharField(
                        default=templates_app.models.new_template_id,
                        editable=False,
                        max_length=40,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("description", models.TextField(blank=True, max_length=2000)),
                ("category", models.CharField(blank=True, max_length=100)),
                ("complexity", models.CharField(blank=True, max_length=20)),
                ("estimated_duration_s", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "draft"),
                            ("active", "active"),
                            ("deprecated", "deprecated"),
                            ("archived", "archived"),
                        ],
                        default=workflow_service.engine.states.TemplateStatus["DRAFT"],
                        max_length=16,
                    ),
                ),
                (
                    "door",
                    models.CharField(
                        choices=[("a", "templates API"), ("b", "workflows API")], default="a", max_length=1
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="templates",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="templates",
                        to="accounts.workspace",
                    ),
                ),
                ("ai_suggestions", models.JSONField(editable=False, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("deprecation_note", models.CharField(blank=True, max_length=500)),
                ("last_optimization_check", models.DateTimeField(editable=False, null=True)),
                ("nl_description", models.TextField(blank=True, max_length=20000)),
                ("optimization_score", models.PositiveSmallIntegerField(editable=False, null=True)),
                (
                    "library_slug",
                    models.CharField(blank=True, db_default="", default="", editable=False, max_length=100),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["workspace", "-id"], name="template_by_workspace"),
                    models.Index(fields=["workspace", "category"], name="template_by_category"),
                    django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="template_by_tag"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "active", "deprecated", "archived"])),
                        name="template_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("optimization_score__isnull", True),
                            ("optimization_score__lte", 100),
                            _connector="OR",
                        ),
                        name="template_score_is_of_100",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TemplateVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("label", models.CharField(max_length=32)),
                ("definition", models.JSONField()),
                ("definition_sha256", models.CharField(max_length=64)),
                ("change_note", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="versions",
                        to="templates_app.template",
                    ),
                ),
                ("pinned", models.JSONField(db_default={}, default=dict)),
            ],
            options={
                "ordering": ("template", "-ordinal"),
                "constraints": [
                    models.UniqueConstraint(fields=("template", "ordinal"), name="version_ordinal_once"),
                    models.UniqueConstraint(fields=("template", "label"), name="version_label_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TemplateShare",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "right",
                    models.CharField(
                        choices=[
                            ("workflow:read", "workflow:read"),
                            ("workflow:create", "workflow:create"),
                            ("workflow:update", "workflow:update"),
                            ("workflow:delete", "workflow:delete"),
                            ("workflow:execute", "workflow:execute"),
                            ("workflow:admin", "workflow:admin"),
                        ],
                        max_length=20,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="auth.group",
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="shares",
                        to="templates_app.template",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("template", "id"),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("user__isnull", True), ("group__isnull", True), _connector="XOR"),
                        name="share_is_with_a_user_or_a_group",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "right__in",
                                [
                                    "workflow:read",
                                    "workflow:create",
                                    "workflow:update",
                                    "workflow:delete",
                                    "workflow:execute",
                                    "workflow:admin",
                                ],
                            )
                        ),
                        name="share_right_known",
                    ),
                    models.UniqueConstraint(fields=("template", "user", "right"), name="share_once_per_user"),
                    models.UniqueConstraint(
                        fields=("template", "group", "right"), name="share_once_per_group"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="template",
            name="current_version",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="templates_app.templateversion",
            ),
        ),
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        migrations.RunSQL(COLUMNS, NO_COLUMNS),
    ]
