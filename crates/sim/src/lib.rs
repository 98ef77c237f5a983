//! Whole clusters from one seed: real storage on simulated disk, network and clock.
