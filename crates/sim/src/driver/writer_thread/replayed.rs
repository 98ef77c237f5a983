//! Mistakes of a replica that runs the log's statements: it does not give them all that they were run with.

use bellwether_types::format::statement::{Executed, Step};
use bellwether_types::{Decoder, Encoder, Entry, Payload};

use crate::bug::Bug;

/// The entry as a replica with this mistake understands it; `None`: as everybody does.
pub(super) fn misread(entry: &Entry, bug: Option<Bug>) -> Option<Entry> {
    let forget: fn(&mut Executed<'_>) = match bug? {
        Bug::ReplayAtAnotherTime => |executed| executed.transaction_ms += 86_400_000,
        Bug::ReplayWithoutSession => |executed| executed.foreign_keys = false,
        _ => return None,
    };
    let Ok(Payload::Record(mut record)) = Payload::from_bytes(&entry.payload) else {
        return None;
    };
    let body = std::mem::take(&mut record.body);
    let mut input = Decoder::new(&body);
    let mut out = Encoder::new();
    while input.remaining() > 0 {
        // A statement that began in a chunk is let be.
        let mut step = Step::decode(&mut input).ok()?;
        if let Step::Statement(executed) = &mut step {
            forget(executed);
        }
        step.encode(&mut out);
    }
    record.body = out.into_vec().into();
    Some(Entry {
        position: entry.position,
        payload: Payload::Record(record).to_bytes(),
    })
}
