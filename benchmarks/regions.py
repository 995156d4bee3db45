"""Measures the cost of reading and writing the region of a face, in CPU milliseconds on one thread.

python benchmarks/regions.py [--rounds 200 --side 350 --size WxH]
"""

import argparse
import statistics
import time

import av
import cv2
import numpy as np

from lipsync_core.media.planes import Box, plane_samples, read_region, write_region


def noise_picture(width: int, height: int) -> av.VideoFrame:
    """A yuv420p picture of random code values."""
    picture, rng = av.VideoFrame(width, height, "yuv420p"), np.random.default_rng(0)
    for at in range(3):
        samples = plane_samples(picture, at)
        samples[:] = rng.integers(0, 256, samples.shape)
    return picture


def costs_ms(picture: av.VideoFrame, box: Box, rounds: int) -> tuple[list[float], list[float]]:
    """Each round's reading and writing."""
    mask = np.ones((box.height, box.width), np.float32)
    reads, writes = [], []
    for _ in range(rounds):
        started_s = time.thread_time()
        region = read_region(picture, box)
        read_s = time.thread_time()
        write_region(picture, box, region, region[::-1], mask)
        writes.append((time.thread_time() - read_s) * 1000)
        reads.append((read_s - started_s) * 1000)
    return reads, writes


def main() -> None:
    """Read the command line, run, print both medians."""
    parser = argparse.ArgumentParser(description="Reading and writing the region of a face.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--side", type=int, default=350)
    parser.add_argument("--size", default="1280x720")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    cv2.setNumThreads(1)
    box = Box(width // 3 | 1, height // 4 | 1, (width // 3 | 1) + options.side, (height // 4 | 1) + options.side)
    costs = costs_ms(noise_picture(width, height), box, options.rounds)
    print(f"a region of {options.side} x {options.side} px in {options.size}, CPU ms, median of {options.rounds}")
    for name, values in zip(("read", "write"), costs, strict=True):
        print(f"{name:<8}{statistics.median(values):.2f}")


if __name__ == "__main__":
    main()
