"""The command line: turns arguments into jobs of `lipsync_core`, and their results into text.

Start-up stays light: numpy, OpenCV and PyAV are imported inside the functions that need them.
"""
