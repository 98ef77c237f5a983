//! Logins: whatever a client sends, it is not let in without the password, and nothing panics. Verifiers: what reads,
//! prints as it was.

use bellwether_pg::scram::{Exchange, NONCE_BYTES, SALT_BYTES, Step, Verifier};

use crate::source::Source;

/// Byte 0: whether the role exists (bit 0), whether there is TLS (bit 1), whether what follows is a verifier's text
/// (bit 2). Then messages, each behind its length.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let shape = source.byte();
    if shape & 4 != 0 {
        let text = String::from_utf8_lossy(source.rest()).into_owned();
        if let Some(verifier) = Verifier::parse(&text) {
            assert_eq!(Verifier::parse(&verifier.to_string()), Some(verifier));
        }
        return;
    }
    let verifier = Verifier::mock(b"key", "ada");
    let binding = (shape & 2 != 0).then(|| vec![7; 32]);
    let mut exchange = Exchange::new(verifier, shape & 1 != 0, [5; NONCE_BYTES], binding);
    exchange.offer();
    while !source.is_empty() {
        match exchange.handle(source.chunk()) {
            Ok(Step::Ask(_)) => assert!(exchange.awaits_proof()),
            Ok(Step::Proven { .. }) => panic!("let in without the password"),
            Ok(Step::Refused) | Err(_) => assert!(!exchange.awaits_proof()),
        }
    }
}

/// A login as libpq sends it, with and without channel binding, and a verifier.
pub fn seeds() -> Vec<Vec<u8>> {
    let nonce = "rOprNGfwEbeRWgbNEkqO";
    let session = |shape: u8, mechanism: &str, header: &str, bound: &str| {
        let first = format!("{header}n=,r={nonce}");
        let mut initial = [mechanism.as_bytes(), &[0]].concat();
        initial.extend((first.len() as u32).to_be_bytes());
        initial.extend(first.as_bytes());
        // Our half of the nonce is known.
        let last = format!(
            "c={bound},r={nonce}BQUFBQUFBQUFBQUFBQUFBQUFBQUF,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        let mut seed = vec![shape];
        for message in [&initial[..], last.as_bytes()] {
            seed.push(message.len() as u8);
            seed.extend(message);
        }
        seed
    };
    let verifier = Verifier::new("pencil", [1; SALT_BYTES]).to_string();
    vec![
        session(1, "SCRAM-SHA-256", "n,,", "biws"),
        session(
            3,
            "SCRAM-SHA-256-PLUS",
            "p=tls-server-end-point,,",
            "cD10bHMtc2VydmVyLWVuZC1wb2ludCws",
        ),
        session(3, "SCRAM-SHA-256", "y,,", "eSws"),
        [&[4], verifier.as_bytes()].concat(),
    ]
}
