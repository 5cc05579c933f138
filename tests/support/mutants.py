"""Changes to the code that only decides, one at a time, that its tests must notice:

    python -m tests.support.mutants [MODULE...]

Cosmic Ray makes the changes; for each, the tests of the module run in a forked process. A change that does not compile,
or that changes nothing but annotations, is not counted. Printed are the survivors, those that no test noticed, and the
share that was noticed; the exit code is 1 where that is below nine in ten.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from itertools import zip_longest
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import hypothesis
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT: Final = Path(__file__).parents[2]
KNOWN: Final = Path(__file__).with_name("mutants.json")
"""Survivors that change nothing that anybody could notice, each with the reason."""
ENOUGH: Final = 0.9

ON_SQLITE: Final = ("-k", "not postgresql")
VERDICTS: Final = ("tests/deploywatch/test_verdict_limits.py", "tests/deploywatch/test_verdict.py")
DECIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "receiver/incidents/decide.py": ("tests/receiver/incidents/test_decide.py",),
    "receiver/actions/rollback/brakes.py": ("tests/receiver/actions/rollback/test_brakes.py",),
    "receiver/escalation/policy.py": ("tests/receiver/escalation/test_deadlines.py", "-k", "pure_decision"),
    "receiver/escalation/timers.py": ("tests/receiver/escalation/test_timers.py",),
    "receiver/suppression/gate.py": (
        "tests/receiver/suppression/test_gate.py",
        "tests/receiver/upstream/test_silences.py",
        *ON_SQLITE,
    ),
    "receiver/suppression/windows.py": ("tests/receiver/suppression/test_windows.py",),
    "receiver/notify/uncertain_delivery.py": ("tests/receiver/notify/test_uncertain_delivery.py",),
    "receiver/suppression/silences.py": ("tests/receiver/upstream/test_silences.py", *ON_SQLITE),
    # Its simulations take long, and what they notice the examples notice too.
    "deploywatch/verdict/evidence.py": ("tests/deploywatch/test_evidence.py", "-k", "not no_more_often"),
    "deploywatch/verdict/judge.py": VERDICTS,
    "deploywatch/verdict/holds.py": VERDICTS,
    "deploywatch/verdict/sentences.py": VERDICTS,
    "deploywatch/verdict/values.py": VERDICTS,
}
"""Each module that decides without doing, with the tests that are to notice when it decides otherwise."""

_ALONE: Final = (
    "-q",
    "-s",
    "-n0",
    "-p",
    "no:cacheprovider",
    "--hypothesis-profile",
    "thorough",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: what kind of change, the line as it was, and the module as it would be."""

    module: str
    operator: str
    line: int
    was: str
    code: str

    @property
    def key(self) -> str:
        """What names it for as long as the line reads the same."""
        return f"{self.module}: {self.operator}: {self.was}"


class _Meaning(ast.NodeTransformer):
    """Leaves of a module what is executed and can be decided otherwise.

    Annotations are never evaluated here; that a value is frozen, and that an argument goes by name, guards against
    misuse only.
    """

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults = [*node.defaults, *(default for default in node.kw_defaults if default)]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        # Members of enums and None are what is compared by identity here: equal means the same.
        same: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Is: ast.Eq, ast.IsNot: ast.NotEq}
        node.ops = [same.get(type(operator), type(operator))() for operator in node.ops]
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        return self.generic_visit(node)


def _meaning(code: str) -> str | None:
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            compile(code, "mutant", "exec")
    except SyntaxError:
        return None
    return ast.dump(_Meaning().visit(ast.parse(code)))


def mutants(module: str, source: str) -> Iterator[Mutant]:
    """Each change to a module that compiles and means something else."""
    tree, lines, meant = get_ast(source), source.splitlines(), _meaning(source)
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments():  # It would have to be told which variables to replace.
            continue
        places = [start for node in ast_nodes(tree) for start, _ in kind().mutation_positions(node)]
        for occurrence, (number, _) in enumerate(places):
            code = mutate_code(source, kind(), occurrence)
            if code and _meaning(code) not in (None, meant):
                yield Mutant(module, name.removeprefix("core/"), number, lines[number - 1].strip(), code)


class Laboratory:
    """Runs the collected tests for each change, in a forked process whose module has been changed in memory."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.made = 0
        self.survivors = 0
        self._reasons: dict[str, str] = json.loads(KNOWN.read_text())

    def pytest_sessionstart(self) -> None:
        """Have failures found and no more: to look for the smallest example would take longer."""
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("mutants", phases=phases, deadline=None, database=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop."""
        if session.testsfailed:
            return False
        module = importlib.import_module(
            f"deploywatch.{self._file.removeprefix('deploywatch/')[:-3].replace('/', '.')}"
        )
        began, used = time.monotonic(), _used()
        if not _passes(session, lambda: None, Limits(3600, 3600)):
            raise session.Failed("the tests fail before anything is changed")
        limits = Limits(60 + 10 * (time.monotonic() - began), 5 + 3 * round(_used() - used))
        for mutant in mutants(self._file, (ROOT / self._file).read_text()):
            self.made += 1
            if _passes(session, partial(_change, module, mutant.code), limits):
                self.survivors += 1
                why = self._reasons.get(mutant.key, "no reason is known: a test is missing")
                print(f"  {mutant.line}: {mutant.operator}: {mutant.was}\n      {why}", flush=True)  # noqa: T201
        return True


