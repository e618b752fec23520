//! libFuzzer on `gitmoor_fuzz::packed_refs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::packed_refs::run(data));
