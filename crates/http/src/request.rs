//! The head of an HTTP/1.1 request: bytes to [`Request`]. Bodies are not taken.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};

/// The most bytes of a request's head. A longer one is refused.
pub const MAX_HEAD_BYTES: usize = 8 << 10;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// In upper case, as sent.
    pub method: String,
    /// Starts with a slash; not percent-decoded.
    pub path: String,
    /// What follows the question mark, without it; empty when there is none.
    pub query: String,
    /// Who says to ask; not checked here.
    pub credentials: Option<Credentials>,
}

/// Name and password of `Authorization: Basic`. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The role.
    pub user: String,
    /// Its password, in clear.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?}, …)", self.user)
    }
}

impl Credentials {
    /// Of the header's value; `None`: another scheme, or malformed (RFC 7617).
    fn parse(value: &str) -> Option<Credentials> {
        let (scheme, encoded) = value.split_once(' ')?;
        let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (user, password) = decoded.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

impl Request {
    /// `GET` of a path with or without a query.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    fn new(method: &str, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            credentials: None,
        }
    }

    /// The value of a query parameter, not percent-decoded; the first when there are several.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// A request's head, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What is asked.
    pub request: Request,
    /// Bytes of the input that it took; what follows is the next request.
    pub consumed: usize,
    /// Whether the client wants the connection kept.
    pub keep_alive: bool,
}

/// Why the bytes are no request that is answered. The connection is to be closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRequest {
    /// The head is longer than [`MAX_HEAD_BYTES`].
    HeadTooLong,
    /// Not `METHOD target HTTP/1.x`, or not text.
    Malformed,
    /// It announces a body.
    BodyNotTaken,
}

impl BadRequest {
    /// The status to answer with.
    pub fn status(self) -> u16 {
        match self {
            BadRequest::HeadTooLong => 431,
            BadRequest::Malformed => 400,
            BadRequest::BodyNotTaken => 413,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadRequest::HeadTooLong => write!(f, "the request's head is longer than {MAX_HEAD_BYTES} bytes"),
            BadRequest::Malformed => f.write_str("not an HTTP/1.1 request"),
            BadRequest::BodyNotTaken => f.write_str("requests with a body are not taken here"),
        }
    }
}

impl std::error::Error for BadRequest {}

/// Reads a request's head from the beginning of `input`. `Ok(None)`: it is not whole yet, read more.
pub fn parse_request(input: &[u8]) -> Result<Option<Parsed>, BadRequest> {
    let within = &input[..input.len().min(MAX_HEAD_BYTES)];
    let Some(end) = within.windows(4).position(|window| window == b"\r\n\r\n") else {
        let too_long = input.len() >= MAX_HEAD_BYTES;
        return if too_long {
            Err(BadRequest::HeadTooLong)
        } else {
            Ok(None)
        };
    };
    let head = str::from_utf8(&input[..end]).map_err(|_| BadRequest::Malformed)?;
    let mut lines = head.split("\r\n");
    let (mut request, mut keep_alive) = parse_request_line(lines.next().unwrap_or_default())?;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(BadRequest::Malformed)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("transfer-encoding")
            || (name.eq_ignore_ascii_case("content-length") && value != "0")
        {
            return Err(BadRequest::BodyNotTaken);
        }
        if name.eq_ignore_ascii_case("authorization") {
            request.credentials = Credentials::parse(value);
        }
        if name.eq_ignore_ascii_case("connection") {
            keep_alive = value.eq_ignore_ascii_case("keep-alive")
                || (keep_alive && !value.eq_ignore_ascii_case("close"));
        }
    }
    Ok(Some(Parsed {
        request,
        consumed: end + 4,
        keep_alive,
    }))
}

/// The request, and whether its version keeps connections by default.
fn parse_request_line(line: &str) -> Result<(Request, bool), BadRequest> {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BadRequest::Malformed);
    };
    let method_is_valid = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let keeps = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(BadRequest::Malformed),
    };
    if !method_is_valid || !target.starts_with('/') || target.chars().any(char::is_control) {
        return Err(BadRequest::Malformed);
    }
    Ok((Request::new(method, target), keeps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Parsed {
        parse_request(text.as_bytes()).expect("valid").expect("whole")
    }

    #[test]
    fn a_request_is_read_with_its_query_and_leaves_the_next_one_alone() {
        let text = "GET /replica?lag=16MB&x=1 HTTP/1.1\r\nHost: here\r\n\r\nGET /next";
        let Parsed {
            request,
            consumed,
            keep_alive,
        } = parsed(text);
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("GET", "/replica")
        );
        assert_eq!(request.parameter("lag"), Some("16MB"));
        assert_eq!(request.parameter("absent"), None);
        assert_eq!(&text[consumed..], "GET /next");
        assert!(keep_alive);
    }

    #[test]
    fn an_unfinished_head_asks_for_more_and_every_prefix_of_a_request_is_unfinished() {
        let text = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse_request(&text[..end]), Ok(None), "{end} bytes");
        }
    }

    #[test]
    fn the_connection_is_kept_as_the_version_and_the_header_say() {
        assert!(!parsed("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(parsed("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
        assert!(!parsed("GET / HTTP/1.1\r\nconnection: Close\r\n\r\n").keep_alive);
    }

    #[test]
    fn name_and_password_are_read_and_not_printed() {
        // ada:pass:word
        let request = parsed("GET / HTTP/1.1\r\nAuthorization: basic YWRhOnBhc3M6d29yZA==\r\n\r\n").request;
        assert!(!format!("{request:?}").contains("word"));
        let credentials = request.credentials.expect("well-formed");
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_str()),
            ("ada", "pass:word")
        );
        for value in [
            "Bearer YWRhOnBhc3M6d29yZA==",
            "Basic ?",
            "Basic YWRh",
            "Basic",
            "",
        ] {
            let text = format!("GET / HTTP/1.1\r\nAuthorization: {value}\r\n\r\n");
            assert_eq!(parsed(&text).request.credentials, None, "{value}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let refused = |text: &[u8]| parse_request(text).expect_err("refused");
        assert_eq!(refused(b"hello\r\n\r\n"), BadRequest::Malformed);
        assert_eq!(refused(b"GET  / HTTP/1.1\r\n\r\n"), BadRequest::Malformed);
        assert_eq!(refused(b"get / HTTP/1.1\r\n\r\n"), BadRequest::Malformed);
        assert_eq!(refused(b"GET / HTTP/2\r\n\r\n"), BadRequest::Malformed);
        assert_eq!(refused(b"GET http://x/ HTTP/1.1\r\n\r\n"), BadRequest::Malformed);
        assert_eq!(refused(b"GET /\xFF HTTP/1.1\r\n\r\n"), BadRequest::Malformed);
        assert_eq!(
            refused(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n"),
            BadRequest::Malformed
        );
        assert_eq!(
            refused(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"),
            BadRequest::BodyNotTaken
        );
        assert_eq!(
            refused(b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            BadRequest::BodyNotTaken
        );
        assert_eq!(refused(&[b'a'; MAX_HEAD_BYTES]), BadRequest::HeadTooLong);
        assert_eq!(parse_request(&[b'a'; MAX_HEAD_BYTES - 1]), Ok(None));
    }
}
