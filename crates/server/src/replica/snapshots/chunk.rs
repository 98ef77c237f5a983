//! A piece of an image on its way: where it belongs, a checksum over its place and content, and the content, packed
//! where that saves something.

use std::fmt;

use bellwether_storage::snapshot::ImageId;
use bellwether_types::codec::{DecodeError, Decoder, Encoder};
use bytes::Bytes;
use lz4_flex::block;

/// Of an image at a time: what each side holds a few of, and what is fetched again at most when a part has a torn end.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Looked at before a chunk is packed: so many pieces of it, each so long.
const SAMPLES: usize = 4;
const SAMPLE_BYTES: usize = 16 << 10;

/// The longest frame: a chunk that is not packed, and what is said of it.
pub(super) const CHUNK_FRAME_BYTES: usize = CHUNK_BYTES + 64;

/// Frozen.
mod packing {
    pub const NONE: u8 = 0;
    pub const LZ4: u8 = 1;
}

/// A piece of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Where it belongs.
    pub offset: u64,
    /// As [`ImageId::checksum`] has it, by its sender.
    pub checksum: u64,
    pub content: Bytes,
}

/// What came is no chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChunkError {
    Decode(DecodeError),
    Packing,
}

impl From<DecodeError> for ChunkError {
    fn from(error: DecodeError) -> ChunkError {
        ChunkError::Decode(error)
    }
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChunkError::Decode(error) => write!(f, "{error}"),
            ChunkError::Packing => f.write_str("a packed chunk cannot be unpacked"),
        }
    }
}

/// Appends the piece of this image at `offset`, at most [`CHUNK_BYTES`] long. Packed, unless that saves less than a
/// sixteenth.
pub(super) fn encode(image: ImageId, offset: u64, content: &[u8], out: &mut Encoder) {
    debug_assert!(content.len() <= CHUNK_BYTES, "{} bytes", content.len());
    out.u64(offset);
    out.fixed_u64(image.checksum(offset, content));
    match packed(content) {
        Some(packed) => {
            out.u8(packing::LZ4);
            out.u64(content.len() as u64);
            out.raw(&packed);
        }
        None => {
            out.u8(packing::NONE);
            out.raw(content);
        }
    }
}

/// `None`: it saves too little. Of a long one samples tell, so that what cannot be packed costs next to nothing.
fn packed(content: &[u8]) -> Option<Vec<u8>> {
    let saves = |packed: &[u8], content: &[u8]| packed.len() <= content.len() - content.len().div_ceil(16);
    if content.len() > SAMPLES * SAMPLE_BYTES * 2 {
        let starts = (0..content.len()).step_by(content.len().div_ceil(SAMPLES));
        let mut samples = starts.filter_map(|start| content.get(start..start + SAMPLE_BYTES));
        if !samples.any(|sample| saves(&block::compress(sample), sample)) {
            return None;
        }
    }
    Some(block::compress(content)).filter(|packed| saves(packed, content))
}

/// Reads what [`encode`] wrote. That the content fits its checksum is for whoever knows the image to see.
pub(super) fn decode(bytes: &Bytes) -> Result<Chunk, ChunkError> {
    let mut input = Decoder::new(bytes);
    let offset = input.u64()?;
    let checksum = input.fixed_u64()?;
    let content = match input.u8()? {
        packing::NONE => {
            let content = input.rest();
            bounded(content.len() as u64)?;
            bytes.slice_ref(content)
        }
        packing::LZ4 => {
            let len = bounded(input.u64()?)?;
            let mut content = vec![0; len];
            match block::decompress_into(input.rest(), &mut content) {
                Ok(unpacked) if unpacked == len => content.into(),
                _ => return Err(ChunkError::Packing),
            }
        }
        other => {
            return Err(ChunkError::Decode(DecodeError::UnknownTag {
                what: "how a chunk is packed",
                tag: u64::from(other),
            }));
        }
    };
    Ok(Chunk {
        offset,
        checksum,
        content,
    })
}

fn bounded(value: u64) -> Result<usize, DecodeError> {
    let len = usize::try_from(value).ok().filter(|len| *len <= CHUNK_BYTES);
    len.ok_or(DecodeError::OutOfRange {
        what: "a chunk's length",
        value,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IMAGE: ImageId = ImageId(77);

    fn encoded(offset: u64, content: &[u8]) -> Bytes {
        let mut out = Encoder::new();
        encode(IMAGE, offset, content, &mut out);
        out.into_vec().into()
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..len).map(|_| byte()).collect()
    }

    #[test]
    fn what_repeats_is_packed_and_what_does_not_stays_as_it_is() {
        let packed = encoded(0, &[7; CHUNK_BYTES]);
        assert!(packed.len() < CHUNK_BYTES / 100, "{}", packed.len());
        let raw = encoded(u64::MAX, &noise(CHUNK_BYTES));
        assert!(raw.len() <= CHUNK_FRAME_BYTES, "{}", raw.len());
        assert_eq!(
            decode(&raw).map(|chunk| chunk.content),
            Ok(noise(CHUNK_BYTES).into())
        );
    }

    #[test]
    fn a_chunk_of_which_a_quarter_can_be_packed_is() {
        let mut content = noise(CHUNK_BYTES);
        content[CHUNK_BYTES / 2..CHUNK_BYTES / 4 * 3].fill(7);
        let packed = encoded(0, &content);
        assert!(packed.len() < CHUNK_BYTES / 5 * 4, "{}", packed.len());
        assert_eq!(decode(&packed).map(|chunk| chunk.content), Ok(content.into()));
    }

    #[test]
    fn nothing_larger_than_a_chunk_is_unpacked() {
        let mut out = Encoder::new();
        out.u64(0);
        out.fixed_u64(0);
        out.u8(packing::LZ4);
        out.u64(CHUNK_BYTES as u64 + 1);
        let refused = decode(&out.into_vec().into());
        assert!(matches!(
            refused,
            Err(ChunkError::Decode(DecodeError::OutOfRange { .. }))
        ));
    }

    proptest! {
        #[test]
        fn a_chunk_reads_back(offset: u64, content in proptest::collection::vec(0_u8..3, 0..3000)) {
            let chunk = decode(&encoded(offset, &content));
            let checksum = IMAGE.checksum(offset, &content);
            prop_assert_eq!(chunk, Ok(Chunk { offset, checksum, content: content.into() }));
        }

        #[test]
        fn no_changed_bit_goes_unseen(content in proptest::collection::vec(0_u8..3, 1..600), bit: prop::sample::Index) {
            let mut bytes = encoded(5, &content).to_vec();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(chunk) = decode(&bytes.into()) {
                let fits = IMAGE.checksum(chunk.offset, &chunk.content) == chunk.checksum;
                // Two blocks can hold the same; then nothing is lost.
                prop_assert!(!fits || (chunk.offset == 5 && chunk.content == content));
            }
        }

        #[test]
        fn what_is_cut_or_garbage_never_panics(
            garbage in proptest::collection::vec(any::<u8>(), 0..300),
            content in proptest::collection::vec(0_u8..3, 0..600),
            cut: prop::sample::Index,
        ) {
            let whole = encoded(5, &content);
            for bytes in [garbage.into(), whole.slice(..cut.index(whole.len()))] {
                if let Ok(chunk) = decode(&bytes) {
                    prop_assert_ne!(IMAGE.checksum(chunk.offset, &chunk.content), chunk.checksum);
                }
            }
        }
    }
}
