"""The console: files for a browser, and how it signs in."""
