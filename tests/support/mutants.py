"""Changes to the code that only decides, one at a time, that its tests must notice:

    python -m tests.support.mutants [MODULE...]

Cosmic Ray makes the changes; for each, the tests of the module run in a copy of the checkout. A change that does not
compile, or that changes nothing but annotations, is not counted. Printed are the survivors, those that no test noticed,
and the share that was noticed; the exit code is 1 where that is below nine in ten.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT: Final = Path(__file__).parents[2]
KNOWN: Final = Path(__file__).with_name("mutants.json")
"""Survivors that change nothing that anybody could notice, each with the reason."""
ENOUGH: Final = 0.9

DECIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "receiver/incidents/decide.py": ("tests/receiver/incidents/test_decide.py",),
    "receiver/actions/rollback/brakes.py": ("tests/receiver/actions/rollback/test_brakes.py",),
    "receiver/escalation/policy.py": ("tests/receiver/escalation/test_deadlines.py",),
    "receiver/escalation/timers.py": ("tests/receiver/escalation/test_deadlines.py", "-k", "not postgresql"),
    "receiver/suppression/gate.py": ("tests/receiver/suppression/test_gate.py",),
    "receiver/suppression/windows.py": ("tests/receiver/suppression/test_maintenance.py", "-k", "not postgresql"),
    "receiver/notify/uncertain_delivery.py": ("tests/receiver/notify/test_uncertain_delivery.py",),
    "deploywatch/evidence.py": ("tests/deploywatch/test_evidence.py",),
    "deploywatch/verdict.py": ("tests/deploywatch/test_verdict.py",),
}
"""Each module that decides without doing, with the tests that are to notice when it decides otherwise."""

_ALONE: Final = ("-x", "-q", "-n0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


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
    """A copy of the checkout in which tests run in forked processes, so that libraries are imported only once."""

    def __init__(self, folder: Path, module: str, tests: Sequence[str]) -> None:
        self._copy, self._tests = folder / "checkout", tests
        self._file = self._copy / module
        self._output, self._imported = folder / "output", folder / "imported"
        _copy(self._copy)
        # What is mutated is read from its source each time; all else is compiled once.
        began = time.monotonic()
        if not self.well(limit=3600):
            raise SystemExit(f"the tests fail before anything is changed:\n{self._output.read_text()}")
        self._limit = 60 + 10 * (time.monotonic() - began)
        for name in self._imported.read_text().split():
            with suppress(ImportError):
                importlib.import_module(name)

    def notices(self, mutant: Mutant) -> bool:
        """Whether a test fails, or never ends, with this change."""
        was = self._file.read_text()
        self._file.write_text(mutant.code)
        try:
            return not self.well(limit=self._limit)
        finally:
            self._file.write_text(was)

    def well(self, *, limit: float) -> bool:
        """Whether all tests pass within a time."""
        for compiled in (self._file.parent / "__pycache__").glob(f"{self._file.stem}.*"):
            compiled.unlink()
        child = os.fork()
        if not child:
            self._run()
        until = time.monotonic() + limit
        while time.monotonic() < until:
            if (ended := os.waitpid(child, os.WNOHANG))[0]:
                return os.waitstatus_to_exitcode(ended[1]) == pytest.ExitCode.OK
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False

    def _run(self) -> None:
        """Run the tests, and end this process with their exit code."""
        code: int = pytest.ExitCode.INTERNAL_ERROR
        try:
            os.setsid()
            os.chdir(self._copy)
            sys.path.insert(0, str(self._copy))
            for name in [name for name in sys.modules if _ours(name)]:
                del sys.modules[name]
            output = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            # To look for the smallest example of a failure would take longer than to find it.
            phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
            hypothesis.settings.register_profile("mutants", phases=phases, deadline=None, database=None)
            hypothesis.settings.load_profile("mutants")
            code = pytest.main([*_ALONE, *self._tests])
            self._imported.write_text("\n".join(name for name in sys.modules if not _ours(name)))
        finally:
            sys.stdout.flush()
            os._exit(code)


def _ours(module: str) -> bool:
    return module.partition(".")[0] in ("deploywatch", "tests", "conftest")


def _copy(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)


def survivors(module: str) -> tuple[int, list[Mutant]]:
    """How many changes were made to a module, and those that its tests did not notice."""
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(Path(folder), module, DECIDERS[module])
        made = list(mutants(module, (ROOT / module).read_text()))
        return len(made), [mutant for mutant in made if not laboratory.notices(mutant)]


def main(modules: list[str]) -> int:
    """Say which changes nobody noticed; 1 when they are more than one in ten."""
    unknown = [module for module in modules if module not in DECIDERS]
    if unknown:
        print(f"{unknown[0]} is not among them: {', '.join(DECIDERS)}", file=sys.stderr)  # noqa: T201
        return 2
    reasons: dict[str, str] = json.loads(KNOWN.read_text())
    good = True
    for module in modules or DECIDERS:
        made, left = survivors(module)
        noticed = made - len(left)
        good = good and noticed >= ENOUGH * made
        print(f"{module}: {noticed} of {made} changes noticed ({noticed / made:.1%})", flush=True)  # noqa: T201
        for mutant in left:
            why = reasons.get(mutant.key, "no reason is known: a test is missing")
            print(f"  {mutant.line}: {mutant.operator}: {mutant.was}\n      {why}", flush=True)  # noqa: T201
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
