//! PostgreSQL's functions over any arguments: an answer or an error, never a panic, and the same again.

use bellwether_pg::functions::FUNCTIONS;
use bellwether_types::{Call, ValueRef};

use crate::source::Source;

/// Arguments that one call gets at most.
const ARGUMENTS_MAX: usize = 6;

/// Bytes 0 and 1: which function. Then, for each argument, its kind and content.
pub fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let function = &FUNCTIONS[usize::from(source.u16()) % FUNCTIONS.len()];
    let Call::Pure(call) = function.call else {
        unreachable!("all of these are pure");
    };
    let wanted = usize::from(function.arguments.max.unwrap_or(ARGUMENTS_MAX as u8)).min(ARGUMENTS_MAX);
    let mut arguments = Vec::new();
    while arguments.len() < wanted {
        let has_enough = function.arguments.takes(arguments.len());
        if source.is_empty() && has_enough {
            break;
        }
        arguments.push(argument(&mut source));
    }
    if !function.arguments.takes(arguments.len()) {
        return;
    }
    // As text: what is not a number equals nothing.
    let answer = format!("{:?}", call(&arguments));
    let again = format!("{:?}", call(&arguments));
    assert_eq!(answer, again, "{} of {arguments:?}", function.name);
}

fn argument<'a>(source: &mut Source<'a>) -> ValueRef<'a> {
    match source.byte() % 8 {
        0 => ValueRef::Null,
        1 => ValueRef::Integer(source.number() as i64),
        2 => ValueRef::Integer(-(i64::from(source.u16()))),
        3 => {
            let real = f64::from_bits(source.number() << 48 | u64::from(source.u16()) << 32);
            // SQLite has none that is not a number.
            ValueRef::Real(if real.is_nan() { 0.0 } else { real })
        }
        4 => ValueRef::Real(f64::from(source.u16()) / 7.0),
        5 => ValueRef::Blob(source.chunk()),
        _ => {
            let bytes = source.chunk();
            // SQLite's texts are UTF-8 when they reach a function; what is not is cut off.
            let valid = match std::str::from_utf8(bytes) {
                Ok(_) => bytes.len(),
                Err(error) => error.valid_up_to(),
            };
            ValueRef::Text(&bytes[..valid])
        }
    }
}

/// Every function with the texts that make sense to some of them.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "2024-02-29 12:30:00.5",
        "{1,NULL,\"a\"}",
        "^a(b|c)*$",
        "12.50",
        "1 day 02:03",
    ];
    let each = |(number, _): (usize, _)| {
        let mut seed = (number as u16).to_le_bytes().to_vec();
        for text in texts.iter().cycle().skip(number).take(4) {
            seed.extend([7, text.len() as u8]);
            seed.extend(text.as_bytes());
        }
        seed
    };
    FUNCTIONS.iter().enumerate().map(each).collect()
}
