"""Tests of Everlong: laws, parity with other code, slow references, and a unit test file for each source file."""
