"""A migration with which earlier releases do not work, and which does not say so."""
