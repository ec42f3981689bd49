//! SciOS: a node's services. Messages, RPC, physical memory and membership; it knows nobody above it.
