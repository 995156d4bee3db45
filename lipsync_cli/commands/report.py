"""`lipsync report`: the time that the jobs of a period spent in each stage, from the ledger."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipsync_cli.extra import service_extra
from lipsync_cli.failures import write_file, write_stdout
from lipsync_cli.ledger import known_ledger
from lipsync_core.errors import OptionError

if TYPE_CHECKING:
    from lipsync_service.ledger.timing_report import TimingBreakdown

_FORMATS = ("text", "markdown", "json", "html")
_SUFFIXES = {".md": "markdown", ".markdown": "markdown", ".json": "json", ".html": "html", ".htm": "html"}
_SPAN = re.compile(r"(\d+)([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MAX_DAYS = 36_500
_COMMAND = "lipsync report"
_DATABASE_HELP = (
    "The ledger.  [default: LIPSYNC_DATABASE_URL, or that of the service of `make up` here, or this user's own]"
)


class Span(click.ParamType[timedelta]):
    """A length of time: 90m, 24h, 7d, 4w."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The length."""
        if isinstance(value, timedelta):
            return value
        found = _SPAN.fullmatch(str(value))
        if found is None or len(found[1]) > len(str(_MAX_DAYS * 24 * 60)):
            self.fail(f"{str(value)!r} is not a length of time; write 90m, 24h, 7d or 4w", param, ctx)
        span = timedelta(**{_UNITS[found[2]]: int(found[1])})
        if span > timedelta(days=_MAX_DAYS):
            self.fail(f"{str(value)!r} is longer than a hundred years", param, ctx)
        return span


class Day(click.ParamType[datetime]):
    """A day or a moment in ISO 8601; without a zone it is local time."""

    name = "date"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, with its zone."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(str(value)).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{str(value)!r} is not a date; write 2026-03-01 or 2026-03-01T08:30", param, ctx)


@dataclass(frozen=True, slots=True)
class Period:
    """The time from `since` until just before `until`; None: no bound."""

    since: datetime | None
    until: datetime | None


@click.command()
@click.option("--last", type=Span(), help="Only what ended in this last span: 90m, 24h, 7d, 4w.")
@click.option("--since", type=Day(), help="Only what ended at this date or later.")
@click.option("--until", type=Day(), help="Only what ended before this date.")
@click.option("--model", help="Only jobs of this model: viseme, or viseme/1.")
@click.option("--pool", help="Only stages that ran on this pool.")
@click.option("--format", "format_name", type=click.Choice(_FORMATS), help="By default as OUTPUT's name says, or text.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.option("--database", metavar="URL", help=_DATABASE_HELP)
def report(
    last: timedelta | None,
    since: datetime | None,
    until: datetime | None,
    model: str | None,
    pool: str | None,
    format_name: str | None,
    output: Path | None,
    database: str | None,
) -> None:
    """Say where the time of past jobs went: median, p95 and share of every stage.

    \b
    lipsync report --last 7d
    lipsync report --since 2026-03-01 --until 2026-04-01 --model viseme -o march.html
    """
    breakdown = _read(database, _period(last, since, until), model, pool)
    text = _render(breakdown, format_name or _SUFFIXES.get(output.suffix.lower() if output else "", "text"))
    if output is None:
        write_stdout(text)
    else:
        write_file(output, f"{text}\n", "choose another file with -o")


def _period(last: timedelta | None, since: datetime | None, until: datetime | None) -> Period:
    if last is not None and since is not None:
        raise OptionError("--last and --since both set the start of the period", "give one of them")
    if last is not None:
        since = (until or datetime.now(UTC)) - last
    if since is not None and until is not None and since >= until:
        raise OptionError("the period ends before it begins", "give --since a date before --until")
    return Period(since, until)


def _read(database: str | None, period: Period, model: str | None, pool: str | None) -> "TimingBreakdown":
    with service_extra(_COMMAND):
        from lipsync_service.ledger.timing_report import ReportFilter, timing_breakdown
    return timing_breakdown(known_ledger(_COMMAND, database), ReportFilter(period.since, period.until, model, pool))


def _render(breakdown: "TimingBreakdown", format_name: str) -> str:
    from lipsync_cli.render import timing_page, timing_table

    renderers = {
        "text": timing_table.render_text,
        "markdown": timing_table.render_markdown,
        "json": timing_table.render_json,
        "html": timing_page.render_html,
    }
    return renderers[format_name](breakdown)
