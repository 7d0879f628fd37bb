//! Small files of a directory, read and replaced whole.

use crate::disk::{Dir, Open, join};
use crate::error::{Error, Result};
use crate::log::sync_failed;

/// The bytes of a small file; `None` if it does not exist.
pub(crate) fn read_small(dir: &dyn Dir, name: &str) -> Result<Option<Vec<u8>>> {
    let file = match dir.open(name, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", join(dir, name), e)),
    };
    let error = |e| Error::io("read", join(dir, name), e);
    let len = usize::try_from(file.len().map_err(error)?).unwrap_or(usize::MAX);
    let mut text = vec![0; len.min(SMALL_FILE_BYTES_MAX)];
    let read = file.read_at(&mut text, 0).map_err(error)?;
    text.truncate(read);
    Ok(Some(text))
}

/// Most bytes of a checkpoint that are read.
pub(crate) const SMALL_FILE_BYTES_MAX: usize = 16 << 20;

pub(crate) fn replace_small(dir: &dyn Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let temporary = format!("{name}.tmp");
    let error = |op| move |e| Error::io(op, join(dir, name), e);
    // Never reuse the file of an earlier try: its sync may have failed unnoticed.
    match dir.remove(&temporary) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(error("write")(e)),
        _ => {}
    }
    let file = dir
        .open(&temporary, Open::CreateNew)
        .map_err(error("write"))?;
    file.write_at(bytes, 0).map_err(error("write"))?;
    file.sync_data()
        .map_err(|e| sync_failed(join(dir, name), e))?;
    dir.rename(&temporary, name).map_err(error("replace"))?;
    dir.sync().map_err(|e| sync_failed(dir.path(), e))
}
