"""What surrounds the service: migrations of the ledger, and the parts that it runs on."""
