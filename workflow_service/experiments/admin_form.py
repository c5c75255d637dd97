"""The form that describes an experiment in the admin; what it means is checked by the service."""

from typing import Any

from django import forms

from templates_app.models import Template
from templates_app.selectors import list_versions
from workflow_service.accounts.models import User
from workflow_service.engine.errors import WorkflowError
from workflow_service.experiments.models import Experiment
from workflow_service.experiments.services.experiments import create_experiment


class VersionField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A version of the template, with what was said of it."""

    def label_from_instance(self, obj: Any) -> str:
        note = f" · {obj.change_note}" if obj.change_note else ""
        return f"{obj.label}{note}"[:120]


POINTERS = {"/stickyExpression": "sticky_expression", "/treatment": "treatment", "/control": "control"}


class ExperimentForm(forms.ModelForm):  # type: ignore[type-arg]
    """An experiment with one template, whose versions it offers."""

    class Meta:
        model = Experiment
        fields = (
            "name", "hypothesis", "control", "treatment", "metric", "treatment_share", "sticky_by",
            "sticky_expression", "max_error_increase", "max_duration_ratio", "min_units", "alpha", "ends_at",
        )  # fmt: skip
        labels = {
            "treatment_share": "Treated, in percent",
            "sticky_by": "Assigned by",
            "sticky_expression": "Value of the input",
            "max_error_increase": "Roll back above so many percentage points more failures",
            "max_duration_ratio": "Roll back above so many times the duration",
            "min_units": "Units an arm before anything is decided",
            "alpha": "Chance of a false winner",
            "ends_at": "Ends at the latest, in UTC",
        }
        help_texts = {
            "hypothesis": "What you expect, and why.",
            "control": "What the template runs while the experiment is running.",
            "treatment": "The version to try.",
            "metric": "What decides: success the higher, duration and cost the lower the better.",
            "sticky_by": "Whatever it is by, it goes the same way each time. With fewer than 20 starters, or values, "
            "an arm nothing is rolled back by itself.",
            "sticky_expression": "Where it is assigned by one: such as workflow.input.customerId.",
            "max_error_increase": "Left empty: not watched.",
            "max_duration_ratio": "Left empty: not watched.",
            "alpha": "Over all looks, however many there are.",
            "ends_at": "Such as 2026-12-24 18:00. Left empty: when it is decided.",
        }
        field_classes = {"control": VersionField, "treatment": VersionField}
        widgets = {"hypothesis": forms.Textarea(attrs={"rows": 3})}

    def __init__(self, *arguments: Any, template: Template, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.template = template
        versions = list_versions(template).defer("definition")
        for name in ("control", "treatment"):
            field = self.fields[name]
            assert isinstance(field, VersionField)  # noqa: S101 - both are named so above
            field.queryset, field.empty_label = versions, None
        newest = list(versions[:2])
        self.fields["treatment"].initial = newest[0].pk if newest else None
        self.fields["control"].initial = newest[-1].pk if newest else None

    def create_as(self, actor: User) -> Experiment | None:
        """Describe the experiment that a valid form holds; None where that is refused: the form says why."""
        given = dict(self.cleaned_data)
        control, treatment = given.pop("control"), given.pop("treatment")
        try:
            return create_experiment(
                template=self.template, actor=actor, control=control, treatment=treatment, fields=given
            )
        except WorkflowError as error:
            for problem in error.problems:
                self.add_error(POINTERS.get(problem.pointer), f"{problem.message}; {problem.suggestion}")
            if not error.problems:
                self.add_error(None, error.message)
            return None
