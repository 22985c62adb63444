"""Payment workflows, payments, their settlement, and the figures computed from them."""
