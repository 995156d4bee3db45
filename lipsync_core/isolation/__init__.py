"""The reading room: a child process with limits, in which FFmpeg reads strangers' files."""
