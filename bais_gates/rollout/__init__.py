"""Deploying one image to one environment: only what was judged, one at a time, with a way back."""
