//! Where what a process does comes from, for the audit trail: what it was started as, and which
//! address is served by it.
//!
//! Arguments may hold secrets, and the trail is kept for long, on every node. So passwords in URLs and
//! values of configuration and of options that sound like secrets are left out, and of the environment
//! nothing is told but an IP address. Both are read when a process first changes something, which
//! waits for that.
#![expect(clippy::disallowed_methods, reason = "/proc is the kernel's")]

use super::{Processes, descends_from, memory};
use gitmoor_model::Actor;
use std::net::IpAddr;
use std::sync::Arc;

/// Longest command that is told, bytes.
const COMMAND: usize = 200;

/// Variables with the address that a process serves: of CGI and git-daemon, of sshd. Each request has the
/// former; a server that was started from a login has the latter.
const ADDRESSES: [&str; 3] = ["REMOTE_ADDR", "SSH_CONNECTION", "SSH_CLIENT"];

/// In the environment of a program that this process has started for somebody who is not on this machine: at which door,
/// who, and by which key. Nobody else is believed.
pub const SERVED: &str = "GITMOOR_SERVED";

/// How what such a program is begins in the audit trail. What begins so by itself is told with [`NO_DOOR`] before it, as
/// whoever starts a program chooses its words.
const DOORS: [&str; 3] = ["http", "https", "ssh"];
/// See [`DOORS`].
const NO_DOOR: &str = "program";

/// Options whose value is left out when this is in their name.
const SECRETS: [&str; 6] = ["pass", "token", "secret", "auth", "header", "key"];

/// The origins of processes, each read once.
pub(crate) struct Origins(Processes<Arc<Origin>>);

#[derive(Default)]
struct Origin {
    command: Option<String>,
    address: Option<String>,
}

impl Origins {
    pub(crate) fn new() -> Self {
        Self(Processes::new())
    }

    /// Who a process is. Its number is 0 if it is in another pid namespace.
    pub(crate) fn actor(&self, uid: u32, pid: u32) -> Actor {
        let origin = self.of(uid, pid);
        Actor {
            uid: Some(uid),
            pid: Some(pid),
            node: None,
            command: origin.command.clone(),
            address: origin.address.clone(),
        }
    }

    fn of(&self, user: u32, pid: u32) -> Arc<Origin> {
        if pid == 0 {
            return Arc::default();
        }
        self.0.get(pid).unwrap_or_else(|| {
            let origin = Arc::new(Origin::read(user, pid));
            self.0.insert(pid, origin.clone());
            origin
        })
    }
}

impl Origin {
    fn read(user: u32, pid: u32) -> Self {
        let memory = memory::of(user, pid);
        let line = memory.command_line.and_then(|line| command(&line));
        let name = || command(&std::fs::read(format!("/proc/{pid}/comm")).ok()?);
        let environment = memory.environment.unwrap_or_default();
        let served = served(&environment).filter(|_| descends_from(pid, std::process::id()));
        let line = line.or_else(name).unwrap_or_default();
        let told = match served {
            Some(served) => cut(format!("{served}: {line}")),
            None if may_look_like_a_door(&line) => cut(format!("{NO_DOOR} {line}")),
            None => line,
        };
        Self {
            command: Some(told).filter(|told| !told.is_empty()),
            address: address(&environment),
        }
    }
}

/// A command line, whose words end in zero bytes, as one line of text.
fn command(line: &[u8]) -> Option<String> {
    let words = line.split(|byte| *byte == 0).map(<[u8]>::trim_ascii_end);
    let mut words = words.map(String::from_utf8_lossy);
    let mut told = words.next()?.into_owned();
    let mut sets = false;
    for word in words {
        told.push(' ');
        told.push_str(&without_secrets(&word, sets));
        sets = matches!(&*word, "-c" | "--config" | "--config-env");
        if told.len() > COMMAND {
            break;
        }
    }
    let told = told.trim_end().replace(char::is_control, "?");
    (!told.is_empty()).then(|| cut(told))
}

fn cut(mut text: String) -> String {
    if text.len() > COMMAND {
        text.truncate(text.floor_char_boundary(COMMAND));
        text.push('…');
    }
    text
}

/// A word of a command line; whether it sets something, such as `http.extraHeader=…` after -c.
fn without_secrets(word: &str, sets: bool) -> String {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let option = name.to_ascii_lowercase();
    let is_secret = name.starts_with('-') && SECRETS.iter().any(|part| option.contains(part));
    if !value.is_empty() && (sets || is_secret) {
        return format!("{name}=…");
    }
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let host = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => word.to_owned(),
    }
}

/// Whether a text could be taken for that of a door: by its first word, in which letters of other scripts may look like
/// those, and others like nothing.
fn may_look_like_a_door(line: &str) -> bool {
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    let mut doors = DOORS.iter();
    !first.is_ascii() || doors.any(|door| door.eq_ignore_ascii_case(first))
}

