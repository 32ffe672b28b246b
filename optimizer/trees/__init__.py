"""Ensembles of decision trees: read out of a graph, run by numpy, and written with fewer trees."""
