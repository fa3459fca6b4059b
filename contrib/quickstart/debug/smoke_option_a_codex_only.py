"""Six programs and a judge, by codex-agent alone; prints how many came, and the judgement.

The task is the argument, if there is one; the model is the first that the agent lists.
"""

import json
import sys

import scillm
from scillm.extras.multi_agents import answer_code_autogen_and_judge_codex_only

TASK = "reverse the words of a sentence, in Python"


def main() -> None:
    """Ask, and print."""
    task = sys.argv[1] if len(sys.argv) > 1 else TASK
    model = scillm.models("codex-agent", timeout=10.0).data[0]["id"]
    made = answer_code_autogen_and_judge_codex_only(
        [{"task": task, "context": {}}],
        n_variants=6,
        generator_model=model,
        judge_model=f"codex-agent/{model}",
    )
    print("variants_count", len(made["variants"]))
    print("judge", json.dumps(made["judge"]))


if __name__ == "__main__":
    try:
        main()
    except (scillm.ScillmError, IndexError) as error:
        sys.exit(f"failed: {error} (`python debug/codex_agent_doctor.py` says more)")
