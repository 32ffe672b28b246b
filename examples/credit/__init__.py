"""Default risk: a model of a table, from scikit-learn to a watched endpoint."""
