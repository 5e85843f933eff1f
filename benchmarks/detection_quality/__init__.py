"""How good detection is: precision and recall beside the peers, and false alarms on ordinary files."""
