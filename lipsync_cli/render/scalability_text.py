"""The scalability report in Markdown."""

from lipsync_cli.bench.figures import Figures
from lipsync_cli.bench.findings import findings
from lipsync_cli.render.scalability_tables import Table, tables


def lead(figures: Figures) -> str:
    """The measurement in one sentence."""
    return (
        f"lipsync {figures.version}, the {figures.form} form, {figures.measured_at:%Y-%m-%d %H:%M} UTC, "
        f"service at {figures.service}, by: {figures.command}"
    )


def render_markdown(figures: Figures) -> str:
    """Findings, then every table; what could not be measured stands at the end."""
    parts = ["# Scalability", lead(figures), "## Findings", "\n".join(f"- {each}" for each in findings(figures))]
    for table in tables(figures):
        parts += [f"## {table.title}", *([table.note] if table.note else []), _markdown(table)]
    if figures.notes:
        parts += ["## Not measured", "\n".join(f"- {note}" for note in figures.notes)]
    return "\n\n".join(parts)


def _markdown(table: Table) -> str:
    lines = [table.headings, ("---", *["---:"] * (len(table.headings) - 1)), *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)
