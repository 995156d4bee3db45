import dataclasses
import json
from fractions import Fraction
from pathlib import Path

from lipsync_cli.render.run_report import SCHEMA, render_json, render_text
from lipsync_core.clock import StageTiming
from lipsync_core.decoder_choice import ON_CPU, DecoderChoice
from lipsync_core.encoder_choice import EncoderChoice
from lipsync_core.execution import ProviderChoice
from lipsync_core.report import FrameCounts, JobReport
from lipsync_core.serving_counts import ServingCounts
from tests.text_tables import words

REPORT = JobReport(
    output=Path("out put.mp4"),
    output_bytes=3_145_728,
    duration_s=Fraction(28, 3),
    width_px=1280,
    height_px=720,
    model="viseme/1",
    model_licence="Apache-2.0",
    model_sha256=None,
    model_reason="the best installed",
    tracker="mediapipe/1",
    track_was_cached=False,
    blender="feather",
    enhancer=None,
    decoding=ON_CPU,
    encoding=EncoderChoice("auto", "h264", "x264", "h264_nvenc cannot be used here: Cannot load libcuda.so.1"),
    providers=ProviderChoice("auto", "cpu", "it ran a trial network correctly; cuda is not here", "fp32"),
    audio="aac 192 kb/s",
    frames=FrameCounts(synced=270, passed_no_face=7, passed_low_score=2, passed_covered=1),
    stages=(
        StageTiming("probe", 0.1, 0.1, 0),
        StageTiming("track", 1.5, 2.0, 150, "cpu"),
        StageTiming("infer", 0.0, 0.0, 270, "server", ServingCounts(34, 2, 1, 3.25)),
        StageTiming("encode", 8.0, 12.0, 280),
        StageTiming("audio", 0.2, 0.2, 400),
        StageTiming("other", 0.2, 0.2, 0),
    ),
    wall_s=10.0,
    cpu_s=14.5,
    peak_rss_bytes=200 * 1024 * 1024,
)


def test_the_text_fits_80_columns_and_adds_up() -> None:
    text = render_text(REPORT)
    assert all(len(line) <= 80 for line in text.splitlines())
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert rows["track"] == ["1.50", "2.00", "15", "%", "100.0"]
    assert rows["encode"] == ["8.00", "12.00", "80", "%", "35.0"]
    assert rows["probe"] == ["0.10", "0.10", "1", "%"]
    assert rows["infer"] == ["0.00", "0.00", "0", "%"]  # at no time, no rate
    assert rows["audio"] == ["0.20", "0.20", "2", "%"]  # no frames
    assert rows["total"] == ["10.00", "14.50", "100", "%", "28.0"]


def test_the_text_says_what_was_passed_through_and_where_the_output_is() -> None:
    text = words(render_text(REPORT))
    assert "270 of 280 synced (96.4 %)" in text
    assert "7 passed through unchanged: no face found" in text
    assert "1 passed through unchanged: mouth covered" in text
    assert "2 passed through unchanged: face turned away or badly seen" in text
    assert "viseme/1, the best installed Apache-2.0" in text
    assert "networks cpu in fp32, --providers auto it ran a trial network correctly" in text
    assert "output out put.mp4" in text
    assert "200 MiB" in text


def test_the_text_says_what_compressed_the_video_and_why() -> None:
    text = words(render_text(REPORT))
    reason = "h264_nvenc cannot be used here: Cannot load libcuda.so.1"
    assert f"encoder x264, --encoder auto; sound: aac 192 kb/s {reason}" in text
    named = dataclasses.replace(REPORT, encoding=EncoderChoice("x265", "hevc", "x265", "asked for"))
    assert "encoder x265, asked for; sound: aac 192 kb/s" in words(render_text(named))
    assert json.loads(render_json(REPORT))["encoder"] == "x264"
    assert json.loads(render_json(REPORT))["encoding"] == {
        "requested": "auto",
        "codec": "h264",
        "chosen": "x264",
        "reason": reason,
    }


def test_the_text_says_what_decoded_the_video_where_there_was_a_choice() -> None:
    assert "decoder" not in render_text(REPORT)
    chosen = dataclasses.replace(REPORT, decoding=DecoderChoice("auto", "cpu", "nvdec cannot be used here: why"))
    assert "decoder cpu, --decoder auto nvdec cannot be used here: why" in words(render_text(chosen))


def test_the_text_says_what_the_model_server_was_asked_and_what_that_cost() -> None:
    line = "server 34 requests, 2 tried again, 1 refused by a full queue, 3.2 s lost"
    assert line in words(render_text(REPORT))


def test_the_text_is_silent_about_what_did_not_happen() -> None:
    whole = dataclasses.replace(REPORT, frames=FrameCounts(280, 0, 0), track_was_cached=True)
    text = render_text(whole)
    assert "passed through" not in text
    assert "server" not in render_text(dataclasses.replace(REPORT, stages=REPORT.stages[:2]))
    assert "from the cache" in text
    without = ProviderChoice("auto", None, "nothing was run in ONNX Runtime", "fp32")
    assert "networks nothing was run" in render_text(dataclasses.replace(REPORT, providers=without))


def test_the_json_has_the_documented_fields() -> None:
    fields = json.loads(render_json(REPORT))
    assert fields["schema"] == SCHEMA == "lipsync.report/1"
    assert fields["output"] == {
        "path": "out put.mp4",
        "bytes": 3_145_728,
        "duration_s": 28 / 3,
        "width_px": 1280,
        "height_px": 720,
        "changes": [],
        "dropped": [],
    }
    assert fields["frames"] == {
        "total": 280,
        "synced": 270,
        "passed_no_face": 7,
        "passed_low_score": 2,
        "passed_covered": 1,
        "synced_share": 270 / 280,
    }
    assert fields["stages"][1] == {
        "stage": "track",
        "wall_s": 1.5,
        "cpu_s": 2.0,
        "share": 0.15,
        "items": 150,
        "items_per_s": 100.0,
        "provider": "cpu",
        "served": None,
    }
    assert fields["stages"][2]["served"] == {"requests": 34, "retries": 2, "rejections": 1, "waited_s": 3.25}
    assert fields["stages"][3]["provider"] is None
    reason = "it ran a trial network correctly; cuda is not here"
    assert fields["providers"] == {"requested": "auto", "chosen": "cpu", "reason": reason, "precision": "fp32"}
    assert sum(row["share"] for row in fields["stages"]) == 1.0


def test_the_documentation_names_every_field_of_the_json() -> None:
    documented = (Path(__file__).parents[3] / "docs" / "report.md").read_text(encoding="utf-8")
    names: set[str] = set()
    pending: list[object] = [json.loads(render_json(REPORT))]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            names.update(value)
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    assert {name for name in names if f"`{name}`" not in documented} == set()


def test_an_empty_report_does_not_divide_by_zero() -> None:
    empty = dataclasses.replace(REPORT, frames=FrameCounts(0, 0, 0), wall_s=0.0, stages=())
    assert json.loads(render_json(empty))["frames"]["synced_share"] == 0.0
    assert "0 of 0 synced" in render_text(empty)
