"""Files on disk, below every adapter: atomic writes, hashes, locks between processes."""
