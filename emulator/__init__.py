"""AWS on this machine: what the real CDK CLI deploys into, and an endpoint that answers over HTTP.

See docs/emulator.md. ``emulator.server.Emulator`` starts one from Python, ``python -m emulator`` from a
shell.
"""
