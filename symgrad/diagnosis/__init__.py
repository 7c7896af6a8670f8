"""Diagnosis of training: predicted from the formulas, confirmed by measurement."""
