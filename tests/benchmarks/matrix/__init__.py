"""The fault matrix: every fault through every door of every client.

`plan` says what is right, `cells` runs each cell in a process of its own (`probe`), `judge` compares,
`report` writes. `clients` has one adapter per client.
"""
