"""The mini-agent in this process, without a model: the echo calls a tool, and says its result.

The same each time, and no address is asked. For a real model leave `kernel` out and name one, as
in AgentConfig(model="openai/gpt-4o-mini").
"""

from scillm import Kernel
from scillm.extras.mini_agent import AgentConfig, EchoMCP, EchoModel, run_mcp_mini_agent

if __name__ == "__main__":
    config = AgentConfig(
        model="mini-agent-echo/any", use_tools=True, completion_kwargs={"tool_choice": "required"}
    )
    question = [{"role": "user", "content": "hello agent"}]
    with Kernel.of(EchoModel()) as kernel:
        result = run_mcp_mini_agent(question, EchoMCP(), config, kernel=kernel)
    print(result.stopped_reason, result.final_answer)
