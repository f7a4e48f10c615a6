"""The app of `turnout demo`."""
