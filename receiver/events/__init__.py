"""What happened to deployments and incidents, published as CloudEvents with the types of CDEvents."""
