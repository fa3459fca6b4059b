# Written by `python plugins/stubs/generate.py`; do not edit.
from scillm_auth.choose import choose_auth as choose_auth
from scillm_chutes.fallback import infer_with_fallback as infer_with_fallback
from scillm_chutes.routers import auto_router_from_env as auto_router_from_env
from scillm_chutes.routers import find_best_chutes_model as find_best_chutes_model
from scillm_chutes.routers import warm_chutes_caches as warm_chutes_caches
