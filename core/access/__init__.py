"""On whose behalf services call each other, and the record of what they handed out."""
