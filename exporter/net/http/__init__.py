"""One HTTP/1.1 request and its answer: asked, read up to a limit, judged, and what its body says."""
