"""The report of a finished job, as text for people and as JSON for programs (described in docs/report.md)."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from lipsync_cli.render.score_report import picture_fields, score_fields, score_lines
from lipsync_core.clock import StageTiming
from lipsync_core.execution import ProviderChoice
from lipsync_core.report import FrameCounts, JobReport, Provenance
from lipsync_core.serving_counts import NOTHING

if TYPE_CHECKING:
    from lipsync_core.decoder_choice import DecoderChoice

SCHEMA = "lipsync.report/1"
_MIB = 1024 * 1024
_MIN_RATED_SHARE = 0.01  # of the wall time: the rate of a stage that takes less limits nothing, and is mostly noise
_SOUND_STAGE = "audio"  # its items are blocks of sound


def render_json(report: JobReport) -> str:
    """One JSON object."""
    frames = report.frames
    fields = {
        "schema": SCHEMA,
        "output": _output_fields(report),
        "model": {
            "name": report.model,
            "licence": report.model_licence,
            "sha256": report.model_sha256,
            "reason": report.model_reason,
        },
        "tracker": {"name": report.tracker, "cached": report.track_was_cached},
        "blender": report.blender,
        "enhancer": report.enhancer,
        "encoder": report.encoder,
        "encoding": asdict(report.encoding),
        "decoding": asdict(report.decoding),
        "providers": asdict(report.providers),
        "audio": report.audio,
        "provenance": _provenance_fields(report.provenance),
        "score": score_fields(report.scoring.score),
        "score_missing": report.scoring.reason or None,
        "pictures": picture_fields(report.scoring.pictures),
        "frames": {
            "total": frames.total,
            "synced": frames.synced,
            "passed_no_face": frames.passed_no_face,
            "passed_low_score": frames.passed_low_score,
            "passed_covered": frames.passed_covered,
            "synced_share": frames.synced_share,
        },
        "stages": [_stage_fields(row, report.wall_s) for row in report.stages],
        "wall_s": report.wall_s,
        "cpu_s": report.cpu_s,
        "peak_rss_bytes": report.peak_rss_bytes,
        "jobs": report.jobs,
    }
    return json.dumps(fields, indent=2)


def render_text(report: JobReport) -> str:
    """The timing table and the facts below it, at most 80 columns wide except for file names."""
    return "\n".join([*_timing_lines(report), "", *_fact_lines(report)])


def _output_fields(report: JobReport) -> dict[str, object]:
    return {
        "path": str(report.output),
        "bytes": report.output_bytes,
        "duration_s": float(report.duration_s),
        "width_px": report.width_px,
        "height_px": report.height_px,
        "changes": list(report.changes),
        "dropped": list(report.dropped),
    }


def _provenance_fields(provenance: Provenance) -> dict[str, object]:
    return {
        "signer": provenance.signer or None,
        "self_made": provenance.is_self_made,
        "source": provenance.source,
        "error": provenance.error.code if provenance.error else None,
    }


def _stage_fields(row: StageTiming, wall_s: float) -> dict[str, object]:
    return {
        "stage": row.stage,
        "wall_s": row.wall_s,
        "cpu_s": row.cpu_s,
        "share": _share(row.wall_s, wall_s),
        "items": row.items,
        "items_per_s": row.items_per_s,
        "provider": row.provider,
        "served": asdict(row.served) if row.served else None,
    }


def _timing_lines(report: JobReport) -> list[str]:
    width = max([len("stage"), *(len(row.stage) for row in report.stages)])
    header = f"{'stage':<{width}}  {'wall s':>8}  {'CPU s':>8}  {'share':>6}  {'frames/s':>9}"
    rule = "-" * len(header)
    rows = [_timing_line(row, report.wall_s, width) for row in report.stages]
    rate = f"{_share(report.frames.total, report.wall_s):9.1f}"
    total = f"{'total':<{width}}  {report.wall_s:8.2f}  {report.cpu_s:8.2f}  {'100 %':>6}  {rate}"
    return [header, rule, *rows, rule, total]


def _timing_line(row: StageTiming, wall_s: float, width: int) -> str:
    share = _share(row.wall_s, wall_s)
    has_rate = row.items and row.stage != _SOUND_STAGE and share >= _MIN_RATED_SHARE
    rate = f"{row.items_per_s:9.1f}" if has_rate else ""
    percent = f"{share:.0%}".replace("%", " %")
    return f"{row.stage:<{width}}  {row.wall_s:8.2f}  {row.cpu_s:8.2f}  {percent:>6}  {rate}".rstrip()


def _fact_lines(report: JobReport) -> list[str]:
    cached = "from the cache" if report.track_was_cached else "made in this run"
    return [
        *_frame_lines(report.frames),
        f"model    {report.model}, {report.model_reason}",
        f"         {report.model_licence}",
        f"tracker  {report.tracker}, face track {cached}",
        f"blend    {report.blender}",
        *([f"enhance  {report.enhancer}"] if report.enhancer else []),
        *_provider_lines(report.providers),
        *_server_lines(report.stages),
        *_decoder_lines(report.decoding),
        *_encoder_lines(report),
        *([f"picture  {'; '.join(report.changes)}"] if report.changes else []),
        *([f"dropped  {', '.join(report.dropped)}"] if report.dropped else []),
        *([f"jobs     {report.jobs} processes, side by side at segments of the movie"] if report.jobs > 1 else []),
        *score_lines(report.scoring),
        *_provenance_lines(report.provenance),
        f"memory   {report.peak_rss_bytes / _MIB:.0f} MiB at most",
        f"output   {report.output}",
        f"         {report.width_px}x{report.height_px}, {float(report.duration_s):.2f} s, "
        f"{report.output_bytes / _MIB:.1f} MiB",
    ]


def _provider_lines(choice: ProviderChoice) -> list[str]:
    if choice.chosen is None:
        return [f"networks {choice.reason}"]
    return [
        f"networks {choice.chosen} in {choice.precision}, --providers {choice.requested}",
        f"         {choice.reason}",
    ]


def _server_lines(stages: Sequence[StageTiming]) -> list[str]:
    served = [row.served for row in stages if row.served]
    return [f"server   {sum(served, NOTHING)}"] if served else []


def _decoder_lines(choice: "DecoderChoice") -> list[str]:
    if choice.requested == "cpu":
        return []
    return [f"decoder  {choice.chosen}, --decoder {choice.requested}", f"         {choice.reason}"]


def _encoder_lines(report: JobReport) -> list[str]:
    choice = report.encoding
    if choice.requested != "auto":
        return [f"encoder  {choice.chosen}, {choice.reason}; sound: {report.audio}"]
    return [f"encoder  {choice.chosen}, --encoder auto; sound: {report.audio}", f"         {choice.reason}"]


def _provenance_lines(provenance: Provenance) -> list[str]:
    untrusted = ["         nobody else trusts it: docs/provenance.md tells how to use one that they do"]
    return [f"signed   {provenance.account.removeprefix('signed ')}", *(untrusted if provenance.is_self_made else [])]


def _frame_lines(frames: FrameCounts) -> list[str]:
    percent = f"{frames.synced_share:.1%}".replace("%", " %")
    passed = {
        "no face found": frames.passed_no_face,
        "face turned away or badly seen": frames.passed_low_score,
        "mouth covered": frames.passed_covered,
    }
    return [
        f"frames   {frames.synced} of {frames.total} synced ({percent})",
        *(f"         {count} passed through unchanged: {why}" for why, count in passed.items() if count),
    ]


def _share(part: float, whole: float) -> float:
    """`part` as a share of `whole`, 0..1; 0 if `whole` is 0."""
    return part / whole if whole > 0 else 0.0
