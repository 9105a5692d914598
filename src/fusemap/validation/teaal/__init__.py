"""TeAAL's YAML (MICRO 2023): its dense Einsums as a cascade, and a cascade as its Einsums."""
