# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_auth.choose import choose_auth as choose_auth
from scillm_cache.api import initialize_litellm_cache as initialize_litellm_cache
from scillm_chutes.fallback import infer_with_fallback as infer_with_fallback
from scillm_chutes.routers import auto_router_from_env as auto_router_from_env
from scillm_chutes.routers import find_best_chutes_model as find_best_chutes_model
from scillm_chutes.routers import warm_chutes_caches as warm_chutes_caches
from scillm_hedge.models import hedged_acompletion as hedged_acompletion
from scillm_json_mode.hedged import hedged_json_completion as hedged_json_completion
from scillm_json_mode.json_utils import clean_json_string as clean_json_string
from scillm_json_mode.schemas import schema_of as schema_of
from scillm_json_mode.strict import astrict_json_completion as astrict_json_completion
from scillm_json_mode.strict import strict_json_completion as json_chat
from scillm_json_mode.strict import strict_json_completion as strict_json_chat
from scillm_json_mode.strict import strict_json_completion as strict_json_completion
