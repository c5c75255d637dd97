import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        ("accounts", "__first__"),
    ]

    operations = [
        migrations.CreateModel(
            name="Secret",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Workflows write ${secrets.NAME}. It cannot be changed later.",
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Za-z_][A-Za-z0-9_]{0,99}$",
                                "use letters, digits and _, and begin with no digit",
                            )
                        ],
                    ),
                ),
                ("description", models.CharField(blank=True, max_length=500)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                (
                    "key_id",
                    models.CharField(editable=False, max_length=40, verbose_name="encrypted with key"),
                ),
                ("sealed", models.BinaryField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(editable=False, verbose_name="value given")),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "updated_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="secrets",
                        to="accounts.workspace",
                    ),
                ),
            ],
            options={
                "ordering": ("name",),
                "indexes": [models.Index(fields=["key_id", "id"], name="secret_key")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("workspace", "name"),
                        name="secret_once",
                        violation_error_message="This workspace has a secret of that name already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name__regex", "^[A-Za-z_][A-Za-z0-9_]{0,99}$")),
                        name="secret_name_fits",
                    ),
                ],
            },
        ),
    ]
