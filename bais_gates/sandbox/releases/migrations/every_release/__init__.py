"""What every release adds: old and new code work with it."""
