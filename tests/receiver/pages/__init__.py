"""The console, as Chromium shows it."""
