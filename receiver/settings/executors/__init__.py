"""What the configuration says of executors, and the plans that it comes to; carrying one out is elsewhere."""
