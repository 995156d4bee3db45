"""Every path, symbol and import that the documents name exists, so that they cannot rot."""

import ast
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import pytest

from tests.test_architecture import LAYERS, ROOT, package_graph, product_modules, tracked_files

#: All that tells a person what lies where, but the list of changes, which names what was.
DOCUMENTS = [
    path
    for path in tracked_files()
    if path.suffix in (".md", ".yaml", ".Dockerfile") or path.name == "Makefile"
    if path.name != "CHANGELOG.md"
]
FOLDERS = (*LAYERS, "benchmarks", "demo", "docs", "tests")
#: The lines that git puts around both sides of a conflict.
CONFLICT = re.compile(r"^(?:<{7}|>{7}) .*$", re.MULTILINE)
#: `folder/path`, or `folder/path.py:symbol`; a symbol of a class has a dot.
NAMED = re.compile(rf"(?<![\w./-])((?:{'|'.join(FOLDERS)})/[\w./-]*[\w/])(?::([A-Za-z_][\w.]*\w))?")
#: A module as Python names it, `lipsync_core.errors`, perhaps with what it holds.
DOTTED = re.compile(rf"(?<![\w./-])((?:{'|'.join(LAYERS)})(?:\.[A-Za-z_]\w*)+)")


def text_of(document: Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def missing_names(text: str) -> Iterator[str]:
    """The paths and symbols of `text` that the repository does not have."""
    for path, symbol in NAMED.findall(text):
        if is_ignored(path):  # such as demo/out.mp4
            continue
        file = ROOT / path
        if not (file.exists() and (not symbol or has_symbol(file, symbol))):
            yield f"{path}:{symbol}" if symbol else path
    for dotted in DOTTED.findall(text):
        if not has_dotted(dotted):
            yield dotted


def is_ignored(path: str) -> bool:
    """Whether git ignores the path, because a command or its user makes the file."""
    command = ["git", "check-ignore", path, f"{path}/"]  # a folder that is not there, too
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


def has_symbol(file: Path, symbol: str) -> bool:
    body: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
    for name in symbol.split("."):
        found = [node for node in body if name in bound_names(node)]
        if not found:
            return False
        body = found[0].body if isinstance(found[0], ast.ClassDef) else []
    return True


def bound_names(node: ast.stmt) -> set[str]:
    """The names that a statement at the top of a module or class defines or imports."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Assign():
            return {each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        case ast.AnnAssign(target=ast.Name() as target):
            return {target.id}
        case ast.ImportFrom():
            return {alias.asname or alias.name for alias in node.names}
        case ast.If() | ast.With():
            return {name for child in node.body for name in bound_names(child)}
    return set()


def has_dotted(dotted: str) -> bool:
    """Whether `dotted` is a package, a module or something that one of them holds."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path, rest = ROOT.joinpath(*parts[:length]), ".".join(parts[length:])
        module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module.is_file():
            return not rest or has_symbol(module, rest)
    return False


def test_no_file_holds_the_marks_of_a_conflict() -> None:
    marked = [path for path in tracked_files() if CONFLICT.search((ROOT / path).read_text("utf-8", errors="replace"))]
    assert marked == []


@pytest.mark.parametrize("mark", ["<" * 7 + " HEAD", ">" * 7 + " plan"])
def test_the_marks_of_a_conflict_are_found(mark: str) -> None:
    assert CONFLICT.search(f"a line\n{mark}\nanother") and not CONFLICT.search(f"a line {mark}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_what_a_document_names_exists(document: Path) -> None:
    assert list(missing_names(text_of(document))) == []


def test_the_page_names_enough_to_be_checked() -> None:
    symbols = [symbol for _, symbol in NAMED.findall(text_of(Path("docs/architecture.md"))) if symbol]
    assert len(symbols) > 80


@pytest.mark.parametrize(
    "name",
    [
        "lipsync_core/nothing.py",
        "lipsync_core/errors.py:NoSuchError",
        "lipsync_core/errors.py:LipSyncError.nothing",
        "lipsync_service.nothing",
        "lipsync_core.errors.NoSuchError",
        "infra/nothing/",
    ],
)
def test_a_name_that_does_not_exist_is_found(name: str) -> None:
    assert list(missing_names(f"see `{name}`, and docs/service.md")) == [name]


def drawn_imports(text: str) -> Iterator[tuple[str, str]]:
    """(imported, importing) for every arrow `a, b <- c` of the drawing, by full names: `lipsync_core.media`."""
    inside = ""
    for line in re.findall(r"^.*\w <- \w.*$", text, re.MULTILINE):
        if heading := re.match(r"inside (\w+):", line):
            inside = f"{heading[1]}."
        for chain in re.split(r"\s{3,}", line.rpartition(":")[2].strip()):
            groups = [re.split(r",\s*", group.strip()) for group in chain.split("<-")]
            for left, right in pairwise(groups):
                yield from ((f"{inside}{a}", f"{inside}{b}") for a, b in product(left, right))


def test_the_drawn_imports_are_those_of_the_code() -> None:
    graph = package_graph({path: (ROOT / path).read_text(encoding="utf-8") for path in product_modules()})
    drawing = text_of(Path("docs/architecture.md")).partition("says that b imports")[2].partition("```\n\n")[0]
    drawn = list(drawn_imports(drawing.partition("```\n")[2]))
    assert len(drawn) > 30
    assert {"lipsync_core", "lipsync_service"} <= {
        imported.partition(".")[0] for imported, _ in drawn if "." in imported
    }
    for imported, importing in drawn:
        if imported in LAYERS:
            assert imported in LAYERS[importing]
        else:
            assert imported in graph[importing]
