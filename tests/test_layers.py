"""The floors of the house: who may import whom, no circles between files, and rooms that one can see over."""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from lib import ROOT

GROUND = {
    "lib",
    *(
        f"lib.{name}"
        for name in ("types", "errors", "config", "log", "imports", "urls", "ahead", "cache", "images", "invoked")
    ),
    "lib.durations",
    "lib.file_systems",
}
_SHARED = {f"lib.engines.{name}" for name in ("base", "byte_tokenizer", "checkpoints", "decoding", "sizing")}

FLOORS = {  # room -> the rooms that its files may import, besides itself and the ground floor
    "lib.scoring": set(),
    "lib.data": {"lib.scoring"},
    "lib.tasks": {"lib.scoring"},
    "lib.report": {"lib.data", "lib.scoring"},
    "lib.engines": {"lib.data"},
    "lib.store": {"lib.data"},
    "lib.pipeline": {"lib.engines", "lib.tasks", "lib.report", "lib.store", "lib.data", "lib.scoring"},
    "lib.cluster": {"lib.pipeline", "lib.data"},
    "conf": {"lib.cluster", "lib.pipeline", "lib.tasks", "lib.store", "lib.data", "lib.engines"},
    "lib.command_line": {"conf"},
    "lib.composing": {"conf"},
    "lib.usage": {"conf", "lib.composing", "lib.pipeline", "lib.tasks"},
    "lib.launch": {"conf", "lib.command_line", "lib.composing", "lib.usage", "lib.pipeline"},
    "lib.entry": {"jobs"},
    "jobs": {
        "lib.launch",
        "lib.command_line",
        "lib.usage",
        "lib.cluster",
        "lib.pipeline",
        "lib.tasks",
        "lib.report",
        "lib.store",
        "lib.data",
        "lib.engines",
    },
}
WINGS = {  # of lib.engines -> the other wings and files of it that its files may import
    "lib.engines.byte_tokenizer": set(),
    "lib.engines.files": set(),
    "lib.engines.sizing": set(),
    "lib.engines.base": {"lib.engines.byte_tokenizer", "lib.engines.sizing"},
    "lib.engines.no_model": {"lib.engines.base"},
    "lib.engines.packaged": {"lib.engines.files"},
    "lib.engines.checkpoints": {"lib.engines.base", "lib.engines.files", "lib.engines.packaged", "lib.engines.sizing"},
    "lib.engines.decoding": {"lib.engines.checkpoints"},
    "lib.engines.dummy": _SHARED,
    "lib.engines.endpoint": _SHARED,
    "lib.engines.transformers": _SHARED,
    "lib.engines.vllm": _SHARED,
    "lib.engines.own_server": {*_SHARED, "lib.engines.endpoint", "lib.engines.vllm"},
    "lib.engines.retrieval": {"lib.engines.base"},
    "lib.engines.sentence_transformers": {*_SHARED, "lib.engines.transformers"},
    "lib.engines.measuring": {"lib.engines.checkpoints", "lib.engines.transformers"},
}
MOST_FILES = 15  # of a room, flat


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(path): path
    for top in ("jobs", "conf", "lib")
    for path in sorted((ROOT / top).rglob("*.py"))
    if "__pycache__" not in path.parts
}


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            # `from lib.engines import dummy` names a file, `from lib.types import Label` a name in one
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in full}
    return found & FILES.keys()


def room(module: str, rooms: dict[str, set[str]]) -> str | None:
    """The narrowest of the rooms that holds a module."""
    inside = [name for name in rooms if module == name or module.startswith(f"{name}.")]
    return max(inside, key=len, default=None)


def test_every_file_imports_only_the_floors_below() -> None:
    wrong = []
    assert len(FILES) > 100
    for module, path in FILES.items():
        floor = room(module, FLOORS)
        assert (floor is None) is (module in GROUND), f"{path}: give {module} a place in the house"
        allowed = GROUND if floor is None else {*GROUND, *FLOORS[floor], floor}
        wrong += [f"{module} imports {name}" for name in imports(path) if (room(name, FLOORS) or name) not in allowed]
    assert not wrong, "\n".join(wrong)


def test_every_engine_imports_only_what_engines_share() -> None:
    wrong = []
    for module, path in FILES.items():
        if module.startswith("lib.engines."):
            wing = room(module, WINGS)
            assert wing is not None, f"{path}: give {module} a wing"
            others = {room(name, WINGS) for name in imports(path) if name.startswith("lib.engines.")}
            wrong += [f"{module} imports {other}" for other in others - {wing, *WINGS[wing]}]
    assert not wrong, "\n".join(wrong)


def test_no_files_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({module: imports(path) - {module} for module, path in FILES.items()}).prepare()
    except CycleError as circle:
        raise AssertionError(" -> ".join(reversed(circle.args[1]))) from None


def test_no_room_holds_more_files_than_one_can_see_over() -> None:
    rooms = Counter(
        path.parent for name, path in FILES.items() if path.name != "__init__.py" and name.startswith("lib.")
    )
    crowded = {str(folder.relative_to(ROOT)): count for folder, count in rooms.items() if count > MOST_FILES}
    assert not crowded, crowded
