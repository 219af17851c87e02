"""Who may import whom: the rules of the house, read off the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {"livethread": ROOT / "protocol", "livethread_server": ROOT / "server"}

CHAIN = [
    *("errors", "model", "ops", "replies", "tasks", "commands", "events", "messages"),
    *("checks", "explain", "codec", "connection"),
]
"""The protocol from the bottom up: each may import those before it."""
OUTSIDE = frozenset(
    [
        "asyncio",
        "socket",
        "ssl",
        "select",
        "selectors",
        "http",
        "urllib",
        "os",
        "io",
        "pathlib",
        "subprocess",
        "threading",
        "multiprocessing",
        "signal",
        "time",
        "datetime",
        "random",
        "secrets",
        "uuid",
        "ctypes",
        "mmap",
        "tempfile",
        "shutil",
        "sqlite3",
    ]
)
"""Parts of the standard library that reach for the world, a clock or chance."""
PIPE = ["wire", "packing", "grammar_wire"]
"""What of the server its child processes know: what is said, and how."""
PURE_WORKER = ["scheduler", "sequence", "cache", "text"]
ROOMS = ["store", "hub", "engine", "prompt"]
"""They meet in `service` and never import one another."""
DOORS = {
    "llama_cpp": {"worker/llama", "worker/grammar", "vocabulary"},
    "starlette": {"websocket", "http", "app"},
    "sqlalchemy": {"store/sql"},
    "alembic": {"store/sql"},
    "asyncpg": {"store/sql"},
    "msgpack": {"codec", "engine/packing"},
    "websockets": {"session", "sockets"},
    "jwt": {"auth/jwt", "auth/keys"},
    "cryptography": {"auth/keys"},
    "huggingface_hub": {"sources/hub"},
    "httpx2": {"sources/hub"},
}
"""Which modules, or folders of modules, may import a library."""


def module_of(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_of(path, root): path for package, root in SOURCES.items() for path in sorted((root / package).rglob("*.py"))
}
"""Every module of both packages by its full name."""


def imported(module: str) -> Iterator[str]:
    """The full names of everything a module imports, wherever in its text."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in FILES else base


IMPORTS = {module: frozenset(imported(module)) for module in FILES}
SERVER = [module for module in FILES if module.startswith("livethread_server")]


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def libraries(module: str) -> set[str]:
    """The top-level packages from outside that a module imports."""
    return {name.partition(".")[0] for name in IMPORTS[module]} - set(SOURCES) - {"__future__"}


def reached(module: str) -> set[str]:
    """Every module of ours that is loaded with a module, itself included; packages aside."""
    found, waiting = set(), [module]
    while waiting:
        one = waiting.pop()
        if one in FILES and one not in found:
            found.add(one)
            waiting.extend(IMPORTS[one])
    return found


def short(module: str) -> str:
    return module.partition(".")[2].replace(".", "/")


@pytest.mark.parametrize("name", CHAIN)
def test_the_protocol_is_a_chain_that_touches_nothing(name: str) -> None:
    module = f"livethread.{name}"
    below = {f"livethread.{lower}" for lower in CHAIN[: CHAIN.index(name)]}
    ours = {one for one in IMPORTS[module] if within(one, *SOURCES)}
    assert ours <= below
    outside = libraries(module) - {"msgspec", "msgpack"}
    assert outside <= sys.stdlib_module_names
    assert not outside & OUTSIDE


@pytest.mark.parametrize("name", ["replica", "resume"])
def test_a_copy_of_a_thread_is_pure(name: str) -> None:
    assert {short(one) for one in reached(f"livethread.{name}")} <= {"replica", "resume", *CHAIN}
    assert libraries(f"livethread.{name}") <= {"collections", "typing", "msgspec"}


@pytest.mark.parametrize("name", ["missed", "told"])
def test_what_a_client_reads_is_pure(name: str) -> None:
    assert {short(one) for one in reached(f"livethread.{name}")} <= {"missed", "told", "replica", "resume", *CHAIN}
    assert libraries(f"livethread.{name}") <= {"msgspec"}


def test_the_protocol_knows_nothing_of_the_server() -> None:
    for module in FILES:
        if within(module, "livethread"):
            assert not [one for one in IMPORTS[module] if within(one, "livethread_server")], module


@pytest.mark.parametrize("module", [one for one in SERVER if within(one, "livethread_server.worker")])
def test_the_worker_knows_only_its_pipe_of_the_server(module: str) -> None:
    server = {one for one in IMPORTS[module] if within(one, "livethread_server")}
    allowed = ("livethread_server.worker", *(f"livethread_server.engine.{name}" for name in PIPE))
    assert not [one for one in server if not within(one, *allowed)]
    assert {one for one in IMPORTS[module] if within(one, "livethread")} <= {
        "livethread.errors",
        "livethread.model",
    }


