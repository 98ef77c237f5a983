//! The HTTP front door's parser: `bellwether_http::parse_request`.
//!
//! Besides that it never panics: a request's head means the same however much of what follows has arrived, and
//! every proper prefix of it asks for more.

use bellwether_http::{MAX_HEAD_BYTES, parse_request};

/// The input is what the client sends.
pub fn run(input: &[u8]) {
    match parse_request(input) {
        Ok(Some(parsed)) => {
            assert!(parsed.consumed <= input.len().min(MAX_HEAD_BYTES));
            assert!(parsed.request.path.starts_with('/'));
            parsed.request.parameter("lag");
            let head = &input[..parsed.consumed];
            assert_eq!(parse_request(head), Ok(Some(parsed)));
            for end in [0, head.len() / 2, head.len() - 1] {
                assert_eq!(parse_request(&head[..end]), Ok(None));
            }
        }
        Ok(None) => assert!(input.len() < MAX_HEAD_BYTES),
        Err(error) => assert!(matches!(error.status(), 400..=499), "{error}"),
    }
}

/// Requests as clients send them.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "GET /health HTTP/1.1\r\nHost: localhost:8008\r\n\r\n",
        "GET /replica?lag=16MB&x=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /metrics HTTP/1.0\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "OPTIONS * HTTP/1.1\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
