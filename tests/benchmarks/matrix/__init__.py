"""The fault matrix: every fault through every door of every client.

`plan` says what is right; `cells` has each cell done in a process of its own (`probe`, `works`);
`judge` compares; `report` writes. `clients` has one adapter per client.
"""
