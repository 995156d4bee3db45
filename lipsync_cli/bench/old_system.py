"""The system that this product replaces, as its owner measured it: the table beside every measurement.

An RTX 3090 and 64 threads; 1280x720 at 30 frames/s, 153 source frames, 280 output frames, without face restoration.
"""

from types import MappingProxyType
from typing import Final

MACHINE: Final = "RTX 3090, 64 threads"
SOUND_S: Final = 9.3  # of one request
REQUEST_S: Final = 17.4
ENHANCED_REQUEST_S: Final = 85.0
#: Seconds of one request; frame processing and encoding is "about 10".
STAGES_S: Final = (
    ("download", 5.5),
    ("tracking", 0.9),
    ("inference (Wav2Lip)", 0.36),
    ("frames + encoding", 10.0),
    ("upload", 0.2),
)
MEMORY_BYTES: Final = 840_000_000  # of each request
PER_S: Final = 0.08  # requests, at any concurrency
PER_S_OF_WORKERS: Final = MappingProxyType({8: 0.19})
GPU_BYTES_PER_WORKER: Final = 1_700_000_000
GPU_UTILISATION: Final = 0.05  # at most
