//! Rows as CopyData messages.

use bellwether_types::{SqlError, ValueRef};

use super::decode::SIGNATURE;
use super::{Header, Layout};
use crate::row::RowEncoder;

/// Writes a CopyData message around what `content` writes.
fn message(
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    let start = out.len();
    out.push(b'd');
    out.extend_from_slice(&[0; 4]);
    let written = content(out).and_then(|()| crate::row::patch_length(out, start + 1, start + 1));
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// What comes before the first row.
pub(crate) fn put_header(layout: &Layout, encoder: &RowEncoder, out: &mut Vec<u8>) {
    let names = encoder.fields().iter().map(|field| field.name.as_bytes());
    let put = |out: &mut Vec<u8>| {
        match layout {
            Layout::Text(text) => {
                for (index, name) in names.enumerate() {
                    if index > 0 {
                        out.push(text.delimiter);
                    }
                    text.put(name, out);
                }
                out.push(b'\n');
            }
            Layout::Csv(csv) => {
                for (index, name) in names.enumerate() {
                    if index > 0 {
                        out.push(csv.delimiter);
                    }
                    csv.put(name, false, out);
                }
                out.push(b'\n');
            }
            Layout::Binary => {
                out.extend_from_slice(&SIGNATURE);
                out.extend_from_slice(&[0; 8]);
            }
        }
        Ok(())
    };
    let is_due = match layout {
        Layout::Text(text) => text.header != Header::None,
        Layout::Csv(csv) => csv.header != Header::None,
        Layout::Binary => true,
    };
    if is_due {
        message(out, put).expect("names are short");
    }
}

/// One row. An error (a value that does not fit its column's type) leaves `out` as it was.
pub(crate) fn put_row<'v>(
    layout: &Layout,
    encoder: &RowEncoder,
    values: impl IntoIterator<Item = ValueRef<'v>>,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    message(out, |out| {
        if layout.is_binary() {
            return encoder.encode_values(values, out);
        }
        let mut printed = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            printed.clear();
            if value != ValueRef::Null {
                encoder.put(index, value, &mut printed)?;
            }
            match layout {
                Layout::Text(text) => {
                    if index > 0 {
                        out.push(text.delimiter);
                    }
                    match value {
                        ValueRef::Null => out.extend_from_slice(text.null.as_bytes()),
                        _ => text.put(&printed, out),
                    }
                }
                Layout::Csv(csv) => {
                    if index > 0 {
                        out.push(csv.delimiter);
                    }
                    let forced = csv.force_quote.has(&encoder.fields()[index].name);
                    match value {
                        ValueRef::Null => out.extend_from_slice(csv.null.as_bytes()),
                        _ => csv.put(&printed, forced, out),
                    }
                }
                Layout::Binary => unreachable!("handled above"),
            }
        }
        out.push(b'\n');
        Ok(())
    })
}

/// What comes after the last row.
pub(crate) fn put_end(layout: &Layout, out: &mut Vec<u8>) {
    if layout.is_binary() {
        let mark = |out: &mut Vec<u8>| {
            out.extend_from_slice(&(-1i16).to_be_bytes());
            Ok(())
        };
        message(out, mark).expect("two bytes");
    }
}
