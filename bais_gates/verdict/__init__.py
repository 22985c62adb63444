"""The judgement: what a gate is, what a run showed, and whether that is DEPLOY or BLOCK."""
