"""The payment provider behind one adapter: nothing else of ours knows its SDK."""
