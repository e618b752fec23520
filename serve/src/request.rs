//! The first lines of a request to upload-pack, as far as they tell what work it is.
//!
//! A fetch of somebody who has something names that by `have`. Who names nothing gets all of the repository: a clone.
//! Lines are framed by four hexadecimal digits, as gitprotocol-common(5) says; what is framed otherwise is git's to
//! refuse, and counts as a clone, which waits longest.

/// What a request costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Refs, or nothing.
    Small,
    /// What somebody lacks who has something.
    Fetch,
    /// All of a repository.
    Clone,
    /// A push.
    Push,
}

impl Work {
    /// For metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Fetch => "fetch",
            Self::Clone => "clone",
            Self::Push => "push",
        }
    }
}

/// What a request to upload-pack is, by what is there of it. `None` while more of it may tell.
pub fn fetched(mut bytes: &[u8], is_all: bool) -> Option<Work> {
    let mut wants = false;
    loop {
        let Some(line) = next(&mut bytes) else {
            return is_all.then_some(match wants {
                true => Work::Clone,
                false => Work::Small,
            });
        };
        match line {
            Line::Flush => {}
            Line::Garbled => return Some(Work::Clone),
            Line::Text(text) if text.starts_with(b"command=") => {
                if !text.starts_with(b"command=fetch") {
                    return Some(Work::Small);
                }
            }
            Line::Text(text) if text.starts_with(b"want ") || text.starts_with(b"want-ref ") => {
                wants = true;
            }
            Line::Text(text) if text.starts_with(b"have ") => return Some(Work::Fetch),
            Line::Text(_) => {}
        }
    }
}

enum Line<'a> {
    Text(&'a [u8]),
    /// Flush, delimiter or end of a response.
    Flush,
    Garbled,
}

/// The next line, if all of it is there.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<Line<'a>> {
    let (digits, rest) = bytes.split_first_chunk::<4>()?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let length = digits
        .iter()
        .try_fold(0, |sum, byte| Some(sum * 16 + digit(byte)?));
    match length {
        Some(0..=2) => {
            *bytes = rest;
            Some(Line::Flush)
        }
        Some(length @ 4..) => {
            let (text, rest) = rest.split_at_checked(length as usize - 4)?;
            *bytes = rest;
            Some(Line::Text(text))
        }
        Some(3) | None => Some(Line::Garbled),
    }
}
