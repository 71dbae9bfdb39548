"""Tests of the leak guard: sound data pass, and every planted leak is found."""
