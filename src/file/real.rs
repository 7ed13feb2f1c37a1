//! The calls of the operating system.

use super::*;

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        trust::directory_builder().recursive(true).create(path)
    }

    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        platform::restrict(&mut options, mode, Links::Refused);
        opened(open_to_read_too(&options, path)?, mode)
    }

    fn open_lock(&self, path: &Path, may_create: bool) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true).read(true).create(may_create);
        platform::restrict(&mut options, Some(trust::LOCK_MODE), Links::Refused);
        opened(options.open(path).map_err(|error| special_or(error, path))?, None)
    }

    #[cfg(feature = "watch")]
    fn open_existing(&self, path: &Path) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true);
        platform::restrict(&mut options, None, Links::Followed);
        opened(open_to_read_too(&options, path)?, None)
    }

    #[cfg(feature = "watch")]
    fn open_device(&self, path: &Path) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true);
        platform::restrict(&mut options, None, Links::Followed);
        let file = options.open(path)?;
        let meta = file.metadata()?;
        if !platform::is_char_device(&meta) {
            return Err(no_regular_file());
        }
        platform::wait_in_writes(&file)?; // it was opened so as not to wait, should it be a FIFO by now
        Ok(Opened { len: 0, ..opened_as(file, &meta)? })
    }

    fn create_new(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true).read(true).create_new(true);
        platform::restrict(&mut options, mode, Links::Refused);
        opened(options.open(path)?, mode)
    }

    #[cfg(all(feature = "gzip", unix))]
    fn open_read(&self, path: &Path) -> io::Result<Reading> {
        let mut options = OpenOptions::new();
        options.read(true);
        platform::restrict(&mut options, None, Links::Refused);
        let file = options.open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_regular_file());
        }
        Ok(Reading { id: platform::id_of(&meta), meta, content: Box::new(file) })
    }

    #[cfg(feature = "watch")]
    fn read_ends(&self, path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut options = OpenOptions::new();
        options.read(true);
        platform::restrict(&mut options, None, Links::Refused);
        let mut file = options.open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_regular_file());
        }
        let (mut begin, mut end) = (Vec::new(), Vec::new());
        file.by_ref().take(END).read_to_end(&mut begin)?;
        file.seek(SeekFrom::Start(meta.len().saturating_sub(END)))?;
        file.take(END).read_to_end(&mut end)?;
        Ok((begin, end))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        platform::rename_new(from, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        found(path.symlink_metadata())
    }

    #[cfg(feature = "watch")]
    fn find_target(&self, path: &Path) -> io::Result<Option<Found>> {
        found(path.metadata())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true);
        platform::restrict(&mut options, None, Links::Followed);
        options.open(path)?.sync_all()
    }
}
