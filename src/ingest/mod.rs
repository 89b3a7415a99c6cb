//! Text captures to events: one parser per format, the order of effects, the ledger of lines.
