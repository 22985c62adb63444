"""Verification of a written decision before a deployment."""
