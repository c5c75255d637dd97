import django.contrib.postgres.fields
from django.db import migrations, models

# Whoever owns the tables can take the triggers away; they are against mistakes, the seals against intent.
APPEND_ONLY = """
    CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END $$;
    CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
    CREATE TRIGGER audit_seal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seal
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
    CREATE FUNCTION audit_queue() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO audit_unsealed (entry_id) VALUES (NEW.id);
        RETURN NULL;
    END $$;
    CREATE TRIGGER audit_entry_queue AFTER INSERT ON audit_entry
        FOR EACH ROW EXECUTE FUNCTION audit_queue();
"""

UNGUARDED = """
    DROP TRIGGER audit_entry_append_only ON audit_entry;
    DROP TRIGGER audit_seal_append_only ON audit_seal;
    DROP TRIGGER audit_entry_queue ON audit_entry;
    DROP FUNCTION audit_refuse();
    DROP FUNCTION audit_queue();
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Seal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.BigIntegerField(unique=True)),
                ("sealed_at", models.DateTimeField()),
                (
                    "entry_ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None),
                ),
                ("macs", models.BinaryField()),
                ("format", models.SmallIntegerField()),
                ("key_id", models.CharField(max_length=40)),
                ("mac", models.BinaryField()),
            ],
            options={
                "db_table": "audit_seal",
                "ordering": ("number",),
                "indexes": [models.Index(fields=["sealed_at"], name="audit_seal_age")],
            },
        ),
        migrations.CreateModel(
            name="Unsealed",
            fields=[
                ("entry_id", models.BigIntegerField(primary_key=True, serialize=False)),
            ],
            options={
                "db_table": "audit_unsealed",
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("event_id", models.CharField(max_length=40)),
                ("at", models.DateTimeField(verbose_name="time")),
                ("workspace_id", models.BigIntegerField(null=True)),
                ("actor_id", models.BigIntegerField(null=True)),
                ("actor", models.CharField(max_length=150)),
                ("action", models.CharField(max_length=60)),
                ("target_type", models.CharField(max_length=40)),
                ("target_id", models.CharField(max_length=200)),
                (
                    "outcome",
                    models.CharField(
                        choices=[("success", "Success"), ("denied", "Denied"), ("failure", "Failure")],
                        max_length=8,
                    ),
                ),
                ("detail", models.JSONField()),
                ("source", models.CharField(max_length=10)),
                ("address", models.CharField(max_length=45)),
                ("user_agent", models.CharField(max_length=300)),
                ("request_id", models.CharField(max_length=64)),
                ("api_key", models.CharField(max_length=16)),
                ("format", models.SmallIntegerField()),
                ("key_id", models.CharField(max_length=40)),
                ("mac", models.BinaryField()),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "db_table": "audit_entry",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["workspace_id", "-id"], name="audit_of_workspace"),
                    models.Index(fields=["target_id", "-id"], name="audit_of_target"),
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, UNGUARDED),
    ]
