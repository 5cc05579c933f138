"""What a service says of its own health: the words, its checks, its resources, and the body that holds them."""
