"""The bundle: coldpress's contract between the optimiser, the registry and what serves.

A bundle is a folder ``<name>/<digest>/``; see docs/bundle.md for its files. Nothing in it is executed.
"""
