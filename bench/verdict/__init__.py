"""The verdict: how soon a bad canary is found, and how often a healthy one is rolled back, beside what others do."""
