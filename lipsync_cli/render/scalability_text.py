"""The scalability report in Markdown."""

from collections.abc import Sequence

from lipsync_cli.bench.figures import Figures
from lipsync_cli.bench.findings import findings
from lipsync_cli.render.markdown import escaped
from lipsync_cli.render.scalability_tables import Table, tables


def lead(figures: Figures) -> str:
    """The measurement in one sentence."""
    return (
        f"lipsync {figures.version}, the {figures.form} form, {figures.measured_at:%Y-%m-%d %H:%M} UTC, "
        f"service at {figures.service}, by: {figures.command}"
    )


def render_markdown(figures: Figures) -> str:
    """Findings, then every table; what could not be measured stands at the end."""
    parts = ["# Scalability", escaped(lead(figures)), "## Findings", _list(findings(figures))]
    for table in tables(figures):
        parts += [f"## {table.title}", *([escaped(table.note)] if table.note else []), _markdown(table)]
    if figures.notes:
        parts += ["## Not measured", _list(figures.notes)]
    return "\n\n".join(parts)


def _list(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(each)}" for each in sentences)


def _markdown(table: Table) -> str:
    alignment = ("---", *["---:"] * (len(table.headings) - 1))
    cells = [[escaped(cell) for cell in row] for row in (table.headings, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], alignment, *cells[1:]))
