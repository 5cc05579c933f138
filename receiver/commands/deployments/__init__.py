"""`deploywatch deployments`: the ledger told and asked, the gate, a stage watched, a slot swapped."""
