"""Mixed precision: which layer gets which treatment, found by measuring."""
