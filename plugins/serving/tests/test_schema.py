"""Every request that schemathesis makes up gets an answer that is no fault of ours."""

import hypothesis
import schemathesis
import sigterm_app
from schemathesis.checks import not_a_server_error

from scillm import Kernel
from scillm_serving import Rules, application
from scillm_serving import openai as serving

_SETTINGS = hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
