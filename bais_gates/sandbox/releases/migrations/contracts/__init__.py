"""A migration that takes away what only old releases need, and says so."""
