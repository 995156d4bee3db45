"""The pages of the reports: one HTML document with its style inside, no script, and nothing that it loads."""

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1c2330; --soft: #66707f; --line: #e1e5ea; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12151b; --card: #1b2029; --ink: #e8ebf0; --soft: #98a2b1; --line: #2d3440; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; margin: 0 0 2px; letter-spacing: -0.01em; }
h2 { font-size: 16px; margin: 0 0 14px; }
p { margin: 0 0 20px; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 20px; margin: 0 0 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 16px; margin: 0 0 16px; }
.tiles section { margin: 0; padding: 16px 20px; }
.tiles b { display: block; font-size: 26px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; min-width: 620px; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .axis, svg .value, svg .title { fill: var(--soft); }
svg .point, svg .value { paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
svg .axis, svg .on, svg .point { text-anchor: middle; }
svg .name { text-anchor: end; }
svg .on { fill: #fff; font-weight: 600; }
.grid { stroke: var(--line); }
.line { stroke-width: 2.5; }
.mark { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 6 4; fill: none; }
.whisker { stroke: var(--soft); stroke-width: 1.5; fill: none; }
.c0 { fill: #3b66c4; background: #3b66c4; } .line.c0 { fill: none; stroke: #3b66c4; } svg .ink-c0 { fill: #3b66c4; }
.c1 { fill: #c26a1b; background: #c26a1b; } .line.c1 { fill: none; stroke: #c26a1b; } svg .ink-c1 { fill: #c26a1b; }
.c2 { fill: #2c8a72; background: #2c8a72; } .line.c2 { fill: none; stroke: #2c8a72; } svg .ink-c2 { fill: #2c8a72; }
.c3 { fill: #a8487f; background: #a8487f; } .line.c3 { fill: none; stroke: #a8487f; } svg .ink-c3 { fill: #a8487f; }
.c4 { fill: #7a5bc2; background: #7a5bc2; } .line.c4 { fill: none; stroke: #7a5bc2; } svg .ink-c4 { fill: #7a5bc2; }
.c5 { fill: #9a7b12; background: #9a7b12; } .line.c5 { fill: none; stroke: #9a7b12; } svg .ink-c5 { fill: #9a7b12; }
.c6 { fill: #2b87a8; background: #2b87a8; } .line.c6 { fill: none; stroke: #2b87a8; } svg .ink-c6 { fill: #2b87a8; }
.c7 { fill: #b8474a; background: #b8474a; } .line.c7 { fill: none; stroke: #b8474a; } svg .ink-c7 { fill: #b8474a; }
.rest { fill: #808893; background: #808893; } .line.rest { fill: none; stroke: #808893; }
svg .ink-rest { fill: var(--soft); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; padding: 0; }
.legend { font-size: 13px; }
i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 7px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
tr.part td { color: var(--soft); } tr.part td:first-child { padding-left: 30px; }
"""


def html_page(title: str, lead: str, sections: Iterable[str]) -> str:
    """The whole document; it has a light and a dark style. `sections` are HTML, `title` and `lead` text."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    body = "\n".join(part for part in sections if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>lipsync: {escape(title[:1].lower() + title[1:])}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n{body}\n</main>\n"
        "</body>\n</html>"
    )


def section(title: str, content: str, note: str = "") -> str:
    """A card with a heading, a line of text and content in HTML; "" without content."""
    said = f"<p>{escape(note)}</p>\n" if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{said}{content}\n</section>" if content else ""


def wide(content: str) -> str:
    """Wrap `content` so that it keeps its width on a small screen and can be scrolled there."""
    return f'<div class="scroll">{content}</div>' if content else ""


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """A row of figures, each above its label."""
    cards = "".join(f"<section><b>{escape(value)}</b><span>{escape(label)}</span></section>" for value, label in pairs)
    return f'<div class="tiles">{cards}</div>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of text, its first column on the left and all others on the right; "" without rows."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return wide(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>") if body else ""
