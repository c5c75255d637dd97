import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue

from tests.invocations import make_invocation, make_limits
from workflow_service.agents.errors import ToolError
from workflow_service.agents.invocation import LogLine, ProgressReport
from workflow_service.agents.use_cases import (
    REGISTRY,
    RunContext,
    UseCaseRegistry,
    UseCaseUnusable,
    load_use_cases,
    run_use_case,
)
from workflow_service.engine.states import ErrorType, ToolType


class Order(BaseModel):
    sku: str
    count: int = 1


class Receipt(BaseModel):
    total: float


@pytest.fixture
def registry() -> UseCaseRegistry:
    return UseCaseRegistry()


def call(registry: UseCaseRegistry, name: str, tool_input: Any, **overrides: Any) -> JsonValue:
    invocation = make_invocation(ToolType.USE_CASE, {"useCase": name}, **overrides)
    return run_use_case(invocation, name, tool_input, make_limits(Path("nowhere")), registry)


def test_input_and_output_are_typed(registry: UseCaseRegistry) -> None:
    @registry.register("shop.price")
    def price(params: Order) -> Receipt:
        """Price an order.

        At list price.
        """
        return Receipt(total=params.count * 2.5)

    assert call(registry, "shop.price", {"sku": "a", "count": 2}) == {"total": 5.0}
    assert registry.get("shop.price").summary == "Price an order."
    # A decorated function stays a function.
    assert price(Order(sku="a")).total == 2.5


def test_an_input_that_does_not_fit_names_the_field(registry: UseCaseRegistry) -> None:
    @registry.register("shop.price")
    def price(params: Order) -> Receipt:
        return Receipt(total=0)

    with pytest.raises(ToolError) as caught:
        call(registry, "shop.price", {"count": "many"})
    assert caught.value.error_type == ErrorType.VALIDATION_ERROR
    assert {problem.pointer for problem in caught.value.problems} == {"/sku", "/count"}
    assert "/count" in caught.value.message


def test_a_broken_promise_of_output_is_told(registry: UseCaseRegistry) -> None:
    @registry.register("shop.price")
    def price(params: Order) -> Receipt:
        return {"sum": 1}  # type: ignore[return-value]

    with pytest.raises(ToolError, match="broke its promise of output: /total") as caught:
        call(registry, "shop.price", {"sku": "a"})
    assert caught.value.error_type == ErrorType.VALIDATION_ERROR


def test_plain_dicts_do(registry: UseCaseRegistry) -> None:
    @registry.register("echo")
    def echo(params: dict[str, Any]) -> dict:  # type: ignore[type-arg]
        return params

    assert call(registry, "echo", {"a": [1, None]}) == {"a": [1, None]}


def test_the_run_is_known_to_who_asks(registry: UseCaseRegistry) -> None:
    seen: list[RunContext] = []

    @registry.register("look")
    def look(params: dict[str, JsonValue], run: RunContext) -> None:
        seen.append(run)
        run.log("WARNING", "three rows are bad", rows=3)

    logs: list[LogLine] = []
    assert call(registry, "look", {}, logs=logs, timeout_s=50.0, idempotency_key="k") is None
    (run,) = seen
    assert (run.execution_id, run.block_id, run.workspace_id) == ("exec_1", "block_1", "ws_1")
    assert run.idempotency_key == "k"
    assert 0 < run.remaining_s() <= 50
    assert logs == [LogLine("WARNING", "three rows are bad", {"rows": 3})]


def test_no_time_left_is_zero(registry: UseCaseRegistry) -> None:
    @registry.register("late")
    def late(params: dict[str, JsonValue], run: RunContext) -> float:
        return run.remaining_s()

    assert call(registry, "late", {}, timeout_s=-5.0) == 0.0


def test_an_unknown_name_suggests_the_nearest(registry: UseCaseRegistry) -> None:
    @registry.register("sales.validate")
    def validate(params: Order) -> Receipt:
        return Receipt(total=0)

    with pytest.raises(
        ToolError, match=r"no use case 'sales\.valdiate'; did you mean 'sales\.validate'\?"
    ) as caught:
        call(registry, "sales.valdiate", {})
    assert caught.value.error_type == ErrorType.CONFIGURATION_ERROR
    with pytest.raises(ToolError, match=r"^there is no use case 'x'$"):
        call(registry, "x", {})


