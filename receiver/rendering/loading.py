"""Finds, checks and compiles the templates: the user's file where there is one, else ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2 import nodes as syntax
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from deploywatch.config import nearest
from deploywatch.errors import Problem
from deploywatch.receiver.rendering.filters import FILTERS

OURS = Path(__file__).parents[1] / "templates"
SUFFIX = ".j2"
PREFIX = "deploywatch"


def environment(folder: Path | None, *, finalize: Callable[[Any], Any] | None = None) -> ImmutableSandboxedEnvironment:
    """A sandbox that takes each template from `folder`, else from ours.

    `deploywatch/<name>` always names ours, so that a user's template can extend the one that it replaces.
    """
    ours = FileSystemLoader(OURS)
    loaders = [FileSystemLoader(folder), ours] if folder else [ours]
    made = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([*loaders, PrefixLoader({PREFIX: ours})]),
        undefined=StrictUndefined,
        # The result is plain text; each channel escapes it in its own way.
        autoescape=False,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(FILTERS)
    return made


def check(
    env: ImmutableSandboxedEnvironment, name: str, *, variables: Iterable[str], blocks: Iterable[str], seen: set[str]
) -> list[Problem]:
    """Compile a template and all that it includes; every fault that can be known before it renders.

    What it includes and is in `seen` has been checked, with the same variables, for another; what is checked is added.
    """
    problems: list[Problem] = []
    waiting = [name]
    while waiting:
        current = waiting.pop()
        seen.add(current)
        try:
            source, file, _ = _source(env, current)
            tree = env.parse(source, current, file)
            env.get_template(current)
        except TemplateSyntaxError as error:
            problems.append(Problem(error.filename or current, error.lineno, 1, "", error.message or "syntax error"))
            continue
        except (TemplateNotFound, UnicodeDecodeError, OSError) as error:
            problems.append(Problem(current, 0, 0, "", _unreadable(error)))
            continue
        wanted = blocks if current == name else ()
        problems += _faults(env, tree, file, known=variables, blocks=wanted)
        referenced = [name for name in find_referenced_templates(tree) if name]
        problems += _missing(env, tree, file, referenced)
        waiting += [name for name in referenced if name not in seen and _exists(env, name)]
    return problems


def unknown_files(folder: Path, known: Sequence[str]) -> list[Problem]:
    """Files in the user's folder that would never be used; a name that begins with `_` is an include of theirs."""
    if not folder.is_dir():
        return [Problem(str(folder), 0, 0, "", "is not a folder; create it, or leave the templates' folder out")]
    return [
        Problem(str(path), 0, 0, "", f"is the template of no event{nearest(path.name, known)}")
        for path in sorted(folder.glob(f"*{SUFFIX}"))
        if path.name not in known and not path.name.startswith("_")
    ]


def _source(env: ImmutableSandboxedEnvironment, name: str) -> tuple[str, str, object]:
    assert env.loader is not None  # noqa: S101 - environment() always gives one
    source, file, fresh = env.loader.get_source(env, name)
    return source, file or name, fresh


def _exists(env: ImmutableSandboxedEnvironment, name: str) -> bool:
    try:
        _source(env, name)
    except TemplateNotFound:
        return False
    except UnicodeDecodeError:
        pass
    return True


def _unreadable(error: Exception) -> str:
    match error:
        case TemplateNotFound():
            return "cannot be found"
        case UnicodeDecodeError():
            return f"is not UTF-8 at byte {error.start}"
        case _:
            return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _faults(
    env: ImmutableSandboxedEnvironment,
    tree: syntax.Template,
    file: str,
    *,
    known: Iterable[str],
    blocks: Iterable[str],
) -> Iterator[Problem]:
    names = set(known)
    free = find_undeclared_variables(tree) - names - set(_assigned(tree)) - set(env.globals)
    for name in tree.find_all(syntax.Name):
        if name.name in free:
            free.discard(name.name)
            yield Problem(file, name.lineno, 1, name.name, f"unknown variable{nearest(name.name, names)}")
    if tree.find(syntax.Extends) is None:
        present = {block.name for block in tree.find_all(syntax.Block)}
        for block in blocks:
            if block not in present:
                yield Problem(file, 1, 1, block, f"write the block: {{% block {block} %}}…{{% endblock %}}")


def _missing(
    env: ImmutableSandboxedEnvironment, tree: syntax.Template, file: str, referenced: Iterable[str]
) -> Iterator[Problem]:
    kinds = (syntax.Extends, syntax.Include, syntax.Import, syntax.FromImport)
    for name in referenced:
        if not _exists(env, name):
            places = [node.lineno for node in tree.find_all(kinds) if name in _constants(node)]
            yield Problem(file, places[0] if places else 1, 1, "", f"there is no template {name!r} to include")


def _constants(node: syntax.Node) -> set[object]:
    return {constant.value for constant in node.find_all(syntax.Const)}


def _assigned(tree: syntax.Template) -> Iterator[str]:
    """Names that the template gives itself; blocks see those of the top level."""
    for name in tree.find_all(syntax.Name):
        if name.ctx != "load":
            yield name.name
    for macro in tree.find_all(syntax.Macro):
        yield macro.name
    for whole in tree.find_all(syntax.Import):
        yield whole.target
    for part in tree.find_all(syntax.FromImport):
        for name_or_pair in part.names:
            yield name_or_pair if isinstance(name_or_pair, str) else name_or_pair[1]
