"""The `fusemap` command: one module per sub-command, each with a click command named `command`."""
