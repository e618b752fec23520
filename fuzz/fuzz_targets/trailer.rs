//! libFuzzer on `gitmoor_fuzz::trailer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::trailer::run(data));
