//! A peer's first words: nobody is accepted who has not proven the cluster's secret, nor who is not wanted.

use bellwether_server::fuzzing;

use crate::source::Source;

/// Byte 0: whether the peer knows the secret (bit 0). Then what it sends.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let knows_secret = source.byte() & 1 != 0;
    fuzzing::peer_handshake(source.rest(), knows_secret);
}

/// Handshakes, with and without the secret.
pub fn seeds() -> Vec<Vec<u8>> {
    let handshakes = fuzzing::peer_handshakes().into_iter();
    handshakes
        .flat_map(|sent| [0, 1].map(|shape| [&[shape], &sent[..]].concat()))
        .collect()
}
