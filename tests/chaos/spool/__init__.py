"""What attacks the spool: damage, kills at every write, bad disks, backlogs, replays."""
