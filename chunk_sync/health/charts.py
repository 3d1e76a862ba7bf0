"""Charts as SVG inside Markdown: small, sharp, and without a drawing library."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

_BLUE = "#2f6feb"
_COLORS = {"pending": "#7d8590", "completed": "#2da44e", "failed": "#d1242f", "cancelled": "#9a6700"}
_ROW = 26
_LEFT, _WIDTH, _RIGHT = 110, 420, 90


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
    return f"![{escape(title)}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _bar(name: str, value: int, share: float, y: int) -> str:
    width = max(share * _WIDTH, 1 if value else 0)
    return (
        f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 9}" rx="2"'
        f' fill="{_COLORS.get(name, _BLUE)}"/>'
        f'<text x="{_LEFT + width + 8:.1f}" y="{y + 15}">{value:,}</text>'
    )
