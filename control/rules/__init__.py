"""What may be done to an app, and what follows from it: pure rules, one view into the next."""
