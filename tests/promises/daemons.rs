//! Daemons: replicas made again, removals, memory.
