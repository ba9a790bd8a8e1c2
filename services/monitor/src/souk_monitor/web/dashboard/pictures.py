"""Pictures of counts, as SVG that takes its colours from the style sheet: bars with their numbers in titles."""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup, escape

from souk_monitor.web.dashboard.words import short

_SPARK_WIDTH, _SPARK_HEIGHT = 96, 22


def spark(counts: Sequence[int]) -> Markup:
    """Small bars without axes, for a row of a list. counts: the oldest first."""
    most = max(counts, default=0)
    step = _SPARK_WIDTH / max(1, len(counts))
    drawn = [_bar(place * step, _height(count, most, _SPARK_HEIGHT - 2), step - 1) for place, count in enumerate(counts)]
    label = f"{sum(counts):,} events in {len(counts)} hours, {most:,} in one at the most"
    return Markup(  # noqa: S704 — of numbers
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" role="img" aria-label="{label}">'
        f'<path d="{"".join(drawn[:-1])}"/><path d="{"".join(drawn[-1:])}"/></svg>'
    )


def _bar(x: float, tall: float, wide: float) -> str:
    """A part of a path; nothing where there is nothing to see."""
    return f"M{x:.4g} {_SPARK_HEIGHT}v-{tall:.3g}h{wide:.3g}v{tall:.3g}z" if tall else ""


def bars(counts: Sequence[tuple[datetime, int]], name: str, form: str = "%H:%M", width: int = 320) -> Markup:
    """Bars over time with a scale. counts: by their beginning, the oldest first. form: of a time, as strftime has it."""
    height, left, bottom = 150 if width > 600 else 96, 34, 20
    most = max((count for _, count in counts), default=0)
    top = _round_up(most)
    step = (width - left) / max(1, len(counts))
    drawn = [_scale(top, width, height - bottom, left)]
    for place, (start, count) in enumerate(counts):
        tall = _height(count, top, height - bottom - 8)
        x = left + place * step
        drawn.append(
            Markup('<g><title>{}: {:,}</title><rect class="hit" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
                f"{start:%Y-%m-%d %H:%M} UTC", count, x, step, height - bottom
            )
            + Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1"/></g>').format(
                x + 0.5, height - bottom - tall, max(1.0, step - 1.5), tall
            )
        )
    every = max(1, len(counts) // 6)
    for place, (start, _) in enumerate(counts):
        if place % every == every // 2:
            drawn.append(
                Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
                    left + (place + 0.5) * step, height - 5, escape(start.strftime(form))
                )
            )
    label = f"{name}: {sum(count for _, count in counts):,} events, {most:,} at the most"
    return Markup('<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, Markup("").join(drawn)
    )


def share(part: float, whole: float) -> Markup:
    """A bar behind a row: how much of the whole it is."""
    wide = 100 * part / whole if whole else 0
    return Markup(
        '<svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect width="{:.1f}" height="4"/></svg>'
    ).format(wide)


def _scale(top: int, width: int, base: int, left: int) -> Markup:
    lines = Markup("")
    for value in (0, top // 2, top) if top > 1 else (0, top):
        y = base - _height(value, top, base - 8)
        lines += Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(left, width, y, y)
        lines += Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(left - 6, y + 4, short(value))
    return lines


def _height(count: int, most: int, tall: float) -> float:
    """Of a bar; what is there at all is seen."""
    return max(1.5, count / most * tall) if count and most else 0.0


def _round_up(most: int) -> int:
    """The next even number that begins with 1, 2, 4, 6, 8."""
    if most <= 2:
        return 2
    size = 10 ** (len(str(most)) - 1)
    return next(int(step * size) for step in (1, 2, 4, 6, 8, 10) if step * size >= most)
