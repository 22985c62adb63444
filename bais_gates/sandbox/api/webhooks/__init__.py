"""Webhooks: configuring them, and delivering events to them (Standard Webhooks)."""
