//! libFuzzer on `gitmoor_fuzz::loose`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::loose::run(data));
