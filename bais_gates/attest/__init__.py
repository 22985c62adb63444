"""What a pipeline trusts: the check of a written decision before a deployment."""
