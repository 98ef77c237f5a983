//! A client's messages, as bytes.

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn strings(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| text.bytes().chain([0])).collect()
}

/// An opening: no tag.
pub fn opening(major: u16, minor: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend(major.to_be_bytes());
    bytes.extend(minor.to_be_bytes());
    bytes.extend(body);
    bytes
}

pub fn ssl_request() -> Vec<u8> {
    opening(1234, 5679, &[])
}

pub fn cancel(pid: i32, secret: i32) -> Vec<u8> {
    opening(1234, 5678, &[pid.to_be_bytes(), secret.to_be_bytes()].concat())
}

pub fn startup(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body: Vec<u8> = parameters
        .iter()
        .flat_map(|(name, value)| strings(&[name, value]))
        .collect();
    body.push(0);
    opening(3, minor, &body)
}

pub fn login() -> Vec<u8> {
    startup(0, &[("user", "alice"), ("database", "shop")])
}

pub fn password(text: &str) -> Vec<u8> {
    message(b'p', &strings(&[text]))
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &strings(&[sql]))
}

pub fn parse(name: &str, sql: &str, oids: &[u32]) -> Vec<u8> {
    let mut body = strings(&[name, sql]);
    body.extend((oids.len() as u16).to_be_bytes());
    oids.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    message(b'P', &body)
}

/// With parameters and result columns in one format each.
pub fn bind_as(portal: &str, statement: &str, parameters: &[Option<&[u8]>], formats: [i16; 2]) -> Vec<u8> {
    let mut body = strings(&[portal, statement]);
    body.extend([0, 1]);
    body.extend(formats[0].to_be_bytes());
    body.extend((parameters.len() as u16).to_be_bytes());
    for parameter in parameters {
        match parameter {
            Some(bytes) => {
                body.extend((bytes.len() as u32).to_be_bytes());
                body.extend(*bytes);
            }
            None => body.extend((-1i32).to_be_bytes()),
        }
    }
    body.extend([0, 1]);
    body.extend(formats[1].to_be_bytes());
    message(b'B', &body)
}

/// All text.
pub fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let parameters: Vec<_> = parameters.iter().map(|text| Some(text.as_bytes())).collect();
    bind_as(portal, statement, &parameters, [0, 0])
}

pub fn describe_statement(name: &str) -> Vec<u8> {
    message(b'D', &strings(&[&format!("S{name}")]))
}

pub fn describe_portal(name: &str) -> Vec<u8> {
    message(b'D', &strings(&[&format!("P{name}")]))
}

pub fn execute(portal: &str, max_rows: i32) -> Vec<u8> {
    let mut body = strings(&[portal]);
    body.extend(max_rows.to_be_bytes());
    message(b'E', &body)
}

pub fn close_statement(name: &str) -> Vec<u8> {
    message(b'C', &strings(&[&format!("S{name}")]))
}

pub fn close_portal(name: &str) -> Vec<u8> {
    message(b'C', &strings(&[&format!("P{name}")]))
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// Any message, well framed.
pub fn raw(tag: u8, body: &[u8]) -> Vec<u8> {
    message(tag, body)
}
