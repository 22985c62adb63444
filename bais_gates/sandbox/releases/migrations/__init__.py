"""The revisions that releases add to those of the present one, a folder for each set."""