@dataclass(frozen=True, slots=True)
class Limits:
    """How long tests may take, in seconds, and how long the processor may work for them: a loop may never end."""

    wait: float
    work: int


def _used() -> float:
    """The seconds that the processor has worked for children that have ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


def _passes(session: pytest.Session, prepare: Callable[[], None], limits: Limits) -> bool:
    """Whether all tests pass within the limits, in a process of their own."""
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.work, limits.work))
        _run(session, prepare)
    until = time.monotonic() + limits.wait
    while time.monotonic() < until:
        if (ended := os.waitpid(child, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1]) == 0
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run(session: pytest.Session, prepare: Callable[[], None]) -> None:
    """Run the tests up to the first that fails, and end this process; 1 says that one failed."""
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        session.config.pluginmanager.unregister(name="terminalreporter")
        prepare()
        for item, following in zip_longest(session.items, session.items[1:]):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                break
        else:
            code = 0
    finally:
        os._exit(code)


def _change(module: ModuleType, code: str) -> None:
    """Have the functions of a module, which others have imported already, do what changed code says."""
    changed = ModuleType(module.__name__)
    exec(compile(code, str(module.__file__), "exec"), vars(changed))  # noqa: S102 - the project's own code
    for name, became in vars(changed).items():
        old, new = _uncached(vars(module).get(name)), _uncached(became)
        if isinstance(new, FunctionType) and new.__module__ == module.__name__:
            _swap(old, new, partial(setattr, module, name))
        elif isinstance(new, type) and new.__module__ == module.__name__:
            for attribute, value in vars(new).items():
                _swap(vars(old).get(attribute), value, partial(setattr, old, attribute))
        elif not name.startswith("__") and _is_plain(new) and new != old:
            for other in [m for m in sys.modules.values() if _ours(m.__name__) and vars(m).get(name) is old]:
                setattr(other, name, new)


def _uncached(value: Any) -> Any:
    """The function itself, of one whose results are cached; what was cached is forgotten."""
    if not hasattr(value, "cache_clear"):
        return value
    value.cache_clear()
    return value.__wrapped__


def _swap(old: Any, new: Any, replace: Callable[[Any], None]) -> None:
    """Give a function, or what is made of functions, the code of another; put the other in its place if it is none."""
    if isinstance(old, property | cached_property | classmethod | staticmethod) and type(new) is type(old):
        for part in ("fget", "func", "__func__"):
            if getattr(old, part, None):
                _swap(getattr(old, part), getattr(new, part), replace)
    elif isinstance(old, FunctionType) and isinstance(new, FunctionType):
        if old.__defaults__ != new.__defaults__:
            old.__defaults__ = new.__defaults__
        if old.__kwdefaults__ != new.__kwdefaults__:
            old.__kwdefaults__ = new.__kwdefaults__
        # What dataclass made has a closure, and is made of annotations.
        if not old.__code__.co_freevars and not new.__code__.co_freevars:
            old.__code__ = new.__code__
    elif isinstance(new, FunctionType) and isinstance(old, property | cached_property | classmethod | staticmethod):
        replace(new)


def _is_plain(value: object) -> bool:
    """Whether it has no part that is of the changed module's own kinds, which others would not know."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    if isinstance(value, tuple | frozenset | list | set):
        return all(map(_is_plain, value))
    return value is None or type(value) in (int, float, str, bytes, bool, timedelta)


def _ours(module: str) -> bool:
    return module.partition(".")[0] in ("deploywatch", "tests")


def main(modules: list[str]) -> int:
    """Say which changes nobody noticed; 1 when they are more than one in ten."""
    unknown = [module for module in modules if module not in DECIDERS]
    if unknown:
        print(f"{unknown[0]} is not among them: {', '.join(DECIDERS)}", file=sys.stderr)  # noqa: T201
        return 2
    if len(modules) != 1:
        # Each in a process of its own: a module that was imported stays.
        command = [sys.executable, "-m", "tests.support.mutants"]
        return max(subprocess.run([*command, module], check=False).returncode for module in modules or DECIDERS)
    (module,) = modules
    laboratory = Laboratory(module)
    if pytest.main([*_ALONE, *DECIDERS[module]], plugins=[laboratory]):
        return 2
    noticed = laboratory.made - laboratory.survivors
    share = noticed / laboratory.made
    print(f"{module}: {noticed} of {laboratory.made} changes noticed ({share:.1%})", flush=True)  # noqa: T201
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