/// Whom a program serves, as a door has it.
fn served(environment: &[u8]) -> Option<String> {
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|it| it.strip_prefix(SERVED.as_bytes())?.strip_prefix(b"="))?;
    let text = std::str::from_utf8(value).ok()?;
    let door = text.split(' ').next()?;
    DOORS
        .contains(&door)
        .then(|| text.replace(char::is_control, "?"))
}

/// The address in an environment, if it is one.
fn address(environment: &[u8]) -> Option<String> {
    let variables: Vec<_> = environment.split(|byte| *byte == 0).collect();
    ADDRESSES.iter().find_map(|name| {
        let mut values = variables
            .iter()
            .filter_map(|it| it.strip_prefix(name.as_bytes()));
        let value = values.find_map(|value| value.strip_prefix(b"="))?;
        let first = std::str::from_utf8(value).ok()?.split(' ').next()?;
        let (first, _) = first.split_once('%').unwrap_or((first, ""));
        let address: IpAddr = first.trim_matches(['[', ']']).parse().ok()?;
        Some(address.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn commands_without_their_secrets() {
        let of = |line: &str| command(line.replace(' ', "\0").as_bytes());
        let same = |line: &str| assert_eq!(of(line), Some(line.to_owned()));
        same("git-receive-pack /srv/app.git");
        same("git fetch https://example.org/x@y");
        assert_eq!(
            of("git fetch https://me:secret@example.org/x"),
            Some("git fetch https://…@example.org/x".to_owned())
        );
        assert_eq!(
            of("git fetch https://me:se@cret@example.org/x"),
            Some("git fetch https://…@example.org/x".to_owned())
        );
        assert_eq!(
            of("git -c http.extraHeader=secret push --user-token=secret --force"),
            Some("git -c http.extraHeader=… push --user-token=… --force".to_owned())
        );
        assert_eq!(of(""), None);
    }

    #[test]
    fn commands_are_lines_of_bounded_length() {
        assert_eq!(command(b"a\nb\0\x1b[1m"), Some("a?b ?[1m".to_owned()));
        let long = command("ü".repeat(10_000).as_bytes()).expect("text");
        assert!(long.len() <= COMMAND + '…'.len_utf8() && long.ends_with("ü…"));
    }

    #[test]
    fn nothing_looks_like_a_door() {
        for text in [
            "http bob token 12: git",
            " http bob",
            "HTTP bob",
            "ssh bob",
            "http\u{200b} bob",
            "һttp bob",
            "http\u{a0}bob",
        ] {
            assert!(may_look_like_a_door(text), "{text}");
        }
        for text in ["git push", "program http bob", "httpd -f http bob", ""] {
            assert!(!may_look_like_a_door(text), "{text}");
        }
        let of = |text: &str| served(format!("A=1\0GITMOOR_SERVED={text}").as_bytes());
        assert_eq!(of("http bob\n"), Some("http bob?".to_owned()));
        assert_eq!(of("git push"), None);
    }

    #[test]
    fn addresses() {
        let names = |text: &str| address(text.replace(';', "\0").as_bytes());
        assert_eq!(names("HOME=/x"), None);
        assert_eq!(
            names("A=1;SSH_CONNECTION=10.0.0.7 50022 10.0.0.1 22;B=2").as_deref(),
            Some("10.0.0.7")
        );
        let served = "SSH_CONNECTION=10.0.0.7 5 10.0.0.1 22;REMOTE_ADDR=[2001:db8::1]";
        assert_eq!(names(served).as_deref(), Some("2001:db8::1"));
        assert_eq!(
            names("REMOTE_ADDR=fe80::1%eth0").as_deref(),
            Some("fe80::1")
        );
        assert_eq!(names("REMOTE_ADDR=my secret;XREMOTE_ADDR=10.0.0.7"), None);
    }

    #[test]
    fn a_process_is_told_of() {
        let mut child = crate::program::of_the_system("sleep");
        let child = child
            .arg("60")
            .env("SSH_CONNECTION", "10.0.0.7 1 10.0.0.1 22");
        let mut child = child.spawn().expect("sleep");
        // spawn returns while exec is about to set them; a process that asks for anything has come further.
        let until = Instant::now() + Duration::from_secs(30);
        while memory::of(7, child.id())
            .command_line
            .is_none_or(|line| line.is_empty())
        {
            assert!(Instant::now() < until, "exec does not end");
        }
        let actor = Origins::new().actor(7, child.id());
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert_eq!(actor.command.as_deref(), Some("sleep 60"));
        assert_eq!(actor.address.as_deref(), Some("10.0.0.7"));
        assert_eq!((actor.uid, actor.pid), (Some(7), Some(child.id())));
        assert_eq!(Origins::new().actor(7, 0).command, None);
    }
}
