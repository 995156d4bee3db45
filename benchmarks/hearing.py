"""Measures what hearing costs: the speech encoder's CPU time for a second of sound, beside the phone recogniser's.

Both hear the demo's speech, repeated, in one thread. They alternate, because a slow machine then slows both.

    python benchmarks/hearing.py [--rounds 5] [--seconds 60]
"""

import argparse
import statistics
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from phones import PhoneRecogniser, open_beforehand

from lipsync_core.audio.load import SPEECH_RATE_HZ
from lipsync_core.audio.speech_encoder import MODEL, SpeechEncoder
from lipsync_core.models.store import ModelStore
from lipsync_core.threads import no_thread_pools
from lipsync_core.workspace import Workspace

_SPEECH = Path(__file__).resolve().parents[1] / "demo" / "speech.wav"
_LIMIT_MS = 30.0  # for a second of sound: 3 % of real time


def speech(seconds: int) -> NDArray[np.int16]:
    """(N,) 16 kHz mono."""
    with wave.open(str(_SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.resize(samples, seconds * SPEECH_RATE_HZ)


def cpu_s(work: Callable[[], object]) -> float:
    """The CPU time of one call."""
    start_s = time.process_time()
    work()
    return time.process_time() - start_s


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    sound = speech(options.seconds)
    encoder = SpeechEncoder.open(ModelStore(Workspace.default().models).verify(MODEL).path("encoder"))
    encoder_ms, phones_ms = [], []
    with no_thread_pools():
        for _ in range(options.rounds):
            encoder_ms.append(cpu_s(lambda: list(encoder.encode([sound]))) / options.seconds * 1e3)
            open_beforehand()
            phones_ms.append(cpu_s(lambda: list(PhoneRecogniser().recognise([sound]))) / options.seconds * 1e3)
    ratio = statistics.median(one / other for one, other in zip(encoder_ms, phones_ms, strict=True))
    print(f"speech encoder   {statistics.median(encoder_ms):6.1f} CPU ms for a second of sound (limit {_LIMIT_MS:g})")
    print(f"phone recogniser {statistics.median(phones_ms):6.1f}")
    print(f"ratio            {ratio:6.2f}")


if __name__ == "__main__":
    main()
