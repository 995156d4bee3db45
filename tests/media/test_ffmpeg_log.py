"""FFmpeg's log is one for the process, and several threads listen to it."""

import av

from lipsync_core.media.ffmpeg_log import error_log, log_of


def test_the_last_listener_puts_the_level_back() -> None:
    """The first one did, and the second put back the level of the first: FFmpeg talked until the process ended."""
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    first, second = log_of(av.logging.INFO), error_log()
    first.__enter__()
    assert av.logging.get_level() == av.logging.INFO
    second.__enter__()
    assert av.logging.get_level() == av.logging.INFO
    first.__exit__(None, None, None)
    assert av.logging.get_level() == av.logging.ERROR
    second.__exit__(None, None, None)
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
