"""One module a revision; the SQL is written out, as it is what will run."""
