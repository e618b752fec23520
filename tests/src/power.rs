//! A disk whose power can be cut: what was not synced is lost.
//!
//! An ext4 file system in an image file, on a loop device. [`Disk::cut`] shuts the
//! file system down without flushing its log (the ioctl that xfstests use for this):
//! from then on nothing reaches the image, and every write and fsync fails. What
//! was only in memory goes with [`Disk::unmount`]; [`Disk::restore`] mounts the image again, which
//! replays the journal, as after a power failure. Nothing in it is left to luck: periodic
//! write-back is put off until long after any test, and the heuristics by which
//! ext4 saves programs that forget to sync are off.
//!
//! What it cannot show is a missing flush of the drive's own cache: that is up to
//! ext4's fsync.

use crate::process;
use crate::requirement::{self, Requirement, need};
use nix::mount::{MntFlags, umount2};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `commit`: seconds between the journal's own commits. `noauto_da_alloc`: a rename does not flush
/// what it renames.
const OPTIONS: &str = "loop,noatime,commit=300,noauto_da_alloc";

/// `_IOR('X', 125, __u32)` of the kernel's ext4.h.
const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d;
/// Not even the log is flushed.
const NOLOGFLUSH: u32 = 2;

/// Commands on it are quick.
const LIMIT: Duration = Duration::from_secs(60);

/// Written without a sync before a cut: must not be there after it.
const CONTROL: &str = "control-without-sync";

/// One disk, unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// A new disk with its image beside the directory where it is mounted (which is
    /// created).
    #[track_caller]
    pub fn new(at: &Path, mebibytes: u64) -> Option<Disk> {
        let disk = Disk {
            image: at.with_extension("img"),
            at: at.to_owned(),
        };
        fs::create_dir_all(at).expect("mount point");
        let image = File::create(&disk.image).expect("image");
        image.set_len(mebibytes << 20).expect("image's size");
        let made = run(Command::new("mkfs.ext4")
            .args(["-q", "-F"])
            .arg(&disk.image));
        let made = made.and_then(|()| disk.mount());
        let made = made.map_err(|error| format!("there is no disk to cut the power of: {error}"));
        need(Requirement::Disk, made)?;
        Some(disk)
    }

    /// The same, with the content of a directory, over which it is mounted in the end.
    pub fn over(dir: &Path, at: &Path, mebibytes: u64) -> Option<Disk> {
        let mut disk = Disk::new(at, mebibytes)?;
        let copied = run(Command::new("cp")
            .arg("-a")
            .arg(dir.join("."))
            .arg(&disk.at));
        copied.expect("copy");
        umount2(&disk.at, MntFlags::empty()).expect("umount");
        disk.at = dir.to_owned();
        disk.mount().expect("mount over the directory");
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount")
            .args(["-o", OPTIONS])
            .arg(&self.image)
            .arg(&self.at))
    }

    /// Writes the file that [`Disk::restore`] must not find.
    pub fn write_control(&self) {
        fs::write(self.at.join(CONTROL), "not synced").expect("control file");
    }

    /// Cuts the power.
    pub fn cut(&self) {
        let dir = File::open(&self.at).expect("the disk's top directory");
        // SAFETY: the descriptor is open, and the argument outlives the call, which reads 4 bytes of it.
        let result = unsafe { libc::ioctl(dir.as_raw_fd(), EXT4_IOC_SHUTDOWN, &NOLOGFLUSH) };
        assert_eq!(result, 0, "shutdown: {}", io::Error::last_os_error());
    }

    /// Takes the dead disk away, on which nobody may have files open.
    pub fn unmount(&self) {
        umount2(&self.at, MntFlags::empty())
            .unwrap_or_else(|error| panic!("umount {}: {error}", self.at.display()));
    }

    /// Gives power again. Fails the test if the disk kept what nobody synced: then
    /// it proves nothing.
    pub fn restore(&self) {
        self.mount().expect("mount after the power cut");
        let control = self.at.join(CONTROL);
        let kept = fs::metadata(&control).map_or(0, |meta| meta.len());
        assert_eq!(kept, 0, "{} survived without a sync", control.display());
        let _ = fs::remove_file(control);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Its loop device goes with the last mount of it.
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        let _ = fs::remove_file(&self.image);
    }
}

/// What went wrong, as a sentence.
fn run(command: &mut Command) -> Result<(), String> {
    requirement::program(&command.get_program().to_string_lossy())?;
    let output = process::run(command, b"", LIMIT);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{} {}",
            process::describe(command),
            process::report(&output)
        )),
    }
}
