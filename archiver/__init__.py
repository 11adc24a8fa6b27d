"""Turns closed months into verified files, keeps them two years, hands them out."""
