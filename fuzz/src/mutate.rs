//! A mutator for the short runs: no coverage, but the same inputs in every run and on
//! every machine, without a special build. What libFuzzer does to bytes, in small.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Longest input.
const MOST: usize = 64 << 10;

/// Bytes and numbers at which parsers stumble.
const TOKENS: [&[u8]; 22] = [
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"/",
    b"..",
    b"=",
    b"\"",
    b"\\",
    b"[",
    b"]",
    b"^",
    b"+",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\0\0\0\0\0\0\0\0",
    "ü€".as_bytes(),
];

/// Makes inputs out of seeds.
pub struct Mutator {
    rng: StdRng,
    seeds: Vec<Vec<u8>>,
}

impl Mutator {
    /// The same inputs for the same number and seeds.
    pub fn new(number: u64, mut seeds: Vec<Vec<u8>>) -> Self {
        seeds.push(Vec::new());
        let rng = StdRng::seed_from_u64(number);
        Self { rng, seeds }
    }

    /// The next input: a seed after one or a few changes.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        for _ in 0..=self
            .rng
            .random_range(0..6u32)
            .min(self.rng.random_range(0..6))
        {
            self.change(&mut input);
        }
        input.truncate(MOST);
        input
    }

    fn seed(&mut self) -> &[u8] {
        self.seeds
            .choose(&mut self.rng)
            .expect("there is the empty one")
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.random_range(0..=input.len());
        let end = at + self.rng.random_range(0..=(input.len() - at).min(40));
        match self.rng.random_range(0..8) {
            0 => self.flip(input),
            1 => self.set(input),
            2 => drop(input.splice(at..end, [])),
            3 => drop(input.splice(at..at, input[at..end].to_vec())),
            4 => self.repeat(input, at..end),
            5 => {
                let token = *TOKENS.choose(&mut self.rng).expect("there are some");
                input.splice(at..at, token.iter().copied());
            }
            6 => {
                let token = *TOKENS.choose(&mut self.rng).expect("there are some");
                let end = (at + token.len()).min(input.len());
                input.splice(at..end, token.iter().copied());
            }
            _ => {
                let other = self.seed().to_vec();
                let from = self.rng.random_range(0..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        let bit = 1 << self.rng.random_range(0..8);
        if let Some(byte) = self.somewhere(input) {
            *byte ^= bit;
        }
    }

    fn set(&mut self, input: &mut [u8]) {
        let value = self.rng.random();
        if let Some(byte) = self.somewhere(input) {
            *byte = value;
        }
    }

    fn somewhere<'a>(&mut self, input: &'a mut [u8]) -> Option<&'a mut u8> {
        let at = self.rng.random_range(0..input.len().max(1));
        input.get_mut(at)
    }

    /// Now and then very often: what is quadratic then takes its time.
    fn repeat(&mut self, input: &mut Vec<u8>, range: std::ops::Range<usize>) {
        let most = if self.rng.random_ratio(1, 50) {
            2000
        } else {
            5
        };
        let piece = input[range.clone()].repeat(self.rng.random_range(1..most));
        input.splice(range, piece);
    }
}
