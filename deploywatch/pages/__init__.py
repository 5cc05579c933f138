"""What all HTML of ours is made with: one Jinja2 environment, the frame of a page, its style, script and icons."""
