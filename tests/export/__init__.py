"""Tests of merged exports."""
