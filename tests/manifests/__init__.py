"""Tests of firmware_manifests."""
