"""Prediction: what the formulas say of a gradient before any data are seen."""
