"""The lines of a sync score."""

from lipsync_cli.render.score_report import picture_fields, score_fields, score_lines, syncnet_fields, syncnet_lines
from lipsync_core.score_figures import (
    Agreement,
    Closures,
    Covering,
    PictureFigures,
    PictureMeasure,
    Scoring,
    Silence,
    SyncNetFigures,
    SyncNetScoring,
    SyncScore,
    WorstSecond,
)

STILL = Agreement(None, 0.0, 0.0)
SCORE = SyncScore(
    score=0.86,
    judged_by="asked",
    frames=149,
    asked=Agreement(-10, 0.96, 0.95),
    heard=Agreement(0, 0.88, 0.88),
    loud=STILL,
    closures=Closures(16, 15),
    silence=Silence(1.5, 0.25),
    worst=WorstSecond(7.92, 196, 220, 0.72),
)


def test_the_lines_name_every_figure_and_are_narrow() -> None:
    lines = score_lines(Scoring(SCORE))
    text = " ".join(" ".join(lines).split())
    assert "score 0.86 by its own curves, offset -10 ms, worst second from 7.9 s" in text
    assert "curves 0.95, best 0.96 at -10 ms" in text
    assert "loudness no movement; real speech" in text
    assert "closures 15 of 16 seen" in text
    assert "pauses 0.25 of its movement in 1.5 s" in text
    assert "worst frames 196 to 220: 0.72" in text
    assert max(map(len, lines)) <= 80


def test_a_movie_without_a_score_says_why() -> None:
    assert score_lines(Scoring(reason="a model is missing")) == ["score    none: a model is missing"]
    assert score_fields(None) is None


def test_the_fields_are_the_figures() -> None:
    fields = score_fields(SCORE)
    assert fields is not None
    assert fields["closures"] == {"asked": 16, "seen": 15}
    assert fields["asked"] == {"offset_ms": -10, "correlation": 0.96, "in_time": 0.95}
    assert fields["worst"]["first_frame"] == 196


def test_syncnet_has_a_line_and_a_field_where_it_is_installed() -> None:
    found = SyncNetScoring(SyncNetFigures(lse_c=6.906, lse_d=7.124, offset_ms=-40, windows=120))
    assert syncnet_lines(found) == ["syncnet  LSE-C 6.91, LSE-D 7.12, offset -40 ms"]
    figures = {"lse_c": 6.906, "lse_d": 7.124, "offset_ms": -40, "windows": 120}
    assert syncnet_fields(found) == {"syncnet": {"figures": figures, "reason": ""}}
    none = SyncNetScoring(reason="no face")
    assert syncnet_lines(none) == ["syncnet  none: no face"]
    assert syncnet_fields(none) == {"syncnet": {"figures": None, "reason": "no face"}}


def test_syncnet_has_neither_where_it_is_not_installed() -> None:
    assert syncnet_lines(None) == []
    assert syncnet_fields(None) == {}


PICTURES = PictureFigures(
    frames=20,
    seam=PictureMeasure(0.4, 8.21, 3.22, 80),
    flicker=PictureMeasure(0.1, 0.3, 1.0, 25),
    held=PictureMeasure(0.0, 0.01, 0.5, 13),
    covered=Covering(0.2, 2.02, 50, 74),
)


def test_the_pictures_have_lines_of_their_own_that_name_the_fault() -> None:
    lines = score_lines(Scoring(SCORE, pictures=PICTURES))
    text = " ".join(" ".join(lines).split())
    assert "mouth beyond its limit: seam, in 20 places looked at" in text
    assert "seam 8.21 levels from 3.2 s (frame 80); good: 2.5 at most" in text
    assert "covered 20% of mouths, in frames 50 to 74" in text
    assert max(map(len, lines)) <= 80


def test_the_fields_of_the_pictures_are_the_figures_and_the_faults() -> None:
    fields = picture_fields(PICTURES)
    assert fields is not None
    assert fields["faults"] == ["seam"]
    assert fields["seam"] == {"typical": 0.4, "worst": 8.21, "start_s": 3.22, "frame": 80}
    assert picture_fields(None) is None
