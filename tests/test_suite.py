"""The rules of every test: it asserts something, leaves private names alone, and skips in one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared_files import ROOT

TESTS = ROOT / "tests"
MODULES = {str(path.relative_to(TESTS)): path for path in sorted(TESTS.rglob("*.py"))}
PRODUCT = ("lipsync_", "tasks", "flows", "infra")
CHECKS = {"raises", "fail", "expect"}
CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> dict[str, Function]:
    return {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}


def called_names(tree: ast.AST) -> set[str]:
    called = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {func.id for func in called if isinstance(func, ast.Name)}
    return names | {func.attr for func in called if isinstance(func, ast.Attribute)}


def checks(function: Function, helpers: set[str]) -> bool:
    if any(isinstance(node, ast.Assert) for node in ast.walk(function)):
        return True
    return any(name.startswith("assert") or name in CHECKS | helpers for name in called_names(function))


def without_assertion(tree: ast.Module) -> list[str]:
    found = functions(tree)
    helpers = {name for name, each in found.items() if not name.startswith("test_") and checks(each, set())}
    return [name for name, each in found.items() if name.startswith("test_") and not checks(each, helpers)]


def private_names(tree: ast.Module) -> Iterator[str]:
    """The product's private names in a test: imported, read from an object, or named for a patch."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PRODUCT):
            yield from (f"{node.module}.{name.name}" for name in node.names if is_private(name.name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and not is_self(node.value):
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(PRODUCT):
            yield from (node.value for part in node.value.split(".")[1:] if is_private(part) and part.isidentifier())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls", "os")  # os._exit is not the product's


def timed_assertions(tree: ast.Module) -> list[str]:
    """Assertions that compare a clock with a number; a busy machine fails them."""
    asserted = [node.test for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    return [ast.unparse(test) for test in asserted if called_names(test) & CLOCKS and has_number(test)]


def has_number(test: ast.expr) -> bool:
    sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else []
    return any(isinstance(side, ast.Constant) for side in sides)


def names_shared_folder(tree: ast.Module) -> bool:
    paths = [node.right for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    return any(isinstance(part, ast.Constant) and part.value == "shared" for part in paths)


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_a_module_of_tests_keeps_the_rules(path: Path) -> None:
    tree = tree_of(path)
    assert without_assertion(tree) == []
    assert list(private_names(tree)) == []
    assert timed_assertions(tree) == []


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (without_assertion, "def test_nothing():\n    print(1)"),
        (private_names, "from tasks.storage import _s3"),
        (private_names, "storage._settings.cache_dir"),
        (private_names, "patch('infra.local.process._PATIENCE_S', 1)"),
        (timed_assertions, "assert time.monotonic() - started < 3"),
    ],
)
def test_a_rule_fails_when_it_is_broken(rule: object, code: str) -> None:
    assert callable(rule)
    assert list(rule(ast.parse(code)))


def test_one_module_knows_where_the_shared_files_lie() -> None:
    paths = [path for folder in ("tests", "benchmarks", "demo") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in paths if names_shared_folder(tree_of(path))] == ["shared_files.py"]
