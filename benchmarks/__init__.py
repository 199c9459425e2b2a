"""Measurements: each case in a fresh process, ratios within one run, a table for people and a line of JSON for machines."""
