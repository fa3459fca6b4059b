"""One adapter per client: the same work written as its documentation writes it.

Each module has a class `Client`; a method that a client has no way to do is left out, and the
metric is then not available for it. All answers are the content as a string.
"""
