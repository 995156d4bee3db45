"""What grows with every job, and is removed when its time is over: `lipsync gc`."""
