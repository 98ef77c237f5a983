//! Randomness from the operating system.

use std::io;

use bellwether_types::{ErrorKind, SqlError};

/// Bytes that nobody can guess; at most 256, which the system gives whole.
pub(crate) fn random_array<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= 256) };
    let mut bytes = [0u8; N];
    // SAFETY: the pointer and length are of one array.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize {
        Ok(bytes)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// For a client.
pub(crate) fn no_randomness(error: io::Error) -> SqlError {
    SqlError::new(ErrorKind::Internal, "the system gave no random bytes").with_detail(error.to_string())
}
