"""Nothing of interest here."""
