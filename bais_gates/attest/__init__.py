"""Signed statements about a decision, and its verification before a deployment."""
