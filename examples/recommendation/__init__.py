"""Recommendation: which films a person would watch next, out of those watched before."""
