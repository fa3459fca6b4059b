"""Names that plugins lend."""

import subprocess
import sys

import pytest

PLUGIN = """
from scillm import hookimpl
@hookimpl
def resolve_model(call):
    return None
"""


@pytest.fixture
def site(tmp_path):
    """A folder with an installed distribution that lends names; returns a runner of code in it."""
    (tmp_path / "lender.py").write_text(
        "from scillm import hookimpl\nclass LentRouter: pass\n" + PLUGIN
    )
    package = tmp_path / "lender_extras"
    package.mkdir()
    (package / "__init__.py").write_text("def chat(): return 'hi'\n")
    (package / "deep.py").write_text("from . import chat\nX = 1\n")
    _dist(
        tmp_path,
        "scillm-lender",
        "[scillm.plugins]\nlender = lender\n[scillm.exports]\nLentRouter = lender:LentRouter\n"
        "extras.lent = lender_extras\nextras.lent_helper = lender_extras:chat\nos = os\n",
    )

    def run(code, **environment):
        import os

        env = {**os.environ, "PYTHONPATH": str(tmp_path), "SCILLM_DOTENV": "0", **environment}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    return run


def _dist(folder, name, entries):
    info = folder / f"{name.replace('-', '_')}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(entries)


def test_a_lent_name_is_imported_from_scillm(site):
    """A class, and a whole module under its own name."""
    assert (
        site(
            "from scillm import LentRouter, os; import lender; "
            "print(LentRouter is lender.LentRouter, os.sep)"
        )
        == "True /"
    )


def test_a_lent_module_is_found_below_extras(site):
    """One module object under two names, sub-modules too."""
    assert (
        site(
            "from scillm.extras.lent import chat; import scillm.extras.lent.deep as d; "
            "import lender_extras, scillm.extras.lent as c; "
            "print(chat(), d.X, c is lender_extras, c.__spec__.name)"
        )
        == "hi 1 True lender_extras"
    )


def test_a_lent_function_is_found_in_extras(site):
    """``from scillm.extras import lent_helper``."""
    assert site("from scillm.extras import lent_helper; print(lent_helper())") == "hi"


def test_dir_shows_what_is_lent(site):
    """For completion in a shell."""
    assert (
        site("import scillm; print('LentRouter' in dir(scillm), 'completion' in dir(scillm))")
        == "True True"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("from scillm import compleion", "did you mean 'completion'?"),
        ("import scillm; scillm.compleion", "did you mean 'completion'?"),
        ("from scillm import LentRoter", "did you mean 'LentRouter'?"),
        ("from scillm.extras.lend import chat", "did you mean 'lent'?"),
        (
            "from scillm import FarRouter",
            "with the distribution 'scillm-far-router', which is not",
        ),
        ("import scillm; scillm.FarRouter", "with the distribution 'scillm-far-router', which"),
        (
            "import scillm.extras.far",
            "with the distribution 'scillm-far-router', which is not",
        ),
    ],
)
def test_a_missing_name_says_what_is_known_of_it(site, tmp_path, code, said):
    """The nearest name; a distribution only where somebody's list names it."""
    known = "FarRouter = scillm_far_router.core:Router\nextras.far = scillm_far_router.extras\n"
    _dist(tmp_path, "scillm-list", f"[scillm.known]\n{known}")
    assert said in site(code)


@pytest.mark.parametrize("code", ["from scillm import zzz", "import scillm.extras.zzz"])
def test_a_name_that_nobody_knows_brings_no_advice_to_install(site, code):
    """A distribution that nobody owns is anybody's to register."""
    said = site(code)
    assert said.startswith("ImportError: there is no 'scillm.")
    assert "install " not in said
    assert "distribution" not in said


def test_a_star_brings_the_kernels_own_names(site):
    """Whatever was loaded before."""
    code = (
        "from scillm import *; print(completion.__module__, 'sys' in dir(), len(Setting.__name__))"
    )
    assert site(code) == "scillm.api False 7"


def test_a_blocked_name_is_not_shown(site):
    """What cannot be had is not offered."""
    code = "import scillm; print('LentRouter' in dir(scillm))"
    assert site(code, SCILLM_PLUGINS_BLOCK="lender") == "False"


def test_a_missing_attribute_is_only_an_attribute_error(site):
    """``hasattr`` and ``getattr`` with a default work as everywhere."""
    assert (
        site("import scillm; print(hasattr(scillm, 'Nope'), getattr(scillm, 'Nope', 3))")
        == "False 3"
    )


@pytest.mark.parametrize(
    "code",
    [
        "from scillm import LentRouter",
        "from scillm.extras.lent import chat",
        "from scillm.extras import lent_helper",
    ],
)
def test_a_blocked_plugin_takes_its_names_back(site, code):
    """One distribution, one switch."""
    said = site(code, SCILLM_PLUGINS_BLOCK="lender")
    assert "ImportError" in said
    assert "scillm-lender" in said
    assert "blocked by SCILLM_PLUGINS_BLOCK" in said


def test_two_distributions_that_lend_one_name_are_both_named(site, tmp_path):
    """Neither wins in silence."""
    _dist(tmp_path, "scillm-rival", "[scillm.exports]\nLentRouter = rival:LentRouter\n")
    said = site("from scillm import LentRouter")
    assert "two installed distributions lend 'LentRouter'" in said
    assert "scillm-lender" in said
    assert "scillm-rival" in said
    assert site("from scillm.extras import lent_helper; print(lent_helper())") == "hi"


def test_a_finished_kernel_lists_the_lender(site):
    """The same distribution is a plugin."""
    assert (
        site("import scillm; print(scillm.kernel().plugins.infos['lender'].dist)")
        == "scillm-lender 1"
    )
