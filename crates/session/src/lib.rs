//! What a read promises: tokens, guarantees, routing.
