//! For whom a proxy asks: the last address of X-Forwarded-For, which the proxy itself has added. What stands before was
//! said by the client.

use std::net::IpAddr;

/// The longest header that is looked at, bytes.
const LONGEST: usize = 4096;

/// The client's address by the last such header, if it is one.
pub fn forwarded(header: Option<&[u8]>) -> Option<IpAddr> {
    let header = header.filter(|header| header.len() <= LONGEST)?;
    let last = header.rsplit(|byte| *byte == b',').next()?;
    let text = std::str::from_utf8(last).ok()?.trim();
    let address: IpAddr = text.parse().ok()?;
    Some(address.to_canonical())
}
