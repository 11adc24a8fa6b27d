"""The archive under crash, fault and race: nothing is lost, doubled, or wrongly called verified."""
