#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| bellwether_fuzz::handshake::run(input));
