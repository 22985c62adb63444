"""A migration that fails."""
