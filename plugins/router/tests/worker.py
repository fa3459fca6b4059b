"""A process of its own with a Router: does what it reads, a word a line, and says what came."""

import json
import sys
import time

from scillm import APIError, Kernel
from scillm_router import Router


class Later:
    """A clock that can be put forward."""

    ahead_s = 0.0

    def __call__(self):
        return time.monotonic() + self.ahead_s


def main():
    """Run."""
    later = Later()
    with Kernel.installed() as kernel:
        models = json.loads(sys.argv[1])
        router = Router(models, cooldown_time=60, num_retries=0, kernel=kernel, clock=later)
        for line in sys.stdin:
            word = line.strip()
            if word == "later":
                later.ahead_s += 60.5
                said = "later"
            else:
                said = asked(router, word)
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


def asked(router, group):
    """Return where the answer came from, or what went wrong."""
    try:
        return router.completion(group, [{"role": "user", "content": "hi"}]).served_by.base_url
    except APIError as error:
        return repr(error)


if __name__ == "__main__":
    main()
