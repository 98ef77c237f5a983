//! A proxy between a client and a node that writes down what the client asks: the texts of Query and Parse messages.
//!
//! Refuses encryption in the node's stead, so that it can read. What it forwards it does not change.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bellwether_types::lexer::{self, Token, TokenKind};

/// Untagged messages that ask for encryption, TLS's and GSSAPI's, by their codes.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];

/// Listens as long as the process lives.
pub struct Recorder {
    address: SocketAddr,
    texts: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    /// In front of a node.
    pub fn start(node: SocketAddr) -> Recorder {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let texts = Arc::default();
        let recorder = Recorder {
            address,
            texts: Arc::clone(&texts),
        };
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let texts = Arc::clone(&texts);
                std::thread::spawn(move || serve(client, node, &texts));
            }
        });
        recorder
    }

    /// Where the client connects.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The texts, each once, in the order in which they first came, as the golden files have them. `own` is what the
    /// client was given to name its tables with.
    fn asked(&self, own: &str) -> String {
        let texts = self.texts.lock().expect("no holder of this lock panics");
        let mut asked: Vec<String> = Vec::new();
        for text in texts.iter() {
            let text = plain(&text.replace(own, "nodeN"));
            if !text.is_empty() && !asked.contains(&text) {
                asked.push(text);
            }
        }
        asked.iter().map(|text| format!("{text};\n\n")).collect()
    }

    /// Compares what was asked with `golden/<client>.sql`, or writes it anew where BLESS is set.
    #[track_caller]
    pub fn check(&self, client: &str, own: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{client}.sql"));
        let asked = self.asked(own);
        if std::env::var_os("BLESS").is_some() {
            return std::fs::write(&path, asked).expect("the golden files' directory");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        // In any order: some clients go through sets of objects.
        let pieces = |text: &str| text.split(";\n\n").map(str::to_owned).collect::<BTreeSet<_>>();
        let (asked, golden) = (pieces(&asked), pieces(&golden));
        if asked == golden {
            return;
        }
        let missing = golden
            .iter()
            .filter(|text| !asked.contains(*text))
            .map(|text| format!("- {text}"));
        let new = asked
            .iter()
            .filter(|text| !golden.contains(*text))
            .map(|text| format!("+ {text}"));
        let difference: Vec<String> = missing.chain(new).collect();
        panic!(
            "{client} asks other things than {} says (BLESS=1 writes it anew):\n{}",
            path.display(),
            difference.join("\n")
        );
    }
}

/// Both directions, until either side hangs up.
fn serve(mut client: TcpStream, node: SocketAddr, texts: &Mutex<Vec<String>>) {
    let Ok(mut server) = TcpStream::connect(node) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let Ok(startup) = startup(&mut client) else {
        return;
    };
    let (Ok(mut answers), Ok(mut back)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    let answering = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = server
        .write_all(&startup)
        .and_then(|()| forward(&mut client, &mut server, texts));
    let _ = server.shutdown(Shutdown::Write);
    let _ = answering.join();
}

/// The first message that is no request for encryption, whole.
fn startup(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    loop {
        let message = message(client, Vec::new())?;
        let code = message
            .get(4..8)
            .and_then(|code| code.try_into().ok())
            .map(u32::from_be_bytes);
        match code {
            Some(code) if ENCRYPTION_REQUESTS.contains(&code) => client.write_all(b"N")?,
            _ => return Ok(message),
        }
    }
}

/// Appends a message, from its length on.
fn message(client: &mut TcpStream, mut message: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    message.extend_from_slice(&length);
    let begin = message.len();
    message.resize(begin + (u32::from_be_bytes(length) as usize).saturating_sub(4), 0);
    client.read_exact(&mut message[begin..])?;
    Ok(message)
}

fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    texts: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut tag = [0];
        client.read_exact(&mut tag)?;
        let message = message(client, tag.to_vec())?;
        let mut strings = message[5..].split(|&byte| byte == 0);
        let text = match tag[0] {
            b'Q' => strings.next(),
            b'P' => strings.nth(1),
            _ => None,
        };
        if let Some(text) = text {
            let text = String::from_utf8_lossy(text).into_owned();
            texts.lock().expect("no holder of this lock panics").push(text);
        }
        server.write_all(&message)?;
    }
}

/// Without what differs from run to run: names of cursors and savepoints, and in statements about the client's own
/// tables the values.
fn plain(text: &str) -> String {
    let words = [
        "SAVEPOINT",
        "RELEASE",
        "ROLLBACK",
        "DECLARE",
        "FETCH",
        "CLOSE",
        "MOVE",
        "DEALLOCATE",
    ];
    let first = lexer::significant(text).next();
    let is_named = first.is_some_and(|first| words.iter().any(|word| first.is_word(word)));
    let begins = |words: &[&str]| first.is_some_and(|first| words.iter().any(|word| first.is_word(word)));
    let asks_catalog = ["pg_", "information_schema", "current_"]
        .iter()
        .any(|part| text.contains(part));
    let has_values =
        begins(&["INSERT", "UPDATE", "DELETE"]) || (begins(&["SELECT", "WITH"]) && !asks_catalog);
    let spelled = lexer::tokens(text).map(|token| match token.kind {
        TokenKind::Word | TokenKind::Quoted
            if is_named && token.text.contains(|c: char| c.is_ascii_digit()) =>
        {
            "\"…\"".to_owned()
        }
        TokenKind::Text if has_values || is_moment(token.text) => "'…'".to_owned(),
        // Oids of the client's own tables.
        TokenKind::Number | TokenKind::Text if is_oid(&token) => "<oid>".to_owned(),
        TokenKind::Space if token.text.contains('\n') => "\n".to_owned(),
        _ => token.text.to_owned(),
    });
    let spelled: String = spelled.collect();
    spelled.trim().trim_end_matches(';').to_owned()
}

/// `'2024-02-29 12:00:00'`.
fn is_moment(text: &str) -> bool {
    let text = text.as_bytes();
    text.len() > 19 && text[1..5].iter().all(u8::is_ascii_digit) && text[5] == b'-' && text[14] == b':'
}

fn is_oid(token: &Token<'_>) -> bool {
    let digits = token.unquoted();
    digits.len() >= 5 && digits.bytes().all(|byte| byte.is_ascii_digit())
}
