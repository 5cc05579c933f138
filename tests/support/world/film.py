"""Samples of series over time, piece by piece: as promtool's tests write them, and as OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Piece:
    """So many samples, the first of `value`, each next one `slope` more; None for no samples."""

    samples: int
    value: float | None
    slope: float = 0.0

    def text(self) -> str:
        """As promtool reads it."""
        if self.value is None:
            return f"_x{self.samples}"
        value = _number(self.value)
        if self.samples == 1:
            return value
        if not self.slope:
            return f"{value}x{self.samples - 1}"
        return f"{value}+{_number(self.slope)}x{self.samples - 1}"


@dataclass(slots=True)
class Track:
    """One series."""

    series: str
    pieces: list[Piece] = field(default_factory=list)

    def add(self, samples: int, value: float | None, slope: float = 0.0) -> None:
        """The next samples; those that go on as before make one piece with them."""
        if not samples:
            return
        last = self.pieces[-1] if self.pieces else None
        if last is not None and value is None and last.value is None:
            self.pieces[-1] = Piece(last.samples + samples, None)
        elif last is not None and value == last.value and not slope and not last.slope:
            self.pieces[-1] = Piece(last.samples + samples, value)
        else:
            self.pieces.append(Piece(samples, value, slope))

    @property
    def is_empty(self) -> bool:
        """Whether it never has a sample."""
        return all(piece.value is None for piece in self.pieces)

    def text(self) -> str:
        """As promtool reads it."""
        return " ".join(piece.text() for piece in self.pieces)

    def samples(self, step: float) -> Iterator[tuple[float, float]]:
        """Times since the beginning, and values."""
        number = 0
        for piece in self.pieces:
            if piece.value is not None:
                yield from (((number + one) * step, piece.value + one * piece.slope) for one in range(piece.samples))
            number += piece.samples


def open_metrics(tracks: Iterable[Track], *, start: float, step: float) -> str:
    """The samples as OpenMetrics, from a Unix time on; `promtool tsdb create-blocks-from openmetrics` reads it."""
    families: dict[str, list[str]] = {}
    for track in tracks:
        lines = families.setdefault(track.series.partition("{")[0], [])
        lines += (f"{track.series} {value:.10g} {start + at:.3f}" for at, value in track.samples(step))
    text = [f"# TYPE {name} unknown\n" + "\n".join(lines) for name, lines in families.items() if lines]
    return "\n".join([*text, "# EOF\n"])


def _number(value: float) -> str:
    text = f"{value:.10g}"
    return text if "e" not in text else f"{value:.10f}".rstrip("0").rstrip(".")
