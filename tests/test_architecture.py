"""The rules of the house, read from the source by its syntax tree. Each rule has a twin that breaks it."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The packages that each package may import beside its own: imports go one way, and no package imports infra.
LAYERS = {
    "lipsync_core": (),
    "lipsync_service": ("lipsync_core",),
    "tasks": ("lipsync_core", "lipsync_service"),
    "flows": ("lipsync_core", "lipsync_service", "tasks"),
    "lipsync_cli": ("lipsync_core", "lipsync_service"),
    "infra": ("lipsync_core", "lipsync_service", "lipsync_cli"),
}
FOREIGN_TO_THE_CORE = frozenset(
    "alembic argparse boto3 botocore click prefect psycopg pydantic rich sqlalchemy typer".split()  # noqa: SIM905
)
TORCH_LIBRARIES = frozenset(("onnxscript", "torch", "torchvision"))
TORCH_PACKAGE = ("lipsync_core", "export")
MAX_MODULE_LINES = 300
MAX_FUNCTION_LINES = 40
MAX_PARAMETERS = 8
FORBIDDEN_STEMS = {"common", "helpers", "manager", "misc", "utils"}
MAX_SPEECH_BYTES = 400_000
MAX_PICTURE_BYTES = 400_000
MAX_WEIGHTS_BYTES = 1_000_000

Function = ast.FunctionDef | ast.AsyncFunctionDef
Rule = Callable[[Path, str], Iterator[str]]


def tracked_files() -> list[Path]:
    """The repository's files, as paths relative to its root; other files in the folder are the user's."""
    command = ["git", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]


def product_modules() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py" and path.parts[0] in LAYERS]


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide their direction"
            yield node.lineno, node.module or ""


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports_point_one_way(path: Path, source: str) -> Iterator[str]:
    allowed = (path.parts[0], *LAYERS[path.parts[0]])
    for line, module in imports(ast.parse(source)):
        layer = module.split(".")[0]
        if layer in LAYERS and layer not in allowed:
            yield f"{path}:{line} imports {module}"


def core_knows_no_front_end(path: Path, source: str) -> Iterator[str]:
    if path.parts[0] != "lipsync_core":
        return
    for line, module in imports(ast.parse(source)):
        if module.split(".")[0] in FOREIGN_TO_THE_CORE:
            yield f"{path}:{line} imports {module}"


def torch_stays_in_export(path: Path, source: str) -> Iterator[str]:
    """The core runs without PyTorch: only the conversion of checkpoints needs it."""
    if path.parts[:2] == TORCH_PACKAGE:
        return
    for line, module in imports(ast.parse(source)):
        if module.split(".")[0] in TORCH_LIBRARIES:
            yield f"{path}:{line} imports {module}"


def core_reads_no_environment(path: Path, source: str) -> Iterator[str]:
    if path.parts[0] != "lipsync_core":
        return
    for node in ast.walk(ast.parse(source)):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            names = [alias.name for alias in node.names]
        if {"environ", "environb", "getenv"} & set(names):
            yield f"{path}:{node.lineno} reads the environment"


def core_prints_nothing(path: Path, source: str) -> Iterator[str]:
    if path.parts[0] != "lipsync_core":
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{path}:{node.lineno} prints"


def modules_are_short_and_named(path: Path, source: str) -> Iterator[str]:
    lines = len(source.splitlines())
    if lines >= MAX_MODULE_LINES:
        yield f"{path} has {lines} lines"
    if path.stem in FORBIDDEN_STEMS:
        yield f"{path} says nothing by its name"


def functions_are_short(path: Path, source: str) -> Iterator[str]:
    for node in functions(ast.parse(source)):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield f"{path}:{node.lineno} {node.name} has {lines} lines"


def parameters_are_few(path: Path, source: str) -> Iterator[str]:
    for node in functions(ast.parse(source)):
        names = [each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len([name for name in names if name not in ("self", "cls")])
        if count > MAX_PARAMETERS:
            yield f"{path}:{node.lineno} {node.name} has {count} parameters"


def public_things_are_documented(path: Path, source: str) -> Iterator[str]:
    tree = ast.parse(source)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for node in (*tree.body, *classes, *(child for each in classes for child in each.body)):
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{path}:{node.lineno} {node.name} has no docstring"


RULES: tuple[tuple[Rule, str], ...] = (
    (imports_point_one_way, "from lipsync_cli.main import main"),
    (core_knows_no_front_end, "def f():\n    import boto3.session"),
    (torch_stays_in_export, "def f():\n    from torch.nn import functional"),
    (core_reads_no_environment, "import os\nhome = os.environ['HOME']"),
    (core_reads_no_environment, "from os import getenv"),
    (core_prints_nothing, "print('here')"),
    (modules_are_short_and_named, "\n" * MAX_MODULE_LINES),
    (functions_are_short, "def f():\n" + "    pass\n" * MAX_FUNCTION_LINES),
    (parameters_are_few, "def f(a, b, c, d, e, f, /, g, *, h, i): ..."),
    (public_things_are_documented, "class Box:\n    '''A box.'''\n    def area(self): ..."),
)


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _ in RULES), ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(rule: Rule) -> None:
    broken = [line for path in product_modules() for line in rule(path, (ROOT / path).read_text(encoding="utf-8"))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(("rule", "source"), RULES, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rule_finds_what_breaks_it(rule: Rule, source: str) -> None:
    assert list(rule(Path("lipsync_core/media/sample.py"), source))


def test_torch_may_be_imported_where_checkpoints_are_converted() -> None:
    assert not list(torch_stays_in_export(Path("lipsync_core/export/sample.py"), "import torch"))


def module_name(path: Path) -> str:
    """`media/__init__.py` is the module `media`."""
    return ".".join(path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts)


def package_of(module: str) -> str:
    """Its first two names: a folder just below a top-level package, or a module that lies there by itself."""
    return ".".join(module.split(".")[:2])


def package_graph(sources: Mapping[Path, str]) -> dict[str, set[str]]:
    """The packages that each package imports anywhere: at its top, in a function, or for types alone."""
    modules = {module_name(path): source for path, source in sources.items()}
    graph: dict[str, set[str]] = {package_of(module): set() for module in modules}
    for module, source in modules.items():
        for name in imported_modules(ast.parse(source)):
            # A name that a top-level package itself offers belongs to that package.
            package = package_of(name) if package_of(name) in graph else name.split(".")[0]
            if package in graph and package != package_of(module):
                graph[package_of(module)].add(package)
    return graph


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Each import as the longest name that may be a module: `from a import b` may name the module `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_cycles(graph: Mapping[str, set[str]]) -> list[str]:
    """Each set of packages that can be reached from one another, as one line."""
    reached = {package: reachable(package, graph) for package in graph}
    knots = {frozenset(b for b in reached[a] if a in reached[b]) for a in graph if a in reached[a]}
    return sorted(" <-> ".join(sorted(knot)) for knot in knots)


def reachable(package: str, graph: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [package]
    while ahead:
        further = graph[ahead.pop()] - found
        found |= further
        ahead += further
    return found


def test_packages_import_each_other_in_no_circle() -> None:
    sources = {path: (ROOT / path).read_text(encoding="utf-8") for path in product_modules()}
    graph = package_graph(sources)
    assert graph["lipsync_core.media"]  # the graph is not empty
    assert package_cycles(graph) == []


@pytest.mark.parametrize(
    "back",
    [
        "from lipsync_core.audio.load import SpeechReader",
        "from lipsync_core import audio",
        "import lipsync_core.audio.load as load",
        "def f():\n    from lipsync_core.audio import load",
        "if TYPE_CHECKING:\n    from lipsync_core.clip_plan import ClipPlan",
    ],
    ids=["at the top", "a package by its name", "import as", "in a function", "for types alone"],
)
def test_a_circle_of_packages_is_found(back: str) -> None:
    sources = {
        Path("lipsync_core/media/sample.py"): back,
        Path("lipsync_core/audio/__init__.py"): "from lipsync_core.clip_plan import plan_clip",
        Path("lipsync_core/audio/load.py"): "",
        Path("lipsync_core/clip_plan.py"): "import lipsync_core.media.sample",
    }
    (circle,) = package_cycles(package_graph(sources))
    assert "lipsync_core.clip_plan <-> lipsync_core.media" in circle


def test_a_circle_through_what_the_core_offers_is_found() -> None:
    sources = {
        Path("lipsync_core/__init__.py"): "from lipsync_core.pipeline import lip_sync",
        Path("lipsync_core/pipeline.py"): "def f():\n    from lipsync_core import lip_sync",
    }
    assert package_cycles(package_graph(sources)) == ["lipsync_core <-> lipsync_core.pipeline"]


def test_a_package_may_import_itself_and_what_lies_below_it() -> None:
    sources = {
        Path("lipsync_core/media/mux.py"): "from lipsync_core.media.sound import AudioCut",
        Path("lipsync_core/media/sound.py"): "from lipsync_core.errors import InputError",
        Path("lipsync_core/errors.py"): "import av",
    }
    assert package_cycles(package_graph(sources)) == []


def test_a_name_that_says_nothing_is_found() -> None:
    assert list(modules_are_short_and_named(Path("lipsync_core/utils.py"), ""))


def test_no_file_names_a_package_index_or_this_machine() -> None:
    # Put together here, so that this file does not hold the words that it looks for.
    hosts = "|".join(re.escape(host) for host in ("pypi" + ".org", "python" + "hosted.org", "opt/" + "pypi"))
    folders = r"(?<![\w.}])/(?:" + "|".join(("work", "root", "tmp")) + r")(?![\w-])"
    pattern = re.compile(f"{hosts}|{folders}")
    for sample in ("index-url = https://" + "pypi" + ".org/simple", 'Path("/' + 'tmp/x")'):
        assert pattern.search(sample)
    found = [
        f"{path}:{number}: {line.strip()}"
        for path in tracked_files()
        if not is_binary(path)
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def is_binary(path: Path) -> bool:
    return b"\0" in (ROOT / path).read_bytes()[:65536]


def test_the_only_binary_files_are_speech_pictures_and_the_weights_of_the_hearing() -> None:
    for path in filter(is_binary, tracked_files()):
        size_bytes = (ROOT / path).stat().st_size
        if path == Path("demo/speech.wav"):
            assert size_bytes <= MAX_SPEECH_BYTES
        elif path == Path("lipsync_core/generators/viseme/hearing.npz"):
            assert size_bytes <= MAX_WEIGHTS_BYTES
        else:
            assert path.parts[0] == "docs" and path.suffix in (".jpg", ".png"), f"{path} is binary"
            assert size_bytes <= MAX_PICTURE_BYTES, f"{path} is large"
