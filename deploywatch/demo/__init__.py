"""Everything at once on one machine: private servers, the sample shop, and the story of a bad deployment."""
