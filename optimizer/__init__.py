"""Trained model in, bundle out: sources, passes, quantisation, measuring, choosing, the report."""
