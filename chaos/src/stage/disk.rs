//! A disk of a node's own: ext4 on a loop device. Its power can be cut, it can hang, fill up and be slow.

use std::{
    fs::File,
    io::Write,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{shell, trouble::Trouble};

/// `EXT4_IOC_SHUTDOWN`, which is `_IOR('X', 125, __u32)`.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587d;
/// Neither data nor journal is flushed: what was not synced is gone.
const NO_LOG_FLUSH: u32 = 2;
/// Unmounting waits until whoever was killed has let go.
const UNMOUNTS: u32 = 150;
/// So much is filled block by block.
const FILL_APART_KIB: u64 = 2_048;
const UNMOUNT_AGAIN: Duration = Duration::from_millis(20);

/// One loop-mounted ext4.
#[derive(Clone, Debug)]
pub(crate) struct LoopDisk {
    image: PathBuf,
    mount: PathBuf,
}

impl LoopDisk {
    /// The disk `name` in `directory`, which need not be there yet.
    pub(crate) fn new(directory: &Path, name: &str) -> LoopDisk {
        LoopDisk { image: directory.join(format!("{name}.img")), mount: directory.join(name) }
    }

    /// Makes it, of so many `mebibytes`, and mounts it.
    pub(crate) async fn create(&self, mebibytes: u64) -> Result<(), Trouble> {
        let file = File::create(&self.image).map_err(Trouble::io("make", &self.image))?;
        file.set_len(mebibytes << 20).map_err(Trouble::io("size", &self.image))?;
        std::fs::create_dir_all(&self.mount).map_err(Trouble::io("make", &self.mount))?;
        // No block is kept for root: nodes may run as root, and their disks are to be full.
        shell::run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), "-m".as_ref(), "0".as_ref(), self.image.as_os_str()]).await?;
        self.mount().await
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Mounts it, again after a cut.
    pub(crate) async fn mount(&self) -> Result<(), Trouble> {
        shell::run("mount", ["-o".as_ref(), "loop".as_ref(), self.image.as_os_str(), self.mount.as_os_str()]).await?;
        Ok(())
    }

    /// Unmounts it. Processes that used it must have been killed.
    pub(crate) async fn unmount(&self) -> Result<(), Trouble> {
        for _ in 1..UNMOUNTS {
            if shell::run("umount", [self.mount.as_os_str()]).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(UNMOUNT_AGAIN).await;
        }
        shell::run("umount", [self.mount.as_os_str()]).await.map(drop)
    }

    /// Cuts the power: from now on every operation fails, and what was not synced is gone when it is mounted again.
    #[allow(unsafe_code)]
    pub(crate) fn cut_power(&self) -> Result<(), Trouble> {
        let root = File::open(&self.mount).map_err(Trouble::io("open", &self.mount))?;
        let flags = NO_LOG_FLUSH;
        // SAFETY: the descriptor is open for the length of the call, and the kernel reads one u32 from the pointer.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const flags) };
        let failed = || Trouble::io("cut the power of", &self.mount)(std::io::Error::last_os_error());
        if done == 0 { Ok(()) } else { Err(failed()) }
    }

    /// A dead disk refuses writes: that is how a cut shows.
    pub(crate) fn is_dead(&self) -> bool {
        let pulse = self.mount.join("pulse");
        std::fs::write(&pulse, b"pulse").and_then(|()| std::fs::remove_file(&pulse)).is_err()
    }

    /// Every write waits from now on, and whoever writes cannot even be killed.
    pub(crate) async fn freeze(&self) -> Result<(), Trouble> {
        shell::run("fsfreeze", ["-f".as_ref(), self.mount.as_os_str()]).await.map(drop)
    }

    /// Writes go on.
    pub(crate) async fn thaw(&self) -> Result<(), Trouble> {
        shell::run("fsfreeze", ["-u".as_ref(), self.mount.as_os_str()]).await.map(drop)
    }

    /// Takes all space that is left but `spare_kib`; how much that was, in KiB.
    pub(crate) async fn fill(&self, spare_kib: u64) -> Result<u64, Trouble> {
        let free = self.free_kib().await?;
        let size = format!("{}KiB", free.saturating_sub(spare_kib.max(FILL_APART_KIB)));
        shell::run("fallocate", ["-l".as_ref(), size.as_ref(), self.filler().as_os_str()]).await?;
        // The file system needs some of the last blocks for itself: they are taken one by one.
        let mut file = File::options().append(true).open(self.filler()).map_err(Trouble::io("open", &self.filler()))?;
        while self.free_kib().await? > spare_kib && file.write_all(&[0; 64 << 10]).is_ok() {}
        Ok(free - self.free_kib().await?)
    }

    /// Gives the space back.
    pub(crate) fn empty(&self) -> Result<(), Trouble> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Trouble::io("remove", &self.filler())(error)),
            _ => Ok(()),
        }
    }

    /// Space that is left, in KiB.
    pub(crate) async fn free_kib(&self) -> Result<u64, Trouble> {
        let told = shell::run("df", ["-k".as_ref(), "--output=avail".as_ref(), self.mount.as_os_str()]).await?;
        let free = told.lines().last().and_then(|line| line.trim().parse().ok());
        free.ok_or_else(|| Trouble::unusable("df", format!("it said {told:?}")))
    }

    /// `major:minor` of the loop device.
    pub(crate) async fn device(&self) -> Result<String, Trouble> {
        let told = shell::run("mountpoint", ["-d".as_ref(), self.mount.as_os_str()]).await?;
        Ok(told.trim().to_owned())
    }

    fn filler(&self) -> PathBuf {
        self.mount.join("filler")
    }
}
