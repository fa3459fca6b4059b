"""``scillm chat``: one question, or a conversation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scillm_cli.group import complete_model, complete_provider, kernel_of

if TYPE_CHECKING:
    from scillm_cli.answering import Asking
    from scillm_cli.history import History

_FILE = click.Path(dir_okay=False, path_type=Path)
_READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "-m",
    "--model",
    shell_complete=complete_model,
    help="Model, such as openai/gpt-4o; else SCILLM_MODEL.",
)
@click.option("-s", "--system", help="Instructions for the model.")
@click.option("--json", "is_json", is_flag=True, help="Ask for a JSON object.")
@click.option("--schema", type=_READABLE, help="Ask for JSON in this schema, and check it.")
@click.option("--image", "images", multiple=True, metavar="PATH_OR_URL", help="Image; repeatable.")
@click.option("--raw", "is_raw", is_flag=True, help="Print the whole answer as JSON.")
@click.option("--no-stream", is_flag=True, help="Wait for the whole answer.")
@click.option("-o", "--option", "pairs", multiple=True, metavar="NAME=VALUE", help="Any parameter.")
@click.option("--temperature", type=float, help="Randomness.")
@click.option("--max-tokens", type=click.IntRange(1), help="Limit of the answer, in tokens.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for each request.",
)
@click.option("--api-base", metavar="URL", help="Address of the provider.")
@click.option(
    "--provider", shell_complete=complete_provider, help="Provider, named apart from the model."
)
@click.option("--key-from", type=_READABLE, help="File that holds the API key on its first line.")
@click.option("--usage", "has_usage", is_flag=True, help="Say who answered, tokens and seconds.")
@click.option("--history", type=_FILE, help="Keep the conversation in this file (JSON lines).")
@click.option("--continue", "continued", type=_READABLE, help="Go on with that conversation.")
@click.pass_context
def chat(ctx: click.Context, /, prompt: str | None, **given: Any) -> None:
    """Ask PROMPT and print the answer; at a terminal without PROMPT, converse.

    What is piped in is the prompt, or stands after it. A key is taken from the environment
    or from a file, never from the command line.
    """
    from scillm_cli.conversation import Conversation
    from scillm_cli.prompts import question, with_stdin

    asking, history = _asking(given), _history(given)
    text, images = with_stdin(prompt), given["images"]
    with kernel_of(ctx) as kernel:
        if text or (images and not _is_terminal()):
            asked = question(text, images)
            response = asking.answer(kernel, [*history.messages, asked])
            history.add(asked, *(choice.message for choice in response.choices[:1]))
        elif _is_terminal():
            Conversation(kernel, asking, history, images).run()
        else:
            raise click.UsageError("nothing to ask: give a PROMPT, or pipe one in")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _asking(given: dict[str, Any]) -> Asking:
    from scillm_cli import prompts
    from scillm_cli.answering import Asking
    from scillm_cli.schemas import Schema

    if given["is_json"] and given["schema"]:
        raise click.UsageError(
            "--json and --schema exclude each other: a schema asks for JSON already"
        )
    try:
        schema = Schema.read(given["schema"]) if given["schema"] else None
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--schema: {error}") from None
    json_object = {"type": "json_object"} if given["is_json"] else None
    own = {
        "model": given["model"],
        "custom_llm_provider": given["provider"],
        "api_base": given["api_base"],
        "api_key": prompts.key_from(given["key_from"]) if given["key_from"] else None,
        "response_format": schema.response_format if schema else json_object,
        "temperature": given["temperature"],
        "max_tokens": given["max_tokens"],
        "timeout": given["timeout"],
    }
    return Asking(
        arguments=prompts.merged(own, prompts.options(given["pairs"])),
        schema=schema,
        is_streamed=not given["no_stream"],
        is_raw=given["is_raw"],
        has_usage=given["has_usage"],
    )


def _history(given: dict[str, Any]) -> History:
    from scillm_cli.history import History

    path, continued, system = given["history"], given["continued"], given["system"]
    if path and continued:
        raise click.UsageError(
            "--history and --continue exclude each other: the latter keeps on writing"
        )
    if continued:
        history = History.continued(continued)
    else:
        history = History.begun(path) if path else History()
    if system:
        if history.messages:
            raise click.UsageError(
                f"--system comes first, and {str(continued)!r} holds a conversation"
            )
        history.add({"role": "system", "content": system})
    return history
