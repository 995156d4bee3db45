"""The health check of a container: `python -m lipsync_service.worker.health URL` ends with 0 if the server answers.

It ends with 1 if not. The slim images have no curl.
"""

import sys
from urllib.error import URLError
from urllib.request import urlopen

_LIMIT_S = 4.0


def answers(url: str) -> bool:
    """Whether a request for `url` succeeds within 4 s."""
    try:
        with urlopen(url, timeout=_LIMIT_S) as answer:  # noqa: S310 - the container's own address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(not answers(sys.argv[1]))
