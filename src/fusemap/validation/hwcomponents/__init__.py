"""Component energies of hwcomponents (and its CACTI), run in another interpreter: compared, recorded, imported."""
