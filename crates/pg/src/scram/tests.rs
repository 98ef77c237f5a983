use super::*;

/// SASLInitialResponse.
fn initial(mechanism: &str, message: &str) -> Vec<u8> {
    let mut bytes = mechanism.as_bytes().to_vec();
    bytes.push(0);
    bytes.extend((message.len() as i32).to_be_bytes());
    bytes.extend(message.as_bytes());
    bytes
}

/// The server of RFC 7677, section 3, whose nonce is no base64 of 18 bytes.
fn of_the_rfc() -> Exchange {
    let salt = BASE64_STANDARD
        .decode("W22ZaJ0SNY7soEsUEjb6gQ==")
        .expect("base64");
    let verifier = Verifier::derive("pencil", &salt, 4096);
    let mut exchange = Exchange::new(verifier, true, [0; NONCE_BYTES], None);
    exchange.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned();
    exchange
}

const RFC_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_ANSWER: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

#[test]
fn the_rfcs_example_is_spoken_word_for_word() {
    let mut exchange = of_the_rfc();
    assert_eq!(
        exchange.offer(),
        Authentication::Sasl(vec!["SCRAM-SHA-256".to_owned()])
    );
    let asked = exchange.handle(&initial(PLAIN, RFC_FIRST));
    let expected = Step::Ask(Authentication::SaslContinue(RFC_ANSWER.as_bytes().to_vec()));
    assert_eq!(asked, Ok(expected));
    let signature = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec();
    assert_eq!(
        exchange.handle(RFC_FINAL.as_bytes()),
        Ok(Step::Proven { signature })
    );
    assert!(exchange.handle(RFC_FINAL.as_bytes()).is_err(), "it is over");
}

#[test]
fn a_proof_that_is_wrong_in_one_bit_is_refused() {
    let mut exchange = of_the_rfc();
    exchange.handle(&initial(PLAIN, RFC_FIRST)).expect("well-formed");
    let wrong = RFC_FINAL.replace("p=dHzb", "p=dXzb");
    assert_eq!(exchange.handle(wrong.as_bytes()), Ok(Step::Refused));
}

#[test]
fn a_role_that_is_not_known_is_refused_even_with_the_right_proof() {
    let mut exchange = of_the_rfc();
    exchange.is_known = false;
    exchange.handle(&initial(PLAIN, RFC_FIRST)).expect("well-formed");
    assert_eq!(exchange.handle(RFC_FINAL.as_bytes()), Ok(Step::Refused));
}

/// A client's final message, computed independently of the server's code path.
fn client_final(password: &str, header: &[u8], bare: &str, answer: &str) -> String {
    let fields: Vec<&str> = answer.split(',').collect();
    let salt = BASE64_STANDARD.decode(&fields[1][2..]).expect("base64");
    let iterations = fields[2][2..].parse().expect("a number");
    let mut salted = Key::default();
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password.as_bytes(), &salt, iterations, &mut salted);
    let without_proof = format!("c={},{}", BASE64_STANDARD.encode(header), fields[0]);
    let signed = format!("{bare},{answer},{without_proof}");
    let client_key = keyed_hash(&salted, &[b"Client Key"]);
    let mask = keyed_hash(&hash(&client_key), &[signed.as_bytes()]);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(mask)
        .map(|(key, mask)| key ^ mask)
        .collect();
    format!("{without_proof},p={}", BASE64_STANDARD.encode(proof))
}

fn inside_tls(certificate: &[u8]) -> Exchange {
    let verifier = Verifier::new("pencil", [3; SALT_BYTES]);
    Exchange::new(verifier, true, [5; NONCE_BYTES], Some(certificate.to_vec()))
}

/// The answer to a first message.
fn asked(exchange: &mut Exchange, mechanism: &str, first: &str) -> String {
    match exchange.handle(&initial(mechanism, first)) {
        Ok(Step::Ask(Authentication::SaslContinue(answer))) => String::from_utf8(answer).expect("text"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn inside_tls_plus_is_offered_first_and_binds_to_the_certificate() {
    let mut exchange = inside_tls(b"hash of ours");
    let offered = Authentication::Sasl(vec![PLUS.to_owned(), PLAIN.to_owned()]);
    assert_eq!(exchange.offer(), offered);
    let bare = "n=,r=abc";
    let answer = asked(&mut exchange, PLUS, &format!("p=tls-server-end-point,,{bare}"));
    let last = client_final("pencil", b"p=tls-server-end-point,,hash of ours", bare, &answer);
    assert!(matches!(
        exchange.handle(last.as_bytes()),
        Ok(Step::Proven { .. })
    ));
}

#[test]
fn a_client_that_sees_another_certificate_is_refused() {
    let mut exchange = inside_tls(b"hash of ours");
    let bare = "n=,r=abc";
    let answer = asked(&mut exchange, PLUS, &format!("p=tls-server-end-point,,{bare}"));
    let last = client_final("pencil", b"p=tls-server-end-point,,another hash", bare, &answer);
    let refused = exchange.handle(last.as_bytes()).expect_err("a man in the middle");
    assert_eq!(refused.kind, ErrorKind::InvalidAuthorization);
}

#[test]
fn a_client_that_was_told_no_plus_although_we_offered_it_is_refused() {
    let mut exchange = inside_tls(b"hash of ours");
    let refused = exchange
        .handle(&initial(PLAIN, "y,,n=,r=abc"))
        .expect_err("a downgrade");
    assert_eq!(refused.kind, ErrorKind::InvalidAuthorization);
    // One that cannot bind at all may come in without.
    let mut exchange = inside_tls(b"hash of ours");
    let answer = asked(&mut exchange, PLAIN, "n,,n=,r=abc");
    let last = client_final("pencil", b"n,,", "n=,r=abc", &answer);
    assert!(matches!(
        exchange.handle(last.as_bytes()),
        Ok(Step::Proven { .. })
    ));
}

#[test]
fn messages_that_are_none_are_refused_and_nothing_panics() {
    let firsts = [
        Vec::new(),
        b"SCRAM-SHA-256".to_vec(),
        b"SCRAM-SHA-256\0\0\0\0\x7fn,,n=,r=a".to_vec(),
        b"SCRAM-SHA-256\0\xff\xff\xff\xff".to_vec(),
        initial("SCRAM-SHA-1", "n,,n=,r=a"),
        initial(PLUS, "p=tls-server-end-point,,n=,r=a"),
        initial(PLAIN, "p=tls-server-end-point,,n=,r=a"),
        initial(PLAIN, "x,,n=,r=a"),
        initial(PLAIN, "n,a=admin,n=,r=a"),
        initial(PLAIN, "n,,m=x,n=,r=a"),
        initial(PLAIN, "n,,r=a"),
        initial(PLAIN, "n,,n=,r="),
        initial(PLAIN, "n,,n=,r=a\u{7}"),
        initial(PLAIN, ""),
    ];
    for first in firsts {
        let refused = of_the_rfc().handle(&first);
        assert!(refused.is_err(), "{:?}", String::from_utf8_lossy(&first));
    }
    for last in [
        "",
        "c=biws",
        "p=",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        &RFC_FINAL.replace("biws", "eSws"),
        &RFC_FINAL[..RFC_FINAL.len() - 4],
    ] {
        let mut exchange = of_the_rfc();
        exchange.handle(&initial(PLAIN, RFC_FIRST)).expect("well-formed");
        assert!(exchange.handle(last.as_bytes()).is_err(), "{last}");
    }
}
