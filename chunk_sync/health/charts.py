"""Charts as SVG inside Markdown: small, sharp, and without a drawing library."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

_BLUE = "#2f6feb"
_COLORS = {"pending": "#7d8590", "completed": "#2da44e", "failed": "#d1242f", "cancelled": "#9a6700"}
_LINES = (_BLUE, "#bf8700", "#8250df", "#1b7c83", "#cf222e")
_ROW = 26
_LEFT, _WIDTH, _RIGHT = 115, 215, 115  # the column that Dagster shows it in is hardly wider
_TOP, _PLOT = 26, 140


def bar_chart(values: Mapping[str, int], title: str) -> str:
    """Draw horizontal bars; returns Markdown with the picture inside it."""
    largest = max([*values.values(), 1])
    height = _ROW * (len(values) + 1) + 8
    rows = "".join(
        _bar(name, value, value / largest, y)
        for y, (name, value) in zip(range(_ROW, height, _ROW), values.items(), strict=False)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{height}"'
        ' font-family="sans-serif" font-size="13" fill="#57606a">'
        f'<text x="4" y="16" font-weight="bold">{escape(title)}</text>{rows}</svg>'
    )
    return _image(svg, title)


def line_chart(lines: Mapping[str, Sequence[float]], title: str, first: str = "", last: str = "") -> str:
    """Draw lines over the same evenly spaced moments, 0 at the bottom; returns Markdown with the picture inside it.

    `first` and `last` say what the ends of the axis are.
    """
    largest = max([value for line in lines.values() for value in line], default=0.0) or 1.0
    parts = [
        f'<text x="4" y="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="{_LEFT - 8}" y="{_TOP + 10}" text-anchor="end">{largest:,.4g}</text>',
        f'<text x="{_LEFT - 8}" y="{_TOP + _PLOT}" text-anchor="end">0</text>',
        f'<path d="M{_LEFT} {_TOP}V{_TOP + _PLOT}H{_LEFT + _WIDTH}" fill="none" stroke="#d0d7de"/>',
        f'<text x="{_LEFT}" y="{_TOP + _PLOT + 18}">{escape(first)}</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{_TOP + _PLOT + 18}" text-anchor="end">{escape(last)}</text>',
    ]
    for number, (name, values) in enumerate(lines.items()):
        color = _COLORS.get(name, _LINES[number % len(_LINES)])
        points = _points(values, largest)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        if len(values) == 1:
            x, y_of_it = points.split(",")
            parts.append(f'<circle cx="{x}" cy="{y_of_it}" r="3" fill="{color}"/>')
        y = _TOP + 12 + number * 18
        parts.append(f'<text x="{_LEFT + _WIDTH + 8}" y="{y}" fill="{color}">{escape(name)}</text>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{_TOP + _PLOT + 26}"'
        f' font-family="sans-serif" font-size="13" fill="#57606a">{"".join(parts)}</svg>'
    )
    return _image(svg, title)


def _points(values: Sequence[float], largest: float) -> str:
    step = _WIDTH / max(len(values) - 1, 1)
    return " ".join(f"{_LEFT + n * step:.1f},{_TOP + _PLOT * (1 - v / largest):.1f}" for n, v in enumerate(values))


def _image(svg: str, title: str) -> str:
    return f"![{escape(title)}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _bar(name: str, value: int, share: float, y: int) -> str:
    width = max(share * _WIDTH, 1 if value else 0)
    return (
        f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 9}" rx="2"'
        f' fill="{_COLORS.get(name, _BLUE)}"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{y + 15}">{value:,}</text>'
    )
