//! A disk whose power can be cut: ext4 on a loop device, shut down by one ioctl without writing anything back.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// `EXT4_IOC_SHUTDOWN`, which is `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Neither data nor journal is flushed: what was not synced is gone.
const NO_LOG_FLUSH: u32 = 2;

/// One loop-mounted ext4. Unmounted when dropped.
pub struct LoopDisk {
    image: PathBuf,
    mount: PathBuf,
}

impl LoopDisk {
    /// Makes and mounts a disk of `mebibytes` under `directory`.
    ///
    /// # Errors
    /// When this machine does not let us: no root, no loop devices, no mkfs.
    pub fn create(directory: &Path, name: &str, mebibytes: u64) -> Result<LoopDisk, String> {
        let (image, mount) = (directory.join(format!("{name}.img")), directory.join(name));
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mebibytes << 20).map_err(|error| error.to_string())?;
        std::fs::create_dir_all(&mount).map_err(|error| error.to_string())?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()])?;
        let disk = LoopDisk { image, mount };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// The image behind it: everything that was ever written, freed blocks included.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Mounts it again after a cut.
    ///
    /// # Errors
    /// When mounting fails.
    pub fn mount(&self) -> Result<(), String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_os_str(), self.mount.as_os_str()])
    }

    /// Unmounts it. Processes that used it must have ended.
    ///
    /// # Errors
    /// When it stays busy.
    pub fn unmount(&self) -> Result<(), String> {
        let mut last = String::new();
        for _ in 0..100 {
            match run("umount", &[self.mount.as_os_str()]) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(last)
    }

    /// Lets every write to it hang, until the returned value is dropped.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn freeze(&self) -> Result<Frozen, String> {
        run("fsfreeze", &["-f".as_ref(), self.mount.as_os_str()])?;
        Ok(Frozen { mount: self.mount.clone() })
    }

    /// Cuts the power: from now on every operation fails, and what was not synced is gone when it is mounted again.
    ///
    /// # Errors
    /// When the ioctl is refused.
    #[allow(unsafe_code)]
    pub fn cut_power(&self) -> Result<(), String> {
        use std::os::fd::AsRawFd;
        let root = std::fs::File::open(&self.mount).map_err(|error| error.to_string())?;
        let flags = NO_LOG_FLUSH;
        // SAFETY: the descriptor is open for the length of the call, and the kernel reads one u32 from the pointer.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
    }
}

/// A disk on which nothing moves. It thaws when this is dropped.
pub struct Frozen {
    mount: PathBuf,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // A failure leaves the disk hanging, and the test with it: that shows.
        drop(run("fsfreeze", &["-u".as_ref(), self.mount.as_os_str()]));
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Best effort: a test that failed halfway may have left it unmounted already.
        drop(self.unmount());
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))) }
}
