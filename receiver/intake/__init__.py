"""What comes in over HTTP: bounded, understood or refused with every fault, and committed before it is answered."""