@pytest.mark.parametrize("name", PURE_WORKER)
def test_what_decides_in_the_worker_is_pure(name: str) -> None:
    module = f"livethread_server.worker.{name}"
    for one in reached(module):
        if within(one, "livethread_server.worker"):
            assert not libraries(one) & ({"llama_cpp", "numpy"} | OUTSIDE), one


@pytest.mark.parametrize("room", ROOMS)
def test_store_hub_engine_and_prompt_never_import_one_another(room: str) -> None:
    others = [f"livethread_server.{other}" for other in ROOMS if other != room]
    for module in SERVER:
        if within(module, f"livethread_server.{room}"):
            assert not [one for one in IMPORTS[module] if within(one, *others)], module


@pytest.mark.parametrize("door", ["websocket", "http"])
def test_the_doors_know_the_service_and_no_room_behind_it(door: str) -> None:
    rooms = [f"livethread_server.{room}" for room in (*ROOMS, "worker", "app", "cli")]
    for module in SERVER:
        if within(module, f"livethread_server.{door}"):
            assert not [one for one in IMPORTS[module] if within(one, *rooms)], module


def test_tasks_know_no_door_and_no_thread() -> None:
    others = ("store", "hub", "prompt", "http", "websocket", "service", "runs", "lanes", "session", "outbox")
    for module in SERVER:
        if within(module, "livethread_server.tasks"):
            assert not [
                one for one in IMPORTS[module] if within(one, *(f"livethread_server.{name}" for name in others))
            ]


def test_a_kind_of_task_knows_only_its_bench() -> None:
    for module in SERVER:
        if within(module, "livethread_server.tasks.kinds"):
            server = [one for one in IMPORTS[module] if within(one, "livethread_server")]
            allowed = ("livethread_server.tasks.kind", "livethread_server.tasks.kinds")
            assert all(within(one, *allowed) for one in server), module


def test_only_the_cli_imports_the_app() -> None:
    for module in SERVER:
        if within(module, "livethread_server.app"):
            continue
        if not within(module, "livethread_server.cli"):
            assert "livethread_server.app" not in IMPORTS[module], module


def test_only_the_app_chooses_a_store() -> None:
    stores = ("livethread_server.store.memory", "livethread_server.store.sql")
    for module in SERVER:
        if not within(module, "livethread_server.app", "livethread_server.store"):
            assert not [one for one in IMPORTS[module] if within(one, *stores)], module


def test_the_terminal_client_knows_only_the_client() -> None:
    for module in SERVER:
        if within(module, "livethread_server.chat", "livethread_server.chat_cli"):
            server = [one for one in IMPORTS[module] if within(one, "livethread_server")]
            assert all(within(one, "livethread_server.chat") for one in server), module


@pytest.mark.parametrize("library", DOORS)
def test_every_library_has_one_door(library: str) -> None:
    users = {short(module) for module in FILES if library in libraries(module)}
    assert not {user for user in users if not any(f"{user}/".startswith(f"{door}/") for door in DOORS[library])}


def test_the_sources_of_models_know_neither_folders_nor_catalogue() -> None:
    allowed = {"meter", "model_errors"}
    for module in SERVER:
        if within(module, "livethread_server.sources"):
            ours = {short(one) for one in IMPORTS[module] if within(one, "livethread_server")}
            assert {one for one in ours if not one.startswith("sources")} <= allowed, module


def test_what_the_hub_needs_is_imported_when_a_file_is_fetched() -> None:
    whole = ast.parse(FILES["livethread_server.sources.hub"].read_text())
    functions = [node for node in ast.walk(whole) if isinstance(node, ast.FunctionDef)]
    late = {one for function in functions for one in ast.walk(function) if isinstance(one, ast.ImportFrom)}
    typing = {one for node in whole.body if isinstance(node, ast.If) for one in ast.walk(node)}
    at_once = [one for one in ast.walk(whole) if isinstance(one, ast.ImportFrom) and one not in late | typing]
    assert not [one.module for one in at_once if str(one.module).startswith(("huggingface_hub", "httpx2"))]


def test_uvicorn_is_known_to_the_cli_its_server_and_the_room_of_its_protocols() -> None:
    users = {short(module) for module in FILES if "uvicorn" in libraries(module)}
    assert {user.partition("/")[0] for user in users} <= {"cli", "serving", "sockets"}


def test_the_client_needs_nothing_but_its_three_libraries() -> None:
    needed = {one for module in FILES if within(module, "livethread") for one in libraries(module)}
    assert needed - sys.stdlib_module_names <= {"msgpack", "msgspec", "websockets"}
