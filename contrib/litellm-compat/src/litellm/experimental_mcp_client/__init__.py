"""``litellm.experimental_mcp_client``: of it the mini-agent is served."""
