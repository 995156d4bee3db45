"""The service around the core: settings, storage, ledger, callbacks, client, watcher and workers. Extra `service`."""
