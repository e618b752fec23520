//! libFuzzer on `gitmoor_fuzz::peers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::peers::run(data));
