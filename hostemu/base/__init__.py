"""Units, errors, deadlines and named random streams: what every other part stands on."""
