"""What the sync score costs: jobs with it and without, in turn."""

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

from lipsync_core import pipeline
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.report import JobReport
from lipsync_core.score_figures import Scoring
from lipsync_core.workspace import Workspace


def measure_cost(clips: Path, rounds: int = 3) -> None:
    """Print the CPU seconds of jobs with a score and without, alternately, and those of the stage alone."""
    with_score = pipeline.open_scorer
    print(f"{'':28}{'track':>8}{'without s':>11}{'with s':>9}{'ratio':>8}{'stage s':>9}{'of without':>12}")
    for video in ("sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "retalking_face3.mp4", "latentsync_demo1_video.mp4"):
        for track in ("stored", "made"):
            reports: dict[bool, list[JobReport]] = {False: [], True: []}
            for _ in range(rounds):
                for scored in (False, True):
                    pipeline.open_scorer = with_score if scored else lambda *_: Scoring(reason="left out")
                    reports[scored].append(usual_job(clips, video, track == "made"))
            pipeline.open_scorer = with_score
            without_s, with_s = (
                statistics.median(report.cpu_s for report in reports[scored]) for scored in (False, True)
            )
            stage_s = statistics.median(score_cpu_s(report) for report in reports[True])
            figures_shown = (
                f"{without_s:11.2f}{with_s:9.2f}{with_s / without_s:8.3f}{stage_s:9.2f}{stage_s / without_s:12.1%}"
            )
            print(f"{video[:26]:28}{track:>8}{figures_shown}", flush=True)


def score_cpu_s(report: JobReport) -> float:
    """The CPU time of the stage that measures and judges."""
    return sum(row.cpu_s for row in report.stages if row.stage == "score")


def usual_job(clips: Path, video: str, is_track_made: bool) -> JobReport:
    """A job with the usual options."""
    workspace = Workspace.default()
    with tempfile.TemporaryDirectory() as folder:
        if is_track_made:
            workspace = replace(workspace, cache=Path(folder))
        audio, out = clips / "latentsync_demo1_audio.wav", Path(folder) / "out.mp4"
        return lip_sync(clips / video, audio, out, JobOptions(model="viseme"), workspace)
