//! libFuzzer on `gitmoor_fuzz::pack_index`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::pack_index::run(data));
