"""Why a template fails, with the place in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from traceback import extract_tb

from jinja2 import Template
from jinja2.exceptions import TemplateError

from deploywatch.errors import Problem
from deploywatch.receiver.rendering import loading
from deploywatch.receiver.rendering.text import line


def template_problems(template: Template, render: Callable[[], object]) -> Iterator[Problem]:
    try:
        render()
    except Exception:  # whatever a user's template does
        try:
            template.environment.handle_exception()  # raises it again, with the template's own lines
        except Exception as error:
            places = [(frame.filename, frame.lineno or 0) for frame in extract_tb(error.__traceback__)]
            file, number = next(
                (place for place in reversed(places) if place[0].endswith(loading.SUFFIX)), (template.filename or "", 0)
            )
            yield Problem(file, number, 1, "", f"fails when it is rendered: {failure_text(error)}")


def failure_text(error: Exception) -> str:
    message = error.message if isinstance(error, TemplateError) else str(error)
    return line(f"{type(error).__name__}: {message or 'no reason given'}")
