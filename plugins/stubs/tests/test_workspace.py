from pathlib import Path

import pytest

import workspace


def add(root: Path, folder: str, name: str, *requires: str) -> None:
    """Add a distribution to a checkout."""
    (root / folder).mkdir(parents=True)
    lines = ", ".join(f'"{line}"' for line in requires)
    text = f'[project]\nname = "{name}"\ndependencies = [{lines}]\n'
    (root / folder / "pyproject.toml").write_text(text)


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("httpx[http2]>=0.28", "httpx"),
        ("Typing_Extensions; python_version < '3.11'", "typing-extensions"),
        (" scillm-kernel==0.1.0", "scillm-kernel"),
    ],
)
def test_a_requirements_name_is_read_as_an_index_compares_it(requirement: str, name: str) -> None:
    """Extras, versions, markers and spelling are put aside."""
    assert workspace.requirement_name(requirement) == name


def test_a_requirement_without_a_name_is_refused() -> None:
    """The message quotes the line, which stands in somebody's pyproject.toml."""
    with pytest.raises(ValueError, match=r"'>=0\.28' is no requirement"):
        workspace.requirement_name(">=0.28")


def test_a_folder_without_a_pyproject_is_no_distribution(tmp_path: Path) -> None:
    """Scripts and leftovers of a removed plugin do not count."""
    add(tmp_path, "kernel", "scillm-kernel")
    add(tmp_path, "contrib/echo", "scillm-echo")
    (tmp_path / "contrib/quickstart").mkdir()

    assert list(workspace.find(tmp_path)) == ["scillm-kernel", "scillm-echo"]


def test_the_closure_follows_our_own_distributions_only(tmp_path: Path) -> None:
    """What a plugin's environment installs editable: itself and ours that it stands on."""
    add(tmp_path, "kernel", "scillm-kernel", "attrs>=24.2")
    add(tmp_path, "plugins/dialects", "scillm-dialects", "scillm-kernel==1")
    add(tmp_path, "plugins/openai", "scillm-openai", "scillm-dialects==1", "httpx")
    add(tmp_path, "plugins/retry", "scillm-retry", "scillm-kernel==1")
    dists = workspace.find(tmp_path)

    names = [dist.name for dist in workspace.closure(dists, "scillm-openai")]

    assert names == ["scillm-kernel", "scillm-dialects", "scillm-openai"]
