//! What mount(8) calls for `mount -t gitmoor` and for lines of fstab(5): this program under the name
//! `mount.gitmoor`. It says in the words of `gitmoor mount` what it was told in those of mount(8).
//!
//! ```text
//! mount.gitmoor SOURCE MOUNTPOINT [-sfnv] [-t TYPE] [-o OPTION,…]
//! ```

use super::Cli;
use clap::{CommandFactory, Parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

/// What mount(8) may call us. The second is what it looks for when it knows the mount by its type.
const NAMES: [&str; 2] = ["mount.gitmoor", "mount.fuse.gitmoor"];

/// Of mount(8): wrong usage, and a mount that failed.
const USAGE: u8 = 1;
const FAILED: u8 = 32;

/// Options that are for mount(8), systemd or the kernel, or true of every mount of ours: it has no device nodes,
/// no set-user-id programs, no access times of its own, and what it acknowledged is durable.
const GENERIC: &str = "comment defaults rw auto noauto user nouser users group owner nofail _netdev \
    _rnetdev exec nodev nosuid async sync dirsync atime noatime diratime nodiratime relatime \
    norelatime strictatime lazytime nolazytime silent loud";

/// Flags of `gitmoor mount` that a mount table has other words for, or that make no sense in one.
const NO_OPTIONS: [&str; 4] = ["foreground", "source", "help", "version"];

/// As mount(8) calls it.
#[derive(Debug, Parser)]
#[command(name = "mount.gitmoor", version)]
struct Helper {
    /// A data directory, or the URL of a store
    source: String,
    /// An empty directory
    mountpoint: PathBuf,
    /// Ignore options that nobody knows
    #[arg(short)]
    sloppy: bool,
    /// Do everything but mount
    #[arg(short)]
    fake: bool,
    /// Write no /etc/mtab; nobody does any more
    #[arg(short = 'n')]
    no_mtab: bool,
    /// Say what is done
    #[arg(short)]
    verbose: bool,
    /// The type
    #[arg(short = 't', value_parser = ["gitmoor", "fuse.gitmoor"])]
    kind: Option<String>,
    /// Flags of `gitmoor mount`, without their dashes; ro; and what mount(8) means for others
    #[arg(short = 'o', value_name = "OPTION,…")]
    options: Vec<String>,
}

/// For its manual page.
pub(crate) fn command() -> clap::Command {
    Helper::command()
}

/// Whether this process was called as a helper of mount(8).
pub(crate) fn is_called() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    let name = name.as_deref().and_then(Path::file_name);
    NAMES.iter().any(|ours| name == Some(OsStr::new(ours)))
}

/// Mounts as mount(8) asks, with its exit codes.
pub(crate) fn main() -> ExitCode {
    let helper = match Helper::try_parse() {
        Ok(helper) => helper,
        Err(error) => {
            // Help and version are no mistakes.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(&helper) {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("mount.gitmoor: {reason}");
            ExitCode::from(USAGE)
        }
    }
}

fn run(helper: &Helper) -> Result<ExitCode, String> {
    let arguments = arguments(helper)?;
    if helper.verbose {
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        println!("gitmoor {}", words.join(" "));
    }
    if helper.fake {
        let line = std::iter::once(OsString::from("gitmoor")).chain(arguments);
        return Cli::try_parse_from(line)
            .map(|_| ExitCode::SUCCESS)
            .map_err(|error| error.to_string());
    }
    // Its own process: it starts itself once more with its own arguments.
    let mut mount = gitmoor_fs::program::of_the_system("/proc/self/exe");
    if !helper.verbose {
        mount.stdout(Stdio::null());
    }
    let status = mount.arg0("gitmoor").args(arguments).status();
    let status = status.map_err(|error| format!("starting gitmoor mount: {error}"))?;
    Ok(ExitCode::from(match status.code() {
        Some(0) => 0,
        Some(2) => USAGE,
        Some(_) | None => FAILED,
    }))
}

/// The command line of `gitmoor` that does it.
fn arguments(helper: &Helper) -> Result<Vec<OsString>, String> {
    let place = match helper.source.as_str() {
        url if url.starts_with("s3://") || url.starts_with("dir:") => "--store",
        _ => "--data",
    };
    let mut words = vec!["mount".to_owned(), format!("--source={}", helper.source)];
    words.push(format!("{place}={}", helper.source));
    for option in helper.options.iter().flat_map(|list| split(list)) {
        words.extend(flag(&option, helper.sloppy)?);
    }
    let mut words: Vec<_> = words.into_iter().map(OsString::from).collect();
    words.extend(["--".into(), helper.mountpoint.clone().into()]);
    Ok(words)
}

/// Options stand between commas; one with a comma in it stands in double quotes, as libmount has it.
fn split(list: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut quoted = false;
    for c in list.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => options.push(String::new()),
            c => options
                .last_mut()
                .expect("there is one from the start")
                .push(c),
        }
    }
    options.retain(|option| !option.is_empty());
    options
}

fn is_generic(name: &str) -> bool {
    let known = GENERIC.split_whitespace().any(|generic| generic == name);
    known || name.starts_with("x-") || name.starts_with("X-")
}

/// The flag of `gitmoor mount` that an option means, if it means one.
fn flag(option: &str, sloppy: bool) -> Result<Option<String>, String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    match name {
        "ro" => return Ok(Some("--read-only".to_owned())),
        "remount" => {
            return Err(
                "a mount of gitmoor's cannot be changed while it is there: umount it, then \
                 mount it with the new options"
                    .to_owned(),
            );
        }
        name if is_generic(name) => return Ok(None),
        _ => {}
    }
    let name = name.replace('_', "-");
    let command = Cli::command();
    let mount = command.find_subcommand("mount");
    let flags = mount
        .into_iter()
        .chain([&command])
        .flat_map(|c| c.get_arguments());
    let mut known = flags.filter(|arg| arg.get_long() == Some(&*name));
    let is_ours = known.next().is_some() && !NO_OPTIONS.contains(&&*name);
    match (is_ours, value) {
        (true, Some(value)) => Ok(Some(format!("--{name}={value}"))),
        (true, None) => Ok(Some(format!("--{name}"))),
        (false, _) if sloppy => Ok(None),
        (false, _) => Err(format!(
            "option {option}: expected a flag of `gitmoor mount` without its dashes, such as \
             cache_size=50GiB, or one that mount(8) has for every file system"
        )),
    }
}
