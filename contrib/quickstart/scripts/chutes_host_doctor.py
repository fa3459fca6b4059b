"""Whether a chute of one's own works, as a line of JSON: `scillm chutes doctor`."""

import sys

from scillm_cli.group import cli

if __name__ == "__main__":
    cli(["chutes", "doctor", *sys.argv[1:]], prog_name="scillm")
