//! libFuzzer on `gitmoor_fuzz::s3_answer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gitmoor_fuzz::s3_answer::run(data));
