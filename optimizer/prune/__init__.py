"""Structured pruning: channels, neurons and heads taken out of a graph, and weights that make up for them."""
