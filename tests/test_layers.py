"""The floors of the house: who may import whom."""

import ast
from pathlib import Path

import lib

ROOT = Path(lib.__file__).parents[1]

ALLOWED = {  # package -> the packages of ours that it may import, besides itself
    "jobs": {
        "lib.launch",
        "lib.cluster",
        "lib.pipeline",
        "lib.tasks",
        "lib.report",
        "lib.data",
        "lib.engines",
        "lib.errors",
    },
    "conf": {"lib.cluster", "lib.pipeline", "lib.tasks", "lib.data", "lib.engines"},
    "lib.launch": {"conf", "lib.pipeline", "lib.errors"},
    "lib.cluster": {"lib.pipeline", "lib.data", "lib.errors"},
    "lib.pipeline": {
        "lib.engines",
        "lib.tasks",
        "lib.report",
        "lib.scoring",
        "lib.data",
        "lib.types",
        "lib.errors",
        "lib.config",
    },
    "lib.report": {"lib.data", "lib.scoring", "lib.errors"},
    "lib.engines": {"lib.data", "lib.types", "lib.errors", "lib.config", "lib.imports"},
    "lib.tasks": {"lib.scoring", "lib.types", "lib.errors", "lib.config"},
    "lib.data": {"lib.scoring", "lib.types", "lib.errors", "lib.config", "lib.imports"},
    "lib.scoring": {"lib.errors"},
    "lib.config": set(),
    "lib.types": set(),
    "lib.errors": set(),
    "lib.imports": set(),
}


def _package(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "lib" else parts[0]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # `from lib import engines` names a package of ours by its alias
            found |= {f"lib.{alias.name}" for alias in node.names} if node.module == "lib" else {node.module}
    return {_package(name) for name in found if name.split(".")[0] in ("jobs", "conf", "lib")}


def test_every_module_imports_only_the_floors_below() -> None:
    wrong = []
    files = [path for top in ("jobs", "conf", "lib") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 30
    for path in files:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        package = _package(module)
        if module == "lib":
            continue
        assert package in ALLOWED, f"{path}: give {package} a place in the house"
        wrong += [f"{module} imports {name}" for name in _imports(path) - ALLOWED[package] - {package}]
    assert not wrong, "\n".join(sorted(wrong))