def test_two_functions_cannot_share_a_name(registry: UseCaseRegistry) -> None:
    def first(params: Order) -> Receipt:
        return Receipt(total=1)

    def second(params: Order) -> Receipt:
        return Receipt(total=2)

    registry.register("one")(first)
    with pytest.raises(UseCaseUnusable, match="two functions claim the use case 'one'"):
        registry.register("one")(second)
    # Importing a module again is no second claim.
    registry.register("one")(first)


def no_annotation(params, run: RunContext):  # type: ignore[no-untyped-def]
    return None


def three_parameters(params: Order, run: RunContext, more: int) -> Receipt:
    return Receipt(total=more)


def keyword_only(*, params: Order) -> Receipt:
    return Receipt(total=params.count)


def wrong_run(params: Order, run: int) -> Receipt:
    return Receipt(total=run)


async def coroutine(params: Order) -> Receipt:
    return Receipt(total=0)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_annotation, "lacks annotations: params, return"),
        (three_parameters, r"must take \(params\) or \(params, run\)"),
        (keyword_only, r"must take \(params\)"),
        (wrong_run, "must be annotated RunContext"),
        (coroutine, "is async"),
    ],
)
def test_a_function_that_cannot_serve_is_refused(registry: UseCaseRegistry, function: Any, said: str) -> None:
    with pytest.raises(UseCaseUnusable, match=said):
        registry.register("x")(function)


@pytest.mark.parametrize("name", ["", "a..b", "a b", ".a", "1a", "a-b"])
def test_names_are_dotted_words(registry: UseCaseRegistry, name: str) -> None:
    with pytest.raises(UseCaseUnusable, match="the name must be words"):
        registry.register(name)(keyword_only)


def test_loading_registers_library_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "plugin_for_this_test"
    tmp_path.joinpath(f"{name}.py").write_text(
        "from workflow_service.agents.use_cases import use_case\n"
        "@use_case('plugin_for_this_test.double')\n"
        "def double(params: dict[str, int]) -> int:\n"
        "    return params['n'] * 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    load_use_cases([name])
    load_use_cases([name])
    monkeypatch.delitem(sys.modules, name)
    assert {"csv.read", "file.hash", "json.select", "math.fib", "text.template", "time.now"} <= set(
        REGISTRY.names()
    )
    assert call(REGISTRY, "plugin_for_this_test.double", {"n": 4}) == 8


def test_entry_points_are_plug_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "plugin_package-1.0.dist-info"
    information.mkdir()
    information.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: plugin-package\nVersion: 1.0\n")
    information.joinpath("entry_points.txt").write_text(
        "[workflow_service.use_cases]\nmine = plugin_package\n"
    )
    tmp_path.joinpath("plugin_package.py").write_text(
        "from workflow_service.agents.use_cases import use_case\n"
        "@use_case('plugin_package.one')\n"
        "def one(params: dict[str, int]) -> int:\n"
        "    return 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    load_use_cases()
    monkeypatch.delitem(sys.modules, "plugin_package")
    assert REGISTRY.find("plugin_package.one") is not None


def test_a_module_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("broken_plugin.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UseCaseUnusable, match="'broken_plugin': ZeroDivisionError"):
        load_use_cases(["broken_plugin"])
    with pytest.raises(UseCaseUnusable, match="'no_such_plugin': ModuleNotFoundError"):
        load_use_cases(["no_such_plugin"])


def test_progress_is_a_percentage(registry: UseCaseRegistry) -> None:
    reports: list[ProgressReport] = []

    @registry.register("shop.count")
    def count(params: dict[str, JsonValue], run: RunContext) -> None:
        run.progress(12.34, "counting\x00")
        for nonsense in (101, -1, float("nan"), True):
            with pytest.raises(ValueError, match="0 to 100 percent"):
                run.progress(nonsense)

    call(registry, "shop.count", {}, progress=reports.append)
    (report,) = reports
    assert report.percent == 12.3
    assert "\x00" not in report.message
