"""What knows BAIS: the API client, its accounts, its contract, and the fixtures of the BAIS suite."""
