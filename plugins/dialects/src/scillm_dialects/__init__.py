"""Wire formats that several providers share. A library: no hook, no entry point of a plugin.

``openai_chat`` translates a Call to a request and bytes to answers; ``openai_responses`` says a
chat to a Responses endpoint; ``openai_server`` goes the other way, for servers that speak the
chat's dialect; ``images`` makes parts of messages.
"""
